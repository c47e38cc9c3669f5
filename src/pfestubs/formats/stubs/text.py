# SPDX-License-Identifier: GPL-2.0-or-later
"""Stubs as text: for each function the instructions before boot, at boot and with tracing on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfestubs.formats.findings import finding_message
from pfestubs.formats.text import escape_line, hex_address
from pfestubs.model import ppc
from pfestubs.rules.check.check import finding_at
from pfestubs.rules.kernel.stubs import stub_words, traced_word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.formats.stubs import Listing
    from pfestubs.rules.kernel.boot import Boot


def render(listing: Listing, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - nothing to choose
    """Yield a block of lines per stub, instructions as objdump spells them; or why there is no stub."""
    explained: set[str] = set()
    for position in listing.positions:
        if listing.boot.has_stub(position):
            yield _block(listing.boot, position)
        else:
            yield _why_no_stub(listing.boot, position, explained)


def _block(boot: Boot, position: int) -> str:
    location, function = boot.locations[position], escape_line(boot.function(position))

    def instruction(at: int, insn: int) -> str:
        mnemonic, operand, target = ppc.disassemble(insn, at)
        if target is not None:
            operand = f"{target:x} <{escape_line(boot.kernel.name(target))}>"
        return f"    {at:x}:  {insn:08x}  {mnemonic:<7} {operand}".rstrip()

    insns = boot.insns[position]
    area = boot.kernel.areas[boot.area[position]].name
    lines = [
        f"{function} at {hex_address(location)}: stub {boot.index[position]:,} of area {area} at"
        f" {hex_address(boot.stub_address(position))}",
        "  before boot, and at boot:",
        instruction(location, ppc.NOP),
        "  the stub, before boot zeros, at boot:",
        *(instruction(ppc.add(insns, 4 * i), insn) for i, insn in enumerate(stub_words(boot, position))),
        "  with tracing on:",
        instruction(location, traced_word(boot, position)),
    ]
    return "\n".join(lines) + "\n\n"


def _why_no_stub(boot: Boot, position: int, explained: set[str]) -> str:
    """Return the sentence of `check`; the first of a rule has the figures and the remedy."""
    rule = boot.failure_at[position].rule
    finding = finding_at(boot, position, with_remedy=rule not in explained)
    assert finding is not None  # noqa: S101 - a location without a stub has failed
    explained.add(rule)
    return f"no stub: {escape_line(finding_message(finding))}\n\n"
