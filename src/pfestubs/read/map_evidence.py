# SPDX-License-Identifier: GPL-2.0-or-later
"""Prove that a System.map belongs to a kernel: what the file holds where the map says must fit.

A map of a neighbouring build, with one function more or less, names nearly the same symbols. Each test here
looks at the bytes of the kernel instead. A map that passes them all may still be of another build only where
that makes no difference to the boot.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from itertools import groupby
from typing import TYPE_CHECKING, Final

from pfestubs.errors import ContradictionError
from pfestubs.layouts import AreaRole
from pfestubs.read.names import decode_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pfestubs.model import Area, Kernel, SymbolInfo
    from pfestubs.read.symbols import IndexedSymbols

_BANNER: Final = b"Linux version "
_NOP: Final = 0x60000000
_STUB_ENTRIES: Final = frozenset({0, 4, 8})
"""From a function's symbol to its location, in bytes, with stubs: after a global entry's set-up, or at it."""
_INLINE_ENTRIES: Final = frozenset({0, 4, 8, 12, 16, 20})
"""The same for a kernel without stubs: -mprofile-kernel saves LR first."""
_RUN: Final = 8
"""Functions in a row without a location at their entry; the map of a real kernel has one at most."""
_PADDING: Final = 0x10000
"""Bytes that may follow an area before the next symbol: alignment to the largest page."""
_ENOUGH: Final = 0.75
"""Share of locations that must fit; overridden weak functions keep theirs without a symbol."""
_ADVICE: Final = (
    "give the System.map of the same build (the addresses of a running kernel with KASLR do not fit a file)"
)


def require_matching_map(
    kernel: Kernel,
    map_file: str,
    symbols: IndexedSymbols,
    own: IndexedSymbols | None,
) -> None:
    """Refuse a System.map that is not of `kernel`.

    Args:
        kernel: as read with the map's symbols.
        map_file: the map, for messages.
        symbols: the map's.
        own: those that the file itself still has, if any.

    Raises:
        ContradictionError: naming the map and what does not fit.
    """
    for problem in _problems(kernel, symbols, own):
        raise ContradictionError(map_file, f"is not of {kernel.file}: {problem}", _ADVICE)


def _problems(kernel: Kernel, symbols: IndexedSymbols, own: IndexedSymbols | None) -> Iterator[str]:
    if own is not None:
        yield from _other_addresses(kernel.file, symbols, own)
    banner = symbols.find(["linux_banner"]).get("linux_banner")
    if banner is not None:
        content = kernel.memory.read(banner.address, len(_BANNER))
        if content is None or content != _BANNER:
            yield f"the file has no banner at linux_banner ({banner.address:#x})"
    if kernel.memory.word(kernel.text.start) is None:
        yield f"the file has nothing at _stext ({kernel.text.start:#x})"
    yield from _strange_locations(kernel, symbols)
    for area in kernel.areas:
        yield from _strange_area(kernel, area)


def _other_addresses(file: str, symbols: IndexedSymbols, own: IndexedSymbols) -> Iterator[str]:
    mapped = set(symbols.code_symbols())
    odd = [symbol for symbol in own.code_symbols() if symbol not in mapped]
    if odd:
        places = dict(sorted(mapped, reverse=True))  # of several addresses the lowest
        for name, address in odd:
            if name in places:
                shown = decode_name(name)
                yield f"{shown} is at {places[name]:#x} in the map and at {address:#x} in {file}"


def compare_symbols(
    file: str, map_file: str, own: Mapping[str, SymbolInfo], mapped: Mapping[str, SymbolInfo]
) -> None:
    """Refuse a map that lacks, or has elsewhere, a symbol that the file itself still has.

    Raises:
        ContradictionError: naming the map and the symbol.
    """
    for name, info in own.items():
        if name not in mapped or mapped[name].address != info.address:
            found = f"{name} at {mapped[name].address:#x}" if name in mapped else f"no {name}"
            raise ContradictionError(map_file, f"has {found}, {file} has it at {info.address:#x}", _ADVICE)


def _strange_locations(kernel: Kernel, symbols: IndexedSymbols) -> Iterator[str]:
    locations = [value for value in kernel.table if value in kernel.text or value in kernel.inittext]
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
    nops = words.count(_NOP)
    if nops < _ENOUGH * len(locations):  # clang's entries are 8 bytes before the nop
        nops = sum(_NOP in {word_at(value), word_at(value + 8)} for value in locations)
    if nops < _ENOUGH * len(locations):
        yield f"only {nops:,} of {len(locations):,} locations hold a nop"
    known = set(kernel.table)
    for value in kernel.beyond_table():
        inside = value in kernel.text or value in kernel.inittext
        if inside and value not in known and word_at(value) == _NOP:
            yield f"the location table continues beyond the map's symbols, with {value:#x}"


def _strange_entries(kernel: Kernel, symbols: IndexedSymbols, locations: Sequence[int]) -> Iterator[str]:
    """Yield what is wrong with the places of the locations, ascending, within the map's functions.

    Overridden weak functions keep their locations without a symbol: those follow the function before them.
    Where the map is of another build, function after function has none at its entry.
    """
    offsets = _STUB_ENTRIES if kernel.layout else _INLINE_ENTRIES
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
    sizes = (24, 16)
    text = kernel.inittext if area.role is AreaRole.INIT else kernel.text
    if area.address not in text:
        yield f"area {area.name} at {area.address:#x} is outside the text of the map"
        return
    if not area.count:
        return
    if area.size is not None and area.size < area.count * min(sizes):
        yield (
            f"area {area.name} has {area.count:,} stubs, more than the {area.size:,} bytes at"
            f" {area.address:#x} hold"
        )
        return
    if area.size is not None and area.size > area.count * max(sizes) + _PADDING:
        yield f"area {area.name} has {area.count:,} stubs in {area.size:,} bytes at {area.address:#x}"
        return
    layout = kernel.layout
    size = area.count * (layout.stub_size if layout else min(sizes))
    if area.size is not None:
        size = min(size, area.size)
    content = kernel.memory.read(area.address, size)
    if content is None or any(content):
        yield f"the file is not empty where area {area.name} would be ({area.address:#x}, {size:,} bytes)"
