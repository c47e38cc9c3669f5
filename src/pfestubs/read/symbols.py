# SPDX-License-Identifier: GPL-2.0-or-later
"""A linked kernel's symbols, from its own symbol table or from a System.map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.errors import UnreadableError
from pfestubs.read import elf as e

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pfestubs.read.elf import Elf

# Where several symbols share an address, a function's own name is the one to show; locals come last.
_BIND_RANK: Final = {e.STB_GLOBAL: 0, e.STB_WEAK: 1, e.STB_LOCAL: 2}
_TYPE_RANK: Final = {e.STT_FUNC: 0, 10: 0, e.STT_NOTYPE: 3}
_NO_CODE: Final = 255
_RANKS: Final = bytes(
    _BIND_RANK.get(info >> 4, 2) + _TYPE_RANK[info & 0xF] if info & 0xF in _TYPE_RANK else _NO_CODE
    for info in range(256)
)
"""The rank of a symbol by its st_info."""
_MAP_RANK: Final = {"T": 0, "W": 1, "t": 2, "w": 1}


class SymbolInfo(NamedTuple):
    """A symbol's address, and its size in bytes (None where the source does not tell)."""

    address: int
    size: int | None


class Symbols(ABC):
    """Names and addresses of one kernel."""

    @abstractmethod
    def find(self, names: Sequence[str]) -> Mapping[str, SymbolInfo]:
        """Where each of `names` is; the names that are not there are left out."""

    @abstractmethod
    def code_names(self) -> Iterator[tuple[str, int]]:
        """Every symbol of code with its address, aliases too, in no order."""

    @abstractmethod
    def _best(self) -> dict[int, int | str]:
        """Of the symbols of code at each address the one to show, by a key for `_name`."""

    @abstractmethod
    def _name(self, key: int | str) -> str: ...

    @cached_property
    def _index(self) -> tuple[list[int], dict[int, int | str]]:
        best = self._best()
        best.pop(0, None)  # undefined symbols
        return sorted(best), best

    def locate(self, address: int) -> tuple[str, int]:
        """The symbol at or before `address` and the distance to it in bytes.

        A location before every symbol is named by its address.
        """
        addresses, best = self._index
        index = bisect_right(addresses, address) - 1
        good = index
        while good >= 0:
            name = self._name(best[addresses[good]])
            if not _is_ignored_symbol(name):
                break
            good -= 1
        del addresses[good + 1 : index + 1]  # nobody walks over the same labels twice
        return (name, address - addresses[good]) if good >= 0 else (f"{address:#x}", 0)


def _is_ignored_symbol(name: str) -> bool:
    """What kallsyms leaves out as well (`scripts/kallsyms.c: is_ignored_symbol`): labels, not functions."""
    return not name or name.startswith((".", "$", "L0")) or ".plt_" in name or ".long_branch." in name


class ElfSymbols(Symbols):
    """The symbol table of a linked file, decoded in bulk; names are looked up when they are shown."""

    def __init__(self, elf: Elf) -> None:
        self._elf = elf

    def find(self, names: Sequence[str]) -> Mapping[str, SymbolInfo]:
        """Where each of `names` is; a global symbol wins over a local one of the same name."""
        found: dict[str, SymbolInfo] = {}
        ranks: dict[str, int] = {}
        for symbol in self._elf.symbols_named(names):
            if not symbol.reserved and symbol.section == e.SHN_UNDEF:
                continue
            rank = _BIND_RANK.get(symbol.bind, 3)
            if rank < ranks.get(symbol.name, 4):
                found[symbol.name], ranks[symbol.name] = SymbolInfo(symbol.value, symbol.size), rank
        return found

    def code_names(self) -> Iterator[tuple[str, int]]:
        """Every symbol of code with its address."""
        names, values, infos = self._elf.symbol_columns
        for name, value, rank in zip(names, values, infos.translate(_RANKS), strict=True):
            if rank != _NO_CODE and value:
                yield self._name(name), value

    def _best(self) -> dict[int, int | str]:
        names, values, infos = self._elf.symbol_columns
        best: dict[int, int | str] = {}
        ranks: dict[int, int] = {}
        for value, rank, name in zip(values, infos.translate(_RANKS), names, strict=True):
            if rank != _NO_CODE and (value not in ranks or rank < ranks[value]):
                best[value], ranks[value] = name, rank
        return best

    def _name(self, key: int | str) -> str:
        return key if isinstance(key, str) else self._elf.symbol_name_at(key)


class MapSymbols(Symbols):
    """The lines of a System.map: address, type letter, name."""

    def __init__(self, lines: Sequence[tuple[int, str, str]]) -> None:
        self._lines = lines

    def find(self, names: Sequence[str]) -> Mapping[str, SymbolInfo]:
        """Where each of `names` is; its size is the gap to the next symbol."""
        wanted = set(names)
        return {
            name: SymbolInfo(address, self._gap(address))
            for address, _, name in self._lines
            if name in wanted
        }

    @cached_property
    def _addresses(self) -> list[int]:
        return sorted({address for address, _, _ in self._lines})

    def _gap(self, address: int) -> int:
        """Bytes to the next symbol: all that a map tells of a size."""
        index = bisect_right(self._addresses, address)
        return self._addresses[index] - address if index < len(self._addresses) else 0

    def code_names(self) -> Iterator[tuple[str, int]]:
        """Every symbol of code with its address."""
        for address, letter, name in self._lines:
            if letter in _MAP_RANK:
                yield name, address

    def _best(self) -> dict[int, int | str]:
        code = [line for line in self._lines if line[1] in _MAP_RANK]
        code.sort(key=lambda line: -_MAP_RANK[line[1]])
        return {address: name for address, _, name in code}

    def _name(self, key: int | str) -> str:
        return str(key)


def read_system_map(path: str) -> MapSymbols:
    """Read a System.map.

    Raises:
        UnreadableError: it cannot be read, or a line of it is not one of a System.map.
    """
    with e.mapped(path) as data:
        text = bytes(data).decode("utf-8", "backslashreplace")
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split(maxsplit=2)
        try:
            address, letter, name = fields
            lines.append((int(address, 16), letter, name))
        except ValueError as error:
            if len(fields) == 2 and fields[0] in {"U", "w", "v"}:
                continue  # an undefined symbol has no address
            raise UnreadableError(
                path, f"line {number} is not one of a System.map (address, letter, name)"
            ) from error
    if not lines:
        raise UnreadableError(path, "is empty: no symbol in it")
    return MapSymbols(lines)
