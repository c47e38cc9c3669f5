# SPDX-License-Identifier: GPL-2.0-or-later
"""Stubs as the JSON document `pfestubs/stubs/1`, one stub per line."""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii as encode_text
from typing import TYPE_CHECKING

from pfestubs.model import STUBS_SCHEMA
from pfestubs.rules.kernel.stubs import stub_words, traced_word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.formats.stubs import Listing
    from pfestubs.rules.kernel.boot import Boot


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
    for position in listing.positions:
        yield separator + _entry(listing.boot, position)
        separator = ",\n"
    yield "\n]}\n"


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
        f' "area": "{boot.kernel.areas[boot.area[position]].name}", "function": {function},'
        f' "index": {boot.index[position]},'
        f' "insns": ["{first:#010x}", "{call:#010x}", "{last:#010x}", "{back:#010x}"],'
        f' "insns_address": "{boot.insns[position]:#x}", "location": "{location}",'
        f' "traced": "{traced_word(boot, position):#010x}"}}'
    )
