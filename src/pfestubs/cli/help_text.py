# SPDX-License-Identifier: GPL-2.0-or-later
"""What ends every command's help."""

from __future__ import annotations

from typing import Final

EXIT_STATUS: Final = (
    "Exit status: 0 success, no problems found; 1 problems found in the kernel; 2 error (usage, unreadable"
    " input, failed tool)."
)


def epilog(*examples: str) -> str:
    """Return the end of a command's help: examples, one per line, and the meaning of the exit status."""
    lines = "\n".join(f"  {example}" for example in examples)
    return f"\b\nExamples:\n{lines}\n\n{EXIT_STATUS}"
