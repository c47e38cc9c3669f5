# SPDX-License-Identifier: GPL-2.0-or-later
"""Run a tool so that it, and what it starts, ends with this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pfestubs.errors import ToolError
from pfestubs.system import signals

if TYPE_CHECKING:
    from collections.abc import Sequence

_GRACE: Final = ((signal.SIGTERM, 2.0), (signal.SIGKILL, 1.0))
"""How a group of processes is ended: signals, and the seconds that it has after each."""
_POLL: Final = 0.02


def run_tool(words: Sequence[str]) -> int:
    """Run a program, its standard output joined to standard error; return its status as `subprocess` does.

    The tool runs in its own session, whose processes are ended if this process is signalled, and if the tool
    fails.

    Raises:
        ToolError: it cannot be run.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored by the caller, the status would be lost
    with signals.deferred():
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=2 if sys.stderr else subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as e:
            raise ToolError(words[0], f"cannot be run: {e.strerror}", "set CC to the cross compiler") from e

        def end() -> None:
            end_group(process.pid)

        signals.on_end(end)
    status = -1
    try:
        status = process.wait()
    finally:
        if status:
            end()
        signals.forget(end)
    return status


def end_group(group: int) -> None:
    """End every process of a group: those that ignore SIGTERM, after a moment, by SIGKILL."""
    with suppress(ProcessLookupError, PermissionError):  # all are gone, or those of other users are left
        for number, grace in _GRACE:
            limit = time.monotonic() + grace
            os.killpg(group, number)
            while time.monotonic() < limit:
                with suppress(ChildProcessError):
                    os.waitpid(group, os.WNOHANG)
                os.killpg(group, 0)
                time.sleep(_POLL)
