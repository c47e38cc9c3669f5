# SPDX-License-Identifier: GPL-2.0-or-later
"""Colour and tables for terminals, with rich; the one module that imports it for documents."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CODES: Final = {"bad": "\x1b[31;1m", "good": "\x1b[32;1m", "bold": "\x1b[1m"}
_OFF: Final = "\x1b[0m"
_WIDTH: Final = 100_000
"""Columns: lines are never wrapped, they are also for grep."""


def paint(text: str, style: str, *, colour: bool) -> str:
    """Return `text` in a style ("bad", "good" or "bold") where colour is wanted."""
    return f"{_CODES[style]}{text}{_OFF}" if colour else text


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, colour: bool) -> list[str]:
    """Return the lines of a table; a column's title starts with ">" if its cells are right-aligned."""
    # 0.1 s to import: only with -v and the like.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold")
    for title in columns:
        grid.add_column(title.removeprefix(">"), justify="right" if title.startswith(">") else "left")
    for row in rows:
        grid.add_row(*map(Text, row))
    if not grid.row_count:
        return []
    out = io.StringIO()
    console = Console(
        file=out,
        width=_WIDTH,
        force_terminal=colour,
        color_system="standard" if colour else None,
        markup=False,
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )
    console.print(grid)
    return [line.rstrip() for line in out.getvalue().splitlines()]
