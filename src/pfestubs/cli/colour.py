# SPDX-License-Identifier: GPL-2.0-or-later
"""How to render for what standard output is: colour, and the width of a terminal."""

from __future__ import annotations

import os
import sys
from typing import Final

from pfestubs.formats import RenderOptions
from pfestubs.system.files import is_stdout

_WIDTH: Final = 80
"""Columns of a terminal that does not tell."""
_WIDTH_MAX: Final = 120
"""The most columns that a picture takes."""


def wants_colour() -> bool:
    """Return whether to write colour: NO_COLOR disables it, else FORCE_COLOR or a terminal enables it."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    if os.environ.get("TERM") == "dumb":
        return False
    try:
        return sys.stdout.isatty()
    except (AttributeError, ValueError):  # closed
        return False


def terminal_width() -> int | None:
    """Return the columns of the terminal that is standard output, None if it is not one."""
    try:
        return min(os.get_terminal_size(sys.stdout.fileno()).columns or _WIDTH, _WIDTH_MAX)
    except (AttributeError, OSError, ValueError):  # closed, replaced, a file
        return None


def render_options(
    format_: str, output: str | None, *, show_all: bool = False, verbose: bool = False
) -> RenderOptions:
    """Return the options of a document: colour and width only for text that goes to standard output."""
    for_people = format_ == "text" and is_stdout(output)
    return RenderOptions(
        show_all,
        verbose,
        colour=for_people and wants_colour(),
        width=terminal_width() if for_people else None,
    )
