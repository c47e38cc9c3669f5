# SPDX-License-Identifier: GPL-2.0-or-later
"""Results as text: one module per command and format, each with `render(result, options)`.

A new format is a new module and a line of `FORMATS`; a module is imported when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMATS: Final[dict[str, dict[str, str]]] = {
    "count": {
        "text": "pfestubs.formats.count.text",
        "json": "pfestubs.formats.count.json",
    },
    "check": {
        "text": "pfestubs.formats.check.text",
        "json": "pfestubs.formats.check.json",
        "junit": "pfestubs.formats.check.junit",
        "sarif": "pfestubs.formats.check.sarif",
        "github": "pfestubs.formats.check.github",
        "markdown": "pfestubs.formats.check.markdown",
    },
    "stubs": {
        "text": "pfestubs.formats.stubs.text",
        "json": "pfestubs.formats.stubs.json",
    },
    "verify": {
        "text": "pfestubs.formats.verify.text",
        "json": "pfestubs.formats.verify.json",
    },
    "modules": {
        "text": "pfestubs.formats.modules.text",
        "json": "pfestubs.formats.modules.json",
    },
    "plan": {
        "text": "pfestubs.formats.plan.text",
        "json": "pfestubs.formats.plan.json",
    },
    "diff": {
        "text": "pfestubs.formats.diff.text",
        "json": "pfestubs.formats.diff.json",
        "markdown": "pfestubs.formats.diff.markdown",
    },
    "report": {"html": "pfestubs.formats.report.html"},
    "explain": {"text": "pfestubs.formats.explain.text", "json": "pfestubs.formats.explain.json"},
}
"""The module of each format, by command."""


class RenderOptions(NamedTuple):
    """How much to show: every finding, also notes and tables (verbose), colour codes.

    `width` is the columns of the terminal, None for a file.
    """

    show_all: bool = False
    verbose: bool = False
    colour: bool = False
    width: int | None = None


def render(command: str, format_: str, result: object, options: RenderOptions) -> Iterable[str]:
    """Return the document of a command's result, in pieces of text."""
    pieces: Iterable[str] = import_module(FORMATS[command][format_]).render(result, options)
    return pieces
