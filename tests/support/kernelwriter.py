# SPDX-License-Identifier: GPL-2.0-or-later
"""A small linked kernel in memory or as an ELF file: everything ftrace looks at, every address a choice.

    writer = LinkedKernel(text=[0x100, 0x200], inittext=[0x10])
    path = writer.save(tmp_path / "vmlinux")
    kernel = writer.kernel()

Offsets count from the start of text and init text. What is not given is placed as a kernel has it: the
tracer, the reserve, the functions, the end area, and the same for init text.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pfestubs.layouts import LAYOUTS, Layout
from pfestubs.model import Area, Kernel, SymbolInfo, ppc
from pfestubs.rules.kernel.boot import Boot
from pfestubs.rules.kernel.replay import replay
from pfestubs.rules.kernel.simulation import simulate_boot
from support import elfwriter as elf
from support.naive_boot import Machine

MIB = 1 << 20
BASE = 0xC000000000000000


class WordMemory:
    """Memory given by a function from addresses to words (`pfestubs.model.MemoryView`)."""

    def __init__(self, word_at: Callable[[int], int | None], order: str = "<") -> None:
        self._word_at = word_at
        self._order = order

    def word(self, address: int) -> int | None:
        return self._word_at(address)

    def words_at(self, addresses: array[int]) -> Sequence[int | None]:
        return [self._word_at(address) for address in addresses]

    def read(self, address: int, size: int) -> bytes | None:
        start = address - address % 4
        words = [self._word_at(a) for a in range(start, address + size, 4)]
        known = [word for word in words if word is not None]
        if len(known) < len(words):
            return None
        content = struct.pack(f"{self._order}{len(known)}I", *known)
        return content[address - start : address - start + size]


class NamedAddresses:
    """Symbols of code given as a dict (`pfestubs.model.SymbolView`)."""

    def __init__(self, names: Mapping[str, int]) -> None:
        self._names = names
        self._ordered = sorted((address, name) for name, address in names.items())

    def find(self, names: Sequence[str]) -> Mapping[str, SymbolInfo]:
        return {name: SymbolInfo(self._names[name], None) for name in names if name in self._names}

    def gap(self, address: int) -> int | None:
        return next((a - address for a, _ in self._ordered if a > address), None)

    def code_names(self) -> Iterator[tuple[str, int]]:
        yield from self._names.items()

    def locate(self, address: int) -> tuple[str, int]:
        index = bisect_right(self._ordered, (address, "\U0010ffff")) - 1
        if index < 0:
            return f"{address:#x}", 0
        start, name = self._ordered[index]
        return name, address - start


def kernel_of(
    table: Iterable[int],
    places: Mapping[str, tuple[int, int]],
    *,
    layout: Layout | None = LAYOUTS["ool"],
    stub_size: int = 24,
    nops: Container[int] | None = None,
    **values: Any,
) -> Kernel:
    """A kernel of 64 bits and no symbols; nops are everywhere, or where `nops` says."""
    table = array("Q", table)
    usual: dict[str, Any] = {
        "file": "vmlinux",
        "bits": 64,
        "byte_order": "little",
        "layout": layout,
        "table_address": BASE + 1024 * MIB,
        "table": table,
        "table_bytes": 8 * len(table),
        "areas": [
            Area(spec, *places[spec.name], size=places[spec.name][1] * stub_size)
            for spec in (layout.areas if layout else ())
        ],
        "memory": WordMemory(lambda address: ppc.NOP if nops is None or address in nops else 0),
        "symbols": NamedAddresses({}),
    }
    return Kernel(**{**usual, **values})


def machine_of(kernel: Kernel, stub_size: int) -> Machine:
    """Return the same kernel for `naive_boot`."""
    places = {area.name: (area.address, area.count) for area in kernel.areas}
    return Machine(
        table=kernel.table,
        text=(kernel.text.start, kernel.text.stop),
        inittext=(kernel.inittext.start, kernel.inittext.stop),
        reserve=places.get("text"),
        end=places["text_end"],
        init=places["inittext"],
        stub_size=stub_size,
        caller=kernel.tracers["ftrace_caller"],
        regs_caller=kernel.tracers["ftrace_regs_caller"],
        tramp_text=kernel.trampolines["ftrace_tramp_text"],
        tramp_init=kernel.trampolines["ftrace_tramp_init"],
        word=kernel.memory.word,
    )


@dataclass
class LinkedKernel:
    """A kernel with two text sections; the areas' counts default to what is needed.

    Attributes:
        text: offsets of locations from `base`; `inittext` from `init_base`.
        counts: of the areas by name; `area_at` their offsets from `base` (absolute for inittext).
        order: "<" or ">", the byte order.
        sizes: st_size of an area's array where it is not count x stub_size.
        words: the words at addresses that do not hold a nop at a location, or zero elsewhere.
        symbols: addresses that replace the usual ones; None drops the symbol.
        zeros: the table is all zeros and .rela.dyn holds the addresses.
        table: the table's values where they are not the locations; `cut` its last bytes left out.
    """

    text: Sequence[int] = (0x1000, 0x1010, 0x1020)
    inittext: Sequence[int] = (0x0, 0x10)
    layout: str | None = "ool"
    bits: int = 64
    order: str = "<"
    stub_size: int = 24
    base: int = BASE
    init_base: int = 0
    text_size: int = 0
    init_size: int = 0
    reserve: int = 2
    counts: dict[str, int] = field(default_factory=dict)
    area_at: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    words: dict[int, int] = field(default_factory=dict)
    symbols: dict[str, int | None] = field(default_factory=dict)
    zeros: bool = False
    table: Sequence[int] | None = None
    cut: int = 0
    elf_flags: int = 2

    def __post_init__(self) -> None:
        if self.bits == 32:
            self.base >>= 32
        needed = {
            "text": self.reserve if self.layout == "ool" else 0,
            "text_end": max(0, len(self.text) - (self.reserve if self.layout == "ool" else 0)),
            "inittext": len(self.inittext),
        }
        self.counts = {**needed, **self.counts}
        sizes = {name: count * self.stub_size for name, count in self.counts.items()}
        reserve_end = 0x200 + sizes["text"]
        functions_end = max([reserve_end, *(offset + 0x20 for offset in self.text)])
        end_at = self.area_at.get("text_end", _up(functions_end + 0x40))
        self.text_size = self.text_size or _up(
            max(functions_end, end_at + sizes["text_end"], self.area_at.get("text", 0) + sizes["text"]),
            0x1000,
        )
        self.init_base = self.init_base or self.base + self.text_size + 0x1000
        functions_end = self.init_base + max([0, *(offset + 0x20 for offset in self.inittext)])
        init_at = self.area_at.get("inittext", _up(functions_end + 0x40))
        self.init_size = self.init_size or _up(init_at + sizes["inittext"] - self.init_base, 0x1000)
        self.area_at = {"text": 0x200, "text_end": end_at, "inittext": init_at, **self.area_at}
        self.places: dict[str, int | None] = {
            "_stext": self.base,
            "_etext": self.base + self.text_size,
            "_sinittext": self.init_base,
            "_einittext": self.init_base + self.init_size,
            "ftrace_regs_caller": self.base + 0x40,
            "ftrace_caller": self.base + 0x80,
            "ftrace_tramp_text": self.base + self.area_at["text_end"] - 0x40,
            "ftrace_tramp_init": self.area_at["inittext"] - 0x40,
            **self.symbols,
        }

    @property
    def locations(self) -> list[int]:
        return [self.base + o for o in self.text] + [self.init_base + o for o in self.inittext]

    def place(self, name: str) -> int:
        value = self.places[name]
        assert value is not None
        return value

    def area_address(self, name: str) -> int:
        return self.area_at[name] + (0 if name == "inittext" else self.base)

    def word(self, address: int) -> int | None:
        """Return the word in memory: a nop at each location, else zero within the texts."""
        if address in self.words:
            return self.words[address]
        if address in self._nops:
            return ppc.NOP
        inside = self.base <= address < self.base + self.text_size
        return 0 if inside or self.init_base <= address < self.init_base + self.init_size else None

    @property
    def _nops(self) -> set[int]:
        nops = self.__dict__.get("nops")
        if nops is None:
            nops = self.__dict__["nops"] = set(self.locations)
        return nops

    @property
    def table_values(self) -> list[int]:
        return self.locations if self.table is None else list(self.table)

    @property
    def data_address(self) -> int:
        """The table's address: data is after both texts."""
        return _up(max(self.base + self.text_size, self.init_base + self.init_size), 0x1000)

    def function_names(self) -> dict[str, int]:
        names = {f"fn{i}": self.base + offset for i, offset in enumerate(self.text)}
        return names | {f"init{i}": self.init_base + offset for i, offset in enumerate(self.inittext)}

    def kernel(self) -> Kernel:
        """Return the kernel as the reader would, without a file."""
        layout = LAYOUTS[self.layout] if self.layout else None
        sizes = {name: count * self.stub_size for name, count in self.counts.items()} | self.sizes
        values = self.table_values
        table_bytes = len(values) * self.bits // 8 - self.cut
        return Kernel(
            file="vmlinux",
            bits=self.bits,
            byte_order="little" if self.order == "<" else "big",
            layout=layout,
            table_address=self.data_address,
            table=array("Q", values[: table_bytes * 8 // self.bits]),
            table_bytes=table_bytes,
            text=range(self.place("_stext"), self.place("_etext")),
            inittext=range(self.place("_sinittext"), self.place("_einittext")),
            areas=[
                Area(spec, self.area_address(spec.name), self.counts[spec.name], sizes[spec.name] or None)
                for spec in (layout.areas if layout else ())
            ],
            tracers={n: self.place(n) for n in ("ftrace_caller", "ftrace_regs_caller")},
            trampolines={n: self.place(n) for n in ("ftrace_tramp_text", "ftrace_tramp_init")},
            memory=WordMemory(self.word, self.order),
            symbols=NamedAddresses(self.function_names()),
        )

    def machine(self) -> Machine:
        """Return the same kernel for `naive_boot`."""
        return machine_of(self.kernel(), self.stub_size)

    def save(self, path: Path) -> Path:
        """Write the ELF file; text is full of holes, so that 100 MiB of it cost nothing."""
        text = elf.Section(".text", self._content(self.base, self.text), flags=elf.AX, addr=self.base)
        text.size = self.text_size
        init = elf.Section(".init.text", self._content(self.init_base, self.inittext), flags=elf.AX)
        init.addr, init.size = self.init_base, self.init_size
        data_at = self.data_address
        values = self.table_values
        word = "Q" if self.bits == 64 else "I"
        stored = [0] * len(values) if self.zeros else values
        table = struct.pack(f"{self.order}{len(values)}{word}", *stored)
        table = table[: len(table) - self.cut]
        data = elf.Section(".init.data", table, flags=elf.WA, addr=data_at)
        sections = [text, init, data]
        symbols = [
            elf.Symbol(name, value, elf.ABS if name == "_stext" else text)
            for name, value in self.places.items()
            if value is not None
        ]
        ends = {"__start_mcount_loc": data_at, "__stop_mcount_loc": data_at + len(table)}
        symbols += [elf.Symbol(name, at, data) for name, at in ends.items() if name not in self.symbols]
        counts = bytearray()
        for area in LAYOUTS[self.layout].areas if self.layout else ():
            size = self.sizes.get(area.name, self.counts[area.name] * self.stub_size)
            stubs = elf.Symbol(area.symbol, self.area_address(area.name), text, size)
            number = elf.Symbol(area.count_symbol, data_at + 0x800000 + len(counts), data, 4, elf.STT_OBJECT)
            symbols += [symbol for symbol in (stubs, number) if symbol.name not in self.symbols]
            counts += struct.pack(self.order + "I", self.counts[area.name])
        if counts:
            sections.append(elf.Section(".data", counts, flags=elf.WA, addr=data_at + 0x800000))
        for name, address in self.function_names().items():
            symbols.append(
                elf.Symbol(name, address, init if name.startswith("init") else text, 16, elf.STT_FUNC)
            )
        if self.zeros:
            entry = struct.Struct(self.order + word * 3)
            rows = b"".join(
                entry.pack(data_at + i * self.bits // 8, elf.R_PPC64_RELATIVE, value)
                for i, value in enumerate(values)
            )
            sections.append(
                elf.Section(
                    ".rela.dyn",
                    rows,
                    elf.SHT_RELA,
                    elf.SHF_ALLOC,
                    addr=data_at + 0x400000,
                    entsize=entry.size,
                )
            )
        return elf.save_elf(
            path,
            sections,
            symbols,
            type_=elf.ET_EXEC,
            machine=elf.EM_PPC64 if self.bits == 64 else elf.EM_PPC,
            bits=self.bits,
            order=self.order,
            flags=self.elf_flags if self.bits == 64 else 0,
        )

    def _content(self, base: int, offsets: Sequence[int]) -> bytearray:
        """Return the section's bytes up to the last that is not zero."""
        limit = self.text_size if base == self.base else self.init_size
        words = {base + offset: ppc.NOP for offset in offsets}
        words |= {a: w for a, w in self.words.items() if base <= a < base + limit}
        content = bytearray(max((a - base + 4 for a in words), default=0))
        for address, word in words.items():
            struct.pack_into(self.order + "I", content, address - base, word)
        return content


def inline_kernel(**changes: Any) -> LinkedKernel:
    """Return a kernel without stubs: two nops at each location."""
    kernel = LinkedKernel(layout=None, **changes)
    kernel.words |= {location + 4: ppc.NOP for location in kernel.locations}
    return kernel


def _up(value: int, align: int = 8) -> int:
    return value + -value % align


@dataclass(frozen=True)
class Linked:
    """A kernel: `before` functions, reserve, `low` functions of 256 bytes, `pad` bytes, `high` functions,
    `end_pad`, trampoline, end area, 256 bytes; init text with `init` functions at a fixed address.

    `end` overrides the stubs of the end area; without it they are what the generator reserves. `spare` adds
    to them.
    """

    reserve: int
    low: int
    high: int
    pad: int
    before: int = 0
    end_pad: int = 0
    end: int | None = None
    spare: int = 0
    init: int = 0
    stub_size: int = 24

    def kernel(self, **changes: Any) -> Kernel:
        before = BASE + 0x1000
        reserve_at = before + self.before * 256
        first = reserve_at + self.reserve * self.stub_size
        second = first + self.low * 256 + self.pad
        trampoline = second + self.high * 256 + self.end_pad
        generated = max(0, self.before + self.low + self.high + self.spare - self.reserve)
        count = generated if self.end is None else self.end
        end_area, init = trampoline + 40, BASE + 256 * MIB
        runs = (before, self.before), (first, self.low), (second, self.high), (init, self.init)
        table = [start + 256 * i for start, number in runs for i in range(number)]
        values: dict[str, Any] = {
            "text": range(BASE, end_area + count * self.stub_size + 256),
            "inittext": range(init, init + 2 * MIB),
            "tracers": {"ftrace_caller": BASE + 0x100, "ftrace_regs_caller": BASE + 0x80},
            "trampolines": {"ftrace_tramp_text": trampoline, "ftrace_tramp_init": init + MIB - 64},
            **changes,
        }
        places = {"text": (reserve_at, self.reserve), "text_end": (end_area, count)}
        places["inittext"] = (init + MIB, self.init)
        return kernel_of(table, places, stub_size=self.stub_size, nops=frozenset(table), **values)

    def boot(self, **changes: Any) -> Boot:
        return simulate_boot(self.kernel(**changes))

    def boots(self, reserve: int) -> bool:
        """Return whether the kernel boots, laid out with that reserve."""
        return not replay(replace(self, reserve=reserve).kernel()).failures
