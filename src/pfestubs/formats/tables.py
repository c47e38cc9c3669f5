# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables, made once for every format; colour and width as rich finds them on a terminal.

What is not written to a terminal is for grep: lines are never wrapped there, and rich is not imported.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.formats.text import escape_line, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from pfestubs.formats import RenderOptions

SCREEN: Final = 21
"""Lines after which what was first has scrolled away, on a terminal of 24."""
_STYLES: Final = {"bad": "bold red", "good": "bold green", "bold": "bold"}
_RICH_ROWS_MAX: Final = 500
"""The longest table that rich makes: it takes 1 ms per row, and a distribution has thousands of modules."""


class Table(NamedTuple):
    """A table of text.

    Attributes:
        columns: titles; ">" before one aligns its cells to the right, "`" says that they are names from
            files, which each format writes safely, "?" that a terminal too narrow for all goes without.
        rows: one cell per column.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def titles(self) -> list[str]:
        """The titles alone."""
        return [column.lstrip(">`?") for column in self.columns]


def is_styled(options: RenderOptions) -> bool:
    """Return whether colour or the width of a terminal may matter: only then is rich asked."""
    if not options.on_stdout:
        return False
    try:
        return sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR"))
    except (AttributeError, ValueError):  # closed
        return False


def terminal_width(options: RenderOptions) -> int | None:
    """Return the columns of the terminal that is written to, None for a file or a pipe."""
    if not options.on_stdout:
        return None
    try:
        if not sys.stdout.isatty():
            return None
        columns = os.environ.get("COLUMNS", "")
        if columns.isdecimal() and len(columns) < 5 and int(columns):
            return int(columns)
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (AttributeError, OSError, ValueError):  # closed
        return None


def paragraph(text: str, options: RenderOptions, word: str = "", style: str = "bold") -> str:
    """Return a sentence as a line; on a terminal `word` has a style, and lines break between words."""
    width = terminal_width(options)
    text = (text if width is None else wrap(text, width)) + "\n"
    start = text.index(word)
    stop = start + len(word)
    return f"{text[:start]}{styled(word, style, options)}{text[stop:]}" if word else text


def styled(text: str, style: str, options: RenderOptions) -> str:
    """Return `text` in a style ("bad", "good" or "bold") where colour is wanted."""
    if not is_styled(options):
        return text
    from rich.text import Text

    console = _console(options)
    with console.capture() as capture:
        console.print(Text(text, _STYLES[style]), end="", soft_wrap=True)
    return capture.get()


def table_text(table: Table, options: RenderOptions) -> str:
    """Return a table as lines, "" for one without rows."""
    if not table.rows:
        return ""
    rows = [[escape_line(cell) for cell in row] for row in table.rows]
    if is_styled(options) and len(rows) <= _RICH_ROWS_MAX:
        return _rich_table(table, rows, _console(options))
    cells = [table.titles, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [column.startswith(">") for column in table.columns]
    lines = []
    for row in cells:
        padded = (
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        )
        lines.append("  ".join(padded).rstrip() + "\n")
    return "".join(lines)


def _rich_table(table: Table, rows: Sequence[Sequence[str]], console: Console) -> str:
    from rich.table import Table as RichTable
    from rich.text import Text

    wide = (
        sum(max(map(len, column)) + 2 for column in zip(table.titles, *rows, strict=True)) - 2 > console.width
    )
    kept = [i for i, column in enumerate(table.columns) if not (wide and column.startswith("?"))]
    grid = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), collapse_padding=True)
    for i in kept:
        column = table.columns[i]
        grid.add_column(
            table.titles[i],
            justify="right" if column.startswith(">") else "left",
            no_wrap=not column.startswith("`"),
            overflow="fold",
        )
    for row in rows:
        grid.add_row(*(Text(row[i]) for i in kept))
    with console.capture() as capture:
        console.print(grid)
    return "".join(line.rstrip() + "\n" for line in capture.get().splitlines())


def _console(options: RenderOptions) -> Console:
    """Return standard output as rich sees it; as wide as it takes where no terminal breaks lines."""
    from rich.console import Console

    return Console(
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        width=terminal_width(options) or 10_000,
        highlight=False,
        markup=False,
        emoji=False,
    )
