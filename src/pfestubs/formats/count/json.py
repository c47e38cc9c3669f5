# SPDX-License-Identifier: GPL-2.0-or-later
"""The counts of an object, as the JSON document `pfestubs/count/1`; `read/saved.py` reads it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pfestubs.formats.count import stub_counts
from pfestubs.formats.remedy import remedy_values
from pfestubs.formats.text import dump_json
from pfestubs.model import COUNT_SCHEMA, ppc
from pfestubs.rules.kernel.sizing import TRAP_MARGIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.formats.count import CountListing, TrapGate


def render(listing: CountListing, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - nothing to choose
    """Yield the document; the key `trap` only if it was asked for."""
    counts = listing.counts
    yield dump_json(
        {
            "schema": COUNT_SCHEMA,
            "file": counts.file,
            "machine": counts.machine,
            "class": counts.bits,
            "byte_order": counts.byte_order.value,
            "relocation": counts.relocation,
            "layout": counts.layout.name if counts.layout else None,
            "entries": {**counts.entries._asdict(), "total": counts.entries.total},
            "stubs": stub_counts(counts),
            **({} if listing.gate is None else {"trap": _trap(listing.gate)}),
        }
    )


def _trap(gate: TrapGate) -> dict[str, Any] | None:
    trap = gate.trap
    if trap is None:
        return None
    return {
        "exposed": trap.exposed,
        "index": trap.index,
        "distance": trap.distance,
        "limit": ppc.branch_limit(trap.distance),
        "margin": TRAP_MARGIN,
        "stubs": trap.stubs,
        "remedy": remedy_values(gate.remedy),
    }
