# SPDX-License-Identifier: GPL-2.0-or-later
"""The end of every command that prints a document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfestubs.errors import Exit
from pfestubs.formats import RenderOptions, render
from pfestubs.system.files import is_stdout, print_messages, write_output

if TYPE_CHECKING:
    from collections.abc import Sequence


def finish(
    command: str,
    result: object,
    *,
    ok: bool,
    format_: str,
    output: str | None,
    closing: Sequence[str] = (),
    show_all: bool = False,
) -> Exit:
    """Write a command's document and return the exit status.

    Args:
        command: that made the result.
        result: what its formats take.
        ok: whether nothing is wrong with the kernel.
        format_: as asked for.
        output: the file to write to, None or "-" for standard output.
        closing: messages that say what is wrong, where the document is not in sight.
        show_all: every finding.
    """
    on_stdout = is_stdout(output)
    options = RenderOptions(show_all, on_stdout=on_stdout and format_ == "text")
    write_output(output, render(command, format_, result, options))
    if ok:
        return Exit.SUCCESS
    if not on_stdout:
        print_messages(*closing)
    return Exit.PROBLEMS
