# SPDX-License-Identifier: GPL-2.0-or-later
"""Read and write the files of a kernel tree that pfestubs edits: two makefiles, and its copy of pfestubs."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pfestubs.errors import InputError, OutputError, UsageError
from pfestubs.formats.templates import render_template
from pfestubs.kbuild import makefiles as kbuild
from pfestubs.kbuild.makefiles import POSTLINK_MAKEFILE, TOOLS_MAKEFILE, VENDORED
from pfestubs.system import signals
from pfestubs.system.files import write_file
from pfestubs.system.zipapp import version_of_zipapp

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAKEFILE_LIMIT: Final = 64 << 10
"""Bytes: the kernel's own makefiles of these names have less than 2,000. It bounds the time of a diff."""

BlockState = Literal["absent", "current", "other"]
"""Of one makefile: no block, the blocks that this version writes, the blocks of another version."""


@dataclass(frozen=True)
class KernelTree:
    """A recognised kernel tree. The three mappings go from a makefile's path in the tree to its text."""

    root: Path
    generation: str
    """Of the hook, with the kernel's version if the tree has one: "mainline 7.2", "RFC 6.10"."""
    found: Mapping[str, str]
    stripped: Mapping[str, str]
    edited: Mapping[str, str]
    revives_checks: bool
    is_vendored: bool
    """Whether the makefiles call the copy of pfestubs in the tree."""

    @property
    def states(self) -> dict[str, BlockState]:
        """Return what each makefile contains."""
        known: Mapping[str, Mapping[str, BlockState]] = {
            name: {self.edited[name]: "current", self.stripped[name]: "absent"} for name in self.found
        }
        return {name: known[name].get(text, "other") for name, text in self.found.items()}

    def vendored_version(self) -> str | None:
        """Return the version of the copy of pfestubs in the tree, "" if it has none, None without a copy."""
        path = self.root / VENDORED
        return version_of_zipapp(path) if os.path.lexists(path) else None

    def vendored_state(self) -> str:
        """Return what the copy of pfestubs in the tree is: "version 1.2.3", "damaged" or "missing"."""
        version = self.vendored_version()
        return f"version {version}" if version else "missing" if version is None else "damaged"

    def patch(self) -> str:
        """Return what `install` would change, for `git apply`."""
        return "".join(kbuild.patch(name, self.found[name], self.edited[name]) for name in sorted(self.found))

    def vendor(self) -> KernelTree:
        """Return this tree, edited to call the copy of pfestubs in it."""
        return replace(self, edited=_edit(self.root, self.stripped, is_vendored=True), is_vendored=True)

    def install(self, zipapp: bytes | None = None) -> list[str]:
        """Write the blocks, and `zipapp` as the tree's copy of pfestubs; return the paths that changed.

        Raises:
            OutputError: a file cannot be written; nothing is changed.
            InputError: a file is in another tree, by a symbolic link; or the makefiles call a copy of
                pfestubs that is missing or damaged, and no other is given.
        """
        if zipapp is None and self.is_vendored and not self.vendored_version():
            raise InputError(
                str(self.root / VENDORED),
                f"is {self.vendored_state()}, and the makefiles call it",
                f"write it again: pfestubs kbuild install --vendor {self.root}",
            )
        new: dict[str, bytes | None] = {name: text.encode() for name, text in self.edited.items()}
        if zipapp is not None:
            new[VENDORED] = zipapp
        try:
            return _write(self.root, new)
        except OutputError as e:
            advice = "for a read-only tree, print the change as a patch: kbuild install --print"
            raise OutputError(e.subject, e.problem, advice) from e


def find_source_tree(srctree: str) -> str:
    """Return the kernel tree of a directory: itself, or the source of an object directory (`make O=`).

    Raises:
        UsageError: no name is given.
        InputError: it is not a directory, or the source of an object directory is gone.
    """
    if not srctree:  # an unset variable, not the current directory
        raise UsageError("SRCTREE", "is empty", "give the kernel tree")
    root = Path(srctree)
    if not root.is_dir():
        raise InputError(srctree, "is not a directory" if root.exists() else "does not exist")
    source = root / "source"  # kbuild's link
    if (root / TOOLS_MAKEFILE).exists() or not source.is_symlink():
        return srctree
    if not source.exists():
        raise InputError(
            str(source),
            f"is an object directory's link to its source tree, {os.readlink(source)}, which does not exist",
            "give the kernel tree itself",
        )
    return os.path.realpath(source)


def open_tree(srctree: str) -> KernelTree:
    """Return the kernel tree at `srctree`.

    Raises:
        InputError: it is not a tree that pfestubs supports, or one of its blocks was edited by hand.
    """
    root = Path(srctree)
    found, stripped = _read_makefiles(root)
    is_vendored = any(map(kbuild.calls_vendored, found.values()))
    edited = _edit(root, stripped, is_vendored=is_vendored)
    revives = kbuild.revives_checks(
        _read_if_there(root, "scripts/Makefile.vmlinux"), stripped[POSTLINK_MAKEFILE]
    )
    hook, _ = kbuild.find_hook(stripped[TOOLS_MAKEFILE])
    generation = f"{hook.generation} {kbuild.release(_read_if_there(root, 'Makefile'))}".rstrip()
    return KernelTree(root, generation, found, stripped, edited, revives, is_vendored)


def remove(srctree: str) -> list[str]:
    """Remove the blocks from the tree at `srctree`, and its copy of pfestubs; return the paths that changed.

    It need not be a tree that `install` would accept: the blocks contain what they replace.

    Raises:
        PfestubsError: as `open_tree` if there is no block, and where a file cannot be written.
    """
    root = Path(srctree)
    found, stripped = _read_makefiles(root)
    if stripped == found:
        open_tree(srctree)
    new: dict[str, bytes | None] = {name: text.encode() for name, text in stripped.items()}
    if any(map(kbuild.calls_vendored, found.values())) or version_of_zipapp(root / VENDORED):
        new[VENDORED] = None
    return _write(root, new)


def _edit(root: Path, stripped: Mapping[str, str], *, is_vendored: bool) -> dict[str, str]:
    values = {"minimum": kbuild.MINIMUM_VERSION, "vendored": VENDORED if is_vendored else ""}
    tools, postlink = stripped[TOOLS_MAKEFILE], stripped[POSTLINK_MAKEFILE]
    try:
        hook = render_template(kbuild.find_hook(tools)[0].template, values)
        check = render_template(kbuild.CHECK_TEMPLATE, values)
        return {
            TOOLS_MAKEFILE: kbuild.edit_tools(tools, hook),
            POSTLINK_MAKEFILE: kbuild.edit_postlink(postlink, check),
        }
    except InputError as e:
        raise InputError(str(root / e.subject), e.problem, e.advice) from e


def _write(root: Path, new: Mapping[str, bytes | None]) -> list[str]:
    """Write all files that are to change, or none; None is a file that is not to be there.

    A signal takes effect once all are written: it would end the process between two of them.
    """
    old = {name: _content(root / name) for name in sorted(new)}
    changed = [name for name in old if new[name] != old[name]]
    for name in changed:
        _require_inside(root, name)
    written: list[str] = []
    with signals.deferred():
        try:
            for name in changed:
                _put(root / name, new[name])
                written.append(name)
        except OutputError:
            for name in written:
                _put(root / name, old[name])
            raise
    return changed


def _content(path: Path, limit: int = -1) -> bytes | None:
    """Return at most `limit` bytes of a file, None if there is none."""
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except FileNotFoundError:
        return None
    except OSError as e:
        raise InputError(str(path), f"cannot be read: {e.strerror}") from e


def _put(path: Path, data: bytes | None) -> None:
    if data is not None:
        write_file(str(path), [data])
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as e:
        raise OutputError(str(path), f"cannot be removed: {e.strerror}") from e


def _require_inside(root: Path, name: str) -> None:
    """Refuse a file that is in another tree, as in a shadow tree of symbolic links (`cp -rs`)."""
    path = root / name
    target = os.path.realpath(path)
    if not Path(target).is_relative_to(os.path.realpath(root)):
        raise InputError(
            str(path),
            f"is in another tree, by a symbolic link: {target}; nothing is changed",
            "install into that tree, or replace the link by a copy of the file:"
            f" cp --remove-destination {target} {path}",
        )


def _read_makefiles(root: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the makefiles by their paths in the tree: as they are, and without the blocks of pfestubs."""
    found = {name: _read(root, name) for name in (TOOLS_MAKEFILE, POSTLINK_MAKEFILE)}
    return found, {name: kbuild.strip(str(root / name), text) for name, text in found.items()}


def _read(root: Path, name: str) -> str:
    path = root / name
    data = _content(path, _MAKEFILE_LIMIT + 1)
    if data is None:
        raise InputError(
            str(root),
            f"has no {name}: not a kernel tree with out-of-line ftrace stubs",
            "needs Linux 6.13 or later",
        )
    if len(data) > _MAKEFILE_LIMIT:
        raise InputError(str(path), f"is larger than expected: more than {_MAKEFILE_LIMIT:,} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as e:
        raise InputError(str(path), "is not UTF-8 text") from e


def _read_if_there(root: Path, name: str) -> str:
    """Return the beginning of a file that is only looked at, "" if it cannot be read."""
    with suppress(InputError):
        return (_content(root / name, _MAKEFILE_LIMIT) or b"").decode(errors="replace")
    return ""
