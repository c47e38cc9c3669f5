# SPDX-License-Identifier: GPL-2.0-or-later
"""Private directories next to an output file, in which it is made before it takes its name.

A directory is removed at the end of its block and on a signal. What SIGKILL leaves is removed by the next
run: a live run holds a lock (flock) on its own.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from pfestubs.system import signals

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME_LIMIT: Final = 64
"""Bytes of the output's name in the directory's: a name has up to 255, and the directory's has more."""
_TRIES: Final = 16


@contextmanager
def staging_directory(target: str) -> Iterator[str]:
    """Make a directory `.NAME.*.tmp` next to `target`, on its file system.

    Raises:
        OSError: it cannot be made.
    """
    with signals.deferred():
        path, lock = _make_locked(target)

        def remove() -> None:
            _remove_tree(path)

        signals.on_end(remove)
    try:
        yield path
    finally:
        with signals.deferred():
            remove()
            signals.forget(remove)
            if lock is not None:
                os.close(lock)


def remove_stale(target: str) -> None:
    """Remove what runs that were killed left next to `target`."""
    parent, prefix = _place(target)
    pattern = re.compile(re.escape(prefix) + r"[0-9a-f]{8}\.tmp")
    try:
        found = [name for name in os.listdir(parent) if pattern.fullmatch(name)]
    except OSError:  # whoever writes there will say so
        return
    for name in found:
        path = os.path.join(parent, name)
        with suppress(OSError):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove_tree(path)
            finally:
                os.close(lock)


def _place(target: str) -> tuple[str, str]:
    """Return the directory of `target`, and how the names of its staging directories start."""
    parent, name = os.path.split(target)
    while len(os.fsencode(name)) > _NAME_LIMIT:
        name = name[:-1]
    return parent or ".", f".{name}."


def _make_locked(target: str) -> tuple[str, int | None]:
    """Return a new directory and the lock on it; None where the file system has no locks."""
    parent, prefix = _place(target)
    for _ in range(_TRIES):
        path = os.path.join(parent, f"{prefix}{os.urandom(4).hex()}.tmp")
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            continue
        lock = None
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if os.fstat(lock).st_nlink:
                return path, lock
        except OSError as e:
            if e.errno not in {errno.EWOULDBLOCK, errno.ENOENT}:
                return path, lock
        if lock is not None:  # another run took it for stale, before the lock: it removes it
            os.close(lock)
    raise FileExistsError(errno.EEXIST, "no free temporary name", parent)


def _remove_tree(path: str) -> None:
    """Remove a directory and what is in it, also while somebody still adds to it; no error if it stays."""
    for _ in range(_TRIES):
        with suppress(OSError):
            for entry in list(os.scandir(path)):
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        _remove_tree(entry.path)
                    else:
                        os.unlink(entry.path)
        try:
            os.rmdir(path)
        except OSError as e:
            if e.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                return
        else:
            return
