# SPDX-License-Identifier: GPL-2.0-or-later
"""`check` as text: one line on a healthy kernel, else a line per finding and a summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfestubs.formats.check import first_remedy, shown, summary
from pfestubs.formats.findings import finding_message
from pfestubs.formats.terminal import area_map, paint, table
from pfestubs.formats.text import escape_line, hex_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.rules.check.check import CheckResult

_SCREEN = 24
"""Lines of a screen: after more of them the summary repeats the remedy."""


def render(result: CheckResult, options: RenderOptions) -> Iterator[str]:
    """Yield the lines for a terminal or a build log."""
    lines = _findings(result, options)
    for line in lines:
        yield line + "\n"
    if options.verbose:
        for line in _tables(result, options):
            yield line + "\n"
    state, rest = summary(result).split(":", 1)
    state = paint(f"{state}:", "good" if result.ok else "bad", colour=options.colour)
    remedy = first_remedy(result) if len(lines) >= _SCREEN - 4 else ""
    yield f"{escape_line(result.file)}: {state}{rest}{f'; {remedy}' if remedy else ''}\n"


def _findings(result: CheckResult, options: RenderOptions) -> list[str]:
    file = escape_line(result.file)
    findings = [f for f in result.findings if options.verbose or f.severity == "error"]
    kept, more = shown(findings, options)
    lines = []
    for finding in kept:
        style = "bad" if finding.severity == "error" else "bold"
        severity = paint(f"{finding.severity}:", style, colour=options.colour)
        lines.append(f"{file}: {severity} {finding.rule}: {escape_line(finding_message(finding))}")
    return lines + [f"{file}: {n:,} more of {rule} (--all shows all)" for rule, n in more.items()]


def _tables(result: CheckResult, options: RenderOptions) -> list[str]:
    areas = [
        (
            use.area.name,
            hex_address(use.area.address),
            *(f"{n:,}" for n in (use.area.count, use.used, use.needed)),
        )
        for use in result.areas
    ]
    branches = [
        (room.branch, f"{room.bytes:,}", hex_address(room.location), escape_line(room.function))
        for room in result.by_branch
    ]
    return [
        *table(("area", "address", ">reserved", ">used", ">needed"), areas, colour=options.colour),
        *(area_map(result.address_map, options.width) if options.width is not None else []),
        *table(("branch", ">headroom", "location", "function"), branches, colour=options.colour),
    ]
