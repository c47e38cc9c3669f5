# SPDX-License-Identifier: GPL-2.0-or-later
"""Arguments, options and the end of the help that several commands share, declared once.

A command's parameters are, in this order: input files, `format_`, `output`, `system_map`, `show_all`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from pfestubs.cli.parameters import COUNT, COUNT_OR_AUTO, InputFile
from pfestubs.formats import FORMATS
from pfestubs.layouts import LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Callable

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


EXIT_STATUS: Final = (
    "Exit status: 0 success, no problems found; 1 problems found in the kernel; 2 error (usage, unreadable"
    " input, failed tool)."
)


def epilog(*examples: str) -> str:
    """Return the end of a command's help: examples, one per line, and the meaning of the exit status."""
    lines = "\n".join(f"  {example}" for example in examples)
    return f"\b\nExamples:\n{lines}\n\n{EXIT_STATUS}"


def input_argument(name: str, usual_name: str | None = None) -> Decorator:
    """Return an argument that names an input file; `usual_name` is what people call that file."""
    return click.argument(name, type=InputFile(usual_name))


vmlinux_argument: Final = input_argument("vmlinux", "vmlinux")
vmlinux_o_argument: Final = input_argument("vmlinux_o", "vmlinux.o")


def format_option(command: str) -> Decorator:
    """Return `--format` with the formats of that command."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(list(FORMATS[command])),
        default="text",
        show_default=True,
        help="Format of the output.",
    )


output_option: Final = click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(readable=False, allow_dash=True),
    help="Write to FILE instead of standard output; FILE is replaced whole or not at all.",
)
system_map_option: Final = click.option(
    "--system-map",
    metavar="FILE",
    type=InputFile("System.map"),
    help="Take the symbols from FILE: for a stripped vmlinux.",
)

old_system_map_option: Final = click.option(
    "--old-system-map",
    metavar="FILE",
    type=InputFile("System.map"),
    help="Take the symbols of OLD from FILE.",
)


def all_option(help_: str) -> Decorator:
    """Return `--all`, with what it shows in this command."""
    return click.option("--all", "show_all", is_flag=True, help=help_)


def _asked_layout(_ctx: click.Context, _param: click.Parameter, value: str) -> str | None:
    return None if value == "auto" else value


_LAYOUT: Final = click.option(
    "--layout",
    type=click.Choice(["auto", *LAYOUTS]),
    default="auto",
    show_default=True,
    callback=_asked_layout,
    help="Names and areas of the kernel; auto reads them from the object.",
)
_RESERVE: Final = click.option(
    "--reserve",
    type=COUNT,
    metavar="N",
    help="Size of the reserve in .text, if the object does not define it"
    " (CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE).",
)
_SPARE: Final = click.option(
    "--spare",
    metavar="N|auto",
    type=COUNT_OR_AUTO,
    help="Add N stubs to the end area; auto adds what an unreachable reserve can cost.",
)
_ALLOW_EMPTY: Final = click.option(
    "--allow-empty", is_flag=True, help="Accept an object that has no entries."
)


def sizing_options(*, spare: bool) -> Decorator:
    """Return `--layout` (None for auto), `--reserve`, `--allow-empty` and, where asked, `--spare`."""
    options = (_LAYOUT, _RESERVE, _SPARE, _ALLOW_EMPTY) if spare else (_LAYOUT, _RESERVE, _ALLOW_EMPTY)

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
