# SPDX-License-Identifier: GPL-2.0-or-later
"""The types that pass between the layers, once each.

Readers produce them, rules and formats take them. Addresses are unsigned integers as linked, sizes are
bytes, counts are numbers of entries or stubs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

from pfestubs.layouts import AreaRole

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pfestubs.layouts import AreaSpec, Layout

COUNT_SCHEMA: Final = "pfestubs/count/1"
CHECK_SCHEMA: Final = "pfestubs/check/1"
STUBS_SCHEMA: Final = "pfestubs/stubs/1"
VERIFY_SCHEMA: Final = "pfestubs/verify/1"
PLAN_SCHEMA: Final = "pfestubs/plan/1"
MODULES_SCHEMA: Final = "pfestubs/modules/1"
DIFF_SCHEMA: Final = "pfestubs/diff/1"


class ByteOrder(Enum):
    """The byte order of a file; the value is the contract's word for it."""

    LITTLE = "little"
    BIG = "big"

    @property
    def struct(self) -> str:
        """The prefix of a `struct` format in this byte order."""
        return "<" if self is ByteOrder.LITTLE else ">"


# -- views of memory and symbols -----------------------------------------------------------------------------


class MemoryView(Protocol):
    """Words by address."""

    def word(self, address: int) -> int | None:
        """Return the 4-byte word at `address`, None where the file holds none."""
        ...

    def words_at(self, addresses: array[int]) -> Sequence[int | None]:
        """Return the words at `addresses`, in their order; fastest for ascending addresses."""
        ...

    def read(self, address: int, size: int) -> memoryview | None:
        """Return `size` bytes at `address`, None unless the file holds them all in one piece."""
        ...


class SymbolInfo(NamedTuple):
    """A symbol's address, and its size in bytes (None where the source does not tell)."""

    address: int
    size: int | None


class SymbolView(Protocol):
    """Names and addresses of one kernel."""

    def find(self, names: Sequence[str]) -> Mapping[str, SymbolInfo]:
        """Return where each of `names` is; absent ones are left out, a global symbol wins over a local."""
        ...

    def gap(self, address: int) -> int | None:
        """Return the bytes from `address` to the next symbol, None after the last."""
        ...

    def code_names(self) -> Iterator[tuple[str, int]]:
        """Yield every symbol of code with its address, aliases too, in no order."""
        ...

    def locate(self, address: int) -> tuple[str, int]:
        """Return the code symbol at or before `address` and the distance to it in bytes.

        An address before every symbol is named by itself, at distance 0.
        """
        ...


def symbolic(name: str, offset: int) -> str:
    """Return a function as documents name it: the symbol and, where it is not 0, the offset in bytes."""
    return f"{name}+{offset:#x}" if offset else name


# -- the object before the final link ------------------------------------------------------------------------


@dataclass(frozen=True)
class EntryCounts:
    """Entries of `__patchable_function_entries` by the kind of the section that they point into."""

    text: int
    inittext: int
    exittext: int

    @property
    def total(self) -> int:
        """All entries."""
        return self.text + self.inittext + self.exittext


@dataclass(frozen=True)
class AreaCounts:
    """Stubs by the role of their area; `reserve` is None for a layout without one."""

    reserve: int | None
    end: int
    init: int

    def of(self, role: AreaRole) -> int:
        """Return the count for an area of that role."""
        counts = {AreaRole.RESERVE: self.reserve or 0, AreaRole.END: self.end, AreaRole.INIT: self.init}
        return counts[role]


@dataclass(frozen=True)
class ObjectCounts:
    """The counts of an object, as `pfestubs count` finds or an earlier run saved them.

    Attributes:
        file: the object, or the saved document.
        machine: "ppc64" or "ppc".
        bits: 64 or 32.
        relocation: the psABI's name of an entry's relocation.
        layout: None where the object has no stub symbols; then `stubs` is None too.
    """

    file: str
    machine: str
    bits: int
    byte_order: ByteOrder
    relocation: str
    layout: Layout | None
    entries: EntryCounts
    stubs: AreaCounts | None


@dataclass(frozen=True)
class TextSection:
    """A section of code; size and align in bytes, locations as byte offsets into it, in table order."""

    name: str
    size: int
    align: int
    locations: Sequence[int]


@dataclass(frozen=True)
class ReserveArray:
    """Where the area inside .text is: position in `VmlinuxO.sections`, offset and size in bytes."""

    section: int
    offset: int
    size: int


@dataclass(frozen=True)
class VmlinuxO:
    """`vmlinux.o` as plain values; `sections` is all code, in the object's order."""

    file: str
    machine: str
    bits: int
    byte_order: ByteOrder
    relocation: str
    sections: Sequence[TextSection]
    stub_symbols: frozenset[str]
    reserve: int | None
    reserve_array: ReserveArray | None


# -- the linked kernel ---------------------------------------------------------------------------------------


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
        banner: the text at `linux_banner` without its newline, None where the file does not tell.
        build_id: hexadecimal, None where the file has none.
    """

    file: str
    bits: int
    byte_order: ByteOrder
    layout: Layout | None
    table_address: int
    table: Sequence[int]
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

    @property
    def layout_name(self) -> str:
        """The layout as documents name it."""
        return self.layout.name if self.layout else "inline"

    @property
    def release(self) -> str | None:
        """The release in the banner, such as "7.2.13-amd64"."""
        words = (self.banner or "").split()
        return words[2] if len(words) > 2 and words[:2] == ["Linux", "version"] else None

    def area(self, role: AreaRole) -> Area | None:
        """Return the area of that role, None if the layout has none."""
        return next((area for area in self.areas if area.role is role), None)

    def name(self, address: int) -> str:
        """Return the function at `address` as documents name it."""
        return symbolic(*self.symbols.locate(address))


@dataclass(frozen=True)
class Baseline:
    """An earlier kernel's figures, from its saved check: count of locations, headroom in bytes if known.

    `layout` is a layout's name or "inline"; `bits` and `byte_order` are None in documents of 0.1.
    """

    file: str
    layout: str
    locations: int
    headroom: int | None
    bits: int | None = None
    byte_order: ByteOrder | None = None


@dataclass(frozen=True)
class RunningKernel:
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


@dataclass(frozen=True)
class ModuleFile:
    """A module (`.ko`) as plain values.

    Attributes:
        file: as named on the command line, or below a directory named there.
        tables: bytes of each section `__patchable_function_entries`, in the order of the section headers.
        text_bytes: of the sections of code that the module loader places.
    """

    file: str
    bits: int
    byte_order: ByteOrder
    tables: Sequence[int]
    text_bytes: int


# -- two kernels compared ------------------------------------------------------------------------------------


class AreaFigures(NamedTuple):
    """Stubs that an area has, and those handed out; None where the source does not tell."""

    reserved: int | None
    used: int | None


@dataclass(frozen=True)
class KernelFigures:
    """What a kernel, or a document saved of one, tells for a comparison; None where it does not.

    Attributes:
        source: what the file is: a kernel, or the command that saved the document.
        layout: a layout's name or "inline".
        locations: for `count` the entries of text and init text: a kernel skips those of exit text.
        entries: by kind, for `count`.
        functions: count of locations by symbol; static functions can share a name.
        areas: by name.
        unserved: count of locations that fail a test of the boot.
        headroom: bytes of the tightest branch.
        growth: bytes of text that can be added before the boot fails, by where it is added (the shapes of
            `pfestubs plan`); a shape is None where nothing limits it.
        partial: the document lists only some of the functions.
    """

    file: str
    source: Literal["kernel", "check", "count", "stubs"]
    layout: str | None
    locations: int
    bits: int | None = None
    byte_order: ByteOrder | None = None
    stub_size: int | None = None
    entries: EntryCounts | None = None
    functions: Mapping[str, int] | None = None
    areas: Mapping[str, AreaFigures] = field(default_factory=dict)
    unserved: int | None = None
    headroom: int | None = None
    growth: Mapping[str, int | None] | None = None
    release: str | None = None
    build_id: str | None = None
    partial: bool = False


# -- a boot log ----------------------------------------------------------------------------------------------

EXPLAIN_SCHEMA: Final = "pfestubs/explain/1"


class MessageKind(Enum):
    """What a message of ftrace is about; the value is its name in documents."""

    ALLOCATING = "allocating"
    ALLOCATED = "allocated"
    NO_FUNCTIONS = "no-functions"
    NO_MEMORY = "no-memory"
    MODULE_SKIPPED = "module-skipped"
    BUG = "ftrace-bug"
    BUG_WARNING = "ftrace-bug-warning"
    ARCH_WARNING = "arch-warning"
    CORE_WARNING = "core-warning"
    STUB_OUT_OF_RANGE = "stub-out-of-range"
    NO_TRAMPOLINE = "no-trampoline"
    WRONG_INSTRUCTION = "wrong-instruction"
    FETCH_FAILED = "fetch-failed"
    UNEXPECTED_TARGET = "unexpected-target"
    UNEXPECTED_CALL = "unexpected-call"
    TRACER_TOO_FAR = "tracer-too-far"
    NO_MODULE = "no-module"


class BugError(Enum):
    """What `ftrace_bug` was told."""

    REFUSED = "failed to modify"
    """EINVAL: a test failed."""
    READ = "faulted on modifying"
    """EFAULT: the instruction could not be read."""
    WRITE = "faulted on writing"
    """EPERM: the instruction could not be written."""
    UNKNOWN = "faulted on unknown error"


class BugPhase(Enum):
    """What ftrace was doing when it failed (`kernel/trace/ftrace.c: print_bug_type`)."""

    INIT = "init"
    NOP = "nop"
    CALL = "call"
    UPDATE = "update"


@dataclass(frozen=True)
class MessageSource:
    """Where the kernel prints a message: file, functions, and the versions that have it ("" for open)."""

    kind: MessageKind
    file: str
    functions: tuple[str, ...]
    since: str = ""
    until: str = ""


@dataclass(frozen=True)
class CodeAddress:
    """A code address as a log shows it: where it ran, and as symbol + offset of a module or the kernel.

    Each is None where the log does not tell.
    """

    address: int | None
    symbol: str | None = None
    offset: int = 0
    module: str | None = None


@dataclass(frozen=True)
class LogMessage:
    """A message of ftrace in a log, with the lines that belong to it.

    Attributes:
        line: number in the log, from 1.
        text: as logged, without time stamp and the like.
        source: where the kernel prints it.
        code: the function that it is about.
        caller: the kernel's own function that a warning names.
        count: number of entries.
        expected, found: instructions, None where the message has none.
        error, phase: of a message BUG, None where the log has lost them.
    """

    line: int
    text: str
    source: MessageSource
    code: CodeAddress | None = None
    caller: str | None = None
    count: int | None = None
    expected: int | None = None
    found: int | None = None
    error: BugError | None = None
    phase: BugPhase | None = None

    @property
    def kind(self) -> MessageKind:
        """What it is about."""
        return self.source.kind


@dataclass(frozen=True)
class LoggedBoot:
    """What a log has of one boot.

    Attributes:
        banner: the line "Linux version ...", None before the first.
        complete: `banner` has all parts of such a line, as far as its form tells.
        following: the texts of the next lines, over which a console may have wrapped the banner.
        messages: of ftrace.
        sightings: addresses with their symbols, from registers and stacks.
    """

    banner: str | None
    complete: bool
    messages: Sequence[LogMessage]
    sightings: Sequence[CodeAddress]
    following: Sequence[str] = ()


@dataclass(frozen=True)
class BootLog:
    """A log, taken apart.

    Attributes:
        lines: how many there are.
        has_kernel_lines: at least one of them is known to be the kernel's.
        omitted: messages of ftrace beyond those that are kept.
    """

    file: str
    lines: int
    has_kernel_lines: bool
    boots: Sequence[LoggedBoot]
    omitted: int = 0
