# SPDX-License-Identifier: GPL-2.0-or-later
"""Run a tool so that it, and what it starts, ends with this process."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pfestubs.errors import ToolError
from pfestubs.system import signals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_GRACE: Final = ((signal.SIGTERM, 2.0), (signal.SIGKILL, 1.0))
"""How a group of processes is ended: signals, and the seconds that it has after each."""
_POLL: Final = 0.02
_WAIT: Final = 1.0
"""Seconds between looks at a process that runs; its end (SIGCHLD) is noticed at once."""


def run_tool(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a program, its standard output joined to standard error; return its status as `os.waitpid` does.

    The tool has a session, so a process group, of its own, which is ended as a whole if this process is told
    to end. The signals that do so are blocked from before the start, and waited for together with the tool's
    end: none is lost and none comes at a moment when the tool is not known.

    Raises:
        ToolError: it cannot be run.
    """
    asked = signals.installed()
    waited = asked | {signal.SIGCHLD}
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:  # inherited: there would be no status to wait for
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    try:
        group = _start(words, environment, before)
        status = None
        try:
            while status is None:
                status = _status(group)
                if status is None:
                    arrived = signal.sigtimedwait(waited, _WAIT)
                    if arrived is not None and arrived.si_signo != signal.SIGCHLD:
                        end_group(group)
                        signals.end(arrived.si_signo)
        finally:
            if status != 0:
                end_group(group)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return status


def _start(words: Sequence[str], environment: Mapping[str, str], mask: set[int]) -> int:
    """Start the tool with the signal mask `mask`, as leader of a session; return the number of its group."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, 2, 1),
    ]
    try:
        return os.posix_spawnp(
            words[0],
            list(words),
            environment,
            file_actions=actions,
            setsid=True,
            setsigmask=mask,
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores them
        )
    except OSError as e:
        raise ToolError(words[0], f"cannot be run: {e.strerror}", "set CC to the cross compiler") from e


def _status(process: int) -> int | None:
    """Return the status of a process that has ended, None of one that runs."""
    try:
        ended, status = os.waitpid(process, os.WNOHANG)
    except ChildProcessError:
        return -1
    return status if ended else None


def end_group(group: int) -> None:
    """End every process of a group: those that ignore SIGTERM, after a moment, by SIGKILL."""
    for number, grace in _GRACE:
        limit = time.monotonic() + grace
        try:
            os.killpg(group, number)
            while time.monotonic() < limit:
                _status(group)
                os.killpg(group, 0)
                time.sleep(_POLL)
        except ProcessLookupError:  # all gone
            return
        except PermissionError:  # only processes of other users are left
            return
    with suppress(ChildProcessError):
        os.waitpid(group, os.WNOHANG)
