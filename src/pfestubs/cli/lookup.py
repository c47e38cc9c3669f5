# SPDX-License-Identifier: GPL-2.0-or-later
"""Which locations a user means: by symbol, address or pattern."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pfestubs.read.symbols import Symbols
    from pfestubs.rules.boot import Replay, Setting

_ADDRESS: Final = re.compile(r"0x[0-9a-f]+|[0-9a-f]{16}", re.IGNORECASE)
_OFFSET: Final = re.compile(r"(?P<name>.+)\+(?P<offset>0x[0-9a-f]+)", re.IGNORECASE)


@dataclass
class Selection:
    """Positions in `Replay.locations`, in boot order, and the words that selected nothing with the reason."""

    positions: Sequence[int] = ()
    problems: list[tuple[str, str]] = field(default_factory=list)


def select(setting: Setting, result: Replay, symbols: Symbols, words: Sequence[str]) -> Selection:
    """The locations that `words` name.

    A word is a symbol (every function of that name, if there are several), a symbol with an offset, an
    address (of a function or inside it, or of a stub), or a shell pattern over symbols.
    """
    return _Selector(setting, result, symbols).select(words)


class _Selector:
    def __init__(self, setting: Setting, result: Replay, symbols: Symbols) -> None:
        self._setting = setting
        self._result = result
        self._symbols = symbols
        self._owned: dict[int, list[int]] = {}
        for position, location in enumerate(result.locations):
            _, offset = symbols.locate(location)
            self._owned.setdefault(location - offset, []).append(position)

    @cached_property
    def _code(self) -> Mapping[str, set[int]]:
        """The addresses of every symbol of code: a static function's name can have several."""
        code: dict[str, set[int]] = {}
        for name, address in self._symbols.code_names():
            code.setdefault(name, set()).add(address)
        return code

    def select(self, words: Sequence[str]) -> Selection:
        selection = Selection()
        chosen: set[int] = set()
        for word in words:
            found = self._by_address(int(word, 16)) if _ADDRESS.fullmatch(word) else self._by_name(word)
            if isinstance(found, str):
                selection.problems.append((word, found))
            else:
                chosen.update(found)
        selection.positions = sorted(chosen)
        return selection

    def _by_address(self, address: int) -> Iterable[int] | str:
        for number, area in enumerate(self._setting.areas):
            index, _ = divmod(address - area.address, self._setting.stub_size)
            if 0 <= index < area.count:
                columns = zip(self._result.area, self._result.index, strict=True)
                used = [p for p, pair in enumerate(columns) if pair == (number, index)]
                return used or f"is stub {index:,} of area {area.name}, which no function uses"
        if not (address in self._setting.text or address in self._setting.inittext):
            return "is an address outside kernel text"
        name, offset = self._symbols.locate(address)
        owned = self._owned.get(address - offset, [])
        exact = [position for position in owned if self._result.locations[position] == address]
        return exact or owned or f"is in {name}, which is not traceable (it has no location)"

    def _by_name(self, word: str) -> Iterable[int] | str:
        offset = None
        match = _OFFSET.fullmatch(word)
        if match:
            word, offset = match["name"], int(match["offset"], 16)
        pattern = any(c in word for c in "*?[") and word not in self._code
        if pattern:
            matching = re.compile(translate(word)).fullmatch
            addresses = {a for name, there in self._code.items() if matching(name) for a in there}
        else:
            addresses = self._code.get(word, set())
        found = [
            position
            for address in addresses
            for position in self._owned.get(address, ())
            if offset is None or self._result.locations[position] == address + offset
        ]
        if found:
            return found
        if addresses:
            return f"{'matches only code that' if pattern else 'is code that'} has no location: not traceable"
        if not pattern and self._symbols.find([word]):
            return "is not a function"
        return "matches no symbol of this kernel" if pattern else "is no symbol of this kernel"
