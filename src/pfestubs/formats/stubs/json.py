# SPDX-License-Identifier: GPL-2.0-or-later
"""Stubs as the JSON document `pfestubs/stubs/1`, one stub per line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pfestubs.formats.text import hex_address, hex_word
from pfestubs.model import STUBS_SCHEMA
from pfestubs.rules.stubs import stub_words, traced_word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.formats.stubs import Listing
    from pfestubs.rules.boot import Boot


def render(listing: Listing, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - nothing to choose
    """Yield the document, piece by piece."""
    kernel = listing.boot.kernel
    head = {
        "file": kernel.file,
        "layout": kernel.layout.name if kernel.layout else None,
        "schema": STUBS_SCHEMA,
        "stub_size": listing.boot.stub_size,
    }
    yield json.dumps(head, sort_keys=True)[:-1] + ', "stubs": ['
    separator = "\n"
    encode = json.JSONEncoder(sort_keys=True).encode
    for position in listing.positions:
        yield separator + encode(_values(listing.boot, position))
        separator = ",\n"
    yield "\n]}\n"


def _values(boot: Boot, position: int) -> dict[str, Any]:
    names = ("area", "index", "address", "insns_address", "insns", "traced")
    values: dict[str, Any] = {
        "function": boot.function(position),
        "location": hex_address(boot.locations[position]),
        **dict.fromkeys(names),
    }
    if boot.has_stub(position):
        values |= {
            "area": boot.kernel.areas[boot.area[position]].name,
            "index": boot.index[position],
            "address": hex_address(boot.stub_address(position)),
            "insns_address": hex_address(boot.insns[position]),
            "insns": [hex_word(word) for word in stub_words(boot, position)],
            "traced": hex_word(traced_word(boot, position)),
        }
    return values
