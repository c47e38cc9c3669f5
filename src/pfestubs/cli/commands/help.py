# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs help`."""

import click

from pfestubs.cli import options
from pfestubs.system.files import write_output


def _complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    root = ctx.find_root()
    assert isinstance(root.command, click.Group)  # noqa: S101 - the program
    return [name for name in root.command.list_commands(root) if name.startswith(incomplete)]


@options.command(
    "help",
    "Show the help of COMMAND, as its option --help does; the list of commands if none is named.",
    "pfestubs help check",
    "pfestubs help kbuild install",
)
@click.argument("words", nargs=-1, metavar="[COMMAND]...", shell_complete=_complete)
@click.pass_context
def command(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Run `pfestubs help`."""
    found = ctx.find_root()
    for word in words:
        if not isinstance(found.command, click.Group):
            found.fail(f"{found.command.name} has no command {word!r}")
        _, command_, _ = found.command.resolve_command(found, [word])
        assert command_ is not None  # noqa: S101 - an unknown one has failed
        found = click.Context(command_, info_name=word, parent=found)
    write_output(None, found.get_help() + "\n")
