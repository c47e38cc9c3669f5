# SPDX-License-Identifier: GPL-2.0-or-later
"""A linked kernel's symbols from a System.map, /proc/kallsyms, or the output of nm."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.errors import UnreadableError, UnsuitableError
from pfestubs.model import SymbolInfo
from pfestubs.read import elf as e
from pfestubs.read.symbols import IndexedSymbols

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_LINE: Final = re.compile(
    r"(?P<address>[0-9a-fA-F]{1,16})[ \t]+(?:(?P<size>[0-9a-fA-F]{8}(?:[0-9a-fA-F]{8})?)[ \t]+)?"
    r"(?P<letter>[A-Za-z?-])[ \t]+(?P<name>\S+)(?P<module>\s+\[[^\]]*\])?\s*"
)
"""Address, size (`nm -S`), type letter, name; a module's name (kallsyms)."""
_UNDEFINED: Final = re.compile(r"\s*[Uwv] \S+\s*")
_PLACEHOLDER: Final = re.compile(r"\s*[0-9a-fA-F]+ \S+ .*\bSystem\.map\b.*")
_CODE_RANK: Final = {"T": 0, "W": 1, "t": 2, "w": 1}
"""Of several symbols at one address the one to show: global before weak before local."""
_NAME_LIMIT: Final = 1024
"""Characters of a name that are kept: twice the kernel's KSYM_NAME_LEN."""


class MapLine(NamedTuple):
    """A symbol: size in bytes, None where the map has none."""

    address: int
    size: int | None
    letter: str
    name: str


class MapSymbols(IndexedSymbols):
    """The lines of a System.map."""

    def __init__(self, file: str, lines: Sequence[MapLine]) -> None:
        self.file = file
        self._lines = lines

    def find(self, names: Sequence[str]) -> Mapping[str, SymbolInfo]:
        """Return where each of `names` is; a global symbol wins over a local one of the same name."""
        wanted = set(names)
        found: dict[str, SymbolInfo] = {}
        local: set[str] = set()
        for address, size, letter, name in self._lines:
            if name in wanted and (name not in found or (name in local and letter.isupper())):
                found[name] = SymbolInfo(address, size or None)
                (local.discard if letter.isupper() else local.add)(name)
        return found

    @cached_property
    def _addresses(self) -> list[int]:
        return sorted({line.address for line in self._lines})

    def gap(self, address: int) -> int | None:
        """Return the bytes from `address` to the next symbol, None after the last."""
        index = bisect_right(self._addresses, address)
        return self._addresses[index] - address if index < len(self._addresses) else None

    def code_names(self) -> Iterator[tuple[str, int]]:
        """Yield every symbol of code with its address."""
        for line in self._lines:
            if line.letter in _CODE_RANK:
                yield line.name, line.address

    def _best(self) -> dict[int, int | str]:
        code = [line for line in self._lines if line.letter in _CODE_RANK]
        code.sort(key=lambda line: -_CODE_RANK[line.letter])
        return {line.address: line.name for line in code}

    def _name(self, key: int | str) -> str:
        return str(key)


def read_system_map(path: str) -> MapSymbols:
    """Read a System.map.

    Raises:
        UnreadableError: it cannot be read, or a line of it is not one of a System.map.
        UnsuitableError: it is a placeholder, or its addresses are hidden.
    """
    with e.mapped(path) as data:
        if bytes(data[:4]) == b"\x7fELF":
            raise UnsuitableError(path, "is an ELF file, not a System.map", "give it as the kernel instead")
        text = bytes(data).decode("utf-8-sig", "backslashreplace")
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            if not line.strip() or _UNDEFINED.fullmatch(line):
                continue
            raise _wrong_line(path, number, line)
        if match["module"] is None:
            size = match["size"]
            name = match["name"][:_NAME_LIMIT]
            lines.append(
                MapLine(int(match["address"], 16), int(size, 16) if size else None, match["letter"], name)
            )
    if not lines:
        raise UnreadableError(path, "is empty: it has no symbols")
    if not any(line.address for line in lines):
        raise UnsuitableError(
            path, "has only addresses of 0: it was read without privilege", "read /proc/kallsyms as root"
        )
    return MapSymbols(path, lines)


def _wrong_line(path: str, number: int, line: str) -> UnreadableError | UnsuitableError:
    if _PLACEHOLDER.fullmatch(line):
        shown = line.split(maxsplit=2)[2][:200]
        return UnsuitableError(
            path, f"is a placeholder without symbols ({shown!r})", "give the real System.map"
        )
    return UnreadableError(path, f"line {number} is not a line of a System.map (address, letter, name)")
