# SPDX-License-Identifier: GPL-2.0-or-later
"""`report` as one self-contained page: nothing is loaded, and only its own script and style may run."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs import __version__
from pfestubs.formats.check import causes, summary
from pfestubs.formats.findings import WORDS, finding_sentence
from pfestubs.formats.plan import plan_summary
from pfestubs.formats.remedy import remedy_details, remedy_sentence, setting_line
from pfestubs.formats.report import pictures, tables
from pfestubs.formats.templates import page_part, render_page
from pfestubs.formats.text import bytes_text, machine_words, size_text
from pfestubs.layouts import RESERVE_CONFIG
from pfestubs.model.findings import Action
from pfestubs.rules.analyses.conditions import GROWTH_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pfestubs.formats import RenderOptions
    from pfestubs.model.findings import Finding
    from pfestubs.rules.analyses.report import ReportResult

_NEAR: Final = 8 << 20
"""Bytes: the lines of distances within them look flat."""
_FLAT: Final = 0.9
"""The share of the most growth that all reserves leave where the curve looks flat."""


class Verdict(NamedTuple):
    """The top of the page: the outcome, what fails (or would fail) first, what to do, and what is left."""

    summary: str
    first: str
    remedy: str
    setting: str
    room: str


class FindingGroup(NamedTuple):
    """The findings of one cause that are shown, and how many there are."""

    rule: str
    severity: str
    description: str
    total: int
    sentences: Sequence[str]


def render(result: ReportResult, options: RenderOptions) -> Iterator[str]:
    """Yield the page; with `show_all` with every finding."""
    style, script = page_part("report.css"), page_part("report.js")
    plan, curve, older = result.plan, result.curve, result.older
    damage = plan.damage if plan else None
    values: dict[str, object] = {
        "style": style,
        "script": script,
        "style_hash": _hash(style),
        "script_hash": _hash(script),
        "version": __version__,
        "result": result,
        "check": result.check,
        "identity": result.check.kernel,
        "machine": ", ".join(machine_words(result.check.kernel)[:-1]),
        "kernel": result.kernel,
        "older": older,
        "plan": None if damage else plan,
        "verdict": _verdict(result),
        "lacking": pictures.lacking(result.kernel),
        "series_text": pictures.series_text,
        "damage": damage and finding_sentence(damage),
        "groups": _groups(result.check.findings, options),
        "setting": RESERVE_CONFIG,
        "curve_figures": plan and curve and tables.curve_figures(curve, plan.reserve or 0),
        "compared": older and tables.compared(result.kernel, older),
        "notes": {"distances": _about_distances(result), "growth": _about_growth(result)},
    }
    yield render_page("report.html.j2", values | _pictures(result) | tables.HELPERS)


def outcome(result: ReportResult) -> str:
    """Return the outcome in one sentence without the file: that of the check, or too little growth."""
    if result.plan is not None and result.check.ok and not result.ok:
        return plan_summary(result.plan)
    return summary(result.check)


def _pictures(result: ReportResult) -> dict[str, object]:
    kernel, older, plan = result.kernel, result.older, result.plan
    return {
        "map": pictures.draw_map(kernel),
        "profile": pictures.draw_profile(kernel, failed=not result.check.ok),
        "old_profile": older and pictures.draw_profile(older, failed=bool(older.without)),
        "growth": pictures.draw_growth(plan, result.curve) if plan and result.curve else None,
    }


def _hash(part: str) -> str:
    """Return the source expression by which a content security policy permits `part`."""
    return f"sha256-{b64encode(sha256(part.encode()).digest()).decode()}"


def _verdict(result: ReportResult) -> Verdict:
    check = result.check
    words = outcome(result).partition(": ")[2]
    if check.ok:
        return Verdict(words, _next_failure(result), "", "", _room(result))
    first = check.errors[0]
    if check.stops_at is not None:
        first = next((error for error in check.errors if error.location == result.kernel.stop), first)
    remedy = next((error.remedy for error in (first, *check.errors) if error.remedy is not None), None)
    todo = setting = ""
    if remedy is not None:
        setting = setting_line(remedy) or ""
        todo = remedy_sentence(remedy)
        todo = f"{todo[:1].upper()}{todo[1:]}."
        if setting:
            verb = "lowers" if remedy.action is Action.LOWER_RESERVE else "raises"
            linked = result.plan.reserve if result.plan and result.plan.reserve else 0
            command, *reasons = remedy_details(remedy)
            why = "".join(f" Why {remedy.value:,}: {reason}." for reason in reasons)
            todo = f"This {verb} the reserve from {linked:,}; as a command: {command}."
            todo = f"{todo} Link the kernel again.{why}"
    return Verdict(words, f"{first.rule}: {finding_sentence(first)}.", todo, setting, _room(result))


def _room(result: ReportResult) -> str:
    """Return how much text can grow as linked, or what it must lose."""
    plan = result.plan
    if plan is None or plan.damage:
        return ""
    linked = plan.outcomes[0]
    if linked.ok:
        if plan.growth is None:
            return ""
        size = "without a limit" if plan.growth == GROWTH_MAX else f"by {bytes_text(plan.growth)}"
        required = "" if plan.required is None else f" Required are {bytes_text(plan.required[0])}."
        return f"Text can grow {size}, wherever it is added.{required}"
    losses = [
        f"{bytes_text(-limit.bytes)} {tables.shape_words(plan, shape)}"
        for shape, limit in linked.limits.items()
        if limit.bytes is not None and limit.bytes < 0
    ]
    sizes = {limit.bytes for limit in linked.limits.values() if limit.works}
    if not losses:
        return "None: a function gets no working stub, and no loss of text alone changes that."
    if len(losses) == len(linked.limits) and len(sizes) == 1:
        losses = [f"{bytes_text(-(sizes.pop() or 0))}, wherever"]
    return f"None: as linked, text must lose {', or '.join(losses)}."


def _next_failure(result: ReportResult) -> str:
    """Return with how much growth a healthy kernel would first fail, and how."""
    plan = result.plan
    limits = plan.outcomes[0].limits if plan and plan.outcomes else {}
    found = [
        (limit.bytes, shape, limit)
        for shape, limit in limits.items()
        if limit.works and limit.bytes is not None
    ]
    if plan is None or not found:
        return ""
    size, shape, limit = min(found, key=lambda entry: entry[0])
    return (
        f"With more than {bytes_text(size)} of text added {tables.shape_words(plan, shape)},"
        f" {limit.function} would be the first to fail ({limit.rule})."
    )


def _about_distances(result: ReportResult) -> str:
    """Return what the distances of a healthy kernel mean."""
    kernel = result.kernel
    if not result.check.ok or kernel.extremes is None:
        return ""
    farthest = max(map(abs, kernel.extremes))
    target = "the tracer" if pictures.lacking(kernel) == "call" else "its stub"
    words = f"All lines are between the limits: no function is more than {size_text(farthest)} from {target}."
    return f"{words} Lines as flat as these are good: nothing is near a limit." if farthest < _NEAR else words


def _about_growth(result: ReportResult) -> str:
    """Return what a flat curve of growth means."""
    least = [min(point.growth.values(), default=0) for point in (result.curve.points if result.curve else ())]
    working = [growth for growth in least if growth]
    if working and min(working) >= _FLAT * max(working):
        return "A flat line is good: it makes little difference which of these reserves is set."
    return ""


def _groups(findings: Sequence[Finding], options: RenderOptions) -> Sequence[FindingGroup]:
    groups = []
    for cause in causes(findings, options):
        rule, severity = cause.shown[0].rule, cause.shown[0].severity
        sentences = [finding_sentence(finding) for finding in cause.shown]
        total = len(sentences) + cause.more
        groups.append(FindingGroup(rule, severity, WORDS[rule].expected, total, sentences))
    return sorted(groups, key=lambda group: group.severity)
