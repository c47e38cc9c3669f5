# SPDX-License-Identifier: GPL-2.0-or-later
"""A listing of stubs, as text and as JSON, one at a time: a kernel has tens of thousands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pfestubs.formats.text import escape_line, hex_address, hex_word
from pfestubs.rules import ppc
from pfestubs.rules.findings import symbolic
from pfestubs.rules.stubs import traced_word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pfestubs.read.symbols import Symbols
    from pfestubs.rules.stubs import Stub

SCHEMA: Final = "pfestubs/stubs/1"


@dataclass(frozen=True)
class Listing:
    """What to list: the kernel's file, layout and stub size in bytes, its symbols, and the stubs."""

    file: str
    layout: str
    stub_size: int
    symbols: Symbols
    stubs: Iterable[Stub]


def stubs_json(listing: Listing) -> Iterator[str]:
    """The JSON document `pfestubs/stubs/1`, a stub a line."""
    head = {
        "file": listing.file,
        "layout": listing.layout,
        "schema": SCHEMA,
        "stub_size": listing.stub_size,
    }
    yield json.dumps(head, sort_keys=True)[:-1] + ', "stubs": ['
    separator = "\n"
    for stub in listing.stubs:
        yield separator + json.dumps(_values(stub, listing.symbols), sort_keys=True)
        separator = ",\n"
    yield "\n]}\n"


def _values(stub: Stub, symbols: Symbols) -> dict[str, Any]:
    return {
        "function": symbolic(*symbols.locate(stub.location)),
        "location": hex_address(stub.location),
        "area": stub.area,
        "index": stub.index,
        "address": None if stub.address is None else hex_address(stub.address),
        "insns_address": None if stub.insns_address is None else hex_address(stub.insns_address),
        "insns": None if stub.insns is None else [hex_word(insn) for insn in stub.insns],
        "traced": (
            None if stub.insns_address is None else hex_word(traced_word(stub.location, stub.insns_address))
        ),
    }


def stubs_text(listing: Listing) -> Iterator[str]:
    """For each function the words before boot, at boot and with tracing on, as objdump spells them."""
    for stub in listing.stubs:
        yield _block(stub, listing.symbols)


def _block(stub: Stub, symbols: Symbols) -> str:
    function = escape_line(symbolic(*symbols.locate(stub.location)))
    if stub.insns is None or stub.insns_address is None:
        return f"{function} at {hex_address(stub.location)}: no stub (pfestubs check says why)\n\n"

    def instruction(at: int, insn: int) -> str:
        mnemonic, operand, target = ppc.disassemble(insn, at)
        if target is not None:
            symbol = escape_line(symbolic(*symbols.locate(target)))
            operand = f"{target:x} <{symbol}>"
        return f"    {at:x}:  {insn:08x}  {mnemonic:<7} {operand}".rstrip()

    lines = [
        f"{function} at {hex_address(stub.location)}: stub {stub.index:,} of area {stub.area} at"
        f" {hex_address(stub.address or 0)}",
        "  before boot, and at boot:",
        instruction(stub.location, ppc.NOP),
        "  the stub, before boot zeros, at boot:",
        *(instruction(stub.insns_address + 4 * i, insn) for i, insn in enumerate(stub.insns)),
        "  with tracing on:",
        instruction(stub.location, traced_word(stub.location, stub.insns_address)),
    ]
    return "\n".join(lines) + "\n\n"


FORMATS: Final[Mapping[str, Callable[[Listing], Iterator[str]]]] = {"text": stubs_text, "json": stubs_json}
