# SPDX-License-Identifier: GPL-2.0-or-later
"""Two kernels compared, as a comment on a pull request: totals first, the functions folded.

GitHub takes 65,536 characters. Names come from the kernels and may hold anything: they stand where
CommonMark and GitHub read no markup, and no mentions, in code.
"""

from __future__ import annotations

import re
from html import escape as escape_html
from typing import TYPE_CHECKING, Final

from pfestubs.formats.diff import describe, function_label, rows, summary, total, without_names
from pfestubs.formats.text import escape_line, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pfestubs.formats import RenderOptions
    from pfestubs.model.figures import KernelFigures
    from pfestubs.rules.diff import DiffResult, FunctionCount

LIMIT: Final = 60_000
"""Characters of the document."""
_NAME_LIMIT: Final = 300
"""Characters of a file's name or a release."""


def render(result: DiffResult, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - always as much as fits
    """Yield the document, at most `LIMIT` characters."""
    head = _head(result)
    yield head
    if result.same:
        return
    lists = [(verb, f) for verb, f in (("added", result.added), ("removed", result.removed)) if f]
    room = LIMIT - len(head)
    # The shorter list first, for the share that it leaves; they are written in their own order.
    folded: dict[str, str] = {}
    for waiting, (verb, functions) in zip(
        range(len(lists), 0, -1), sorted(lists, key=lambda item: len(item[1])), strict=True
    ):
        folded[verb] = _folded(verb, functions, room // waiting)
        room -= len(folded[verb])
    for verb, _ in lists:
        yield folded[verb]


def _head(result: DiffResult) -> str:
    lines = [
        "### Out-of-line ftrace stubs",
        "",
        f"**{summary(result)[0].upper()}{summary(result)[1:]}.**",
        "",
    ]
    lines += [f"- {title}: {_side(side)}" for title, side in (("old", result.old), ("new", result.new))]
    if not result.same:
        if not result.same_kind:
            lines += [
                "",
                "The kernels are of different kinds: figures of different layouts mean different things.",
            ]
        lines += ["", "| | old | new | change |", "|---|---:|---:|---:|"]
        lines += [f"| {' | '.join(row)} |" for row in rows(result)]
        reason = without_names(result)
        if reason:
            lines += ["", f"{reason[0].upper()}{reason[1:]}."]
    return "\n".join(lines) + "\n"


def _side(figures: KernelFigures) -> str:
    return f"{_code(figures.file)} ({_code(describe(figures))})"


def _code(text: str) -> str:
    """Return `text` as a code span, cut at `_NAME_LIMIT` characters."""
    text = escape_line(text)
    if len(text) > _NAME_LIMIT:
        text = text[: _NAME_LIMIT - 3] + "..."
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    # One space on each side is not part of a code span that has them.
    return (
        f"{fence} {text} {fence}"
        if text.startswith(("`", " ")) or text.endswith(("`", " "))
        else f"{fence}{text}{fence}"
    )


def _folded(verb: str, functions: Sequence[FunctionCount], room: int) -> str:
    """Return a folded list of functions, as many as fit into `room` characters."""
    start = f"\n<details>\n<summary>{plural(total(functions), 'location')} {verb}</summary>\n\n<pre>\n"
    end = "</pre>\n\n</details>\n"
    lines = [escape_html(function_label(function)) + "\n" for function in functions]
    more = f"... and {len(lines):,} more\n"
    left = room - len(start) - len(end)
    if sum(map(len, lines)) > left:
        left -= len(more)
        kept = 0
        while left >= len(lines[kept]):
            left -= len(lines[kept])
            kept += 1
        lines[kept:] = [f"... and {len(lines) - kept:,} more\n"]
    return start + "".join(lines) + end
