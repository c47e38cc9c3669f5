# SPDX-License-Identifier: GPL-2.0-or-later
"""Stubs as text and as `pfestubs/stubs/1`, piece by piece: a kernel has tens of thousands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pfestubs.formats.findings import finding_message
from pfestubs.formats.tables import terminal_width
from pfestubs.formats.text import dump_json_lines, escape_line, hex_address, hex_word, keys_of, wrap
from pfestubs.model import STUBS_SCHEMA, ppc
from pfestubs.rules.kernel.stubs import stub_words, traced_word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.rules.analyses.stubs import StubListing
    from pfestubs.rules.kernel.boot import Boot


def render_text(listing: StubListing, options: RenderOptions) -> Iterator[str]:
    """Yield a block of lines per stub, instructions as objdump spells them; or why there is no stub."""
    width = terminal_width(options)
    for position in listing.positions:
        if listing.boot.has_stub(position):
            lines = _block(listing.boot, position)
        else:
            lines = [f"no stub: {escape_line(finding_message(listing.missing[position]))}"]
        yield "\n".join(wrap(line, width) for line in lines) + "\n\n"


def render_json(listing: StubListing, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - nothing to choose
    """Yield the document, one stub per line."""
    boot = listing.boot
    values = {
        "schema": STUBS_SCHEMA,
        **keys_of(boot.kernel.identity, "file layout"),
        "stub_size": boot.stub_size,
    }
    yield from dump_json_lines(values, "stubs", (_values(boot, position) for position in listing.positions))


def _block(boot: Boot, position: int) -> list[str]:
    location, function = boot.locations[position], escape_line(boot.function(position))

    def instruction(at: int, insn: int) -> str:
        mnemonic, operand, target = ppc.disassemble(insn, at)
        if target is not None:
            operand = f"{target:x} <{escape_line(boot.kernel.name(target))}>"
        return f"    {at:x}:  {insn:08x}  {mnemonic:<7} {operand}".rstrip()

    insns, area = boot.insns[position], boot.area_of(position).name
    return [
        f"{function} at {hex_address(location)}: stub {boot.index[position]:,} of area {area} at"
        f" {hex_address(boot.stub_address(position))}",
        "  before boot, and at boot:",
        instruction(location, ppc.NOP),
        "  the stub, before boot zeros, at boot:",
        *(instruction(ppc.add(insns, 4 * i), insn) for i, insn in enumerate(stub_words(boot, position))),
        "  with tracing on:",
        instruction(location, traced_word(boot, position)),
    ]


def place_values(boot: Boot, position: int) -> dict[str, Any]:
    """Return what a document says of a location and of where its stub is; null where the boot writes none."""
    values = {"function": boot.function(position), "location": hex_address(boot.locations[position])}
    if not boot.has_stub(position):
        return {**values, **dict.fromkeys(("area", "index", "address", "insns_address"))}
    return {
        **values,
        "area": boot.area_of(position).name,
        "index": boot.index[position],
        "address": hex_address(boot.stub_address(position)),
        "insns_address": hex_address(boot.insns[position]),
    }


def _values(boot: Boot, position: int) -> dict[str, Any]:
    insns = stub_words(boot, position) if boot.has_stub(position) else None
    return {
        **place_values(boot, position),
        "insns": insns and [hex_word(insn) for insn in insns],
        "traced": insns and hex_word(traced_word(boot, position)),
    }
