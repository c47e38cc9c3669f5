# SPDX-License-Identifier: GPL-2.0-or-later
"""`report` as one self-contained page: nothing is loaded, and only its own script and style may run."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs import __version__
from pfestubs.formats.address_map import part_label
from pfestubs.formats.check import causes, summary
from pfestubs.formats.findings import WORDS, finding_sentence
from pfestubs.formats.remedy import remedy_sentence
from pfestubs.formats.report import pictures
from pfestubs.formats.templates import page_part, render_page
from pfestubs.formats.text import machine_words, size_text
from pfestubs.layouts import RESERVE_CONFIG, AreaRole
from pfestubs.model.findings import Action
from pfestubs.rules.analyses.report import BINS, CALLS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pfestubs.formats import RenderOptions
    from pfestubs.model.findings import Finding
    from pfestubs.rules.analyses.plan import GrowthLimit, PlanResult
    from pfestubs.rules.analyses.relink import GrowthShape
    from pfestubs.rules.analyses.report import OlderKernel, ReportResult

_SHAPES: Final = {
    "early": "in one piece, directly after area text",
    "even": "spread evenly over the text",
    "late": "in one piece, after the last function",
}
_SHAPES_WITHOUT_RESERVE: Final = {**_SHAPES, "early": "in one piece, at the start of the text"}


_SERVES: Final = {
    AreaRole.RESERVE.value: "text, while its next stub is in range",
    AreaRole.END.value: "text that the reserve does not serve",
    AreaRole.INIT.value: "init text",
}
_COLUMNS: Final = (
    ("Function", False, False),
    ("Headroom", True, False),
    ("Branch", False, False),
    ("Distance", True, False),
    ("Area", False, True),
    ("Index", True, True),
    ("Location", False, False),
    ("Stub", False, True),
)
"""Columns of the tightest functions: title, whether of numbers, whether only kernels with stubs have it."""


class Verdict(NamedTuple):
    """The top of the page: the outcome, what fails (or would fail) first, and what to do."""

    ok: bool
    summary: str
    first: str
    remedy: str
    setting: str


class GrowthRow(NamedTuple):
    """How much text can be added in one place, and what fails with more."""

    reserve: str
    where: str
    room: str
    failing: bool
    bytes: int | None
    beyond: str


class FindingGroup(NamedTuple):
    """The findings of a rule that are shown, and how many there are."""

    rule: str
    severity: str
    description: str
    total: int
    sentences: Sequence[str]


def render(result: ReportResult, options: RenderOptions) -> Iterator[str]:
    """Yield the page; with `show_all` with every finding."""
    style, script = page_part("report.css"), page_part("report.js")
    check, plan, older = result.check, result.plan, result.older
    yield render_page(
        "report.html.j2",
        {
            "style": style,
            "script": script,
            "style_hash": _hash(style),
            "script_hash": _hash(script),
            "version": __version__,
            "result": result,
            "check": check,
            "plan": plan,
            "machine": ", ".join(machine_words(check.kernel)[:-1]),
            "verdict": _verdict(result),
            "map": pictures.draw_map(result),
            "histogram": pictures.draw_histogram(result),
            "profile": pictures.draw_profile(result),
            "reserves": pictures.draw_reserves(plan) if plan and plan.reserve is not None else None,
            "roles": pictures.roles(result),
            "calls": CALLS,
            "lacking": pictures.lacking(result),
            "bin_text": pictures.bin_text,
            "part_label": part_label,
            "growth": list(_growth(plan)) if plan else [],
            "groups": _groups(check.findings, options),
            "setting": RESERVE_CONFIG,
            "serves": _SERVES,
            "bins": BINS + 2,
            "totals": pictures.bin_totals(result.histogram),
            "old_totals": pictures.bin_totals(older.histogram) if older else (),
            "comparison": list(_comparison(result, older)) if older else [],
            "columns": [(label, right) for label, right, stub in _COLUMNS if check.areas or not stub],
        },
    )


def _hash(part: str) -> str:
    """Return the source expression by which a content security policy permits `part`."""
    return f"sha256-{b64encode(sha256(part.encode()).digest()).decode()}"


def _verdict(result: ReportResult) -> Verdict:
    check = result.check
    if check.ok:
        return Verdict(ok=True, summary=summary(check), first=_next_failure(result), remedy="", setting="")
    first = check.errors[0]
    if check.stops_at is not None:
        first = next((error for error in check.errors if error.location == result.stop), first)
    remedy = next((error.remedy for error in (first, *check.errors) if error.remedy is not None), None)
    todo, setting = "", ""
    if remedy is not None:
        todo = _sentence_case(remedy_sentence(remedy))
        if remedy.config is not None:
            setting = f"{remedy.config}={remedy.value}"
            verb = "lowers" if remedy.action is Action.LOWER_RESERVE else "raises"
            linked = result.plan.reserve if result.plan and result.plan.reserve else 0
            todo = f"This {verb} the reserve from {linked:,}. Link the kernel again."
    return Verdict(
        ok=False,
        summary=summary(check),
        first=f"{first.rule}: {finding_sentence(first)}.",
        remedy=todo,
        setting=setting,
    )


def _sentence_case(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _next_failure(result: ReportResult) -> str:
    """Return with how much growth a healthy kernel would first fail, and how."""
    plan = result.plan
    limits = plan.outcomes[0].limits if plan else {}
    found = [
        (limit.bytes, shape, limit)
        for shape, limit in limits.items()
        if limit.works and limit.bytes is not None
    ]
    if plan is None or not found:
        return ""
    size, shape, limit = min(found, key=lambda entry: entry[0])
    return (
        f"With more than {size:,} bytes ({size_text(size)}) of text added {_where(plan, shape)},"
        f" {limit.function} would be the first to fail ({limit.rule})."
    )


def _where(plan: PlanResult, shape: GrowthShape) -> str:
    return (_SHAPES if plan.reserve is not None else _SHAPES_WITHOUT_RESERVE)[shape.value]


def _growth(plan: PlanResult) -> Iterator[GrowthRow]:
    for outcome in plan.outcomes:
        reserve = "-"
        if outcome.reserve is not None:
            names = ["as linked"] if outcome.reserve == plan.reserve else []
            names += ["recommended"] if outcome.reserve == plan.recommended else []
            reserve = f"{outcome.reserve:,} ({', '.join(names)})"
        for shape, limit in outcome.limits.items():
            beyond = "" if limit.function is None else f"{limit.function} ({limit.rule})"
            failing = not limit.works or (limit.bytes or 0) < 0
            yield GrowthRow(reserve, _where(plan, shape), _room(limit), failing, limit.bytes, beyond)


def _room(limit: GrowthLimit) -> str:
    if not limit.works:
        return "fails with any growth"
    if limit.bytes is None:
        return "no limit"
    if limit.bytes < 0:
        return f"must shrink by {size_text(-limit.bytes)}"
    return size_text(limit.bytes)


def _groups(findings: Sequence[Finding], options: RenderOptions) -> Sequence[FindingGroup]:
    kept = [finding for cause in causes(findings, options) for finding in cause.shown]
    totals = Counter(finding.rule for finding in findings)
    groups = []
    for rule in dict.fromkeys(finding.rule for finding in kept):
        members = [finding for finding in kept if finding.rule == rule]
        sentences = [finding_sentence(finding) for finding in members]
        severity = members[0].severity
        groups.append(FindingGroup(rule, severity, WORDS[rule].expected, totals[rule], sentences))
    return sorted(groups, key=lambda group: group.severity)


def _comparison(result: ReportResult, older: OlderKernel) -> Iterator[tuple[str, int | None, int | None]]:
    """Yield figures of the old and the new kernel."""
    check, old, new = result.check, older.histogram, result.histogram
    yield "Functions", older.locations, check.locations
    yield f"Functions without a {pictures.lacking(result)}", old.without, new.without
    yield "Headroom, bytes", older.headroom, None if check.headroom is None else check.headroom.bytes
    for side, label in enumerate(("Least distance, bytes", "Greatest distance, bytes")):
        before, after = (None if h.extremes is None else h.extremes[side] for h in (old, new))
        yield label, before, after
