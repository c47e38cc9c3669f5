# SPDX-License-Identifier: GPL-2.0-or-later
"""The counts of an object, as a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfestubs.formats.count import stub_counts, trap_distance, trap_error
from pfestubs.formats.text import escape_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.formats.count import CountListing, TrapGate


def render(listing: CountListing, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - nothing to choose
    """Yield the lines; what is wrong with the reserve is the last one."""
    counts = listing.counts
    layout = f"layout {counts.layout.name}" if counts.layout else "layout unknown (no stub symbols)"
    entries = counts.entries
    yield f"{escape_line(counts.file)}: {counts.machine}, {counts.byte_order.value}-endian, {layout}\n"
    yield (
        f"entries: {entries.total:,} (text {entries.text:,}, inittext {entries.inittext:,},"
        f" exittext {entries.exittext:,})\n"
    )
    stubs = stub_counts(counts)
    if stubs is not None:
        yield "stubs:   " + ", ".join(f"{name} {number:,}" for name, number in stubs.items()) + "\n"
    if listing.gate is not None:
        yield _reserve(counts.file, listing.gate)


def _reserve(file: str, gate: TrapGate) -> str:
    if gate.trap is None:
        return "reserve: no function depends on one\n"
    if gate.remedy is None:
        return f"reserve: ok: {trap_distance(gate.trap)}\n"
    return f"{escape_line(file)}: error: {trap_error(gate.trap, gate.remedy)}\n"
