# SPDX-License-Identifier: GPL-2.0-or-later
"""Two kernels compared, as text: the figures, then the functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pfestubs.formats.diff import describe, function_label, rows, summary, total, without_names
from pfestubs.formats.terminal import paint, table
from pfestubs.formats.text import escape_line, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pfestubs.formats import RenderOptions
    from pfestubs.rules.analyses.diff import DiffResult, FunctionCount

SHOWN: Final = 20
"""Symbols shown of those added, and of those removed, without --all."""


def render(result: DiffResult, options: RenderOptions) -> Iterator[str]:
    """Yield the lines; a single one without differences."""
    old, new = escape_line(result.old.file), escape_line(result.new.file)
    if not result.same:
        for title, side in (("old", result.old), ("new", result.new)):
            yield f"{title}: {escape_line(side.file)} ({describe(side)})\n"
        if not result.same_kind:
            yield "the kernels are of different kinds: figures of different layouts mean different things\n"
        for line in table(("", ">old", ">new", ">change"), rows(result), colour=options.colour):
            yield line + "\n"
        yield from _functions("added", result.added, options)
        yield from _functions("removed", result.removed, options)
        reason = without_names(result)
        if reason:
            yield reason + "\n"
    yield f"{new}: {summary(result)}; compared with {old}\n"


def _functions(verb: str, functions: Sequence[FunctionCount] | None, options: RenderOptions) -> Iterator[str]:
    if not functions:
        return
    sign, style = ("+", "good") if verb == "added" else ("-", "bad")
    yield f"{plural(total(functions), 'location')} {verb}:\n"
    shown = functions if options.show_all else functions[:SHOWN]
    for function in shown:
        yield paint(f"  {sign} {function_label(function)}", style, colour=options.colour) + "\n"
    if len(functions) > len(shown):
        yield f"  ... and {len(functions) - len(shown):,} more (--all shows all)\n"
