# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan of the reserve as text: what to do, the growth of the reserves compared, what was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pfestubs.formats.plan import plan_summary
from pfestubs.formats.terminal import area_map, paint, table
from pfestubs.formats.text import escape_line, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pfestubs.formats import RenderOptions
    from pfestubs.rules.analyses.plan import GrowthLimit, Outcome, PlanResult

_LIMIT_TITLES: Final = ("reserve", "text added", ">bytes until it fails", "then fails", "function")
_ASKED_TITLES: Final = (
    "reserve",
    ">growth",
    "text added",
    ">headroom",
    ">without stub",
    "first function",
    "rule",
)
_ASSUMED: Final = (
    "early: directly after the reserve; even: spread over the text after it; late: after the last function.",
    "Assumed: link order and alignment stay, init text starts at a boundary of its own. Reserves are exact;",
    "growth is exact to a few KiB, since linkers add branch stubs to more than 32 MiB of text.",
)


def render(result: PlanResult, options: RenderOptions) -> Iterator[str]:
    """Yield the lines."""
    summary, rest = plan_summary(result).split(":", 1)
    summary = paint(f"{summary}:", "good" if result.ok else "bad", colour=options.colour)
    yield f"{escape_line(result.file)}: {summary}{rest}\n"
    if result.reserve is not None:
        spans = ", ".join(_span(span) for span in result.working) or "none"
        yield f"Reserves with which every function gets a working stub: {spans}\n"
    usual, asked = _split(result)
    if options.width is not None:
        yield "\n"
        for line in area_map(result.address_map, options.width):
            yield line + "\n"
    yield "\n"
    for line in table(_LIMIT_TITLES, _limits(usual, result), colour=options.colour):
        yield line + "\n"
    if asked:
        yield "\n"
        for line in table(_ASKED_TITLES, [_row(outcome, result) for outcome in asked], colour=options.colour):
            yield line + "\n"
    yield "\n"
    for line in _ASSUMED:
        yield line + "\n"


def _span(span: range) -> str:
    return f"{span[0]:,}" if len(span) == 1 else f"{span[0]:,} to {span[-1]:,}"


def _split(result: PlanResult) -> tuple[Sequence[Outcome], Sequence[Outcome]]:
    usual = len(result.outcomes) - result.asked
    return result.outcomes[:usual], result.outcomes[usual:]


def _limits(outcomes: Sequence[Outcome], result: PlanResult) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for outcome in outcomes:
        name = _reserve(outcome, result)
        for shape, limit in outcome.limits.items():
            function = "" if limit.function is None else escape_line(limit.function)
            rows.append((name, shape.value, _limit(limit), limit.rule or "", function))
            name = ""
    return rows


def _limit(limit: GrowthLimit) -> str:
    if not limit.works:
        return "never works"
    return "no limit" if limit.bytes is None else f"{limit.bytes:,}"


def _reserve(outcome: Outcome, result: PlanResult) -> str:
    if outcome.reserve is None:
        return "none"
    notes = [
        note
        for reserve, note in ((result.reserve, "as linked"), (result.recommended, "recommended"))
        if outcome.reserve == reserve
    ]
    return f"{outcome.reserve:,}" + (f" ({', '.join(notes)})" if notes else "")


def _row(outcome: Outcome, result: PlanResult) -> tuple[str, ...]:
    function, _ = outcome.first or ("", 0)
    return (
        _reserve(outcome, result),
        f"{outcome.growth.bytes:,}",
        outcome.growth.shape.value,
        "" if outcome.headroom is None else f"{outcome.headroom:,}",
        plural(outcome.unserved, "function") if outcome.unserved else "none",
        escape_line(function),
        outcome.rule or "",
    )
