# SPDX-License-Identifier: GPL-2.0-or-later
"""Options and steps that the pre-link commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from pfestubs.layouts import LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _spare(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | str | None:
    if value is None or value == "auto":
        return value
    if value.isascii() and value.isdigit() and len(value) <= 10:
        return int(value)
    raise click.BadParameter(f"{value!r} is neither a number of stubs nor auto.")


_LAYOUT: Final = click.option(
    "--layout",
    type=click.Choice(["auto", *LAYOUTS]),
    default="auto",
    show_default=True,
    help="Names and areas of the kernel; auto reads them from the object.",
)
_RESERVE: Final = click.option(
    "--reserve",
    type=click.IntRange(0, 0xFFFFFFFF),
    metavar="N",
    help="Size of the reserve in .text, if the object does not define it"
    " (CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE).",
)
_SPARE: Final = click.option(
    "--spare",
    metavar="N|auto",
    callback=_spare,
    help="Add N stubs to the end area; auto adds what an unreachable reserve can cost.",
)
_ALLOW_EMPTY: Final = click.option(
    "--allow-empty", is_flag=True, help="Accept an object that has no entries."
)


def sizing_options(*, spare: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--layout`, `--reserve`, `--allow-empty` and, where asked, `--spare`."""
    options: Sequence[Callable[[Callable[..., Any]], Callable[..., Any]]] = (
        (_LAYOUT, _RESERVE, _SPARE, _ALLOW_EMPTY) if spare else (_LAYOUT, _RESERVE, _ALLOW_EMPTY)
    )

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def asked_layout(layout: str) -> str | None:
    """The layout that `--layout` names, None for auto."""
    return None if layout == "auto" else layout
