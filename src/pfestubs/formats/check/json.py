# SPDX-License-Identifier: GPL-2.0-or-later
"""`check` as the JSON document `pfestubs/check/1`: every finding with every key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pfestubs.formats.text import dump_json, hex_address

if TYPE_CHECKING:
    from pfestubs.formats.check import RenderOptions
    from pfestubs.rules.check import CheckResult, NamedHeadroom
    from pfestubs.rules.findings import Finding

SCHEMA: Final = "pfestubs/check/1"


def render(verdict: CheckResult, view: RenderOptions) -> str:  # noqa: ARG001 - nothing is left out of JSON
    """The document; addresses as strings, counts and bytes as integers."""
    baseline = verdict.demands.baseline
    return dump_json(
        {
            "schema": SCHEMA,
            "file": verdict.file,
            "layout": verdict.layout,
            "ok": verdict.ok,
            "locations": verdict.locations,
            "stub_size": verdict.stub_size,
            "areas": [
                {
                    "name": area.name,
                    "address": hex_address(area.address),
                    "reserved": area.reserved,
                    "used": area.used,
                    "needed": area.needed,
                }
                for area in verdict.areas
            ],
            "headroom": {
                **_headroom(verdict.headroom),
                "by_branch": [_headroom(room) for room in verdict.by_branch],
            },
            "baseline": None
            if baseline is None
            else {"file": baseline.file, "locations": baseline.locations, "headroom": baseline.headroom},
            "findings": [_finding(finding) for finding in verdict.findings],
        }
    )


def _headroom(room: NamedHeadroom | None) -> dict[str, Any]:
    if room is None:
        return dict.fromkeys(("bytes", "function", "location", "branch"))
    return {
        "bytes": room.bytes,
        "function": room.function,
        "location": hex_address(room.location),
        "branch": room.branch,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "function": finding.function,
        "location": None if finding.location is None else hex_address(finding.location),
        "stub": None if finding.stub is None else hex_address(finding.stub),
        "distance": finding.distance,
        "limit": finding.limit,
        "message": finding.message,
    }
