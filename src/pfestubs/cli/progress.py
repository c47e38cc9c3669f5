# SPDX-License-Identifier: GPL-2.0-or-later
"""A progress bar for long work, on standard error where that is a terminal."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from pfestubs.system import signals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from threading import Event

    from rich.progress import Progress, ProgressColumn

_Item = TypeVar("_Item")
_PATIENCE: Final = 1.0
"""Seconds of work without a bar."""


def track(items: Iterable[_Item], total: int, label: str) -> Iterator[_Item]:
    """Yield `items`, and show how many of `total` are done."""
    if not _is_terminal():
        yield from items
        return
    from rich.progress import MofNCompleteColumn

    with _bar(label, MofNCompleteColumn()) as bar:
        signals.on_end(bar.stop)  # else the cursor would stay hidden
        try:
            yield from bar.track(items, total=total)
        finally:
            signals.forget(bar.stop)


@contextmanager
def working(label: str) -> Iterator[None]:
    """Show for work of unknown length that it goes on, once it has taken a second."""
    if not _is_terminal():
        yield
        return
    from threading import Event, Thread

    done = Event()
    thread = Thread(target=_show_working, args=(label, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _show_working(label: str, done: Event) -> None:
    if done.wait(_PATIENCE):
        return
    from rich.progress import TimeElapsedColumn

    with _bar(label, TimeElapsedColumn()) as bar:
        bar.add_task(label, total=None)
        done.wait()


def _bar(label: str, measure: ProgressColumn) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(TextColumn(label), BarColumn(), measure, console=Console(stderr=True), transient=True)


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()
