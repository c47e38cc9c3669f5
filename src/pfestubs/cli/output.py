# SPDX-License-Identifier: GPL-2.0-or-later
"""The end of every command that prints a document, and what a terminal shows until then."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from pfestubs.errors import Exit
from pfestubs.formats import RenderOptions, render
from pfestubs.system import signals
from pfestubs.system.files import is_stdout, print_messages, write_output

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from threading import Event

    from rich.progress import Progress, ProgressColumn

_Item = TypeVar("_Item")
_PATIENCE: Final = 1.0
"""Seconds of work without a bar."""


class Output(NamedTuple):
    """Where the document of a command goes.

    Attributes:
        command: that makes the document.
        format: of the document.
        path: the file to write to, None or "-" for standard output.
    """

    command: str
    format: str
    path: str | None

    @property
    def on_stdout(self) -> bool:
        """Whether the document is in sight of who runs the command."""
        return is_stdout(self.path)

    def render(self, result: object, *, show_all: bool = False, verbose: bool = False) -> Iterable[str]:
        """Return the document of a result, in pieces of text."""
        options = RenderOptions(show_all, verbose, self.on_stdout and self.format == "text")
        return render(self.command, self.format, result, options)

    def finish(self, result: object, *, ok: bool, closing: str = "", show_all: bool = False) -> Exit:
        """Write the document of a result and return the exit status.

        Args:
            result: what the formats of the command take.
            ok: whether nothing is wrong with the kernel.
            closing: a message that says what is wrong, where the document is not in sight.
            show_all: every finding.
        """
        write_output(self.path, self.render(result, show_all=show_all))
        if ok:
            return Exit.SUCCESS
        if closing and not self.on_stdout:
            print_messages(closing)
        return Exit.PROBLEMS


# -- progress, on standard error where that is a terminal ----------------------------------------------------


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
