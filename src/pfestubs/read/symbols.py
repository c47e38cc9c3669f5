# SPDX-License-Identifier: GPL-2.0-or-later
"""A linked kernel's symbols from its own symbol table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from functools import cached_property
from typing import TYPE_CHECKING, Final

from pfestubs.model import SymbolInfo
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


class IndexedSymbols(ABC):
    """Names and addresses of one kernel (`pfestubs.model.SymbolView`), with an index of code by address."""

    @abstractmethod
    def find(self, names: Sequence[str]) -> Mapping[str, SymbolInfo]:
        """Return where each of `names` is; the names that are not there are left out."""

    @abstractmethod
    def gap(self, address: int) -> int | None:
        """Return the bytes from `address` to the next symbol, None after the last."""

    @abstractmethod
    def code_names(self) -> Iterator[tuple[str, int]]:
        """Yield every symbol of code with its address, aliases too, in no order."""

    @abstractmethod
    def _best(self) -> dict[int, int | str]:
        """Return the symbol of code to show at each address, as a key for `_name`."""

    @abstractmethod
    def _name(self, key: int | str) -> str: ...

    @cached_property
    def _index(self) -> tuple[list[int], dict[int, int | str]]:
        best = self._best()
        best.pop(0, None)  # undefined symbols
        return sorted(best), best

    def locate(self, address: int) -> tuple[str, int]:
        """Return the code symbol at or before `address` and the distance to it in bytes.

        An address before every symbol is named by itself, at distance 0. Labels that are skipped are dropped
        from the index, so that each is visited once.
        """
        addresses, best = self._index
        index = bisect_right(addresses, address) - 1
        good = index
        while good >= 0:
            name = self._name(best[addresses[good]])
            if not _is_ignored_symbol(name):
                break
            good -= 1
        del addresses[good + 1 : index + 1]
        return (name, address - addresses[good]) if good >= 0 else (f"{address:#x}", 0)


def _is_ignored_symbol(name: str) -> bool:
    """Return whether kallsyms leaves a name out (`scripts/kallsyms.c: is_ignored_symbol`): a label."""
    return not name or name.startswith((".", "$", "L0")) or ".plt_" in name or ".long_branch." in name


class ElfSymbols(IndexedSymbols):
    """The symbol table of a linked file, decoded in bulk; names are looked up when they are shown."""

    def __init__(self, elf: Elf) -> None:
        self._elf = elf

    def find(self, names: Sequence[str]) -> Mapping[str, SymbolInfo]:
        """Return where each of `names` is; a global symbol wins over a local one of the same name.

        A size of 0 is unknown: some tools write no sizes.
        """
        found: dict[str, SymbolInfo] = {}
        ranks: dict[str, int] = {}
        for symbol in self._elf.symbols_named(names):
            if not symbol.reserved and symbol.section == e.SHN_UNDEF:
                continue
            rank = _BIND_RANK.get(symbol.bind, 3)
            if rank < ranks.get(symbol.name, 4):
                found[symbol.name], ranks[symbol.name] = SymbolInfo(symbol.value, symbol.size or None), rank
        return found

    def gap(self, address: int) -> int | None:
        """Return the bytes from `address` to the next symbol, None after the last."""
        _, values, _ = self._elf.symbol_columns
        following = min((value for value in values if value > address), default=None)
        return None if following is None else following - address

    def code_names(self) -> Iterator[tuple[str, int]]:
        """Yield every symbol of code with its address."""
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
