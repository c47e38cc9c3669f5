# SPDX-License-Identifier: GPL-2.0-or-later
"""The counts of an object, as the JSON document `pfestubs/count/1`; `read/saved.py` reads it back."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from pfestubs.formats.count import stub_counts
from pfestubs.formats.text import dump_json
from pfestubs.model import COUNT_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.model import ObjectCounts


def render(counts: ObjectCounts, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - nothing to choose
    """Yield the document."""
    yield dump_json(
        {
            "schema": COUNT_SCHEMA,
            "file": counts.file,
            "machine": counts.machine,
            "class": counts.bits,
            "byte_order": counts.byte_order.value,
            "relocation": counts.relocation,
            "layout": counts.layout.name if counts.layout else None,
            "entries": {**asdict(counts.entries), "total": counts.entries.total},
            "stubs": stub_counts(counts),
        }
    )
