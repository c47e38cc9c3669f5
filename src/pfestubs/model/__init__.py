# SPDX-License-Identifier: GPL-2.0-or-later
"""The types that pass between the layers, once each.

Readers produce them, rules and formats take them. Addresses are unsigned integers as linked, sizes are
bytes, counts are numbers of entries or stubs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from array import array
    from collections import Counter
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pfestubs.layouts import AreaRole, AreaSpec, Layout

COUNT_SCHEMA: Final = "pfestubs/count/1"
CHECK_SCHEMA: Final = "pfestubs/check/1"
STUBS_SCHEMA: Final = "pfestubs/stubs/1"
TRAMPOLINE_FREED: Final = "ftrace_tramp_init"
"""The trampoline that is freed with init memory."""


ByteOrder = Literal["little", "big"]


# -- views of memory and symbols -----------------------------------------------------------------------------


class MemoryView(Protocol):
    """Words by address."""

    def word(self, address: int) -> int | None:
        """Return the 4-byte word at `address`, None where the file holds none."""

    def words_at(self, addresses: array[int]) -> Sequence[int | None]:
        """Return the words at `addresses`, in their order; fastest for ascending addresses."""

    def read(self, address: int, size: int) -> bytes | None:
        """Return `size` bytes at `address`, None unless the file holds them all."""


class SymbolInfo(NamedTuple):
    """A symbol's address, and its size in bytes (None if unknown)."""

    address: int
    size: int | None


class SymbolView(Protocol):
    """Names and addresses of one kernel."""

    def find(self, names: Sequence[str]) -> Mapping[str, SymbolInfo]:
        """Return where each of `names` is; absent ones are left out, a global symbol wins over a local."""

    def gap(self, address: int) -> int | None:
        """Return the bytes from `address` to the next symbol, None after the last."""

    def code_names(self) -> Iterator[tuple[str, int]]:
        """Yield every symbol of code with its address, aliases too, in no order."""

    def locate(self, address: int) -> tuple[str, int]:
        """Return the code symbol at or before `address` and the distance to it in bytes.

        An address before every symbol is named by itself, at distance 0.
        """


def symbolic(name: str, offset: int) -> str:
    """Return a function as documents name it: the symbol and, where it is not 0, the offset in bytes."""
    return f"{name}+{offset:#x}" if offset else name


# -- the object before the final link ------------------------------------------------------------------------


class EntryCounts(NamedTuple):
    """Entries of `__patchable_function_entries` by the kind of the section that they point into."""

    text: int
    inittext: int
    exittext: int

    @property
    def total(self) -> int:
        """All entries."""
        return self.text + self.inittext + self.exittext


class ObjectCounts(NamedTuple):
    """The counts of an object, as `pfestubs count` finds or an earlier run saved them.

    Attributes:
        file: the object, or the saved document.
        bits: 64 or 32.
        layout: None where the object has no stub symbols; then `stubs` is None too.
        stubs: by the area's name.
    """

    file: str
    bits: int
    byte_order: ByteOrder
    layout: Layout | None
    entries: EntryCounts
    stubs: Mapping[str, int] | None


class TextSection(NamedTuple):
    """A section of code; size and align in bytes, locations as byte offsets into it, in table order."""

    name: str
    size: int
    align: int
    locations: Sequence[int]


class ReserveArray(NamedTuple):
    """Where the area inside .text is: position in `VmlinuxO.sections`, offset and size in bytes."""

    section: int
    offset: int
    size: int


class VmlinuxO(NamedTuple):
    """`vmlinux.o` as plain values; `sections` is all code, in the object's order."""

    file: str
    bits: int
    byte_order: ByteOrder
    sections: Sequence[TextSection]
    stub_symbols: frozenset[str]
    reserve: int | None
    reserve_array: ReserveArray | None


# -- the linked kernel ---------------------------------------------------------------------------------------


class KernelIdentity(NamedTuple):
    """Which kernel a file holds; all but the file None where it does not tell.

    Attributes:
        file: the kernel, or a document saved of one.
        layout: a layout's name, or "inline" for a kernel that traces without stubs.
        release: of the banner, such as "7.2.13-amd64".
        banner: the text at `linux_banner`, without its newline.
        build_id: hexadecimal.
    """

    file: str
    layout: str | None = None
    bits: int | None = None
    byte_order: ByteOrder | None = None
    release: str | None = None
    banner: str | None = None
    build_id: str | None = None


@dataclass(frozen=True)
class Area:
    """An area of stubs as linked.

    Attributes:
        spec: its names and role.
        address: of the array.
        count: of stubs.
        size: bytes of the array, None if unknown.
        size_is_gap: `size` is the gap to the next symbol, which may hold padding.
    """

    spec: AreaSpec
    address: int
    count: int
    size: int | None = None
    size_is_gap: bool = False

    @property
    def name(self) -> str:
        """The name in documents."""
        return self.spec.name

    @property
    def role(self) -> AreaRole:
        """Which locations it serves."""
        return self.spec.role


STUB_SIZES: Final = (16, 24)
"""sizeof(struct ftrace_ool_stub): four instructions, with CALL_OPS a pointer before them."""
ENTRY_OFFSETS: Final = (0, 4, 8)
"""From a function's symbol to its location, in bytes, with stubs: after a global entry's set-up, or at it."""


@dataclass(frozen=True)
class Kernel:
    """A linked kernel as plain values: all that its boot depends on, and names.

    Attributes:
        layout: None for a kernel without stub symbols.
        table_address: of `__start_mcount_loc`.
        table: the values of the location table in table order, after relocation.
        table_bytes: the table's length.
        text: half-open [_stext, _etext).
        inittext: half-open [_sinittext, _einittext).
        areas: in the order of the layout.
        tracers: ftrace_caller, and ftrace_regs_caller where the kernel has it.
        trampolines: ftrace_tramp_text and ftrace_tramp_init, in the order in which the kernel tries them.
        memory: the file's content by address.
        symbols: for naming functions.
        banner: the text at `linux_banner` without its newline, None if the file has none.
        build_id: hexadecimal, None where the file has none.
        beyond_table: returns the values in the slots right before and after the table; takes 50 ms each.
    """

    file: str
    bits: int
    byte_order: ByteOrder
    layout: Layout | None
    table_address: int
    table: array[int]
    table_bytes: int
    text: range
    inittext: range
    areas: Sequence[Area]
    tracers: Mapping[str, int]
    trampolines: Mapping[str, int]
    memory: MemoryView
    symbols: SymbolView
    banner: str | None = None
    build_id: str | None = None
    beyond_table: Callable[[], Sequence[int]] = tuple

    @property
    def layout_name(self) -> str:
        """The layout as documents name it."""
        return self.layout.name if self.layout else "inline"

    @property
    def release(self) -> str | None:
        """The release in the banner, such as "7.2.13-amd64"."""
        words = (self.banner or "").split()
        return words[2] if len(words) > 2 and words[:2] == ["Linux", "version"] else None

    @property
    def identity(self) -> KernelIdentity:
        """Which kernel it is, for results: those outlive the open file."""
        return KernelIdentity(
            self.file, self.layout_name, self.bits, self.byte_order, self.release, self.banner, self.build_id
        )

    def is_text(self, address: int) -> bool:
        """Return whether an address is in kernel text or init text (`core_kernel_text` at boot)."""
        return address in self.text or address in self.inittext

    def area(self, role: AreaRole) -> Area | None:
        """Return the area of that role, None if the layout has none."""
        return next((area for area in self.areas if area.role is role), None)

    def misplaced_targets(self) -> Iterator[tuple[str, int]]:
        """Yield tracers and trampolines that are not at an instruction of text that stays, and is theirs.

        The boot overwrites an area, and a trampoline would overwrite a traced function. The trampoline of
        init text is freed with it; kernels without stubs have it after `_einittext`.
        """
        targets = {**self.tracers, **self.trampolines}
        areas = [range(area.address, area.address + area.count * min(STUB_SIZES)) for area in self.areas]
        entries = {name: {address + n for n in ENTRY_OFFSETS} for name, address in targets.items()}
        traced = set().union(*entries.values()).intersection(self.table)
        for name, address in targets.items():
            fits = address in self.text
            if name == TRAMPOLINE_FREED:
                fits = fits or address in self.inittext or self.layout is None
            fits = fits and traced.isdisjoint(entries[name]) and not any(address in area for area in areas)
            if not fits or address % 4 or self.memory.word(address) is None:
                yield name, address

    def name(self, address: int) -> str:
        """Return the function at `address` as documents name it."""
        return symbolic(*self.symbols.locate(address))


class AreaFigures(NamedTuple):
    """Stubs that an area has, and those handed out; None if unknown."""

    reserved: int | None
    used: int | None


@dataclass(frozen=True)
class KernelFigures:
    """What a kernel, or a document saved of one, contains for a comparison; None where unknown.

    Attributes:
        source: what the file is: a kernel, or the command that saved the document.
        locations: for `count` the entries of text and init text: a kernel skips those of exit text.
        entries: by kind, for `count`.
        functions: count of locations by symbol; static functions can share a name.
        areas: by name.
        unserved: count of functions that get no working stub.
        headroom: bytes of the tightest branch.
        growth: bytes of text that can be added before the boot fails, by where it is added (the shapes of
            `pfestubs plan`), negative where text must shrink; a shape is None where nothing limits it.
        damage: the first rule of `check` about the table or the areas that is broken, None if none is known.
        text, inittext: bytes of the two texts.
        gap: bytes of the largest gap in kernel text without traced functions.
        partial: the document lists only some of the functions.
    """

    kernel: KernelIdentity
    source: Literal["kernel", "check", "count", "stubs"]
    locations: int
    stub_size: int | None = None
    entries: EntryCounts | None = None
    functions: Counter[str] | None = None
    areas: Mapping[str, AreaFigures] = field(default_factory=dict)
    unserved: int | None = None
    headroom: int | None = None
    growth: Mapping[str, int | None] | None = None
    damage: str | None = None
    text: int | None = None
    inittext: int | None = None
    gap: int | None = None
    partial: bool = False


class RunningKernel(NamedTuple):
    """A kernel's memory, by the addresses it was linked at.

    Attributes:
        file: the dump.
        offset: bytes by which the kernel runs above the address it was linked at.
        word_at: the 4-byte word at a linked address, None where the dump has none.
        trampolines: the slots of `ftrace_tramps`, as linked addresses, 0 if empty; None if not found.
        disabled: the value of `ftrace_disabled`, None if not found.
    """

    file: str
    offset: int
    word_at: Callable[[int], int | None]
    trampolines: Sequence[int] | None
    disabled: int | None


# -- modules -------------------------------------------------------------------------------------------------


class EntriesTable(NamedTuple):
    """A section `__patchable_function_entries`: its bytes, and what the loader needs to see its entries."""

    size: int
    relocations: int
    is_loaded: bool
    """Whether it has the flag SHF_ALLOC."""
    has_content: bool
    """Whether its bytes are in the file."""


@dataclass(frozen=True)
class ModuleFile:
    """A module (`.ko`) as plain values.

    Attributes:
        file: as named on the command line, or below a directory named there.
        size: bytes of the module, unpacked.
        vermagic: of `.modinfo`: the kernel that it was built for; None without one.
        abi: of ELF for 64 bits, 1 or 2; None for 32 bits.
        nops: at the functions' entries, 1 or 2; None if unknown.
        has_mcount: whether it calls `_mcount` or has a section `__mcount_loc`.
        has_symbols: whether it has a symbol table.
        tables: each section `__patchable_function_entries`, in the order of the section headers.
        text_bytes: of the sections of code that the module loader places.
    """

    file: str
    size: int
    bits: int
    byte_order: ByteOrder
    vermagic: str | None
    abi: int | None
    nops: int | None
    has_mcount: bool
    has_symbols: bool
    tables: Sequence[EntriesTable]
    text_bytes: int
