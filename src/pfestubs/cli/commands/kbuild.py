# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs kbuild`."""

from __future__ import annotations

import sys

import click

from pfestubs.formats.text import escape
from pfestubs.kbuild import tree as kbuild
from pfestubs.system.files import write_stdout


@click.group("kbuild")
def command() -> None:
    """Put the hook and the check into a kernel tree, or take them out.

    Changed are arch/powerpc/tools/Makefile and arch/powerpc/Makefile.postlink, by blocks between the tree's
    own lines. Building then takes the variables PFESTUBS, PFESTUBS_FLAGS, PFESTUBS_CHECK and
    PFESTUBS_CHECK_FLAGS; "make PFESTUBS=" builds with the kernel's own scripts.
    """


@command.command("install")
@click.option(
    "--print", "print_", is_flag=True, help="Print the change as a patch for git apply; touch nothing."
)
@click.argument("srctree")
def install(srctree: str, print_: bool) -> None:
    """Make SRCTREE call pfestubs in place of its scripts."""
    tree = kbuild.open_tree(srctree)
    if print_:
        write_stdout(tree.patch())
        changed = [name for name, state in tree.states.items() if state != "current"]
    else:
        changed = tree.install()
    if not changed:
        _report(f"{srctree}: already installed ({tree.generation})")
        return
    if not print_:
        _report(f"{srctree}: installed ({tree.generation}): {', '.join(changed)}")
    if tree.revives_checks:
        _report(
            f"{srctree}: note: since 6.18 kbuild calls Makefile.postlink for vmlinux.unstripped, which"
            " it did not name, so that none of its checks ran; now it names both vmlinux and"
            " vmlinux.unstripped, which brings head_check and relocs_check back as well: a kernel that fails"
            " head_check no longer builds"
        )


@command.command("remove")
@click.argument("srctree")
def remove(srctree: str) -> None:
    """Restore the makefiles of SRCTREE, bit for bit."""
    changed = kbuild.remove(srctree)
    done = f"removed from {', '.join(changed)}" if changed else "not installed, nothing to remove"
    _report(f"{srctree}: {done}")


@command.command("status")
@click.argument("srctree")
def status(srctree: str) -> None:
    """Say in one line what SRCTREE is and whether it calls pfestubs."""
    tree = kbuild.open_tree(srctree)
    write_stdout(f"{srctree}: {_state(tree)} ({tree.generation})\n")


def _state(tree: kbuild.KernelTree) -> str:
    states = tree.states
    absent = [name for name, state in states.items() if state == "absent"]
    if len(absent) == len(states):
        return "not installed"
    if absent:
        return f"partly installed: not in {', '.join(absent)}"
    if "other" in states.values():
        return "installed by another version of pfestubs: install again to renew it"
    return "installed"


def _report(sentence: str) -> None:
    sys.stderr.write(escape(sentence) + "\n")
