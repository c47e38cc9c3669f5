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
    from pfestubs.model import KernelFigures
    from pfestubs.model.findings import Finding
    from pfestubs.rules.check.check import CheckResult
    from pfestubs.rules.kernel.boot import Headroom


def render(result: CheckResult, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - JSON holds all
    """Yield the document; addresses as strings, counts and bytes as integers."""
    kernel = result.kernel
    yield from dump_json_list(
        {
            "schema": CHECK_SCHEMA,
            "file": kernel.file,
            "layout": kernel.layout,
            "machine": "ppc64" if kernel.bits == 64 else "ppc",
            "class": kernel.bits,
            "byte_order": None if kernel.byte_order is None else kernel.byte_order.value,
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
            "growth": None if result.growth is None else dict(result.growth),
            "baseline": _baseline(result.options.baseline),
            "kernel": {"release": kernel.release, "banner": kernel.banner, "build_id": kernel.build_id},
            "findings": [],
            "pfestubs": __version__,
        },
        "findings",
        map(_finding, result.findings),
    )


def _baseline(baseline: KernelFigures | None) -> dict[str, Any] | None:
    if baseline is None:
        return None
    return {"file": baseline.kernel.file, "locations": baseline.locations, "headroom": baseline.headroom}


def _headroom(room: Headroom | None) -> dict[str, Any]:
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
