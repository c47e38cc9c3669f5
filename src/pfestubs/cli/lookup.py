# SPDX-License-Identifier: GPL-2.0-or-later
"""Find the locations that a user names: by symbol, address or pattern."""

from __future__ import annotations

import re
from fnmatch import translate
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pfestubs.rules.boot import Boot

_ADDRESS: Final = re.compile(r"0x[0-9a-f]{1,16}|[0-9a-f]{16}", re.IGNORECASE)
_OFFSET: Final = re.compile(r"(?P<name>.+)\+(?P<offset>0x[0-9a-f]{1,16})", re.IGNORECASE)


class FoundLocations(NamedTuple):
    """Positions in `Boot.locations`, in boot order, and the names that found nothing with the reason."""

    positions: Sequence[int]
    problems: Sequence[tuple[str, str]]


def find_locations(boot: Boot, names: Iterable[str]) -> FoundLocations:
    """Return the locations that `names` stand for.

    A name is a symbol (every function of that name, if there are several), a symbol with an offset, an
    address (of a function or inside it, or of a stub), or a shell pattern over symbols.
    """
    finder = _Finder(boot)
    problems: list[tuple[str, str]] = []
    positions: set[int] = set()
    for name in names:
        found = finder.by_address(int(name, 16)) if _ADDRESS.fullmatch(name) else finder.by_name(name)
        if isinstance(found, str):
            problems.append((name, found))
        else:
            positions.update(found)
    return FoundLocations(sorted(positions), problems)


class _Finder:
    def __init__(self, boot: Boot) -> None:
        self._boot = boot
        self._kernel = boot.kernel

    @cached_property
    def _owned(self) -> Mapping[int, Sequence[int]]:
        """The positions of the locations that each symbol's address owns."""
        owned: dict[int, list[int]] = {}
        for position, location in enumerate(self._boot.locations):
            _, offset = self._kernel.symbols.locate(location)
            owned.setdefault(location - offset, []).append(position)
        return owned

    @cached_property
    def _code(self) -> Mapping[str, set[int]]:
        """The addresses of every symbol of code: a static function's name can have several."""
        code: dict[str, set[int]] = {}
        for name, address in self._kernel.symbols.code_names():
            code.setdefault(name, set()).add(address)
        return code

    def by_address(self, address: int) -> Iterable[int] | str:
        """Return the positions of the location or stub at or around an address, or why there is none."""
        boot, kernel = self._boot, self._kernel
        for number, area in enumerate(kernel.areas):
            index, _ = divmod(address - area.address, boot.stub_size)
            if 0 <= index < area.count:
                columns = zip(boot.area, boot.index, strict=True)
                used = [p for p, pair in enumerate(columns) if pair == (number, index)]
                return used or f"is stub {index:,} of area {area.name}, which no function uses"
        if not (address in kernel.text or address in kernel.inittext):
            return "is an address outside kernel text"
        name, offset = kernel.symbols.locate(address)
        owned = self._owned.get(address - offset, ())
        exact = [position for position in owned if boot.locations[position] == address]
        return exact or owned or f"is in {name}, which is not traceable (it has no location)"

    def by_name(self, name: str) -> Iterable[int] | str:
        """Return the positions of the locations that a symbol or pattern names, or why there is none."""
        offset = None
        match = _OFFSET.fullmatch(name)
        if match:
            name, offset = match["name"], int(match["offset"], 16)
        is_pattern = any(c in name for c in "*?[") and name not in self._code
        if is_pattern:
            matches = re.compile(translate(name)).fullmatch
            addresses = {a for symbol, there in self._code.items() if matches(symbol) for a in there}
        else:
            addresses = self._code.get(name, set())
        found = [
            position
            for address in addresses
            for position in self._owned.get(address, ())
            if offset is None or self._boot.locations[position] == address + offset
        ]
        if found:
            return found
        if addresses:
            return (
                f"{'matches only code that' if is_pattern else 'is code that'} has no location: not traceable"
            )
        if not is_pattern and self._kernel.symbols.find([name]):
            return "is not a function"
        return "matches no symbol of this kernel" if is_pattern else "is not a symbol of this kernel"
