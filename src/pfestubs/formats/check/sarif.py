# SPDX-License-Identifier: GPL-2.0-or-later
"""`check` as SARIF 2.1.0, for code scanning."""

from __future__ import annotations

import os
import re
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from pfestubs import __version__
from pfestubs.formats.check import Cause, cause_message, causes
from pfestubs.formats.findings import WORDS
from pfestubs.formats.markdown import sentence
from pfestubs.formats.text import dump_json_list, escape, hex_address
from pfestubs.model.findings import RULES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pfestubs.formats import RenderOptions
    from pfestubs.formats.findings import Words
    from pfestubs.model.findings import Finding
    from pfestubs.rules.check.check import CheckResult

LIMIT: Final = 25_000
"""Results per run: GitHub refuses a file with more."""
_INDEX: Final = {rule: index for index, rule in enumerate(RULES)}


def render(result: CheckResult, options: RenderOptions) -> Iterator[str]:
    """Yield the document; errors come first.

    One result per cause, with its first functions as related locations: one setting is one alert, not 14,885.
    With --all one per finding.
    """
    notes = [finding for finding in result.findings if finding.severity == "note"]
    found = causes([*result.errors, *notes], options)
    if options.show_all:
        found = [Cause([finding], 0) for cause in found for finding in cause.shown]
    invocation: dict[str, Any] = {"executionSuccessful": True}
    if len(found) > LIMIT:
        text = f"{len(found):,} findings, of which {LIMIT:,} are given; --format json has all"
        invocation["toolExecutionNotifications"] = [{"level": "note", "message": {"text": text}}]
    uri = _uri(result.kernel.file)
    yield from dump_json_list(
        {
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [
                {
                    "tool": {
                        "driver": {"name": "pfestubs", "version": __version__, "rules": _rules()},
                    },
                    # A later upload replaces that of the same id: one per kernel.
                    "automationDetails": {"id": f"pfestubs/{uri.removeprefix('file:///')}/"},
                    "invocations": [invocation],
                    "results": [],
                }
            ],
        },
        "results",
        _results(uri, found[:LIMIT]),
        depth=3,
    )


def _rules() -> list[dict[str, Any]]:
    return [
        {
            "id": rule.name,
            "name": "".join(part.capitalize() for part in rule.name.split("-")),
            "shortDescription": {"text": sentence(WORDS[rule.name].title)},
            "fullDescription": {"text": WORDS[rule.name].background},
            "help": _help(WORDS[rule.name]),
            "defaultConfiguration": {"level": rule.severity},
        }
        for rule in RULES.values()
    ]


def _help(words: Words) -> dict[str, str]:
    """Return a rule's help: without line breaks, and as paragraphs for viewers of Markdown."""
    # Names with underscores would be read as emphasis.
    expected, background, fix = (
        re.sub(r"\w*_\w+", r"`\g<0>`", text) for text in (words.expected, words.background, words.help)
    )
    return {
        "text": f"{words.background} {words.help}",
        "markdown": f"**Expected:** {expected}\n\n{background}\n\n**What to do:** {fix}\n",
    }


def _results(uri: str, found: Sequence[Cause]) -> Iterator[dict[str, Any]]:
    seen: Counter[str] = Counter()
    for cause in found:
        first = cause.shown[0]
        # Which function of several is the first may change with each build.
        identity = f"{first.rule}:{_stable_name(first.function) if len(cause.shown) == 1 else ''}"
        seen[identity] += 1
        result = {
            "ruleId": first.rule,
            "ruleIndex": _INDEX[first.rule],
            "level": first.severity,
            "message": {"text": escape(cause_message(cause))},
            "locations": [_location(uri, first)],
            # Hash and occurrence, as GitHub computes it for source lines.
            "partialFingerprints": {
                "primaryLocationLineHash": f"{_digest(identity)}:{seen[identity]}",
            },
            "properties": _properties(first),
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


def _properties(finding: Finding) -> dict[str, Any]:
    # Addresses as strings: SARIF's own absoluteAddress is a number, and kernel addresses exceed 2^63.
    return {
        "distance": finding.distance,
        "limit": finding.limit,
        "location": None if finding.location is None else hex_address(finding.location),
        "stub": None if finding.stub is None else hex_address(finding.stub),
    }


def _stable_name(function: str | None) -> str:
    """Return the function as the next build will name it: without offset, and no address for a name."""
    name = (function or "").split("+0x")[0]
    return "" if name.startswith("0x") else name


def _digest(identity: str) -> str:
    return sha256(identity.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _uri(file: str) -> str:
    """Return the file's URI, relative to the working directory where the file is below it."""
    path, here = Path(os.path.abspath(file)), Path.cwd()  # a symbolic link keeps its name
    if path.is_relative_to(here):
        return quote(os.fsencode(path.relative_to(here)))
    return f"file://{quote(os.fsencode(path))}"
