# SPDX-License-Identifier: GPL-2.0-or-later
"""End on SIGINT, SIGTERM and SIGHUP: clean up, then exit status 128 + signal, never a traceback.

The handler does not raise: an exception that comes from anywhere can be lost in a destructor or escape from
a clean-up. It runs what was registered with `on_end`, last first, and ends the process.
"""

# Runs before anything else, on any Python, so that its version can be reported: old syntax, few imports.
from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from types import FrameType
    from typing import NoReturn
else:  # what `signal` is made of; `signal` imports enum: 3 ms in which Ctrl-C would end in a traceback
    import _signal as signal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _State:
    """What the handler needs to know; one process has one."""

    def __init__(self) -> None:
        self.deferred = 0
        self.pending = 0
        self.ending = False
        self.actions: list[Callable[[], None]] = []


_state = _State()


def install() -> None:
    """Handle each of the signals, except one that the caller has set to be ignored (nohup, a shell's &)."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _handle)


def block() -> None:
    """Block the signals for good: the outcome is decided, and the interpreter is about to exit."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def end(number: int) -> NoReturn:
    """Clean up and end the process as signal `number` asks; further signals change nothing."""
    _state.ending = True
    for action in _state.actions[::-1]:
        try:  # noqa: SIM105 - contextlib takes 5 ms, in which signals would not be handled yet
            action()
        except Exception:  # noqa: BLE001, S110 - the other actions matter, and there is nowhere to report it
            pass
    os._exit(128 + number)


def _handle(number: int, _frame: FrameType | None) -> None:
    if _state.ending:
        return
    if _state.deferred:
        _state.pending = _state.pending or number
    else:
        end(number)


class deferred:  # noqa: N801 - used like contextlib's
    """A block that no signal interrupts; one that arrived takes effect at its end. May be nested."""

    def __enter__(self) -> None:
        _state.deferred += 1

    def __exit__(self, *_: object) -> None:
        _state.deferred -= 1
        if _state.pending and not _state.deferred and not _state.ending:
            end(_state.pending)


def on_end(action: Callable[[], None]) -> None:
    """Register what a signal has to clean up; the last registered is done first."""
    _state.actions.append(action)


def forget(action: Callable[[], None]) -> None:
    """Take an action back: it is done, or not needed any more."""
    _state.actions.remove(action)
