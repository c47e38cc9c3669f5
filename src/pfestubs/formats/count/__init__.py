# SPDX-License-Identifier: GPL-2.0-or-later
"""The counts of an object, one module per format; here is what they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pfestubs.model import ObjectCounts


def stub_counts(counts: ObjectCounts) -> dict[str, int] | None:
    """Return the stubs by the names of their areas, None where the layout is unknown."""
    if counts.layout is None or counts.stubs is None:
        return None
    return {area.name: counts.stubs.of(area.role) for area in counts.layout.areas}
