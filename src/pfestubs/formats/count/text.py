# SPDX-License-Identifier: GPL-2.0-or-later
"""The counts of an object, as a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfestubs.formats.count import stub_counts
from pfestubs.formats.text import escape_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.model import ObjectCounts


def render(counts: ObjectCounts, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - nothing to choose
    """Yield the lines."""
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
