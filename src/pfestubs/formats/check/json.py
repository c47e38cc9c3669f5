# SPDX-License-Identifier: GPL-2.0-or-later
"""`check` as the JSON document `pfestubs/check/1`: every finding with every key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pfestubs import __version__
from pfestubs.formats.findings import finding_message
from pfestubs.formats.remedy import remedy_values
from pfestubs.formats.text import dump_json_list, hex_address
from pfestubs.model import CHECK_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.rules.check.check import CheckResult, NamedHeadroom
    from pfestubs.rules.check.findings import Finding


def render(result: CheckResult, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - JSON holds all
    """Yield the document; addresses as strings, counts and bytes as integers."""
    baseline = result.options.baseline
    yield from dump_json_list(
        {
            "schema": CHECK_SCHEMA,
            "file": result.file,
            "layout": result.layout,
            "machine": "ppc64" if result.bits == 64 else "ppc",
            "class": result.bits,
            "byte_order": result.byte_order.value,
            "ok": result.ok,
            "locations": result.locations,
            "stub_size": result.stub_size,
            "areas": [
                {
                    "name": use.area.name,
                    "address": hex_address(use.area.address),
                    "reserved": use.area.count,
                    "used": use.used,
                    "needed": use.needed,
                }
                for use in result.areas
            ],
            "headroom": {
                **_headroom(result.headroom),
                "by_branch": [_headroom(room) for room in result.by_branch],
            },
            "baseline": None
            if baseline is None
            else {"file": baseline.file, "locations": baseline.locations, "headroom": baseline.headroom},
            "kernel": {"release": result.release, "banner": result.banner, "build_id": result.build_id},
            "findings": [],
            "pfestubs": __version__,
        },
        "findings",
        map(_finding, result.findings),
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
        "message": finding_message(finding),
        "remedy": remedy_values(finding.remedy),
    }
