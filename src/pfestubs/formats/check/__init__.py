# SPDX-License-Identifier: GPL-2.0-or-later
"""A verdict in words: the formats of `check`, and the sentences that they share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final

from pfestubs.formats.text import escape_line

if TYPE_CHECKING:
    from pfestubs.rules.check import CheckResult
    from pfestubs.rules.findings import Finding

FORMATS: Final = {
    "text": "pfestubs.formats.check.text",
    "json": "pfestubs.formats.check.json",
    "junit": "pfestubs.formats.check.junit",
    "sarif": "pfestubs.formats.check.sarif",
    "github": "pfestubs.formats.check.github",
}
"""Each format's module, with one public function `render(verdict, view)`; imported when it is used."""

SHOWN_OF_A_RULE: Final = 20
"""Findings of one rule that a format for people shows unless every one is asked for."""


@dataclass(frozen=True)
class RenderOptions:
    """How much to show: every finding, notes and tables as well (verbose), colour codes."""

    every: bool = False
    verbose: bool = False
    colour: bool = False


def render(verdict: CheckResult, format_: str, view: RenderOptions) -> str:
    """The whole document in one of `FORMATS`."""
    document: str = import_module(FORMATS[format_]).render(verdict, view)
    return document


def shown(findings: list[Finding], view: RenderOptions) -> tuple[list[Finding], Counter[str]]:
    """The findings to show, and how many more there are by rule."""
    seen: Counter[str] = Counter()
    kept = []
    for finding in findings:
        seen[finding.rule] += 1
        if view.every or seen[finding.rule] <= SHOWN_OF_A_RULE:
            kept.append(finding)
    more = Counter({rule: n - SHOWN_OF_A_RULE for rule, n in seen.items() if n > SHOWN_OF_A_RULE})
    return kept, Counter() if view.every else more


def summary(verdict: CheckResult) -> str:
    """The outcome in one sentence, without the file's name; counts, and bytes of headroom."""
    return (_failed(verdict) if verdict.errors else _ok(verdict)) + _against_baseline(verdict)


def _locations(verdict: CheckResult) -> str:
    return f"{verdict.locations:,} location{'' if verdict.locations == 1 else 's'}"


def _ok(verdict: CheckResult) -> str:
    sentence = f"ok: {_locations(verdict)} "
    if verdict.areas:
        uses = ", ".join(f"{area.name} {area.used:,} of {area.reserved:,}" for area in verdict.areas)
        sentence += f"served ({uses})"
    else:
        sentence += f"reach the tracer (layout {verdict.layout})"
    if verdict.headroom is not None:
        room = verdict.headroom
        sentence += f", headroom {room.bytes:,} bytes ({room.branch} branch of {escape_line(room.function)})"
    return sentence


def _failed(verdict: CheckResult) -> str:
    errors = verdict.errors
    counts = ", ".join(f"{rule} {n:,}" for rule, n in Counter(error.rule for error in errors).items())
    noun = "error" if len(errors) == 1 else "errors"
    sentence = f"failed: {len(errors):,} {noun} ({counts}), {_locations(verdict)}"
    if verdict.stops_at is not None:
        sentence += f"; at boot all tracing would end at {escape_line(verdict.stops_at)}"
    return sentence


def _against_baseline(verdict: CheckResult) -> str:
    baseline = verdict.demands.baseline
    if baseline is None:
        return ""
    sentence = (
        f"; against {escape_line(baseline.file)}: locations {verdict.locations - baseline.locations:+,}"
    )
    if baseline.headroom is not None and verdict.headroom is not None:
        sentence += f", headroom {verdict.headroom.bytes - baseline.headroom:+,} bytes"
    return sentence
