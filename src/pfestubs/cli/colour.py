# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether standard output takes colour."""

from __future__ import annotations

import os
import sys


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
