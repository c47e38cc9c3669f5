# SPDX-License-Identifier: GPL-2.0-or-later
"""The recipes that are kept in the repository: each reached code that none before it had."""

from pathlib import Path

_FILE = Path(__file__).with_suffix(".hex")


def corpus() -> list[bytes]:
    """Return the recipes, one per line of the file, in hexadecimal."""
    return [bytes.fromhex(line) for line in _FILE.read_text().split()]
