# SPDX-License-Identifier: GPL-2.0-or-later
"""Read and write the two makefiles of a kernel tree that pfestubs takes a place in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pfestubs.errors import OutputError, UnreadableError, UnsuitableError, UsageError
from pfestubs.formats.templates import render_template
from pfestubs.kbuild import makefiles as kbuild
from pfestubs.kbuild.makefiles import POSTLINK_MAKEFILE, TOOLS_MAKEFILE
from pfestubs.system.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pfestubs.kbuild.makefiles import State


@dataclass(frozen=True)
class KernelTree:
    """A recognised kernel tree. The three mappings go from a makefile's path in the tree to its text."""

    root: Path
    generation: str
    """Of the hook, with the kernel's version if the tree says it: "mainline 7.2", "RFC 6.10"."""
    found: Mapping[str, str]
    stripped: Mapping[str, str]
    edited: Mapping[str, str]
    revives_checks: bool

    @property
    def states(self) -> dict[str, State]:
        """What each makefile holds."""
        return {
            name: kbuild.state_of(self.found[name], self.stripped[name], self.edited[name])
            for name in self.found
        }

    def patch(self) -> str:
        """What `install` would change, for `git apply`."""
        return "".join(kbuild.patch(name, self.found[name], self.edited[name]) for name in sorted(self.found))

    def install(self) -> list[str]:
        """Write the blocks; the paths that changed."""
        return _write(self.root, self.found, self.edited)


def remove(srctree: str) -> list[str]:
    """Take the blocks out of the tree at `srctree`; the paths that changed.

    It need not be a tree that `install` would take: the blocks say what they stand in for.

    Raises:
        PfestubsError: as `open_tree` if there is no block, and where a makefile cannot be written.
    """
    found = _read_makefiles(srctree)
    stripped = _strip(Path(srctree), found)
    if stripped == found:
        open_tree(srctree)
    return _write(Path(srctree), found, stripped)


def _write(root: Path, found: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """Write all makefiles that are to change, or none."""
    changed = [name for name in sorted(found) if wanted[name] != found[name]]
    written: list[str] = []
    try:
        for name in changed:
            write_atomic(str(root / name), wanted[name].encode())
            written.append(name)
    except BaseException:
        _restore(root, {name: found[name] for name in written})
        raise
    return changed


def _restore(root: Path, written: Mapping[str, str]) -> None:
    for name, text in written.items():
        try:
            write_atomic(str(root / name), text.encode())
        except OutputError as e:
            raise OutputError(
                e.subject,
                f"{e.problem}, and stays changed although another makefile could not be written",
                "run kbuild remove once the tree can be written",
            ) from e


def open_tree(srctree: str) -> KernelTree:
    """The kernel tree at `srctree`.

    Raises:
        UnreadableError: it, or one of the makefiles, cannot be read.
        UnsuitableError: it is no tree that pfestubs knows, or one of its blocks was edited by hand.
    """
    root = Path(srctree)
    found = _read_makefiles(srctree)
    stripped = _strip(root, found)
    try:
        kind = kbuild.recognise(stripped[TOOLS_MAKEFILE])
        edited = {
            TOOLS_MAKEFILE: kbuild.edit_tools(stripped[TOOLS_MAKEFILE], kind, _render(kind.template)),
            POSTLINK_MAKEFILE: kbuild.edit_postlink(
                stripped[POSTLINK_MAKEFILE], _render(kbuild.CHECK_TEMPLATE)
            ),
        }
    except UnsuitableError as e:
        raise UnsuitableError(str(root / e.subject), e.problem, e.advice) from e
    revives = kbuild.revives_checks(
        _read_if_there(root, "scripts/Makefile.vmlinux"), stripped[POSTLINK_MAKEFILE]
    )
    generation = f"{kind.name} {kbuild.release(_read_if_there(root, 'Makefile'))}".rstrip()
    return KernelTree(root, generation, found, stripped, edited, revives)


def _read_makefiles(srctree: str) -> dict[str, str]:
    if not srctree:  # an unset variable, not the folder one happens to be in
        raise UsageError("SRCTREE", "is empty", "name the kernel tree")
    root = Path(srctree)
    if not root.is_dir():
        raise UnreadableError(str(root), "is not a folder" if root.exists() else "does not exist")
    return {name: _read(root, name) for name in (TOOLS_MAKEFILE, POSTLINK_MAKEFILE)}


def _strip(root: Path, found: Mapping[str, str]) -> dict[str, str]:
    return {name: kbuild.strip(str(root / name), text) for name, text in found.items()}


def _read(root: Path, name: str) -> str:
    path = root / name
    try:
        return path.read_bytes().decode()
    except FileNotFoundError as e:
        raise UnsuitableError(
            str(root),
            f"has no {name}, so it is no source tree of a kernel with out-of-line ftrace stubs",
            "mainline has them since 6.13",
        ) from e
    except UnicodeDecodeError as e:
        raise UnsuitableError(str(path), "is not UTF-8 text") from e
    except OSError as e:
        raise UnreadableError(str(path), f"cannot be read: {e.strerror}") from e


def _read_if_there(root: Path, name: str) -> str:
    try:
        return (root / name).read_text(errors="replace")
    except OSError:
        return ""


def _render(template: str) -> str:
    return render_template(template, {"minimum": kbuild.MINIMUM_VERSION})
