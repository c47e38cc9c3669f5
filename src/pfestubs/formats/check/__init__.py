# SPDX-License-Identifier: GPL-2.0-or-later
"""The result of `check` as text, as annotations and as JSON; documents for CI are in a module of their own.

Text is one line on a healthy kernel, else a line per finding and a summary.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pfestubs import __version__
from pfestubs.formats.findings import finding_message, remedy_details, remedy_sentence, remedy_values
from pfestubs.formats.tables import SCREEN, Table, paragraph, table_text, terminal_width
from pfestubs.formats.text import bytes_text, dump_json_list, escape_line, hex_address, keys_of, plural
from pfestubs.model import CHECK_SCHEMA, ppc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pfestubs.formats import RenderOptions
    from pfestubs.model.findings import Finding
    from pfestubs.rules.check import CheckResult
    from pfestubs.rules.kernel.boot import Boot, Headroom

SHOWN_PER_CAUSE: Final = 4
"""Findings of one cause that people are shown without --all: the first one, and three more functions."""
_ANNOTATIONS: Final = 10
"""GitHub's limit per step and severity; the rest are dropped silently."""


def render_text(result: CheckResult, options: RenderOptions) -> Iterator[str]:
    """Yield the lines for a terminal or a build log."""
    lines = "".join(_lines(result, options))
    yield lines
    yield verdict(result, options, with_remedy=lines.count("\n") >= SCREEN)


def _lines(result: CheckResult, options: RenderOptions) -> Iterator[str]:
    boot, file = result.boot, escape_line(result.boot.kernel.file)
    for cause in causes(result.findings if options.verbose else result.errors, options):
        for finding in cause.shown:
            severity, style = f"{finding.severity}:", "bad" if finding.severity == "error" else "bold"
            line = f"{file}: {severity} {finding.rule}: {escape_line(finding_message(finding))}"
            yield paragraph(line, options, severity, style)
            for detail in remedy_details(finding.remedy):
                yield paragraph(f"    {detail}", options)
        if cause.more:
            yield paragraph(f"{file}: {cause.more:,} more of {finding.rule} (--all shows all)", options)
    if options.verbose:
        yield table_text(area_table(boot), options)
        width = terminal_width(options)
        if width is not None:
            from pfestubs.formats.address_map import area_map
            from pfestubs.rules.analyses.address_map import map_addresses

            yield "".join(line + "\n" for line in area_map(map_addresses(boot), width))
        yield table_text(branch_table(boot), options)
        for line in facts(boot):
            yield paragraph(line, options)


def verdict(result: CheckResult, options: RenderOptions, *, with_remedy: bool) -> str:
    """Return the outcome as one line."""
    line = f"{escape_line(result.boot.kernel.file)}: {summary(result)}"
    remedy = next((error.remedy for error in result.errors if error.remedy), None)
    if with_remedy and remedy is not None:
        line += f"; {remedy_sentence(remedy)}"
    # A passing check does without rich.
    return paragraph(line, options) if result.ok else paragraph(line, options, "failed:", "bad")


class Cause(NamedTuple):
    """Findings of one cause: the first ones, and how many more there are."""

    shown: Sequence[Finding]
    more: int


def causes(findings: Iterable[Finding], options: RenderOptions) -> list[Cause]:
    """Return findings by cause, in the order of their first ones.

    Functions that fail by one rule, of one area if it ran out, have one cause; what is not about functions
    stands for itself.
    """
    found: dict[object, list[Finding]] = {}
    for number, finding in enumerate(findings):
        damage = finding.case if finding.rule == "table-damaged" else ""  # misaligned, or repeated
        key = (finding.rule, finding.severity, damage, finding.figures.get("area"))
        found.setdefault(number if finding.location is None else key, []).append(finding)
    limit = None if options.show_all else SHOWN_PER_CAUSE
    return [Cause(group[:limit], len(group[limit:]) if limit else 0) for group in found.values()]


def area_table(boot: Boot) -> Table:
    """Return each area's stubs."""
    rows = [
        (area.name, hex_address(area.address), f"{area.count:,}", f"{used:,}", f"{needed:,}")
        for area, used, needed in boot.uses
    ]
    return Table(("area", "address", ">reserved", ">used", ">needed"), rows)


def branch_table(boot: Boot) -> Table:
    """Return the tightest branch of each kind; no rows where functions get no stub at all."""
    rows = [
        (room.branch, f"{room.bytes:,}", hex_address(room.location), boot.kernel.name(room.location))
        for room in boot.headrooms.values()
    ]
    return Table(("branch", ">headroom, bytes", "?location", "`function"), rows)


def facts(boot: Boot, name: Callable[[str], str] = escape_line) -> Iterator[str]:
    """Yield that a kernel has no headroom where that is so, and how large its texts are."""
    from pfestubs.formats.address_map import text_sentence
    from pfestubs.rules.analyses.address_map import measure_text

    if boot.without_stub:
        yield f"headroom: none, {plural(boot.without_stub, 'function gets', 'functions get')} no stub"
    yield text_sentence(measure_text(boot), name)


def render_github(result: CheckResult, options: RenderOptions) -> Iterator[str]:
    """Yield the summary first, then the first causes; with `show_all` every finding, for the log."""
    level, file = "notice" if result.ok else "error", result.boot.kernel.file
    yield annotation(level, file, f"{file}: {summary(result)}")
    notes = [f for f in result.findings if f.severity == "note"] if options.verbose else []
    for level, findings, room in (
        ("error", result.errors, _ANNOTATIONS - 1),
        ("notice", notes, _ANNOTATIONS - result.ok),
    ):
        each = [Cause([finding], 0) for finding in findings] if options.show_all else []
        for cause in each or causes(findings, options)[:room]:
            yield annotation(level, file, cause_message(cause), cause.shown[0].rule)


def cause_message(cause: Cause) -> str:
    """Return a cause as one sentence: its first finding, the next functions, a count."""
    first, *others = cause.shown
    message = finding_message(first)
    if not others:
        return message
    names = ", ".join(f.function or hex_address(f.location or 0) for f in others)
    more = f" and {cause.more:,} more" if cause.more else ""
    return f"{message}; {len(cause.shown) + cause.more:,} functions fail in this way, also {names}{more}"


def annotation(level: str, file: str, message: str, title: str = "pfestubs check") -> str:
    """Return a command that shows a message beside a file on GitHub; its level is "error" or "notice"."""
    file, title, message = (escape_line(text).replace("%", "%25") for text in (file, title, message))
    file, title = (text.replace(":", "%3A").replace(",", "%2C") for text in (file, title))
    return f"::{level} file={file},title={title}::{message}\n"


def summary(result: CheckResult, name: Callable[[str], str] = escape_line) -> str:
    """Return the outcome in one sentence, without the file's name; counts, and bytes of headroom.

    `name` writes names from files as the format needs it.
    """
    outcome = _failed(result, name) if result.errors else _ok(result, name)
    return "; ".join(filter(None, (outcome, against_baseline(result, name))))


def _ok(result: CheckResult, name: Callable[[str], str]) -> str:
    boot, locations = result.boot, len(result.boot.locations)
    every, room = "" if locations == 1 else "all ", boot.headroom
    if boot.uses:
        functions = plural(locations, "function gets", "functions get")
        uses = ", ".join(f"{area.name} {used:,} of {area.count:,}" for area, used, _ in boot.uses)
        sentence = f"ok: {every}{functions} a working stub ({uses})"
    else:
        functions = plural(locations, "function reaches", "functions reach")
        sentence = f"ok: {every}{functions} the tracer (layout {boot.kernel.layout_name})"
    if room is not None:
        branch = f"{room.branch} branch of {name(boot.kernel.name(room.location))}"
        sentence += f", headroom {bytes_text(room.bytes, branch)}"
    return sentence


def _failed(result: CheckResult, name: Callable[[str], str]) -> str:
    rules, stop = Counter(error.rule for error in result.errors), result.boot.stop_function
    counts = ", ".join(f"{rule} {number:,}" for rule, number in rules.items())
    locations = plural(len(result.boot.locations), "location")
    sentence = f"failed: {plural(rules.total(), 'error')} ({counts}), {locations}"
    if stop is not None:
        sentence += f"; ftrace would be disabled at boot, at {name(stop)}"
    return sentence


def against_baseline(result: CheckResult, name: Callable[[str], str] = escape_line) -> str:
    """Return what has changed since the baseline, and of which release that is; "" without one."""
    boot, baseline = result.boot, result.options.baseline
    if baseline is None:
        return ""
    sentence = f"against {name(baseline.kernel.file)}"
    old, new = baseline.kernel.release, boot.kernel.release
    if old is not None and new is not None and old != new:
        sentence += f" (of kernel {name(old)}, this is {name(new)})"
    sentence += f": locations {len(boot.locations) - baseline.locations:+,}"
    if baseline.headroom is not None and boot.headroom is not None:
        sentence += f", headroom {boot.headroom.bytes - baseline.headroom:+,} bytes"
    return sentence


def render_json(result: CheckResult, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - JSON holds all
    """Yield `pfestubs/check/1`, every finding with every key; addresses as strings, bytes as integers."""
    boot, kernel, baseline = result.boot, result.boot.kernel, result.options.baseline
    yield from dump_json_list(
        {
            "schema": CHECK_SCHEMA,
            **keys_of(kernel.identity, "file layout byte_order"),
            "ok": result.ok,
            "locations": len(boot.locations),
            "stub_size": boot.stub_size or None,
            "growth": result.growth_left,
            "machine": ppc.MACHINES[kernel.bits],
            "class": kernel.bits,
            "areas": [
                {**keys_of(area, "name address"), "reserved": area.count, "used": used, "needed": needed}
                for area, used, needed in boot.uses
            ],
            "headroom": {
                **_headroom(boot, boot.headroom),
                "by_branch": [_headroom(boot, room) for room in boot.headrooms.values()],
            },
            "baseline": baseline
            and {**keys_of(baseline.kernel, "file release"), **keys_of(baseline, "locations headroom")},
            "kernel": keys_of(kernel, "release banner build_id"),
            "findings": [],
            "pfestubs": __version__,
        },
        "findings",
        (
            {
                **keys_of(finding, "rule severity function location stub distance limit"),
                "message": finding_message(finding),
                "remedy": remedy_values(finding.remedy),
            }
            for finding in result.findings
        ),
    )


def _headroom(boot: Boot, room: Headroom | None) -> dict[str, Any]:
    function = None if room is None else boot.kernel.name(room.location)
    return {**keys_of(room, "bytes location branch"), "function": function}
