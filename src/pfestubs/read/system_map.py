# SPDX-License-Identifier: GPL-2.0-or-later
"""A linked kernel's symbols from a System.map, /proc/kallsyms, or the output of nm; and whose they are.

A map of a neighbouring build, with one function more or less, names nearly the same symbols. Each test here
looks at the bytes of the kernel instead. A map that passes them all may still be of another build only where
that makes no difference to the boot.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from io import BytesIO
from itertools import compress, groupby
from typing import TYPE_CHECKING, Final

from pfestubs.errors import InputError
from pfestubs.layouts import AreaRole
from pfestubs.model import ENTRY_OFFSETS, STUB_SIZES, SymbolInfo, ppc
from pfestubs.read.elf import NAME_LIMIT, decode_name
from pfestubs.read.source import read_document
from pfestubs.read.symbols import NO_CODE, IndexedSymbols

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pfestubs.model import Area, Kernel

_ADDRESS: Final = rb"[0-9a-fA-F]{1,16}"
_LINE: Final = re.compile(
    rb"(%s)[ \t]+(?:([0-9a-fA-F]{8}(?:[0-9a-fA-F]{8})?)[ \t]+)?([A-Za-z?-])[ \t]+(\S+)"
    rb"([ \t]+\[[^\]]*\])?[ \t\r]*\n?" % _ADDRESS
)
"""Address, size (`nm -S`), type letter, name; a module's name (kallsyms)."""
_UNDEFINED: Final = re.compile(rb"\s*[Uwv] \S+\s*")
_PLACEHOLDER: Final = re.compile(rb"\s*[0-9a-fA-F]+ \S+ .*\bSystem\.map\b.*")
_RANKS: Final = bytes({84: 0, 87: 1, 116: 2, 119: 1}.get(letter, NO_CODE) for letter in range(256))
"""Of several symbols at one address the one to show: T before W and w before t."""
_BOM: Final = b"\xef\xbb\xbf"
_INLINE_ENTRIES: Final = frozenset({0, 4, 8, 12, 16, 20})
"""ENTRY_OFFSETS for a kernel without stubs: -mprofile-kernel saves LR first."""
_RUN: Final = 8
"""Functions in a row without a location at their entry; the map of a real kernel has one at most."""
_PADDING: Final = 0x10000
"""Bytes that may follow an area before the next symbol: alignment to the largest page."""
_NEAR: Final = 0x400
"""Bytes by which a neighbouring build may have an area elsewhere; its count is right before it."""
_ENOUGH: Final = 0.75
"""Share of locations that must fit; overridden weak functions keep theirs without a symbol."""
_ADVICE: Final = (
    "give the System.map of the same build (the addresses of a running kernel with KASLR do not fit a file)"
)


class MapSymbols(IndexedSymbols):
    """The lines of a System.map."""

    def __init__(self, path: str, data: bytes) -> None:
        super().__init__()
        self._addresses, self._letters = array("Q"), bytearray()
        self._names: list[bytes] = []
        self._sizes: dict[int, int] = {}  # by position, where the map has them
        for number, line in enumerate(BytesIO(data), 1):  # a list of lines takes several times their bytes
            match = _LINE.fullmatch(line)
            if match is None:
                if not line.strip() or _UNDEFINED.fullmatch(line):
                    continue
                raise _wrong_line(path, number, line.rstrip())
            address, size, letter, name, module = match.groups()
            if module is None:
                if size:
                    self._sizes[len(self._names)] = int(size, 16)
                self._addresses.append(int(address, 16))
                self._letters += letter
                self._names.append(name[:NAME_LIMIT])
        if not self._names:
            raise InputError(path, "is empty: it has no symbols")
        if not any(self._addresses):
            raise InputError(
                path, "has only addresses of 0: it was read without privilege", "read /proc/kallsyms as root"
            )

    def find(self, names: Sequence[str]) -> Mapping[str, SymbolInfo]:
        """Return where each of `names` is; a global symbol wins over a local one of the same name."""
        wanted = {name.encode(): name for name in names}
        found: dict[str, SymbolInfo] = {}
        hits = compress(range(len(self._names)), map(wanted.__contains__, self._names))
        for i in sorted(hits, key=lambda i: chr(self._letters[i]).islower()):
            found.setdefault(
                wanted[self._names[i]], SymbolInfo(self._addresses[i], self._sizes.get(i) or None)
            )
        return found

    def _columns(self) -> tuple[Sequence[int], array[int], bytes]:
        # Backwards, so that of equals the last one stays.
        keys = range(len(self._names))[::-1]
        return keys, self._addresses[::-1], bytes(self._letters[::-1]).translate(_RANKS)

    def _raw_name(self, key: int) -> bytes:
        return self._names[key]


def read_system_map(path: str) -> MapSymbols:
    """Read a System.map.

    Raises:
        InputError: naming the line that is not one of a System.map; or the map is a placeholder, or its
            addresses are hidden.
    """
    data = read_document(path).removeprefix(_BOM)
    if data.startswith(b"\x7fELF"):
        raise InputError(path, "is an ELF file, not a System.map", "give it as the kernel instead")
    return MapSymbols(path, data)


def _wrong_line(path: str, number: int, line: bytes) -> InputError:
    if _PLACEHOLDER.fullmatch(line):
        shown = decode_name(line.split(maxsplit=2)[2][:200])
        return InputError(path, f"is a placeholder without symbols ({shown!r})", "give the real System.map")
    return InputError(path, f"line {number:,} is not a line of a System.map (address, letter, name)")


# -- whether the map is of a kernel --------------------------------------------------------------------------


def require_same_symbols(
    file: str, map_file: str, own: IndexedSymbols, symbols: IndexedSymbols, names: Sequence[str]
) -> None:
    """Refuse a map that has elsewhere a symbol that the file itself still has, or lacks one of `names`.

    Raises:
        InputError: naming the map and the symbol.
    """
    mapped = symbols.find(names)
    for name, info in own.find(names).items():
        if name not in mapped or mapped[name].address != info.address:
            found = f"{name} at {mapped[name].address:#x}" if name in mapped else f"no {name}"
            raise InputError(map_file, f"has {found}, {file} has it at {info.address:#x}", _ADVICE)
    code = set(symbols.code_symbols())
    odd = [symbol for symbol in own.code_symbols() if symbol[1] and symbol not in code]
    places = dict(sorted(code, reverse=True)) if odd else {}  # of several addresses the lowest
    for raw, address in odd:
        if raw in places:
            found = f"{decode_name(raw)} at {places[raw]:#x}"
            raise InputError(map_file, f"has {found}, {file} has it at {address:#x}", _ADVICE)


def require_matching_map(kernel: Kernel, map_file: str, symbols: IndexedSymbols) -> None:
    """Refuse a System.map that is not of `kernel`, which was read with its symbols.

    Raises:
        InputError: naming the map and what does not fit.
    """
    for problem in _problems(kernel, symbols):
        raise InputError(map_file, f"is not of {kernel.file}: {problem}", _ADVICE)


def _problems(kernel: Kernel, symbols: IndexedSymbols) -> Iterator[str]:
    for name, address in kernel.misplaced_targets():
        yield f"it has {name} at {address:#x}: in an area, on a traced function, or not in kernel text"
    banner = symbols.find(["linux_banner"]).get("linux_banner")
    if banner is not None and kernel.banner is None:
        yield f"the file has no banner at linux_banner ({banner.address:#x})"
    if kernel.memory.word(kernel.text.start) is None:
        yield f"the file has nothing at _stext ({kernel.text.start:#x})"
    yield from _strange_locations(kernel, symbols)
    for area in kernel.areas:
        yield from _strange_area(kernel, area)


def _strange_locations(kernel: Kernel, symbols: IndexedSymbols) -> Iterator[str]:
    locations = [value for value in kernel.table if kernel.is_text(value)]
    if len(locations) < _ENOUGH * len(kernel.table):
        yield (
            f"only {len(locations):,} of {len(kernel.table):,} entries of the location table are within the"
            " text of the map"
        )
        return
    yield from _strange_entries(kernel, symbols, sorted(locations))
    if len(locations) == len(kernel.table) - 1 and kernel.table[-1] not in locations[-1:]:
        last = kernel.table[-1]
        yield f"the last entry of the location table, {last:#x}, is not within the text of the map"
    if kernel.layout is None:
        return
    word_at = kernel.memory.word
    words = kernel.memory.words_at(array("Q", sorted(locations)))
    nops = words.count(ppc.NOP)
    if nops < _ENOUGH * len(locations):  # clang's entries are 8 bytes before the nop
        nops = sum(ppc.NOP in {word_at(value), word_at(value + 8)} for value in locations)
    if nops < _ENOUGH * len(locations):
        yield f"only {nops:,} of {len(locations):,} locations hold a nop"
    known = set(kernel.table)
    for value in kernel.beyond_table():
        if kernel.is_text(value) and value not in known and word_at(value) == ppc.NOP:
            yield f"the location table continues beyond the map's symbols, with {value:#x}"


def _strange_entries(kernel: Kernel, symbols: IndexedSymbols, locations: Sequence[int]) -> Iterator[str]:
    """Yield what is wrong with the places of the locations, ascending, within the map's functions.

    Overridden weak functions keep their locations without a symbol: those follow the function before them.
    Where the map is of another build, function after function has none at its entry.
    """
    offsets = ENTRY_OFFSETS if kernel.layout else _INLINE_ENTRIES
    starts = sorted({address for _, address in symbols.code_symbols()})
    fits: dict[int, bool] = {}
    for location in locations:
        place = bisect_right(starts, location)
        owner = starts[place - 1] if place else 0
        # With CALL_OPS and without stubs, the entry is the pointer before the function.
        before = place < len(starts) and starts[place] == location + 4
        fits[owner] = fits.get(owner, False) or before or location - owner in offsets
    fitting = sum(fits.values())
    if fitting < _ENOUGH * len(fits):
        yield f"only {fitting:,} of {len(fits):,} functions of the map have a location at their entry"
    owners = list(fits)
    start = 0
    for does_fit, group in groupby(fits.values()):
        length = len(list(group))
        if not does_fit and length >= _RUN:
            first = owners[start]
            yield f"{length:,} functions of the map from {first:#x} on have no location at their entry"
        start += length


def _strange_area(kernel: Kernel, area: Area) -> Iterator[str]:
    text = kernel.inittext if area.role is AreaRole.INIT else kernel.text
    if area.address not in text:
        yield f"area {area.name} at {area.address:#x} is outside the text of the map"
        return
    if kernel.layout is None:
        return
    if not area.count:
        if area.role is AreaRole.RESERVE:  # legal: then the end area serves all
            return
        reserve = kernel.area(AreaRole.RESERVE) if area.role is AreaRole.END else None
        needed = sum(value in text for value in kernel.table) - (reserve.count if reserve else 0)
        if needed <= 0:
            return
        for place in range(area.address - _NEAR, area.address + _NEAR, 4):
            # The area's `.long` count: no instruction is so small.
            if kernel.memory.word(place) == needed:
                yield f"area {area.name} has no stubs, but the file counts {needed:,} at {place:#x}"
        return
    usual = area.count * kernel.layout.stub_size
    smallest, largest = (area.count * size for size in STUB_SIZES)
    size = usual if area.size is None else area.size
    if not smallest <= size <= largest + _PADDING:
        yield f"area {area.name} has {area.count:,} stubs in {size:,} bytes at {area.address:#x}"
        return
    size = min(size, usual)
    content = kernel.memory.read(area.address, size)
    if content is None or any(content):
        yield f"the file is not empty where area {area.name} would be ({area.address:#x}, {size:,} bytes)"
