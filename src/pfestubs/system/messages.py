# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages for people, on standard error."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from pfestubs.formats.text import escape_line, wrap

if TYPE_CHECKING:
    from typing import TextIO


def print_messages(*lines: str) -> None:
    """Write each message as one line to standard error; that it is closed or full changes nothing else.

    On a terminal lines break between words.
    """
    try:
        texts = [escape_line(line) for line in lines]
        if sys.stderr.isatty():
            width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            texts = [wrap(text, width) for text in texts]
        sys.stderr.write("".join(f"{text}\n" for text in texts))
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # full, closed by us, closed by the caller (None)
        redirect_to_null(sys.stderr)


def redirect_to_null(stream: TextIO | None) -> None:
    """Discard buffered output: else the interpreter would fail on it and exit with 120."""
    if stream is None:
        return
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
