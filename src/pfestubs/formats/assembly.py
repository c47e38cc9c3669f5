# SPDX-License-Identifier: GPL-2.0-or-later
"""The assembly file that reserves the stubs, rendered from the layout's template."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfestubs.formats.templates import render_template

if TYPE_CHECKING:
    from pfestubs.layouts import Layout
    from pfestubs.model import AreaCounts


def render_assembly(layout: Layout, stubs: AreaCounts) -> str:
    """Return the `.S` file; the same counts give the same bytes."""
    return render_template(
        f"{layout.name}.S.j2", {area.name: stubs.of(area.role) for area in layout.areas if area.generated}
    )
