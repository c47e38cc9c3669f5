# SPDX-License-Identifier: GPL-2.0-or-later
"""Types of arguments and options: input files, counts, sizes, growth."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from pfestubs.cli.inputs import input_file

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from click.shell_completion import CompletionItem

    from pfestubs.rules.check.check import AllowedGrowth

    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # not generic before click 8.4

COUNT_LIMIT: Final = 0xFFFFFFFF
"""A count in a kernel has 32 bits."""
_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_DECIMAL: Final = r"[0-9]{1,3}(?:,[0-9]{3}){1,6}|[0-9]{1,20}"
"""With the thousands separators that pfestubs prints, or without."""
_NUMBER: Final = re.compile(
    rf"(?P<sign>-?)(?:(?P<hex>0x[0-9a-f]{{1,16}})|(?P<decimal>{_DECIMAL})(?:(?P<unit>[kmg])(?P<bytes>i?b)?)?)",
    re.ASCII | re.IGNORECASE,
)


def _value(match: re.Match[str]) -> int:
    if match["hex"]:
        number = int(match["hex"], 16)
    else:
        number = int(match["decimal"].replace(",", "")) * _UNITS[(match["unit"] or "").lower()]
    return -number if match["sign"] else number


class InputFile(click.Path):
    """An input file, or a directory that holds it; "-" is refused, the file is checked by its reader."""

    def __init__(self, usual_name: str | None = None) -> None:
        super().__init__(readable=False)
        self._usual_name = usual_name

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the path as given, or that of the file in a directory."""
        path = str(super().convert(value, param, ctx))
        label = path
        if isinstance(param, click.Option):
            label = param.opts[-1]
        elif param is not None and param.name:
            label = param.name.upper()
        return input_file(label, path, self._usual_name)


class Parsed(_ParamType):
    """What a function makes of a word; the function raises ValueError with what is wrong with it."""

    def __init__(self, name: str, parse: Callable[[str], Any], words: Sequence[str] = ()) -> None:
        super().__init__()
        self.name = name
        self._parse = parse
        self._words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value, or one of the words that stand for themselves."""
        try:
            return value if value in self._words else self._parse(str(value))
        except ValueError as e:
            self.fail(str(e), param, ctx)

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's interface
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """Return the words: nothing else can be completed."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(word) for word in self._words if word.startswith(incomplete)]


def _count(text: str, problem: str = "is not a count") -> int:
    """Return a count of 32 bits: decimal, also 32,768 or 32K, or hexadecimal."""
    match = _NUMBER.fullmatch(text)
    if match is None or match["sign"] or match["bytes"] or (number := _value(match)) > COUNT_LIMIT:
        raise ValueError(f"{text!r} {problem}: use a number from 0 to {COUNT_LIMIT}, decimal or 0x...")
    return number


def _size(text: str, *, signed: bool = False) -> int:
    match = _NUMBER.fullmatch(text)
    if match is None or (match["sign"] and not signed):
        raise ValueError(
            f"invalid size {text!r}: use bytes (decimal or 0x...), or a suffix K, M, G, KB, MB, GB, KiB, MiB,"
            " GiB"
        )
    return _value(match)


def _growth(text: str) -> AllowedGrowth:
    match = re.fullmatch(rf"({_DECIMAL})|([0-9]{{1,9}}(?:\.[0-9]{{1,9}})?)%", text, re.ASCII)
    if match is None:
        raise ValueError(f"{text!r} is neither a number of locations nor a percentage")
    from decimal import Decimal  # exact: 2.3% of 1,000 is 23

    from pfestubs.rules.check.check import AllowedGrowth

    if match[1] is not None:
        return AllowedGrowth(Decimal(match[1].replace(",", "")), "locations")
    return AllowedGrowth(Decimal(match[2]), "percent")


COUNT: Final = Parsed("count", _count)
"""A count of stubs."""
COUNT_OR_AUTO: Final = Parsed(
    "count or auto", partial(_count, problem="is neither auto nor a count"), words=["auto"]
)
SIZE: Final = Parsed("size", _size)
"""Bytes: a number, alone (also hexadecimal) or with a unit; all units are powers of two."""
SIGNED_SIZE: Final = Parsed("size", partial(_size, signed=True))
MAX_GROWTH: Final = Parsed("growth", _growth)
"""By how much the number of locations may grow, exact: a number, or a percentage."""
