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

    from rich.console import Console, JustifyMethod

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
    return options.on_stdout and (sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR")))


def terminal_width(options: RenderOptions) -> int | None:
    """Return the columns of the terminal that is written to, None for a file or a pipe."""
    if not (options.on_stdout and sys.stdout.isatty()):
        return None
    from shutil import get_terminal_size  # 5 ms

    return get_terminal_size().columns


def paragraph(text: str, options: RenderOptions, word: str = "", style: str = "bold") -> str:
    """Return a sentence as a line; on a terminal `word` has a style, and lines break between words."""
    text = wrap(text, terminal_width(options)) + "\n"
    return text.replace(word, styled(word, style, options), 1) if word else text


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
    rows.insert(0, table.titles)
    specs = [
        f"{'>' if title.startswith('>') else '<'}{max(map(len, cells))}"
        for title, *cells in zip(table.columns, *rows, strict=True)
    ]
    return "".join("  ".join(map(format, row, specs)).rstrip() + "\n" for row in rows)


def _rich_table(table: Table, rows: Sequence[Sequence[str]], console: Console) -> str:
    from rich.table import Table as RichTable
    from rich.text import Text

    widths = [max(map(len, column)) for column in zip(table.titles, *rows, strict=True)]
    is_narrow = sum(widths) + 2 * len(widths) - 2 > console.width
    kept = [i for i, column in enumerate(table.columns) if not (is_narrow and column.startswith("?"))]
    grid = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), collapse_padding=True)
    for i in kept:
        justify: JustifyMethod = "right" if table.columns[i].startswith(">") else "left"
        is_name = table.columns[i].startswith("`")
        grid.add_column(table.titles[i], justify=justify, no_wrap=not is_name, overflow="fold")
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
