# SPDX-License-Identifier: GPL-2.0-or-later
"""`check` as GitHub workflow commands: annotations in the log of a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pfestubs.formats.check import summary
from pfestubs.formats.findings import finding_message
from pfestubs.formats.text import escape_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.rules.check.check import CheckResult

_ANNOTATIONS: Final = 10
"""GitHub's limit per step and severity; the rest are dropped silently."""


def render(result: CheckResult, options: RenderOptions) -> Iterator[str]:
    """Yield the summary first, then the first findings; with `show_all` all of them, for the log."""
    level = "notice" if result.ok else "error"
    yield _command(level, result.file, "pfestubs check", f"{result.file}: {summary(result)}")
    errors = result.errors
    for finding in errors if options.show_all else errors[: _ANNOTATIONS - 1]:
        yield _command("error", result.file, finding.rule, finding_message(finding))
    if options.verbose:
        notes = [finding for finding in result.findings if finding.severity == "note"]
        for finding in notes if options.show_all else notes[: _ANNOTATIONS - result.ok]:
            yield _command("notice", result.file, finding.rule, finding_message(finding))


def _command(level: str, file: str, title: str, message: str) -> str:
    return f"::{level} file={_property(file)},title={_property(title)}::{_data(message)}\n"


def _data(text: str) -> str:
    return escape_line(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
