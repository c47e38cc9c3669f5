# SPDX-License-Identifier: GPL-2.0-or-later
"""Results as text: each format of a command is a function that takes the result and `RenderOptions`.

A new format is a function and an entry of `FORMATS`; its module is imported when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMATS: Final[dict[str, dict[str, str]]] = {
    "count": {"text": "count:render_text", "json": "count:render_json"},
    "check": {
        "text": "check:render_text",
        "json": "check:render_json",
        "junit": "check.documents:render_junit",
        "sarif": "check.documents:render_sarif",
        "github": "check:render_github",
        "markdown": "check.documents:render_markdown",
    },
    "stubs": {"text": "stubs:render_text", "json": "stubs:render_json"},
    "verify": {"text": "verify:render_text", "json": "verify:render_json"},
    "modules": {"text": "modules:render_text", "json": "modules:render_json"},
    "plan": {"text": "plan:render_text", "json": "plan:render_json"},
    "diff": {"text": "diff:render_text", "json": "diff:render_json", "markdown": "diff:render_markdown"},
    "report": {"html": "report:render"},
    "explain": {"text": "explain:render_text", "json": "explain:render_json"},
}
"""By command, the module in this package and the function of each format."""


class RenderOptions(NamedTuple):
    """How much to show: every finding, also notes and tables (verbose).

    `on_stdout` is for text that goes to standard output: what a terminal adds is then wanted.
    """

    show_all: bool = False
    verbose: bool = False
    on_stdout: bool = False


def render(command: str, format_: str, result: object, options: RenderOptions) -> Iterable[str]:
    """Return the document of a command's result, in pieces of text."""
    module, function = FORMATS[command][format_].split(":")
    pieces: Iterable[str] = getattr(import_module(f"{__name__}.{module}"), function)(result, options)
    return pieces
