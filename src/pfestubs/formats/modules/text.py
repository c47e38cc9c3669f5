# SPDX-License-Identifier: GPL-2.0-or-later
"""The stubs of modules as text: a table, and the totals in the last line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfestubs.formats.tables import Table, paragraph, table_text
from pfestubs.formats.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.formats.modules import ModuleListing
    from pfestubs.rules.analyses.modules import ModuleStubs

_COLUMNS = ("`module", ">locations", ">stub bytes", ">stub entries", "flags")


def render(listing: ModuleListing, options: RenderOptions) -> Iterator[str]:
    """Yield the lines; numbers with thousands separators."""
    yield table_text(Table(_COLUMNS, list(map(_row, listing.modules))), options)
    totals = listing.totals
    sentence = (
        f"{plural(totals.modules, 'module')}: {plural(totals.locations, 'location')},"
        f" {plural(totals.stub_bytes, 'stub byte')},"
        f" {plural(totals.stub_entries, 'stub entry', 'stub entries')}"
    )
    if totals.unseen:
        sentence += f", {plural(totals.unseen, 'entry', 'entries')} that the loader would not see"
    if totals.flags:
        sentence += "; " + ", ".join(f"{flag} {number:,}" for flag, number in totals.flags.items())
    if listing.unread:
        sentence += f"; {len(listing.unread):,} not read"
    yield paragraph(sentence, options)


def _row(row: ModuleStubs) -> tuple[str, ...]:
    numbers = (row.locations, row.stub_bytes, row.stub_entries)
    return (row.module.file, *(f"{n:,}" for n in numbers), ", ".join(row.flags))
