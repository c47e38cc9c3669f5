# SPDX-License-Identifier: GPL-2.0-or-later
"""The stubs of modules as the JSON document `pfestubs/modules/1`, one module per line."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pfestubs.model import MODULES_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.formats.modules import ModuleListing
    from pfestubs.rules.analyses.modules import ModuleStubs


def render(listing: ModuleListing, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - JSON holds all
    """Yield the document, keys sorted."""
    encode = json.JSONEncoder(sort_keys=True, allow_nan=False).encode
    unread = [{"file": error.subject, "problem": error.problem} for error in listing.unread]
    yield '{"modules": ['
    separator = "\n"
    for row in listing.modules:
        yield separator + encode(_module(row))
        separator = ",\n"
    tail = {
        "schema": MODULES_SCHEMA,
        "stub_size": listing.stub_size,
        "totals": asdict(listing.totals),
        "unread": unread,
    }
    yield "\n], " + encode(tail)[1:] + "\n"


def _module(row: ModuleStubs) -> dict[str, Any]:
    return {
        "file": row.module.file,
        "class": row.module.bits,
        "byte_order": row.module.byte_order.value,
        "locations": row.locations,
        "unseen": row.unseen,
        "stub_bytes": row.stub_bytes,
        "stub_entries": row.stub_entries,
        "text_bytes": row.module.text_bytes,
        "flags": list(row.flags),
    }
