# SPDX-License-Identifier: GPL-2.0-or-later
"""Colour and tables for terminals, with rich; the one module that imports it for documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CODES: Final = {"bad": "\x1b[31;1m", "good": "\x1b[32;1m", "bold": "\x1b[1m"}
_OFF: Final = "\x1b[0m"


def paint(text: str, style: str, *, colour: bool) -> str:
    """Return `text` in a style ("bad", "good" or "bold") where colour is wanted."""
    return f"{_CODES[style]}{text}{_OFF}" if colour else text


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, colour: bool) -> list[str]:
    """Return the lines of a table; a column's title starts with ">" if its cells are right-aligned.

    Lines are never wrapped, they are also for grep. Not a `rich.table.Table`: that takes 1 ms per row, and a
    distribution has thousands of modules.
    """
    from rich.cells import cell_len

    cells = [[title.removeprefix(">") for title in columns], *rows]
    if len(cells) == 1:
        return []
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    right = [title.startswith(">") for title in columns]
    lines = []
    for row in cells:
        padded = []
        for cell, width, to_right in zip(row, widths, right, strict=True):
            space = " " * (width - cell_len(cell))
            padded.append(space + cell if to_right else cell + space)
        lines.append("  ".join(padded).rstrip())
    return [paint(lines[0], "bold", colour=colour), *lines[1:]]
