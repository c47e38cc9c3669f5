# SPDX-License-Identifier: GPL-2.0-or-later
"""Two kernels compared, as a comment on a pull request: totals first, the functions folded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfestubs.formats.diff import describe, function_label, rows, summary, total, without_names
from pfestubs.formats.markdown import LIMIT, FoldedList, code, folded_lists, sentence, table
from pfestubs.formats.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.model.figures import KernelFigures
    from pfestubs.rules.analyses.diff import DiffResult


def render(result: DiffResult, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - always as much as fits
    """Yield the document, at most `LIMIT` characters."""
    head = _head(result)
    yield head
    if result.same:
        return
    lists = [
        FoldedList(f"{plural(total(functions), 'location')} {verb}", list(map(function_label, functions)))
        for verb, functions in (("added", result.added), ("removed", result.removed))
        if functions
    ]
    yield from folded_lists(lists, LIMIT - len(head))


def _head(result: DiffResult) -> str:
    lines = [
        "### Out-of-line ftrace stubs",
        "",
        f"**{sentence(summary(result))}**",
        "",
    ]
    lines += [f"- {title}: {_side(side)}" for title, side in (("old", result.old), ("new", result.new))]
    if not result.same:
        if not result.same_kind:
            lines += [
                "",
                "The kernels are of different kinds: figures of different layouts mean different things.",
            ]
        lines += ["", *table(("", ">old", ">new", ">change"), rows(result))]
        reason = without_names(result)
        if reason:
            lines += ["", sentence(reason)]
    return "\n".join(lines) + "\n"


def _side(figures: KernelFigures) -> str:
    return f"{code(figures.file)} ({code(describe(figures))})"
