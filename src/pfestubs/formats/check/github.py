# SPDX-License-Identifier: GPL-2.0-or-later
"""`check` as GitHub workflow commands: annotations in the log of a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pfestubs.formats.check import RenderOptions, summary
from pfestubs.formats.text import escape_line

if TYPE_CHECKING:
    from pfestubs.rules.check import CheckResult

_ANNOTATIONS: Final = 10
"""GitHub shows so many a step and severity; it drops the rest without a word."""


def render(verdict: CheckResult, view: RenderOptions) -> str:
    """The aggregate first, then the first findings; with `view.every` all of them, for the log."""
    level = "notice" if verdict.ok else "error"
    commands = [_command(level, verdict.file, "pfestubs check", f"{verdict.file}: {summary(verdict)}")]
    errors = verdict.errors
    for finding in errors if view.every else errors[: _ANNOTATIONS - 1]:
        commands.append(_command("error", verdict.file, finding.rule, finding.message))
    if view.verbose:
        notes = [finding for finding in verdict.findings if finding.severity == "note"]
        for finding in notes if view.every else notes[: _ANNOTATIONS - verdict.ok]:
            commands.append(_command("notice", verdict.file, finding.rule, finding.message))
    return "\n".join(commands) + "\n"


def _command(level: str, file: str, title: str, message: str) -> str:
    return f"::{level} file={_property(file)},title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return escape_line(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
