# SPDX-License-Identifier: GPL-2.0-or-later
"""A boot log explained as the JSON document `pfestubs/explain/1`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pfestubs import __version__
from pfestubs.formats.explain import explain_summary, explanation_text
from pfestubs.formats.remedy import remedy_values
from pfestubs.formats.text import dump_json, hex_address
from pfestubs.model import EXPLAIN_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.rules.analyses.explain import ExplainResult, Explanation


def render(result: ExplainResult, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - JSON holds all
    """Yield the document."""
    yield dump_json(
        {
            "schema": EXPLAIN_SCHEMA,
            "file": result.file,
            "log": result.log,
            "failed": result.failed,
            "disables_ftrace": result.disables_ftrace,
            "contradicts": result.contradicts,
            "same_kernel": True if result.proved else None,
            "locations": result.entries,
            "stops_at": result.stops_at,
            "offset": None if result.offset is None else _signed(result.offset),
            "lines": result.lines,
            "boots": result.boots,
            "other_boots": result.other_boots,
            "omitted": result.omitted,
            "summary": explain_summary(result),
            "explanations": [_values(explanation) for explanation in result.explanations],
            "kernel": {"release": result.release, "banner": result.banner, "build_id": result.build_id},
            "pfestubs": __version__,
        }
    )


def _values(explanation: Explanation) -> dict[str, Any]:
    message, source, finding = explanation.message, explanation.message.source, explanation.finding
    code = None if message.code is None else message.code.address
    return {
        "line": message.line,
        "message": message.text,
        "kind": message.kind.value,
        "source": {
            "file": source.file,
            "functions": list(source.functions),
            "since": source.since or None,
            "until": source.until or None,
        },
        "rule": explanation.rule,
        "function": explanation.function,
        "location": None if explanation.location is None else hex_address(explanation.location),
        "logged_address": None if code is None else hex_address(code),
        "agrees": explanation.agrees,
        "comparison": explanation.comparison.value,
        "predicted": None
        if finding is None
        else {
            "rule": finding.rule,
            "function": finding.function,
            "location": None if finding.location is None else hex_address(finding.location),
            "distance": finding.distance,
            "limit": finding.limit,
        },
        "text": explanation_text(explanation),
        "remedy": remedy_values(explanation.remedy),
    }


def _signed(value: int) -> str:
    return f"-{hex_address(-value)}" if value < 0 else hex_address(value)
