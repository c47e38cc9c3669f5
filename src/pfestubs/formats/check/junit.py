# SPDX-License-Identifier: GPL-2.0-or-later
"""`check` as JUnit XML: one test case a rule, passes included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from pfestubs.formats.check import RenderOptions, shown, summary
from pfestubs.formats.text import escape_line
from pfestubs.rules.findings import RULES

if TYPE_CHECKING:
    from pfestubs.rules.check import CheckOptions, CheckResult
    from pfestubs.rules.findings import Finding, Rule

# Rules that need something to compare with: a case that nobody asked for is skipped, not passed.
_ASKED_BY: Final = {
    "count-mismatch": ("promise", "--prelink"),
    "low-headroom": ("min_headroom", "--min-headroom"),
    "growth": ("max_growth", "--max-growth"),
}


def render(verdict: CheckResult, view: RenderOptions) -> str:
    """The document, as the Jenkins xUnit plug-in and its many followers read it."""
    found: dict[str, list[Finding]] = {name: [] for name in RULES}
    for finding in verdict.findings:
        found[finding.rule].append(finding)
    failed = {error.rule for error in verdict.errors}
    skipped = [name for name in RULES if not found[name] and _not_asked(name, verdict.demands)]
    counts = {"tests": str(len(RULES)), "failures": str(len(failed)), "errors": "0"}
    root = Element("testsuites", {"name": "pfestubs check", **counts})
    suite = SubElement(
        root, "testsuite", {"name": escape_line(verdict.file), "skipped": str(len(skipped)), **counts}
    )
    for rule in RULES.values():
        case = SubElement(suite, "testcase", classname="pfestubs.check", name=rule.name)
        if rule.name in skipped:
            option = _ASKED_BY[rule.name][1]
            SubElement(case, "skipped", message=f"{rule.about} (not asked for: {option})")
        _result(case, rule, found[rule.name], view)
    SubElement(suite, "system-out").text = f"{escape_line(verdict.file)}: {summary(verdict)}"
    indent(root)
    # The encoding is declared as well: parsers must not have to guess.
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _not_asked(name: str, demands: CheckOptions) -> bool:
    return name in _ASKED_BY and getattr(demands, _ASKED_BY[name][0]) is None


def _result(case: Element, rule: Rule, findings: list[Finding], view: RenderOptions) -> None:
    if not findings:
        return
    kept, more = shown(findings, view)
    lines = [escape_line(finding.message) for finding in kept]
    lines += [f"{n:,} more (--all shows every one)" for n in more.values()]
    text = "\n".join(lines)
    if rule.severity == "note":
        SubElement(case, "system-out").text = text
        return
    message = lines[0] if len(findings) == 1 else f"{len(findings):,} findings; the first: {lines[0]}"
    SubElement(case, "failure", type=rule.name, message=message).text = text
