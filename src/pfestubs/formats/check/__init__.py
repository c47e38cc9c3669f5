# SPDX-License-Identifier: GPL-2.0-or-later
"""The result of `check`, one module per format; here is what they share."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from pfestubs.formats.remedy import remedy_sentence
from pfestubs.formats.text import escape_line, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pfestubs.formats import RenderOptions
    from pfestubs.rules.check.check import CheckResult
    from pfestubs.rules.check.findings import Finding

SHOWN_PER_RULE: Final = 20
"""Findings shown per rule in human-readable output without --all."""


def shown(findings: Sequence[Finding], options: RenderOptions) -> tuple[list[Finding], Counter[str]]:
    """Return the findings to show, and how many more there are by rule."""
    seen: Counter[str] = Counter()
    kept = []
    for finding in findings:
        seen[finding.rule] += 1
        if options.show_all or seen[finding.rule] <= SHOWN_PER_RULE:
            kept.append(finding)
    more = Counter({rule: n - SHOWN_PER_RULE for rule, n in seen.items() if n > SHOWN_PER_RULE})
    return kept, Counter() if options.show_all else more


def summary(result: CheckResult, name: Callable[[str], str] = escape_line) -> str:
    """Return the outcome in one sentence, without the file's name; counts, and bytes of headroom.

    `name` writes names from files as the format needs it.
    """
    return (_failed(result, name) if result.errors else _ok(result, name)) + _against_baseline(result, name)


def first_remedy(result: CheckResult) -> str:
    """Return the remedy of the first error that has one, "" without any."""
    return next((remedy_sentence(error.remedy) for error in result.errors if error.remedy), "")


def _ok(result: CheckResult, name: Callable[[str], str]) -> str:
    functions = plural(result.locations, "function")
    every = functions if result.locations == 1 else f"all {functions}"
    if result.areas:
        verb = "gets" if result.locations == 1 else "get"
        uses = ", ".join(f"{use.area.name} {use.used:,} of {use.area.count:,}" for use in result.areas)
        sentence = f"ok: {every} {verb} a working stub ({uses})"
    else:
        verb = "reaches" if result.locations == 1 else "reach"
        sentence = f"ok: {every} {verb} the tracer (layout {result.layout})"
    if result.headroom is not None:
        room = result.headroom
        sentence += f", headroom {room.bytes:,} bytes ({room.branch} branch of {name(room.function)})"
    return sentence


def _failed(result: CheckResult, name: Callable[[str], str]) -> str:
    errors = result.errors
    counts = ", ".join(f"{rule} {n:,}" for rule, n in Counter(error.rule for error in errors).items())
    locations = plural(result.locations, "location")
    sentence = f"failed: {plural(len(errors), 'error')} ({counts}), {locations}"
    if result.stops_at is not None:
        sentence += f"; ftrace would be disabled at boot, at {name(result.stops_at)}"
    return sentence


def _against_baseline(result: CheckResult, name: Callable[[str], str]) -> str:
    baseline = result.options.baseline
    if baseline is None:
        return ""
    sentence = f"; against {name(baseline.file)}: locations {result.locations - baseline.locations:+,}"
    if baseline.headroom is not None and result.headroom is not None:
        sentence += f", headroom {result.headroom.bytes - baseline.headroom:+,} bytes"
    return sentence
