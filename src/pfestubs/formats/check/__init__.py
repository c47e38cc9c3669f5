# SPDX-License-Identifier: GPL-2.0-or-later
"""The result of `check` as text and as annotations; longer formats are modules of this package.

Text is one line on a healthy kernel, else a line per finding and a summary.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from pfestubs.formats.findings import finding_message
from pfestubs.formats.remedy import remedy_sentence
from pfestubs.formats.tables import Table, paragraph, table_text, terminal_width
from pfestubs.formats.text import escape_line, hex_address, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pfestubs.formats import RenderOptions
    from pfestubs.model.findings import Finding
    from pfestubs.rules.check.check import CheckResult

SHOWN_PER_RULE: Final = 20
"""Findings shown per rule in human-readable output without --all."""
_SCREEN: Final = 24
"""Lines of a screen: after more of them the summary repeats the remedy."""
_ANNOTATIONS: Final = 10
"""GitHub's limit per step and severity; the rest are dropped silently."""


def render_text(result: CheckResult, options: RenderOptions) -> Iterator[str]:
    """Yield the lines for a terminal or a build log."""
    findings = list(_findings(result, options))
    yield from findings
    if options.verbose:
        yield table_text(area_table(result), options)
        width = terminal_width(options)
        if width is not None:
            from pfestubs.formats.address_map import area_map

            yield "".join(line + "\n" for line in area_map(result.address_map, width))
        yield table_text(branch_table(result), options)
    remedy = first_remedy(result) if len(findings) >= _SCREEN - 4 else ""
    last = f"{escape_line(result.kernel.file)}: {summary(result)}{f'; {remedy}' if remedy else ''}"
    # A passing check does without rich.
    yield paragraph(last, options) if result.ok else paragraph(last, options, "failed:", "bad")


def _findings(result: CheckResult, options: RenderOptions) -> Iterator[str]:
    file = escape_line(result.kernel.file)
    kept, more = shown([f for f in result.findings if options.verbose or f.severity == "error"], options)
    for finding in kept:
        severity, style = f"{finding.severity}:", "bad" if finding.severity == "error" else "bold"
        line = f"{file}: {severity} {finding.rule}: {escape_line(finding_message(finding))}"
        yield paragraph(line, options, severity, style)
    for rule, number in more.items():
        yield f"{file}: {number:,} more of {rule} (--all shows all)\n"


def area_table(result: CheckResult) -> Table:
    """Return each area's stubs."""
    rows = [
        (
            use.area.name,
            hex_address(use.area.address),
            f"{use.area.count:,}",
            f"{use.used:,}",
            f"{use.needed:,}",
        )
        for use in result.areas
    ]
    return Table(("area", "address", ">reserved", ">used", ">needed"), rows)


def branch_table(result: CheckResult) -> Table:
    """Return the tightest branch of each kind."""
    rows = [
        (room.branch, f"{room.bytes:,}", hex_address(room.location), room.function)
        for room in result.by_branch
    ]
    return Table(("branch", ">headroom, bytes", "location", "`function"), rows)


def render_github(result: CheckResult, options: RenderOptions) -> Iterator[str]:
    """Yield the summary first, then the first findings; with `show_all` all of them, for the log."""
    level = "notice" if result.ok else "error"
    yield _command(level, result.kernel.file, "pfestubs check", f"{result.kernel.file}: {summary(result)}")
    errors = result.errors
    for finding in errors if options.show_all else errors[: _ANNOTATIONS - 1]:
        yield _command("error", result.kernel.file, finding.rule, finding_message(finding))
    if options.verbose:
        notes = [finding for finding in result.findings if finding.severity == "note"]
        for finding in notes if options.show_all else notes[: _ANNOTATIONS - result.ok]:
            yield _command("notice", result.kernel.file, finding.rule, finding_message(finding))


def _command(level: str, file: str, title: str, message: str) -> str:
    where = f"file={_command_property(file)},title={_command_property(title)}"
    return f"::{level} {where}::{_command_data(message)}\n"


def _command_data(text: str) -> str:
    return escape_line(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _command_property(text: str) -> str:
    return _command_data(text).replace(":", "%3A").replace(",", "%2C")


def shown(findings: Sequence[Finding], options: RenderOptions) -> tuple[list[Finding], Counter[str]]:
    """Return the findings to show, and how many more there are by rule."""
    seen: Counter[str] = Counter()
    kept = []
    for finding in findings:
        seen[finding.rule] += 1
        if options.show_all or seen[finding.rule] <= SHOWN_PER_RULE:
            kept.append(finding)
    more = Counter({rule: n - SHOWN_PER_RULE for rule, n in seen.items() if n > SHOWN_PER_RULE})
    return kept, Counter() if options.show_all else more


def summary(result: CheckResult, name: Callable[[str], str] = escape_line) -> str:
    """Return the outcome in one sentence, without the file's name; counts, and bytes of headroom.

    `name` writes names from files as the format needs it.
    """
    return (_failed(result, name) if result.errors else _ok(result, name)) + _against_baseline(result, name)


def first_remedy(result: CheckResult) -> str:
    """Return the remedy of the first error that has one, "" without any."""
    return next((remedy_sentence(error.remedy) for error in result.errors if error.remedy), "")


def _ok(result: CheckResult, name: Callable[[str], str]) -> str:
    functions = plural(result.locations, "function")
    every = functions if result.locations == 1 else f"all {functions}"
    if result.areas:
        verb = "gets" if result.locations == 1 else "get"
        uses = ", ".join(f"{use.area.name} {use.used:,} of {use.area.count:,}" for use in result.areas)
        sentence = f"ok: {every} {verb} a working stub ({uses})"
    else:
        verb = "reaches" if result.locations == 1 else "reach"
        sentence = f"ok: {every} {verb} the tracer (layout {result.kernel.layout})"
    if result.headroom is not None:
        room = result.headroom
        sentence += f", headroom {room.bytes:,} bytes ({room.branch} branch of {name(room.function)})"
    return sentence


def _failed(result: CheckResult, name: Callable[[str], str]) -> str:
    errors = result.errors
    counts = ", ".join(f"{rule} {n:,}" for rule, n in Counter(error.rule for error in errors).items())
    locations = plural(result.locations, "location")
    sentence = f"failed: {plural(len(errors), 'error')} ({counts}), {locations}"
    if result.stops_at is not None:
        sentence += f"; ftrace would be disabled at boot, at {name(result.stops_at)}"
    return sentence


def _against_baseline(result: CheckResult, name: Callable[[str], str]) -> str:
    baseline = result.options.baseline
    if baseline is None:
        return ""
    sentence = f"; against {name(baseline.kernel.file)}: locations {result.locations - baseline.locations:+,}"
    if baseline.headroom is not None and result.headroom is not None:
        sentence += f", headroom {result.headroom.bytes - baseline.headroom:+,} bytes"
    return sentence
