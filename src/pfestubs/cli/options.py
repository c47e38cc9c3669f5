# SPDX-License-Identifier: GPL-2.0-or-later
"""What several commands have, declared once: arguments and options, the types of their values, output.

A command's parameters are, in this order: input files, `output`, `system_map`, `show_all`.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from functools import partial, wraps
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypedDict

import click

from pfestubs.errors import Exit, InputError, PfestubsError, UsageError
from pfestubs.formats import FORMATS, RenderOptions, render
from pfestubs.layouts import LAYOUTS
from pfestubs.read.file_types import ELF
from pfestubs.read.source import read_head
from pfestubs.system.files import is_stdout, print_messages, refuse_input, write_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pfestubs.rules.check import AllowedGrowth

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

COUNT_LIMIT: Final = 0xFFFFFFFF
"""A count in a kernel has 32 bits."""
EXIT_STATUS: Final = (
    "Exit status: 0 success, no problems found; 1 problems found in the kernel; 2 error (usage, unreadable"
    " input, failed tool)."
)
_PACKED: Final = ("", ".xz", ".gz", ".zst")
_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_DECIMAL: Final = r"[0-9]{1,3}(?:,[0-9]{3}){1,6}|[0-9]{1,20}"
"""With the thousands separators that pfestubs prints, or without."""
_NUMBER: Final = re.compile(
    rf"(?P<sign>-?)(?:(?P<hex>0x[0-9a-f]{{1,16}})|(?P<decimal>{_DECIMAL})(?:(?P<unit>[kmg])(?P<bytes>i?b)?)?)",
    re.ASCII | re.IGNORECASE,
)


# -- commands ------------------------------------------------------------------------------------------------


class _Command(click.Command):
    """A command that does not write its output over one of its input files: all of its other paths."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        paths = {param.name for param in self.params if isinstance(param.type, click.Path)} - {"output"}
        given = (ctx.params[name] for name in paths)
        inputs = chain.from_iterable(value if isinstance(value, tuple) else (value,) for value in given)
        refuse_input(ctx.params.get("output"), *inputs)
        return super().invoke(ctx)


def command(name: str, help_: str, *examples: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Return the decorator that makes a command of a function; its help ends with examples of its use."""
    return click.command(name, cls=_Command, help=help_, epilog=epilog(*examples))


def epilog(*examples: str) -> str:
    """Return the end of a command's help: examples, one per line, and the meaning of the exit status."""
    lines = "\n".join(f"  {example}" for example in examples)
    return f"\b\nExamples:\n{lines}\n\n{EXIT_STATUS}"


# -- input files ---------------------------------------------------------------------------------------------


def input_file(label: str, path: str, usual_name: str | None = None) -> str:
    """Return the file that `path` names: itself, or the one of the usual name in a directory.

    Whether the file exists, and its type, is checked by its reader.

    Args:
        label: the argument or option.
        path: as given.
        usual_name: what people call that file.

    Raises:
        UsageError: it is "-".
        InputError: it is a directory without such a file.
    """
    if path == "-":
        raise UsageError(label, "cannot be standard input: save it to a file and give its name")
    if not os.path.isdir(path):
        return path
    advice = ""
    if usual_name:
        for suffix in _PACKED:
            candidate = os.path.join(path, f"{usual_name}{suffix}")
            if os.path.isfile(candidate):
                return candidate
        advice = f"it holds no {usual_name}"
    raise InputError(path, f"cannot be read: {os.strerror(errno.EISDIR)}", advice)


class InputFile(click.Path):
    """An input file, or a directory that holds it under its usual name (`input_file`)."""

    def __init__(self, usual_name: str | None = None) -> None:
        super().__init__(readable=False)
        self._usual_name = usual_name

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the path as given, or that of the file in a directory."""
        path = str(super().convert(value, param, ctx))
        label = param.opts[-1] if param else path
        return input_file(
            label.upper() if isinstance(param, click.Argument) else label, path, self._usual_name
        )


def refuse_swapped(command: str, kernel: str, *others: str) -> None:
    """Refuse a first argument that is no ELF file where one of the others is: they are in the wrong order.

    Raises:
        UsageError: naming the right order.
    """
    file = next((other for other in others if _is_elf(other)), None)
    if file is not None and not _is_elf(kernel):
        rest = [kernel, *(other for other in others if other != file)]
        raise UsageError(
            kernel,
            f"is not an ELF file, but {file} is: the kernel comes first",
            " ".join(["pfestubs", command, file, *rest]),
        )


def _is_elf(path: str) -> bool:
    """Return whether `path` is an ELF file, packed or not."""
    if not os.path.isfile(path):
        return False
    with suppress(PfestubsError):
        return read_head(path).startswith(ELF)
    return False


def input_argument(name: str, usual_name: str | None = None) -> Decorator:
    """Return an argument that names an input file; `usual_name` is what people call that file."""
    return click.argument(name, type=InputFile(usual_name))


vmlinux: Final = input_argument("vmlinux", "vmlinux")
vmlinux_o: Final = input_argument("vmlinux_o", "vmlinux.o")
_map_option = partial(click.option, metavar="FILE", type=InputFile("System.map"))
system_map: Final = _map_option("--system-map", help="Take the symbols from FILE: for a stripped vmlinux.")
old_system_map: Final = _map_option("--old-system-map", help="Take the symbols of OLD from FILE.")


# -- numbers -------------------------------------------------------------------------------------------------


def _value(match: re.Match[str]) -> int:
    if match["hex"]:
        number = int(match["hex"], 16)
    else:
        number = int(match["decimal"].replace(",", "")) * _UNITS[(match["unit"] or "").lower()]
    return -number if match["sign"] else number


def count(text: str, problem: str = "is not a count", least: int = 0, most: int = COUNT_LIMIT) -> int:
    """Return a number from `least` to `most`: decimal, also 32,768 or 32K, or hexadecimal."""
    match = _NUMBER.fullmatch(text)
    number = None if match is None or match["sign"] or match["bytes"] else _value(match)
    if number is None or not least <= number <= most:
        expected = f"use a number from {least} to {most:,}, decimal or 0x..., or with K, M, G"
        raise click.BadParameter(f"{text!r} {problem}: {expected}")
    return number


def count_or_auto(text: str) -> int | str:
    """Return a count, or "auto"."""
    return text if text == "auto" else count(text, "is neither auto nor a count")


def size(text: str, *, signed: bool = False) -> int:
    """Return bytes: a number, alone (also hexadecimal) or with a unit; all units are powers of two."""
    match = _NUMBER.fullmatch(text)
    if match is None or (match["sign"] and not signed):
        expected = "use bytes (decimal or 0x...), or a suffix K, M, G, KB, MB, GB, KiB, MiB, GiB"
        raise click.BadParameter(f"invalid size {text!r}: {expected}")
    return _value(match)


def signed_size(text: str) -> int:
    """Return bytes, negative after a minus sign."""
    return size(text, signed=True)


def growth(text: str) -> AllowedGrowth:
    """Return by how much the number of locations may grow, exact: a count, or a percentage."""
    percentage = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)%", text, re.ASCII)
    number = percentage[1] if percentage else count(text, "is neither a number of locations nor a percentage")
    from decimal import Decimal  # exact: 2.3% of 1,000 is 23

    from pfestubs.rules.check import AllowedGrowth

    return AllowedGrowth(Decimal(number), "percent" if percentage else "locations")


# -- output --------------------------------------------------------------------------------------------------


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


output_option: Final = partial(
    click.option, "-o", "--output", metavar="FILE", type=click.Path(readable=False, allow_dash=True)
)
output_file: Final = output_option(
    help="Write to FILE instead of standard output; FILE is replaced whole or not at all."
)


def output(command: str) -> Decorator:
    """Return `--format`, with the formats of that command, and `--output`, as one `Output`."""
    format_ = click.option(
        "--format",
        "format_",
        type=click.Choice(list(FORMATS[command])),
        default="text",
        show_default=True,
        help="Format of the output.",
    )

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(*, format_: str, output: str | None, **others: Any) -> Any:
            return function(output=Output(command, format_, output), **others)

        return format_(output_file(run))

    return decorate


def min_growth(where: str) -> Decorator:
    """Return `--min-growth`, which asks for room to grow `where`."""
    return click.option(
        "--min-growth",
        type=size,
        metavar="SIZE",
        help=f"Fail if less than SIZE of text can be added{where}: bytes, decimal or 0x..., or with K, M, G.",
    )


def show_all(help_: str) -> Decorator:
    """Return `--all`, with what it shows in this command."""
    return click.option("--all", "show_all", is_flag=True, help=help_)


# -- how an object is counted --------------------------------------------------------------------------------


class Sizing(TypedDict, total=False):
    """The options of `sizing`; a layout or reserve of None is read from the object."""

    layout: str | None
    reserve: int | None
    allow_empty: bool


_LAYOUT: Final = click.option(
    "--layout",
    type=click.Choice(["auto", *LAYOUTS]),
    default="auto",
    show_default=True,
    callback=lambda _ctx, _param, value: None if value == "auto" else value,
    help="Names and areas of the kernel; auto reads them from the object.",
)
_RESERVE: Final = click.option(
    "--reserve",
    type=count,
    metavar="N",
    help="Size of the reserve in .text, if the object does not define it"
    " (CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE).",
)
_SPARE: Final = click.option(
    "--spare",
    metavar="N|auto",
    type=count_or_auto,
    shell_complete=lambda _ctx, _param, incomplete: ["auto"] if "auto".startswith(incomplete) else [],
    help="Add N stubs to the end area; auto adds what an unreachable reserve can cost.",
)
_ALLOW_EMPTY: Final = click.option(
    "--allow-empty", is_flag=True, help="Accept an object that has no entries."
)


def sizing(*, spare: bool) -> Decorator:
    """Return `--layout`, `--reserve`, `--allow-empty` (`Sizing`) and, where asked, `--spare`."""
    options = (_ALLOW_EMPTY, *((_SPARE,) if spare else ()), _RESERVE, _LAYOUT)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in options:
            function = option(function)
        return function

    return decorate
