# SPDX-License-Identifier: GPL-2.0-or-later
"""Markdown as GitHub and GitLab read it, safe with any name from a kernel.

Names may hold anything. They are written where CommonMark reads no markup and no mentions: in code spans,
and in `<pre>` as HTML.
"""

from __future__ import annotations

import re
from html import escape as escape_html
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.formats.text import escape_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pfestubs.formats.tables import Table

LIMIT: Final = 60_000
"""Characters of a document: GitHub takes 65,536 in a comment."""
_NAME_LIMIT: Final = 300
"""Characters of a name: of a file, a release, a function."""
_LINE_LIMIT: Final = 2_000
"""Characters of a line in a folded list."""


class FoldedList(NamedTuple):
    """A list of plain text to fold: its title, its lines, and how many more there are than those lines."""

    title: str
    lines: Sequence[str]
    more: int = 0


def code(text: str) -> str:
    """Return `text` as a code span, cut at 300 characters."""
    text = _cut(escape_line(text), _NAME_LIMIT)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    # One space on each side is not part of a code span that has them.
    return (
        f"{fence} {text} {fence}"
        if text.startswith(("`", " ")) or text.endswith(("`", " "))
        else f"{fence}{text}{fence}"
    )


def sentence(text: str) -> str:
    """Return a clause as a sentence: the first letter upper case, a full stop at the end."""
    return f"{text[:1].upper()}{text[1:]}."


def table_block(table: Table) -> str:
    """Return a table; "|" ends a cell even in code."""
    rules = ["---:" if column.startswith(">") else "---" for column in table.columns]
    lines = [f"| {' | '.join(table.titles)} |", f"|{'|'.join(rules)}|"]
    for row in table.rows:
        cells = (
            code(cell).replace("|", "\\|") if column.startswith("`") and cell else cell
            for column, cell in zip(table.columns, row, strict=True)
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def document(blocks: Iterable[str], lists: Sequence[FoldedList]) -> Iterator[str]:
    """Yield paragraphs and tables, then each list folded, together at most `LIMIT` characters."""
    head = "\n\n".join(blocks) + "\n"
    yield head
    folded, room = [""] * len(lists), LIMIT - len(head)
    shortest_first = sorted(range(len(lists)), key=lambda i: sum(map(len, lists[i].lines)))
    # A short list leaves its share to longer ones.
    for waiting, i in zip(range(len(lists), 0, -1), shortest_first, strict=True):
        folded[i] = _folded(lists[i], room // waiting)
        room -= len(folded[i])
    yield from folded


def _folded(listed: FoldedList, room: int) -> str:
    """Return the first lines of a list that fit into `room` characters, and how many more there are."""
    start = f"\n<details>\n<summary>{escape_html(escape_line(listed.title))}</summary>\n\n<pre>\n"
    end = "</pre>\n\n</details>\n"
    lines = [escape_html(_cut(escape_line(line), _LINE_LIMIT)) + "\n" for line in listed.lines]
    left = room - len(start) - len(end)
    if listed.more or sum(map(len, lines)) > left:
        total = len(lines) + listed.more
        left -= len(f"... and {total:,} more\n")
        kept = 0
        while kept < len(lines) and left >= len(lines[kept]):
            left -= len(lines[kept])
            kept += 1
        lines[kept:] = [f"... and {total - kept:,} more\n"]
    return start + "".join(lines) + end


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
