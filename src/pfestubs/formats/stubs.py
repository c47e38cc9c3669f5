# SPDX-License-Identifier: GPL-2.0-or-later
"""Stubs as text and as `pfestubs/stubs/1`, piece by piece: a kernel has tens of thousands."""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii as encode_text
from typing import TYPE_CHECKING

from pfestubs.formats.findings import finding_message
from pfestubs.formats.tables import terminal_width
from pfestubs.formats.text import escape_line, hex_address, wrap
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
    kernel = listing.boot.kernel
    head = {
        "file": kernel.file,
        "layout": kernel.layout.name if kernel.layout else None,
        "schema": STUBS_SCHEMA,
        "stub_size": listing.boot.stub_size,
    }
    yield json.dumps(head, sort_keys=True)[:-1] + ', "stubs": ['
    separator = "\n"
    for position in listing.positions:
        yield separator + _entry(listing.boot, position)
        separator = ",\n"
    yield "\n]}\n"


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


def _entry(boot: Boot, position: int) -> str:
    """Return one stub as JSON, keys sorted.

    Written out, addresses and words as `hex_address` and `hex_word` write them: a dictionary and its encoding
    take twice the time of all the rest, for 42,648 stubs.
    """
    function, location = encode_text(boot.function(position)), f"{boot.locations[position]:#x}"
    if not boot.has_stub(position):
        return (
            f'{{"address": null, "area": null, "function": {function}, "index": null, "insns": null,'
            f' "insns_address": null, "location": "{location}", "traced": null}}'
        )
    first, call, last, back = stub_words(boot, position)
    return (
        f'{{"address": "{boot.stub_address(position):#x}",'
        f' "area": "{boot.area_of(position).name}", "function": {function},'
        f' "index": {boot.index[position]},'
        f' "insns": ["{first:#010x}", "{call:#010x}", "{last:#010x}", "{back:#010x}"],'
        f' "insns_address": "{boot.insns[position]:#x}", "location": "{location}",'
        f' "traced": "{traced_word(boot, position):#010x}"}}'
    )
