# SPDX-License-Identifier: GPL-2.0-or-later
"""`check` as text: one line when all is well, else a line for each finding and a last one that sums up."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pfestubs.formats.check import RenderOptions, shown, summary
from pfestubs.formats.text import escape_line, hex_address

if TYPE_CHECKING:
    from pfestubs.rules.check import CheckResult

_RED, _GREEN, _BOLD, _OFF = "\x1b[31;1m", "\x1b[32;1m", "\x1b[1m", "\x1b[0m"
_WIDE = 100_000  # lines are for grep as well: never wrapped


def render(verdict: CheckResult, view: RenderOptions) -> str:
    """The lines for a terminal or a build log."""
    lines = _findings(verdict, view)
    if view.verbose:
        lines += _tables(verdict, view)
    state, rest = summary(verdict).split(":", 1)
    colour = _GREEN if verdict.ok else _RED
    lines.append(f"{escape_line(verdict.file)}: {_painted(state + ':', colour, view)}{rest}")
    return "\n".join(lines) + "\n"


def _findings(verdict: CheckResult, view: RenderOptions) -> list[str]:
    file = escape_line(verdict.file)
    findings = [f for f in verdict.findings if view.verbose or f.severity == "error"]
    kept, more = shown(findings, view)
    lines = []
    for finding in kept:
        severity = _painted(f"{finding.severity}:", _RED if finding.severity == "error" else _BOLD, view)
        lines.append(f"{file}: {severity} {finding.rule}: {escape_line(finding.message)}")
    lines += [f"{file}: {n:,} more of {rule} (--all shows every one)" for rule, n in more.items()]
    return lines


def _painted(text: str, code: str, view: RenderOptions) -> str:
    return f"{code}{text}{_OFF}" if view.colour else text


def _tables(verdict: CheckResult, view: RenderOptions) -> list[str]:
    # 0.1 s to import: only for who asks for tables.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    areas, branches = (Table(box=None, pad_edge=False, header_style="bold") for _ in range(2))
    for name in ("area", "address", "reserved", "used", "needed"):
        areas.add_column(name, justify="left" if name in {"area", "address"} else "right")
    for name in ("branch", "headroom", "location", "function"):
        branches.add_column(name, justify="right" if name == "headroom" else "left")
    for area in verdict.areas:
        areas.add_row(
            area.name,
            hex_address(area.address),
            *(f"{n:,}" for n in (area.reserved, area.used, area.needed)),
        )
    for room in verdict.by_branch:
        branches.add_row(
            room.branch, f"{room.bytes:,}", hex_address(room.location), Text(escape_line(room.function))
        )
    out = io.StringIO()
    console = Console(
        file=out,
        width=_WIDE,
        force_terminal=view.colour,
        color_system="standard" if view.colour else None,
        markup=False,
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )
    for table in (areas, branches):
        if table.row_count:
            console.print(table)
    return [row.rstrip() for row in out.getvalue().splitlines()]
