# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan of the reserve as the JSON document `pfestubs/plan/1`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pfestubs.formats.findings import finding_message
from pfestubs.formats.text import dump_json, hex_address
from pfestubs.model import PLAN_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.rules.analyses.plan import Outcome, PlanResult


def render(result: PlanResult, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - JSON holds all
    """Yield the document; growth in bytes."""
    shrink, damage = result.shrink, result.damage
    yield dump_json(
        {
            "schema": PLAN_SCHEMA,
            "file": result.file,
            "layout": result.layout,
            "entries": result.entries,
            "reserve": result.reserve,
            "recommended": result.recommended,
            "working": [{"from": span[0], "to": span[-1]} for span in result.working],
            "damage": None if damage is None else {"rule": damage.rule, "message": finding_message(damage)},
            "shrink": None if shrink is None else {"bytes": shrink[0], "reserve": shrink[1]},
            "outcomes": [_outcome(outcome) for outcome in result.outcomes],
        }
    )


def _outcome(outcome: Outcome) -> dict[str, Any]:
    first = outcome.first
    return {
        "reserve": outcome.reserve,
        "grow": outcome.growth.bytes,
        "shape": outcome.growth.shape.value,
        "ok": outcome.ok,
        "unserved": outcome.unserved,
        "rule": outcome.rule,
        "first": None if first is None else {"function": first[0], "location": hex_address(first[1])},
        "headroom": outcome.headroom,
        "growth": {shape.value: limit.bytes for shape, limit in outcome.limits.items()},
        "beyond": {
            shape.value: None if limit.rule is None else {"rule": limit.rule, "function": limit.function}
            for shape, limit in outcome.limits.items()
        },
    }
