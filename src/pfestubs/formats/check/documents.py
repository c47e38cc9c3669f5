# SPDX-License-Identifier: GPL-2.0-or-later
"""`check` as documents for CI: SARIF 2.1.0, JUnit XML, and the summary of a step in Markdown."""

from __future__ import annotations

import os
import re
from collections import Counter
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from pfestubs import __version__
from pfestubs.formats import check
from pfestubs.formats.check import Cause, causes, summary
from pfestubs.formats.findings import WORDS, finding_message, remedy_details, remedy_sentence, setting_line
from pfestubs.formats.markdown import FoldedList, code, document, sentence, table_block
from pfestubs.formats.text import dump_json_list, escape, escape_line, keys_of, machine_words, plural
from pfestubs.model.findings import RULES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pfestubs.formats import RenderOptions
    from pfestubs.model.findings import Finding, Remedy
    from pfestubs.rules.check import CheckResult

SARIF_LIMIT: Final = 25_000
"""Results per run: GitHub refuses a file with more."""


def render_sarif(result: CheckResult, options: RenderOptions) -> Iterator[str]:
    """Yield the document; errors come first.

    One result per cause, with its first functions as related locations: one setting is one alert, not 14,885.
    With --all one per finding.
    """
    notes = [finding for finding in result.findings if finding.severity == "note"]
    found = causes([*result.errors, *notes], options)
    if options.show_all:
        found = [Cause([finding], 0) for cause in found for finding in cause.shown]
    invocation: dict[str, Any] = {"executionSuccessful": True}
    remarks = [text] if (text := check.against_baseline(result)) else []
    if len(found) > SARIF_LIMIT:
        remarks.append(f"{len(found):,} findings, of which {SARIF_LIMIT:,} are given; --format json has all")
    if remarks:
        invocation["toolExecutionNotifications"] = [
            {"level": "note", "message": {"text": text}} for text in remarks
        ]
    uri = _uri(result.boot.kernel.file)
    driver = {"name": "pfestubs", "version": __version__, "rules": list(_rules())}
    yield from dump_json_list(
        {
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [
                {
                    "tool": {"driver": driver},
                    # A later upload replaces that of the same id: one per kernel.
                    "automationDetails": {"id": f"pfestubs/{uri.removeprefix('file:///')}/"},
                    "invocations": [invocation],
                    "results": [],
                }
            ],
        },
        "results",
        _results(uri, found[:SARIF_LIMIT]),
        depth=3,
    )


def _rules() -> Iterator[dict[str, Any]]:
    """Yield each rule; its help without line breaks, and as paragraphs for viewers of Markdown."""
    for rule in RULES.values():
        words = WORDS[rule.name]
        # Names with underscores would be read as emphasis.
        _, expected, background, fix = (re.sub(r"\w*_\w+", r"`\g<0>`", text) for text in words)
        yield {
            "id": rule.name,
            "name": "".join(part.capitalize() for part in rule.name.split("-")),
            "shortDescription": {"text": sentence(words.title)},
            "fullDescription": {"text": words.background},
            "help": {
                "text": f"{words.background} {words.help}",
                "markdown": f"**Expected:** {expected}\n\n{background}\n\n**What to do:** {fix}\n",
            },
            "defaultConfiguration": {"level": rule.severity},
        }


def _results(uri: str, found: Sequence[Cause]) -> Iterator[dict[str, Any]]:
    seen: Counter[str] = Counter()
    for cause in found:
        first = cause.shown[0]
        # As the next build will name it: without offset, and no address for a name. Which function of several
        # is the first may change.
        name = (first.function or "").split("+0x")[0]
        identity = f"{first.rule}:{'' if len(cause.shown) > 1 or name.startswith('0x') else name}"
        digest = sha256(identity.encode("utf-8", "backslashreplace")).hexdigest()[:16]
        seen[identity] += 1
        result = {
            "ruleId": first.rule,
            "ruleIndex": list(RULES).index(first.rule),
            "level": first.severity,
            "message": {"text": escape(check.cause_message(cause))},
            "locations": [_location(uri, first)],
            # Hash and occurrence, as GitHub computes it for source lines.
            "partialFingerprints": {"primaryLocationLineHash": f"{digest}:{seen[identity]}"},
            # Addresses as strings: SARIF's own absoluteAddress is a number, and kernel addresses exceed 2^63.
            "properties": keys_of(first, "distance limit location stub"),
        }
        if len(cause.shown) > 1:
            result["relatedLocations"] = [
                {"id": i, **_location(uri, finding)} for i, finding in enumerate(cause.shown[1:], 1)
            ]
        yield result


def _location(uri: str, finding: Finding) -> dict[str, Any]:
    # A kernel has no lines; viewers want a region all the same.
    location: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": 1}}
    }
    if finding.function is not None:
        name = escape(finding.function)
        location["logicalLocations"] = [{"fullyQualifiedName": name, "kind": "function"}]
    return location


def _uri(file: str) -> str:
    """Return the file's URI, relative to the working directory where the file is below it."""
    path, here = Path(os.path.abspath(file)), Path.cwd()  # a symbolic link keeps its name
    if path.is_relative_to(here):
        return quote(os.fsencode(path.relative_to(here)))
    return f"file://{quote(os.fsencode(path))}"


def render_junit(result: CheckResult, options: RenderOptions) -> Iterator[str]:
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
    file = escape_line(result.boot.kernel.file)
    suite = SubElement(root, "testsuite", {"name": file, "skipped": str(len(skipped)), **counts})
    for rule, findings in found.items():
        case = SubElement(suite, "testcase", classname=f"pfestubs.check.{file}", name=rule)
        lines: list[str] = []
        for cause in causes(findings, options):
            lines += (escape_line(finding_message(finding)) for finding in cause.shown)
            lines += [f"{cause.more:,} more (--all shows all)"] if cause.more else []
        if rule in skipped:
            option = RULES[rule].option
            SubElement(case, "skipped", message=f"{WORDS[rule].expected} (not requested: {option})")
        elif rule in failed:
            first = lines[0] if len(findings) == 1 else f"{len(findings):,} findings; the first: {lines[0]}"
            SubElement(case, "failure", type=rule, message=first).text = "\n".join(lines)
        elif lines:
            SubElement(case, "system-out").text = "\n".join(lines)
    SubElement(suite, "system-out").text = f"{file}: {summary(result)}"
    indent(root)
    # The encoding is also declared: parsers must not have to guess.
    yield '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def render_markdown(result: CheckResult, options: RenderOptions) -> Iterator[str]:
    """Yield verdict, remedy, areas and headroom, the findings folded by rule: at most `LIMIT` characters."""
    kernel = result.boot.kernel.identity
    remedies = dict.fromkeys(error.remedy for error in result.errors if error.remedy)
    words = ["kernel" if kernel.release is None else f"kernel {code(kernel.release)}", *machine_words(kernel)]
    if kernel.build_id is not None:
        words.append(f"build ID {code(kernel.build_id)}")
    blocks = [
        f"### Out-of-line ftrace stubs: {code(kernel.file)}",
        f"**{sentence(summary(result, code))}**",
        sentence(", ".join(words)),
        *chain.from_iterable(map(_remedy, remedies)),
        *(table_block(t) for t in (check.area_table(result.boot), check.branch_table(result.boot)) if t.rows),
        *map(sentence, check.facts(result.boot, code)),
    ]
    yield from document(blocks, _lists(result, options))


def _remedy(remedy: Remedy) -> list[str]:
    setting = setting_line(remedy)
    if setting is None:
        return [sentence(remedy_sentence(remedy))]
    command, *reasons = remedy_details(remedy)
    how = "\n".join([f"As a command: `{command}`.", *map(sentence, reasons)])
    return [sentence(remedy_sentence(remedy, "this line")), f"```\n{setting}\n```", how]


def _lists(result: CheckResult, options: RenderOptions) -> list[FoldedList]:
    lines: dict[tuple[str, str], list[str]] = {}
    more: Counter[tuple[str, str]] = Counter()
    for cause in causes(result.findings if options.verbose else result.errors, options):
        key = cause.shown[0].rule, cause.shown[0].severity
        lines.setdefault(key, []).extend(map(finding_message, cause.shown))
        more[key] += cause.more
    lists = []
    for (rule, severity), found in lines.items():
        rest = more[rule, severity]
        title = f"{rule}: {WORDS[rule].title} ({plural(len(found) + rest, severity)})"
        lists.append(FoldedList(title, found, rest))
    return lists
