# SPDX-License-Identifier: GPL-2.0-or-later
"""The counts of an object, as a few lines and as the JSON document `pfestubs/count/1`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfestubs.formats.findings import remedy_sentence, remedy_values
from pfestubs.formats.tables import paragraph
from pfestubs.formats.text import dump_json, escape_line, keys_of
from pfestubs.model import COUNT_SCHEMA, ppc
from pfestubs.rules.kernel.sizing import TRAP_MARGIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.rules.kernel.sizing import SizedObject, Trap


def render_text(sized: SizedObject, options: RenderOptions) -> Iterator[str]:
    """Yield the lines; what is wrong with the reserve is the last one."""
    counts = sized.counts
    layout = f"layout {counts.layout.name}" if counts.layout else "layout unknown (no stub symbols)"
    entries = counts.entries
    machine = f"{ppc.MACHINES[counts.bits]}, {counts.byte_order}-endian"
    yield f"{escape_line(counts.file)}: {machine}, {layout}\n"
    yield (
        f"entries: {entries.total:,} (text {entries.text:,}, inittext {entries.inittext:,},"
        f" exittext {entries.exittext:,})\n"
    )
    if counts.stubs is not None:
        yield "stubs:   " + ", ".join(f"{name} {number:,}" for name, number in counts.stubs.items()) + "\n"
    if sized.trap is not None and not sized.ok:
        yield paragraph(f"{escape_line(counts.file)}: error: {trap_error(sized.trap)}", options)
    elif sized.judged:
        judgement = f"ok: {_trap_distance(sized.trap)}" if sized.trap else "no function depends on one"
        yield paragraph(f"reserve: {judgement}", options)


def render_json(sized: SizedObject, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - nothing to choose
    """Yield the document, which `read/saved.py` reads back; the key `trap` only if it was asked for."""
    counts, trap = sized.counts, None
    if sized.trap is not None:
        trap = {
            **keys_of(sized.trap, "exposed index distance stubs"),
            "limit": ppc.branch_limit(sized.trap.distance),
            "margin": TRAP_MARGIN,
            "remedy": remedy_values(sized.trap.remedy),
        }
    yield dump_json(
        {
            "schema": COUNT_SCHEMA,
            **keys_of(counts, "file byte_order"),
            "machine": ppc.MACHINES[counts.bits],
            "relocation": ppc.ADDRESS_RELOCATIONS[counts.bits],
            "class": counts.bits,
            "layout": counts.layout.name if counts.layout else None,
            "entries": {**counts.entries._asdict(), "total": counts.entries.total},
            "stubs": counts.stubs,
            **({"trap": trap} if sized.judged else {}),
        }
    )


def trap_sentence(trap: Trap) -> str:
    """Return why the reserve of an exposed kernel is a trap."""
    return (
        f"the reserve may be out of range: {_trap_distance(trap)}; up to {trap.stubs:,} functions may get no"
        " stub"
    )


def trap_error(trap: Trap | None) -> str:
    """Return why the reserve of an exposed kernel is a trap, and what to do; "" of one in range."""
    if trap is None or trap.remedy is None:
        return ""
    return f"{trap_sentence(trap)}; {remedy_sentence(trap.remedy)}"


def _trap_distance(trap: Trap) -> str:
    """Return how far the location that decides is from its stub."""
    return (
        f"text location {trap.index + 1:,} is {abs(trap.distance):,} bytes from its stub (limit"
        f" {abs(ppc.branch_limit(trap.distance)):,}, margin {TRAP_MARGIN:,})"
    )
