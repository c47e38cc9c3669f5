# SPDX-License-Identifier: GPL-2.0-or-later
"""`check` as JUnit XML: one test case per rule, passes included."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from pfestubs.formats.check import causes, messages, summary
from pfestubs.formats.findings import WORDS
from pfestubs.formats.text import escape_line
from pfestubs.model.findings import RULES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pfestubs.formats import RenderOptions
    from pfestubs.model.findings import Finding
    from pfestubs.rules.check.check import CheckResult


def render(result: CheckResult, options: RenderOptions) -> Iterator[str]:
    """Yield the document, as the Jenkins xUnit plug-in and its many followers read it.

    The file is part of the class name, so that two kernels in one report stay apart. A rule whose option was
    not given is skipped, not passed.
    """
    found: dict[str, list[Finding]] = {rule: [] for rule in RULES}
    for finding in result.findings:
        found[finding.rule].append(finding)
    failed = {error.rule for error in result.errors}
    skipped = [rule for rule in found if not found[rule] and not result.options.request(RULES[rule])]
    counts = {"tests": str(len(found)), "failures": str(len(failed)), "errors": "0"}
    root = Element("testsuites", {"name": "pfestubs check", **counts})
    file = escape_line(result.kernel.file)
    suite = SubElement(root, "testsuite", {"name": file, "skipped": str(len(skipped)), **counts})
    for rule, findings in found.items():
        case = SubElement(suite, "testcase", classname=f"pfestubs.check.{file}", name=rule)
        if rule in skipped:
            option = RULES[rule].option
            SubElement(case, "skipped", message=f"{WORDS[rule].expected} (not requested: {option})")
        _add_findings(case, rule, findings, options)
    SubElement(suite, "system-out").text = f"{file}: {summary(result)}"
    indent(root)
    # The encoding is also declared: parsers must not have to guess.
    yield '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _add_findings(case: Element, rule: str, findings: Sequence[Finding], options: RenderOptions) -> None:
    if not findings:
        return
    lines = list(chain.from_iterable(map(messages, causes(findings, options))))
    text = "\n".join(lines)
    if not any(finding.severity == "error" for finding in findings):
        SubElement(case, "system-out").text = text
        return
    message = lines[0] if len(findings) == 1 else f"{len(findings):,} findings; the first: {lines[0]}"
    SubElement(case, "failure", type=rule, message=message).text = text
