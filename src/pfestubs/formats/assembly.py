# SPDX-License-Identifier: GPL-2.0-or-later
"""The assembly file that reserves the stubs, rendered from the layout's template."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

if TYPE_CHECKING:
    from pfestubs.layouts import Layout
    from pfestubs.rules.sizing import Stubs

_PACKAGE = Path(__file__).resolve().parents[1]


def template_directory() -> Path:
    """The folder of templates: inside an installed package, at the top level of a checkout."""
    installed = _PACKAGE / "templates"
    return installed if installed.is_dir() else _PACKAGE.parents[1] / "templates"


def render_assembly(layout: Layout, stubs: Stubs) -> str:
    """The `.S` file; the same counts give the same bytes."""
    environment = Environment(
        loader=FileSystemLoader(template_directory()),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - assembly, filled with numbers only
    )
    return environment.get_template(f"{layout.name}.S.j2").render(
        {area.name: stubs.of_area(area.name) for area in layout.areas if area.generated}
    )
