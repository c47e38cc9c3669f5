# SPDX-License-Identifier: GPL-2.0-or-later
"""Words and numbers as every format writes them."""

from __future__ import annotations

import json
from typing import Any


def hex_address(value: int) -> str:
    """An address: lower case, unpadded."""
    return f"{value:#x}"


def hex_word(value: int) -> str:
    """An instruction word: eight digits."""
    return f"{value:#010x}"


def escape(text: str) -> str:
    """`text` for a terminal: what is not printable (an escape sequence in a symbol's name) is spelled out."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape", "backslashreplace").decode()
        for c in text
    )


def escape_line(text: str) -> str:
    """`text` from a file as part of one line: nothing unprintable, no line feed."""
    return escape(text).replace("\n", "\\n")


def dump_json(value: Any) -> str:
    """A JSON document: keys sorted, no NaN, no colour, one final newline."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=True) + "\n"
