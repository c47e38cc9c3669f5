# SPDX-License-Identifier: GPL-2.0-or-later
"""The result of `check` as text, as annotations and as JSON; documents for CI are in a module of their own.

Text is one line on a healthy kernel, else a line per finding and a summary.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs import __version__
from pfestubs.formats.findings import finding_message, remedy_details, remedy_sentence, remedy_values
from pfestubs.formats.tables import SCREEN, Table, paragraph, table_text, terminal_width
from pfestubs.formats.text import bytes_text, dump_json_list, escape_line, hex_address, keys_of, plural
from pfestubs.model import CHECK_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pfestubs.formats import RenderOptions
    from pfestubs.model.findings import Finding
    from pfestubs.rules.check import CheckResult

SHOWN_PER_CAUSE: Final = 4
"""Findings of one cause that people are shown without --all: the first one, and three more functions."""
_HEADROOM: Final = "bytes function location branch"
_ANNOTATIONS: Final = 10
"""GitHub's limit per step and severity; the rest are dropped silently."""


def render_text(result: CheckResult, options: RenderOptions) -> Iterator[str]:
    """Yield the lines for a terminal or a build log."""
    lines = "".join(_lines(result, options))
    yield lines
    yield verdict(result, options, with_remedy=lines.count("\n") >= SCREEN)


def _lines(result: CheckResult, options: RenderOptions) -> Iterator[str]:
    file = escape_line(result.kernel.file)
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
        yield table_text(area_table(result), options)
        width = terminal_width(options)
        if width is not None:
            from pfestubs.formats.address_map import area_map

            yield "".join(line + "\n" for line in area_map(result.address_map, width))
        yield table_text(branch_table(result), options)
        for line in facts(result):
            yield paragraph(line, options)


def verdict(result: CheckResult, options: RenderOptions, *, with_remedy: bool) -> str:
    """Return the outcome as one line."""
    line = f"{escape_line(result.kernel.file)}: {summary(result)}"
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


def area_table(result: CheckResult) -> Table:
    """Return each area's stubs."""
    rows = [
        (area.name, hex_address(area.address), f"{area.count:,}", f"{used:,}", f"{needed:,}")
        for area, used, needed in result.areas
    ]
    return Table(("area", "address", ">reserved", ">used", ">needed"), rows)


def branch_table(result: CheckResult) -> Table:
    """Return the tightest branch of each kind; no rows where functions get no stub at all."""
    rows = [
        (room.branch, f"{room.bytes:,}", hex_address(room.location), room.function)
        for room in result.by_branch
    ]
    titles = ("branch", ">headroom, bytes", "?location", "`function")
    return Table(titles, [] if result.without_stub else rows)


def facts(result: CheckResult) -> Iterator[str]:
    """Yield that a kernel has no headroom where that is so, and how large its texts are."""
    if result.without_stub:
        yield f"headroom: none, {plural(result.without_stub, 'function gets', 'functions get')} no stub"
    if result.text is not None:
        from pfestubs.formats.address_map import text_sentence

        yield text_sentence(result.text)


def render_github(result: CheckResult, options: RenderOptions) -> Iterator[str]:
    """Yield the summary first, then the first causes; with `show_all` every finding, for the log."""
    level = "notice" if result.ok else "error"
    yield annotation(level, result.kernel.file, f"{result.kernel.file}: {summary(result)}")
    notes = [f for f in result.findings if f.severity == "note"] if options.verbose else []
    for level, findings, room in (
        ("error", result.errors, _ANNOTATIONS - 1),
        ("notice", notes, _ANNOTATIONS - result.ok),
    ):
        each = [Cause([finding], 0) for finding in findings] if options.show_all else []
        for cause in each or causes(findings, options)[:room]:
            yield annotation(level, result.kernel.file, cause_message(cause), cause.shown[0].rule)


def cause_message(cause: Cause) -> str:
    """Return a cause as one sentence: its first finding, the next functions, a count."""
    first, *others = cause.shown
    message = finding_message(first)
    if not others:
        return message
    names = ", ".join(f.function or hex_address(f.location or 0) for f in others)
    more = f" and {cause.more:,} more" if cause.more else ""
    return f"{message}; {len(cause.shown) + cause.more:,} functions fail so, also {names}{more}"


def annotation(level: str, file: str, message: str, title: str = "pfestubs check") -> str:
    """Return a command that shows a message beside a file on GitHub; its level is "error" or "notice"."""
    file, title, message = (escape_line(text).replace("%", "%25") for text in (file, title, message))
    file, title = (text.replace(":", "%3A").replace(",", "%2C") for text in (file, title))
    return f"::{level} file={file},title={title}::{message}\n"


def summary(result: CheckResult, name: Callable[[str], str] = escape_line) -> str:
    """Return the outcome in one sentence, without the file's name; counts, and bytes of headroom.

    `name` writes names from files as the format needs it.
    """
    return (_failed(result, name) if result.errors else _ok(result, name)) + _against_baseline(result, name)


def _ok(result: CheckResult, name: Callable[[str], str]) -> str:
    every, room = "" if result.locations == 1 else "all ", result.headroom
    if result.areas:
        functions = plural(result.locations, "function gets", "functions get")
        uses = ", ".join(f"{use.area.name} {use.used:,} of {use.area.count:,}" for use in result.areas)
        sentence = f"ok: {every}{functions} a working stub ({uses})"
    else:
        functions = plural(result.locations, "function reaches", "functions reach")
        sentence = f"ok: {every}{functions} the tracer (layout {result.kernel.layout})"
    if room is not None:
        sentence += f", headroom {bytes_text(room.bytes, f'{room.branch} branch of {name(room.function)}')}"
    return sentence


def _failed(result: CheckResult, name: Callable[[str], str]) -> str:
    rules = Counter(error.rule for error in result.errors)
    counts = ", ".join(f"{rule} {number:,}" for rule, number in rules.items())
    sentence = f"failed: {plural(rules.total(), 'error')} ({counts}), {plural(result.locations, 'location')}"
    if result.stops_at is not None:
        sentence += f"; ftrace would be disabled at boot, at {name(result.stops_at)}"
    return sentence


def _against_baseline(result: CheckResult, name: Callable[[str], str]) -> str:
    baseline = result.options.baseline
    if baseline is None:
        return ""
    sentence = f"; against {name(baseline.kernel.file)}"
    old, new = baseline.kernel.release, result.kernel.release
    if old is not None and new is not None and old != new:
        sentence += f" (of kernel {name(old)}, this is {name(new)})"
    sentence += f": locations {result.locations - baseline.locations:+,}"
    if baseline.headroom is not None and result.headroom is not None:
        sentence += f", headroom {result.headroom.bytes - baseline.headroom:+,} bytes"
    return sentence


def render_json(result: CheckResult, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - JSON holds all
    """Yield `pfestubs/check/1`, every finding with every key; addresses as strings, bytes as integers."""
    kernel, baseline = result.kernel, result.options.baseline
    yield from dump_json_list(
        {
            "schema": CHECK_SCHEMA,
            **keys_of(kernel, "file layout byte_order"),
            **keys_of(result, "ok locations stub_size growth"),
            "machine": "ppc64" if kernel.bits == 64 else "ppc",
            "class": kernel.bits,
            "areas": [
                {
                    **keys_of(use.area, "name address"),
                    "reserved": use.area.count,
                    **keys_of(use, "used needed"),
                }
                for use in result.areas
            ],
            "headroom": {
                **keys_of(result.headroom, _HEADROOM),
                "by_branch": [keys_of(room, _HEADROOM) for room in result.by_branch],
            },
            "baseline": baseline
            and {"file": baseline.kernel.file, **keys_of(baseline, "locations headroom")},
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
