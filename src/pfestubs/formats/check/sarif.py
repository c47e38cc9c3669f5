# SPDX-License-Identifier: GPL-2.0-or-later
"""`check` as SARIF 2.1.0, for code scanning."""

from __future__ import annotations

import os
from collections import Counter
from hashlib import sha256
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from pfestubs import __version__
from pfestubs.formats.text import dump_json, escape, hex_address
from pfestubs.rules.findings import RULES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pfestubs.formats.check import RenderOptions
    from pfestubs.rules.check import CheckResult
    from pfestubs.rules.findings import Finding

LIMIT: Final = 25_000
"""Results a run: GitHub refuses a file with more."""
_INDEX: Final = {name: index for index, name in enumerate(RULES)}


def render(verdict: CheckResult, view: RenderOptions) -> str:  # noqa: ARG001 - the reader of SARIF filters
    """The document; errors come first, should there be more findings than `LIMIT`."""
    errors = verdict.errors
    ordered = [*errors, *(f for f in verdict.findings if f.severity == "note")]
    invocation: dict[str, Any] = {"executionSuccessful": True}
    if len(ordered) > LIMIT:
        invocation["toolExecutionNotifications"] = [
            {
                "level": "warning",
                "message": {
                    "text": f"{len(ordered):,} findings, of which the first {LIMIT:,} are given;"
                    " pfestubs check --format json has all"
                },
            }
        ]
    return dump_json(
        {
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [
                {
                    "tool": {
                        "driver": {"name": "pfestubs", "version": __version__, "rules": _rules()},
                    },
                    "invocations": [invocation],
                    "results": _results(verdict.file, ordered[:LIMIT]),
                }
            ],
        }
    )


def _rules() -> list[dict[str, Any]]:
    return [
        {
            "id": rule.name,
            "shortDescription": {"text": rule.about},
            "defaultConfiguration": {"level": rule.severity},
        }
        for rule in RULES.values()
    ]


def _results(file: str, findings: Iterable[Finding]) -> list[dict[str, Any]]:
    seen: Counter[str] = Counter()
    uri = _uri(file)
    results = []
    for finding in findings:
        identity = f"{finding.rule}:{_stable_name(finding.function)}"
        seen[identity] += 1
        location: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": uri}}}
        if finding.function is not None:
            location["logicalLocations"] = [
                {"fullyQualifiedName": escape(finding.function), "kind": "function"}
            ]
        results.append(
            {
                "ruleId": finding.rule,
                "ruleIndex": _INDEX[finding.rule],
                "level": finding.severity,
                "message": {"text": escape(finding.message)},
                "locations": [location],
                # Hash and occurrence, as GitHub computes it for source lines.
                "partialFingerprints": {
                    "primaryLocationLineHash": f"{_digest(identity)}:{seen[identity]}",
                },
                "properties": _properties(finding),
            }
        )
    return results


def _properties(finding: Finding) -> dict[str, Any]:
    # Addresses as strings: SARIF's own absoluteAddress is a number, and kernel addresses exceed 2^63.
    return {
        "distance": finding.distance,
        "limit": finding.limit,
        "location": None if finding.location is None else hex_address(finding.location),
        "stub": None if finding.stub is None else hex_address(finding.stub),
    }


def _stable_name(function: str | None) -> str:
    """The function as the next build will name it: without offset, and no address for a name."""
    name = (function or "").split("+0x")[0]
    return "" if name.startswith("0x") else name


def _digest(identity: str) -> str:
    return sha256(identity.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _uri(file: str) -> str:
    path = quote(os.fsencode(PurePosixPath(file)))
    return f"file://{path}" if path.startswith("/") else path
