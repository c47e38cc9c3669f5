# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan of the reserve: what to do, the reserves compared, what was asked; JSON is `pfestubs/plan/1`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pfestubs.formats.address_map import text_sentence
from pfestubs.formats.findings import LITTLE_GROWTH, config_command, finding_message, remedy_sentence
from pfestubs.formats.markdown import sentence
from pfestubs.formats.tables import SCREEN, Table, paragraph, table_text, terminal_width
from pfestubs.formats.text import (
    bytes_text,
    dump_json,
    escape_line,
    growth_left,
    hex_address,
    keys_of,
    plural,
    size_text,
)
from pfestubs.layouts import RESERVE_CONFIG
from pfestubs.model.findings import Action

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pfestubs.formats import RenderOptions
    from pfestubs.rules.analyses.plan import PlanResult
    from pfestubs.rules.analyses.planner import Outcome

_LIMIT_TITLES: Final = ("added", ">bytes until it fails", "?then fails", "`function")
_ASKED_TITLES: Final = ("reserve", ">added", "where", ">headroom", ">no stub", "`first function", "?rule")
_WHERE: Final = "early: after the reserve; even: spread over text; late: after the last function."


def render_text(result: PlanResult, options: RenderOptions) -> Iterator[str]:
    """Yield the lines; the first one again at the end if it has scrolled away."""
    state, style = ("ok:", "good") if result.ok else ("failed:", "bad")
    file = escape_line(result.kernel.file)
    verdict = paragraph(f"{file}: {plan_summary(result)}", options, state, style)
    lines = verdict + "".join(_body(result, options))
    yield lines
    if terminal_width(options) is not None and lines.count("\n") >= SCREEN:
        yield verdict


def _body(result: PlanResult, options: RenderOptions) -> Iterator[str]:
    for detail in _recommendation(result):
        yield paragraph(f"    {detail}", options)
    if result.text is None:
        return
    if result.reserve is not None:
        working = working_words(result)
        yield paragraph(f"Reserves with which every function gets a working stub: {working}", options)
    yield paragraph(sentence(text_sentence(result.text)), options)
    usual = len(result.outcomes) - result.asked
    for outcome in result.outcomes[:usual]:
        yield f"\nReserve {reserve_words(result, outcome)}:\n"
        limits = [
            (
                shape.value,
                growth_left(limit.bytes, "no limit") if limit.works else "never works",
                limit.rule or "",
                limit.function or "",
            )
            for shape, limit in outcome.limits.items()
        ]
        yield table_text(Table(_LIMIT_TITLES, limits), options)
    if result.asked:
        asked = [
            (
                reserve_words(result, outcome),
                size_text(outcome.growth.bytes),
                outcome.growth.shape.value,
                "none" if outcome.headroom is None else size_text(outcome.headroom),
                f"{outcome.unserved:,}" if outcome.unserved else "none",
                outcome.first[0] if outcome.first else "",
                outcome.rule or "",
            )
            for outcome in result.outcomes[usual:]
        ]
        yield "\n" + table_text(Table(_ASKED_TITLES, asked), options)
    yield f"\n{_WHERE}\n"


def render_json(result: PlanResult, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - JSON holds all
    """Yield the document; growth in bytes."""
    shrink, damage, required = result.shrink, result.damage, None
    if result.required is not None:
        size, shape = result.required
        required = {"growth": size, "shape": shape and shape.value, "left": result.growth, "ok": result.ok}
    yield dump_json(
        {
            "schema": "pfestubs/plan/1",
            **keys_of(result.kernel, "file layout"),
            **keys_of(result, "entries reserve recommended"),
            "working": [{"from": span[0], "to": span[-1]} for span in result.working],
            "damage": None if damage is None else {"rule": damage.rule, "message": finding_message(damage)},
            "shrink": None if shrink is None else {"bytes": shrink[0], "reserve": shrink[1]},
            "outcomes": [_outcome(outcome) for outcome in result.outcomes],
            "required": required,
        }
    )


def plan_summary(result: PlanResult) -> str:
    """Return what to do in one sentence, without the file's name."""
    if result.damage is not None:
        first = f"{result.damage.rule}: {finding_message(result.damage)}"
        return f"failed: {first}; fix this first (see pfestubs check)"
    if result.boots and not result.ok and result.required is not None:
        size, shape = result.required
        place = "" if shape is None else f" ({shape.value})"
        return f"failed: at least {bytes_text(size)} of growth{place} are required; {_advice(result)}"
    advice = _advice(result)
    return advice if advice.startswith("failed") else f"ok: {advice}"


def working_words(result: PlanResult) -> str:
    """Return the reserves that work, and where it is not so for the linked one, what that takes."""
    spans = [f"{s[0]:,}" if len(s) == 1 else f"{s[0]:,} to {s[-1]:,}" for s in result.working]
    again = not result.boots and any(result.reserve in span for span in result.working)
    return (", ".join(spans) or "none") + (", once the areas are generated again" if again else "")


def _advice(result: PlanResult) -> str:
    linked, remedy = result.outcomes[0], result.remedy
    growth = growth_words(linked.least_growth)
    if remedy is not None and (result.reserve is None or remedy.action is Action.REGENERATE_AREAS):
        return f"{_failed(linked)}; {remedy_sentence(remedy)}"
    if result.reserve is None:
        return f"text can grow by {growth}; layout {result.kernel.layout} has no reserve to set"
    if result.recommended is None:
        failed = f"{_failed(linked)}; no reserve changes that"
        if result.shrink is None:
            return f"{failed}; {remedy_sentence(remedy)}" if remedy else failed
        less = f"remove {bytes_text(result.shrink[0])} of text, spread evenly"
        return f"{failed}: {less}, and set {RESERVE_CONFIG}={result.shrink[1]}"
    setting = f"{RESERVE_CONFIG}={result.recommended}"
    best = growth_words(_recommended_outcome(result).least_growth)
    if not linked.ok:
        return f"{_failed(linked)}; set {setting} in .config and link again: text can then grow by {best}"
    if result.recommended == result.reserve:
        return f"keep {setting}: no other reserve allows more; text can grow by {growth}"
    return f"text can grow by {growth}; with {setting} in .config, by {best}"


def _recommendation(result: PlanResult) -> Sequence[str]:
    """Return the command that sets the recommended reserve, and where less text is the only help, that."""
    if result.recommended is None or (result.remedy and result.remedy.action is Action.REGENERATE_AREAS):
        return []
    keep, left = result.recommended == result.reserve, _recommended_outcome(result).least_growth
    lines = [] if keep else [config_command(RESERVE_CONFIG, result.recommended)]
    if left is not None and 0 <= left < LITTLE_GROWTH:
        lines.append("no reserve leaves more room to grow: only less text does")
    return lines


def _recommended_outcome(result: PlanResult) -> Outcome:
    """Return the outcome of the recommended reserve, that of the linked one if there is none."""
    usual = result.outcomes[: len(result.outcomes) - result.asked]
    return next((o for o in usual if o.reserve == result.recommended), usual[0])


def growth_words(growth: int | None) -> str:
    """Return a growth for a sentence: "23,783,196 bytes (22.7 MiB) wherever it is added"."""
    if growth is None or growth < 0:
        return "nothing"
    return "more than 1 GiB" if growth > 1 << 30 else f"{bytes_text(growth)} wherever it is added"


def _failed(outcome: Outcome) -> str:
    functions = plural(outcome.unserved, "function gets", "functions get")
    first = f", the first is {escape_line(outcome.first[0])} ({outcome.rule})" if outcome.first else ""
    return f"failed: {functions} no working stub{first}"


def reserve_words(result: PlanResult, outcome: Outcome) -> str:
    """Return the reserve of an outcome, and what it is."""
    if outcome.reserve is None:
        return "none"
    known = ((result.reserve, "as linked"), (result.recommended, "recommended"))
    notes = [note for reserve, note in known if outcome.reserve == reserve]
    return f"{outcome.reserve:,}" + (f" ({', '.join(notes)})" if notes else "")


def _outcome(outcome: Outcome) -> dict[str, Any]:
    first = outcome.first
    return {
        **keys_of(outcome, "reserve ok unserved rule headroom"),
        "grow": outcome.growth.bytes,
        **keys_of(outcome.growth, "shape"),
        "first": None if first is None else {"function": first[0], "location": hex_address(first[1])},
        "growth": {shape.value: limit.bytes for shape, limit in outcome.limits.items()},
        "beyond": {
            shape.value: None if limit.rule is None else keys_of(limit, "rule function")
            for shape, limit in outcome.limits.items()
        },
    }
