# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs kbuild`."""

import click

from pfestubs import __version__
from pfestubs.cli.options import epilog
from pfestubs.errors import UsageError
from pfestubs.formats.text import escape_line
from pfestubs.kbuild import tree as kbuild
from pfestubs.kbuild.makefiles import VENDORED
from pfestubs.system.files import print_messages, write_output

_srctree = click.argument("srctree", type=click.Path())


@click.group(
    "kbuild",
    no_args_is_help=False,  # exit status 0 with click 8.1; without it "Missing command."
    epilog=epilog("pfestubs kbuild install linux", "pfestubs kbuild status linux"),
    help="""Make a kernel tree call pfestubs in place of its ftrace scripts, or undo that.

    Adds marked blocks to arch/powerpc/tools/Makefile and arch/powerpc/Makefile.postlink. The build then uses
    the variables PFESTUBS, PFESTUBS_FLAGS, PFESTUBS_CHECK and PFESTUBS_CHECK_FLAGS; "make PFESTUBS=" builds
    with the kernel's own scripts.
    """,
)
def command() -> None:
    """Run a command of `pfestubs kbuild`."""


@command.command(
    "install",
    short_help="make SRCTREE call pfestubs",
    help="""Make SRCTREE call pfestubs in place of its scripts.

    SRCTREE may also be an object directory (make O=): its source tree is edited.
    """,
    epilog=epilog("pfestubs kbuild install linux", "pfestubs kbuild install --print linux >pfestubs.patch"),
)
@click.option(
    "--print", "print_", is_flag=True, help="Print the change as a patch for git apply; change nothing."
)
@click.option(
    "--vendor",
    is_flag=True,
    help=f"Copy pfestubs into the tree ({VENDORED}) and call that copy: the build needs python3 only.",
)
@_srctree
def install(srctree: str, print_: bool, vendor: bool) -> None:
    """Run `pfestubs kbuild install`."""
    if print_ and vendor:
        raise UsageError("--vendor", "cannot be combined with --print: a patch has no binary files")
    srctree = _source_tree(srctree)
    tree = kbuild.open_tree(srctree)
    if vendor:
        from pfestubs.system.zipapp import zipapp

        tree = tree.vendor()
        changed = tree.install(zipapp())
    elif print_:
        write_output(None, tree.patch())
        changed = [name for name, state in tree.states.items() if state != "current"]
    else:
        changed = tree.install()
    if not changed:
        print_messages(f"{srctree}: already installed ({tree.generation})")
    elif not print_:
        print_messages(f"{srctree}: installed ({tree.generation}): {', '.join(changed)}")
    if tree.is_vendored and tree.vendored_version() != __version__:
        print_messages(
            f"{srctree}: note: the tree calls its own copy, {VENDORED}"
            f" ({tree.vendored_state()}); install --vendor renews it"
        )
    if changed and tree.revives_checks:
        print_messages(
            f"{srctree}: note: since 6.18 kbuild calls Makefile.postlink for vmlinux.unstripped, which has no"
            " rule for that target, so its checks were skipped; the new rule re-enables head_check and"
            " relocs_check too: a kernel that fails head_check no longer builds"
        )


@command.command(
    "remove",
    short_help="restore the makefiles of SRCTREE",
    help="Restore the makefiles of SRCTREE bit for bit, and delete the copy that --vendor made.",
    epilog=epilog("pfestubs kbuild remove linux", "pfestubs kbuild remove ../build-ppc64le"),
)
@_srctree
def remove(srctree: str) -> None:
    """Run `pfestubs kbuild remove`."""
    srctree = _source_tree(srctree)
    changed = kbuild.remove(srctree)
    done = f"removed from {', '.join(changed)}" if changed else "not installed, nothing to remove"
    print_messages(f"{srctree}: {done}")


@command.command(
    "status",
    short_help="whether SRCTREE calls pfestubs",
    help="Print in one line what SRCTREE is and whether it calls pfestubs.",
    epilog=epilog("pfestubs kbuild status linux", "pfestubs kbuild status . | grep -q ': installed'"),
)
@_srctree
def status(srctree: str) -> None:
    """Run `pfestubs kbuild status`."""
    srctree = _source_tree(srctree)
    tree = kbuild.open_tree(srctree)
    vendored = f", {VENDORED} is not called" if tree.vendored_version() else ""
    if tree.is_vendored:
        vendored = f", calls {VENDORED} ({tree.vendored_state()})"
    write_output(None, escape_line(f"{srctree}: {_state(tree)} ({tree.generation}){vendored}") + "\n")


def _source_tree(srctree: str) -> str:
    source = kbuild.find_source_tree(srctree)
    if source != srctree:
        print_messages(f"{srctree}: note: is an object directory; using its source tree, {source}")
    return source


def _state(tree: kbuild.KernelTree) -> str:
    states = tree.states
    absent = [name for name, state in states.items() if state == "absent"]
    if len(absent) == len(states):
        return "not installed"
    if absent:
        return f"partly installed: not in {', '.join(absent)}"
    if "other" in states.values():
        return "installed by another version of pfestubs: install again to update the blocks"
    return "installed"
