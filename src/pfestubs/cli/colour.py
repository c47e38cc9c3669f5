# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether standard output takes colour, and how wide it is."""

from __future__ import annotations

import os
import sys
from typing import Final

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
