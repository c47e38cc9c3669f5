# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan of the reserve, one module per format; here is what they share."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from pfestubs.formats.findings import finding_message
from pfestubs.formats.text import plural
from pfestubs.layouts import RESERVE_CONFIG

if TYPE_CHECKING:
    from pfestubs.rules.analyses.plan import Outcome, PlanResult


def plan_summary(result: PlanResult) -> str:
    """Return what to do in one sentence, without the file's name."""
    if result.damage is not None:
        first = f"{result.damage.rule}: {finding_message(result.damage)}"
        return f"failed: {first}; the plan assumes that this is fixed; see pfestubs check"
    linked = result.outcomes[0]
    growth = growth_words(smallest_growth(linked))
    if result.reserve is None:
        state = "ok" if linked.ok else _failed(linked)
        return f"{state}: layout {result.layout} has no reserve to set; text can grow by {growth}"
    if result.recommended is None:
        return f"{_failed(linked)}; {_hopeless(result)}"
    setting = f"{RESERVE_CONFIG}={result.recommended}"
    best = growth_words(smallest_growth(recommended_outcome(result)))
    if not linked.ok:
        return f"{_failed(linked)}; set {setting} in .config and link again: text can then grow by {best}"
    if result.recommended == result.reserve:
        return f"ok: keep {setting}: no other reserve allows more; text can grow by {growth}"
    return f"ok: text can grow by {growth}; with {setting} in .config, by {best}"


def recommended_outcome(result: PlanResult) -> Outcome:
    """Return the outcome of the recommended reserve, that of the linked one if there is none."""
    usual = result.outcomes[: len(result.outcomes) - result.asked]
    return next((o for o in usual if o.reserve == result.recommended), usual[0])


def smallest_growth(outcome: Outcome) -> float:
    """Return the bytes that can be added anywhere in text: inf without a limit, -inf if none works."""
    limits = outcome.limits.values()
    if not all(limit.works for limit in limits):
        return -inf
    return min(inf if limit.bytes is None else limit.bytes for limit in limits)


def growth_words(growth: float) -> str:
    """Return a growth for a sentence: "23,783,196 bytes wherever it is added"."""
    if growth == inf:
        return "any number of bytes"
    return "nothing" if growth < 0 else f"{int(growth):,} bytes wherever it is added"


def _failed(outcome: Outcome) -> str:
    functions = plural(outcome.unserved, "function gets", "functions get")
    return f"failed: {functions} no working stub"


def _hopeless(result: PlanResult) -> str:
    if result.shrink is None:
        return "no reserve changes that; see pfestubs check"
    size, reserve = result.shrink
    return (
        f"no reserve changes that; text must become smaller by {size:,} bytes, evenly, and {RESERVE_CONFIG}"
        f"={reserve} be set"
    )
