# SPDX-License-Identifier: GPL-2.0-or-later
"""A linked kernel's symbols from its own symbol table."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Final

from pfestubs.model import SymbolInfo, SymbolView
from pfestubs.read import elf as e
from pfestubs.read.elf import decode_name, raw_string_at

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pfestubs.read.elf import Elf

# Where several symbols share an address, a function's own name is the one to show; locals come last.
_BIND_RANK: Final = {e.STB_GLOBAL: 0, e.STB_WEAK: 1, e.STB_LOCAL: 2}
_TYPE_RANK: Final = {e.STT_FUNC: 0, 10: 0, e.STT_NOTYPE: 3}
NO_CODE: Final = 255
"""The rank of a symbol that is not code; of several at one address the lowest rank is shown."""
_RANKS: Final = bytes(
    _BIND_RANK.get(info >> 4, 2) + _TYPE_RANK[info & 0xF] if info & 0xF in _TYPE_RANK else NO_CODE
    for info in range(256)
)
"""The rank of a symbol by its st_info."""
_IS_CODE: Final = bytes(rank != NO_CODE for rank in range(256))


class IndexedSymbols(SymbolView):
    """Names and addresses of one kernel, from columns.

    The first names that are requested are searched for one by one; then an index of all code by address is
    built, which takes 0.1 s for a kernel of 137,758 symbols.
    """

    def __init__(self) -> None:
        self._searches_left = _SEARCHES

    @abstractmethod
    def _columns(self) -> tuple[Sequence[int], array[int], bytes]:
        """Return of each symbol its key for `_raw_name`, its address (0 if undefined) and its rank."""

    @abstractmethod
    def _raw_name(self, key: int) -> bytes: ...

    def gap(self, address: int) -> int | None:
        """Return the bytes from `address` to the next symbol, None after the last."""
        _, addresses, _ = self._columns()
        following = min(filter(address.__lt__, addresses), default=None)
        return None if following is None else following - address

    def code_symbols(self) -> Iterable[tuple[bytes, int]]:
        """Yield every symbol of code with its address, aliases too, in no order."""
        keys, addresses, ranks = self._columns()
        is_code = ranks.translate(_IS_CODE)
        return zip(map(self._raw_name, compress(keys, is_code)), compress(addresses, is_code), strict=True)

    def code_names(self) -> Iterator[tuple[str, int]]:
        """Yield the same with the names as text."""
        return ((decode_name(name), address) for name, address in self.code_symbols() if address)

    def _search(self, address: int) -> tuple[str, int] | None:  # noqa: ARG002 - for those that can
        """Return the same as `locate` without an index, None where the index is needed."""
        return None

    @cached_property
    def _index(self) -> tuple[list[int], dict[int, int]]:
        keys, addresses, ranks = self._columns()
        best: dict[int, int] = {}
        for rank in sorted(set(ranks) - {NO_CODE}, reverse=True):
            # Backwards, so that of equals the first one stays.
            chosen = ranks[::-1].translate(bytes(number == rank for number in range(256)))
            best.update(
                zip(compress(reversed(addresses), chosen), compress(reversed(keys), chosen), strict=True)
            )
        best.pop(0, None)  # undefined symbols
        return sorted(best), best

    @cached_property
    def _without_labels(self) -> list[int]:
        """The addresses of the index that have a name to show: only a label that is met makes all be read."""
        addresses, best = self._index
        return [place for place in addresses if not _is_ignored_symbol(self._raw_name(best[place]))]

    def locate(self, address: int) -> tuple[str, int]:
        """Return the code symbol at or before `address` and the distance to it (`SymbolView`)."""
        if self._searches_left:
            self._searches_left -= 1
            found = self._search(address)
            if found is not None:
                return found
        addresses, best = self._index
        count = bisect_right(addresses, address)
        if count and _is_ignored_symbol(self._raw_name(best[addresses[count - 1]])):
            addresses = self._without_labels
            count = bisect_right(addresses, address)
        if not count:
            return f"{address:#x}", 0
        nearest = addresses[count - 1]
        return decode_name(self._raw_name(best[nearest])), address - nearest


_SEARCHES: Final = 8


def _is_ignored_symbol(name: bytes) -> bool:
    """Return whether kallsyms leaves a name out (`scripts/kallsyms.c: is_ignored_symbol`): a label."""
    if not name or name.startswith((b".", b"$", b"L0")):
        return True
    return b"." in name and (b".plt_" in name or b".long_branch." in name)  # few names have a dot


class ElfSymbols(IndexedSymbols):
    """The symbol table of a linked file, decoded in bulk; names are looked up when they are shown."""

    def __init__(self, elf: Elf) -> None:
        super().__init__()
        self._elf = elf

    def find(self, names: Sequence[str]) -> Mapping[str, SymbolInfo]:
        """Return where each of `names` is; a global symbol wins over a local one of the same name.

        A size of 0 is unknown: some tools write no sizes.
        """
        found: dict[str, SymbolInfo] = {}
        for symbol in sorted(self._elf.symbols_named(names), key=lambda s: _BIND_RANK.get(s.bind, 3)):
            if symbol.reserved or symbol.section != e.SHN_UNDEF:
                found.setdefault(self._elf.symbol_name(symbol), SymbolInfo(symbol.value, symbol.size or None))
        return found

    def _columns(self) -> tuple[Sequence[int], array[int], bytes]:
        names, values, infos = self._elf.symbol_columns
        return names, values, infos.translate(_RANKS)

    def _search(self, address: int) -> tuple[str, int] | None:
        """Search the symbol table's bytes for the addresses that share all but their last 16 bits.

        That is where a function's symbol is, nearly always, and takes a tenth of the time of one pass over
        the table's addresses.
        """
        found: dict[int, tuple[int, int]] = {}
        for index in self._symbols_near(address):
            key, value, _, info, _ = self._elf.symbol_fields(index)
            rank = _RANKS[info]
            if rank != NO_CODE and 0 < value <= address and (value not in found or rank < found[value][0]):
                found[value] = rank, key
        for value in sorted(found, reverse=True):
            name = self._raw_name(found[value][1])
            if not _is_ignored_symbol(name):
                return decode_name(name), address - value
        return None

    def _symbols_near(self, address: int) -> Iterator[int]:
        """Yield, ascending, the symbols at addresses that differ from `address` in the last 16 bits only."""
        elf = self._elf
        high = (address >> 16).to_bytes(elf.word - 2, elf.byte_order)
        place = elf.symbol_value_offset + (2 if elf.byte_order == "little" else 0)
        table, size = elf.symbols, elf.symbol_size
        at = table.find(high, place)
        while at >= 0:
            index, rest = divmod(at - place, size)
            if rest:
                at = table.find(high, at + 1)
            else:
                yield index
                at = table.find(high, at + size)

    def _raw_name(self, key: int) -> bytes:
        return raw_string_at(self._elf.symbol_names, key)
