# SPDX-License-Identifier: GPL-2.0-or-later
"""A linked kernel's symbols from a System.map, /proc/kallsyms, or the output of nm."""

from __future__ import annotations

import re
from array import array
from io import BytesIO
from itertools import compress
from typing import TYPE_CHECKING, Final

from pfestubs.errors import UnreadableError, UnsuitableError
from pfestubs.model import SymbolInfo
from pfestubs.read.names import NAME_LIMIT, decode_name
from pfestubs.read.source import read_document
from pfestubs.read.symbols import IndexedSymbols

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_ADDRESS: Final = rb"[0-9a-fA-F]{1,16}"
_LINE: Final = re.compile(
    rb"(%s)[ \t]+(?:([0-9a-fA-F]{8}(?:[0-9a-fA-F]{8})?)[ \t]+)?([A-Za-z?-])[ \t]+(\S+)"
    rb"([ \t]+\[[^\]]*\])?[ \t\r]*\n?" % _ADDRESS
)
"""Address, size (`nm -S`), type letter, name; a module's name (kallsyms)."""
_UNDEFINED: Final = re.compile(rb"\s*[Uwv] \S+\s*")
_PLACEHOLDER: Final = re.compile(rb"\s*[0-9a-fA-F]+ \S+ .*\bSystem\.map\b.*")
_RANKS: Final = bytes({84: 0, 87: 1, 116: 2, 119: 1}.get(letter, 255) for letter in range(256))
"""Of several symbols at one address the one to show: T before W and w before t; 255 is not code."""
_IS_CODE: Final = bytes(rank != 255 for rank in _RANKS)
_IS_LOCAL: Final = bytes(chr(letter).islower() for letter in range(128)) + bytes(128)
_BOM: Final = b"\xef\xbb\xbf"


class MapSymbols(IndexedSymbols):
    """The lines of a System.map.

    Raises:
        UnreadableError: a line is not one of a System.map, named.
        UnsuitableError: it is a placeholder, or its addresses are hidden.
    """

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
            raise UnreadableError(path, "is empty: it has no symbols")
        if not any(self._addresses):
            raise UnsuitableError(
                path, "has only addresses of 0: it was read without privilege", "read /proc/kallsyms as root"
            )

    def find(self, names: Sequence[str]) -> Mapping[str, SymbolInfo]:
        """Return where each of `names` is; a global symbol wins over a local one of the same name."""
        wanted = {name.encode(): name for name in names}
        found: dict[str, SymbolInfo] = {}
        local: dict[str, bool] = {}
        for i in compress(range(len(self._names)), map(wanted.__contains__, self._names)):
            name, is_local = wanted[self._names[i]], bool(_IS_LOCAL[self._letters[i]])
            if name not in found or (local[name] and not is_local):
                found[name] = SymbolInfo(self._addresses[i], self._sizes.get(i) or None)
                local[name] = is_local
        return found

    def gap(self, address: int) -> int | None:
        """Return the bytes from `address` to the next symbol, None after the last."""
        following = min(filter(address.__lt__, self._addresses), default=None)
        return None if following is None else following - address

    def code_symbols(self) -> Iterator[tuple[bytes, int]]:
        """Yield every symbol of code with its address."""
        return compress(zip(self._names, self._addresses, strict=True), self._letters.translate(_IS_CODE))

    def _best(self) -> dict[int, int]:
        best: dict[int, int] = {}
        ranks = self._letters.translate(_RANKS)
        for rank in (2, 1, 0):
            chosen = ranks.translate(bytes(number == rank for number in range(256)))
            best.update(
                zip(compress(self._addresses, chosen), compress(range(len(ranks)), chosen), strict=True)
            )
        return best

    def _raw_name(self, key: int) -> bytes:
        return self._names[key]


def read_system_map(path: str) -> MapSymbols:
    """Read a System.map.

    Raises:
        UnreadableError: it cannot be read, or a line of it is not one of a System.map.
        UnsuitableError: it is a placeholder, or its addresses are hidden.
    """
    data = read_document(path).removeprefix(_BOM)
    if data.startswith(b"\x7fELF"):
        raise UnsuitableError(path, "is an ELF file, not a System.map", "give it as the kernel instead")
    return MapSymbols(path, data)


def _wrong_line(path: str, number: int, line: bytes) -> UnreadableError | UnsuitableError:
    if _PLACEHOLDER.fullmatch(line):
        shown = decode_name(line.split(maxsplit=2)[2][:200])
        return UnsuitableError(
            path, f"is a placeholder without symbols ({shown!r})", "give the real System.map"
        )
    return UnreadableError(path, f"line {number:,} is not a line of a System.map (address, letter, name)")
