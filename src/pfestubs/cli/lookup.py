# SPDX-License-Identifier: GPL-2.0-or-later
"""Find the locations that a user names: by symbol, address or pattern."""

from __future__ import annotations

import os
import re
from fnmatch import translate
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.model import ppc
from pfestubs.read.elf import decode_name
from pfestubs.rules.kernel.stubs import stub_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pfestubs.rules.kernel.boot import Boot

_ADDRESS: Final = re.compile(
    r"0x[0-9a-f]{1,16}|[0-9a-f]{16}|\[<?([0-9a-f]{8}|[0-9a-f]{16})>?\]", re.IGNORECASE
)
"""An address, also as an oops has it: "[c00000000005710c]", of old kernels "[<c00000000005710c>]"."""
_LENGTH_DIFFERENCE: Final = 4
"""Characters by which the name that was meant may be longer or shorter."""
_OFFSET: Final = re.compile(
    r"(?P<name>.+)\+(?P<offset>0x[0-9a-f]{1,16})(?P<size>/0x[0-9a-f]{1,16})?", re.IGNORECASE
)


class FoundLocations(NamedTuple):
    """The locations found for names.

    Attributes:
        positions: in `Boot.locations`, in boot order.
        meanings: what is at the addresses inside stubs, in words.
        problems: the names that found nothing, and the reason.
    """

    positions: Sequence[int]
    meanings: Sequence[str] = ()
    problems: Sequence[str] = ()


def find_locations(boot: Boot, names: Sequence[str]) -> FoundLocations:
    """Return the locations that `names` refer to, all of them without a name.

    A name is a symbol (every function of that name, if there are several), a symbol with an offset, an
    address (of a function or inside it, or of a stub), or a shell pattern over symbols. Addresses and
    symbols may be written as in an oops: "[c000000000057110]", "ftrace_ool_stub_text+0x23bf0/0xc0000".
    """
    if not names:
        return FoundLocations(range(len(boot.locations)))
    finder = _Finder(boot)
    meanings: list[str] = []
    problems: list[str] = []
    positions: set[int] = set()
    for word in names:
        name = decode_name(os.fsencode(word))  # a word that is not UTF-8 has surrogates, which no name has
        address = finder.address(name)
        try:
            found = finder.by_name(name) if address is None else finder.by_address(address)
        except LookupError as e:
            problems.append(f"{name} {e}")
            continue
        positions.update(found)
        meaning = "" if address is None else finder.meaning(address, found[0])
        if meaning:
            meanings.append(f"{name} {meaning}")
    return FoundLocations(sorted(positions), meanings, problems)


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

    def address(self, name: str) -> int | None:
        """Return the address that is named by its number, or as an oops names one, None for other names."""
        match = _ADDRESS.fullmatch(name)
        if match:
            return int(match[1] or name, 16)
        match = _OFFSET.fullmatch(name)
        if match is None:
            return None
        starts = self._code.get(match["name"], set())
        if len(starts) != 1:  # which of several functions of that name an oops does not tell
            return None
        (start,) = starts
        offset, size = int(match["offset"], 16), match["size"]
        # A function's own offset names its location, an oops any place in it or in an area of stubs.
        inside = offset < int(size[1:], 16) if size else any(a.address == start for a in self._kernel.areas)
        return start + offset if inside else None

    def meaning(self, address: int, position: int) -> str:
        """Return what is at an address inside the stub of the location found for it, "" outside stubs."""
        boot = self._boot
        if not boot.has_stub(position) or not 0 <= address - boot.stub_address(position) < boot.stub_size:
            return ""
        stub = f"of the stub of {boot.function(position)}"
        insn, rest = divmod(address - boot.insns[position], ppc.INSN_SIZE)
        if insn < 0:
            return f"is in the pointer to the ftrace ops {stub}"
        words = stub_words(boot, position)
        mnemonic, operand, target = ppc.disassemble(words[insn], boot.insns[position] + insn * ppc.INSN_SIZE)
        what = self._kernel.name(target) if target is not None else operand
        part = f"byte {rest} of " if rest else ""
        return f"is {part}instruction {insn + 1} of {len(words)} ({mnemonic} {what}) {stub}"

    def by_address(self, address: int) -> Sequence[int]:
        """Return the positions of the location or stub at or around an address.

        Raises:
            LookupError: why there is none.
        """
        boot, kernel = self._boot, self._kernel
        for number, area in enumerate(kernel.areas):
            index, _ = divmod(address - area.address, boot.stub_size)
            if 0 <= index < area.count:
                columns = zip(boot.area, boot.index, strict=True)
                used = [p for p, pair in enumerate(columns) if pair == (number, index)]
                if not used:
                    raise LookupError(f"is in stub {index:,} of area {area.name}, which no function uses")
                return used
        if not kernel.is_text(address):
            raise LookupError("is an address outside kernel text")
        name, offset = kernel.symbols.locate(address)
        owned = self._owned.get(address - offset, ())
        if not owned:
            raise LookupError(f"is in {name}, which is not traceable (it has no location)")
        return [position for position in owned if boot.locations[position] == address] or owned

    def by_name(self, name: str) -> Sequence[int]:
        """Return the positions of the locations that a symbol or pattern names.

        Raises:
            LookupError: why there is none.
        """
        boot, offset = self._boot, None
        match = _OFFSET.fullmatch(name)
        if match:
            name, offset = match["name"], int(match["offset"], 16)
        is_pattern = any(c in name for c in "*?[") and name not in self._code
        if is_pattern:
            matches = re.compile(translate(name)).fullmatch
            addresses = {a for symbol, there in self._code.items() if matches(symbol) for a in there}
        else:
            addresses = self._code.get(name, set())
        own = [(address, p) for address in addresses for p in self._owned.get(address, ())]
        found = [p for address, p in own if offset is None or boot.locations[p] == address + offset]
        if found:
            return found
        if own:
            functions = sorted({boot.function(position) for _, position in own})
            verb = "is" if len(functions) == 1 else "are"
            raise LookupError(f"is not a location, but {' and '.join(functions)} {verb}")
        if addresses:
            code = "matches only code that" if is_pattern else "is code that"
            reason = "not traceable, since it is notrace, assembly, or not built for tracing"
            raise LookupError(f"{code} has no location: {reason}")
        if is_pattern:
            raise LookupError("matches no symbol of this kernel")
        if self._kernel.symbols.find([name]):
            raise LookupError("is not a function")
        near = self._nearest(name)
        raise LookupError(f"is not a symbol of this kernel{f'; did you mean {near}?' if near else ''}")

    def _nearest(self, name: str) -> str:
        """Return the traceable functions whose names are most like `name`, "" if none is like it.

        Only names of about the same length that begin or end alike are compared: a kernel has 100,000.
        """
        from difflib import get_close_matches

        start, end = name[:3], name[-4:]
        likely = [
            other
            for other, addresses in self._code.items()
            if abs(len(other) - len(name)) <= _LENGTH_DIFFERENCE
            and (other.startswith(start) or other.endswith(end))
            and not self._owned.keys().isdisjoint(addresses)
        ]
        return " or ".join(get_close_matches(name, likely, n=3, cutoff=0.75))
