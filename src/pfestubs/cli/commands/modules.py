# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs modules`."""

import click

from pfestubs.cli import options
from pfestubs.cli.progress import track
from pfestubs.errors import Exit, PfestubsError
from pfestubs.read.modules import find_modules, read_modules
from pfestubs.rules.analyses.modules import DEFAULT_STUB_SIZE, HARMFUL, ModuleListing, size_module
from pfestubs.system.files import print_messages, refuse_input


@options.command(
    "modules",
    """Count the stubs that each module asks for when it is loaded.

    PATH is a module (.ko, .ko.xz, .ko.gz, .ko.zst) or a directory, which is searched to any depth. Exit
    status 1 if the loader would not trace every function that a module was built to trace, 2 if some of
    the modules cannot be read.
    """,
    "pfestubs modules xfs.ko.xz",
    "pfestubs modules --format json /lib/modules/7.2.13/kernel/fs",
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path())
@options.output("modules")
@click.option(
    "--stub-size",
    type=lambda text: options.count(text, "is not the size of a stub", 16, 4096),
    metavar="N",
    default=str(DEFAULT_STUB_SIZE),
    show_default=True,
    help="Bytes of a stub in the kernel that loads the modules; 16 for the RFC patch without call ops.",
)
def command(paths: tuple[str, ...], output: options.Output, stub_size: int) -> int:
    """Run `pfestubs modules`."""
    files, problems = find_modules(paths)
    refuse_input(output.path, *files)
    unread = list(problems)
    modules = []
    for outcome in track(read_modules(files), len(files), "modules"):
        if isinstance(outcome, PfestubsError):
            unread.append(outcome)
        else:
            modules.append(size_module(outcome, stub_size))
    listing = ModuleListing(stub_size, modules, unread)
    harmless = not any(HARMFUL.intersection(row.flags) for row in modules)
    status = output.finish(listing, ok=harmless)
    print_messages(*map(str, unread))
    return Exit.ERROR if unread else status
