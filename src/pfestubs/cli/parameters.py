# SPDX-License-Identifier: GPL-2.0-or-later
"""Types of arguments and options: input files, counts, sizes, growth."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import click

from pfestubs.cli.inputs import input_file

if TYPE_CHECKING:
    import os

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


def parse_count(text: str) -> int | None:
    """Return a count of 32 bits, None if it is not one: decimal, also 32,768 or 32K, or hexadecimal."""
    match = _NUMBER.fullmatch(text)
    if match is None or match["sign"] or match["bytes"]:
        return None
    return number if (number := _value(match)) <= COUNT_LIMIT else None


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


class Count(_ParamType):
    """A count of stubs."""

    name = "count"
    problem = "is not a count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Return the number."""
        number = parse_count(str(value))
        if number is None:
            expected = f"use a number from 0 to {COUNT_LIMIT}, decimal or 0x..."
            self.fail(f"{value!r} {self.problem}: {expected}", param, ctx)
        return number


class CountOrAuto(Count):
    """A count of stubs, or "auto"."""

    name = "count or auto"
    problem = "is neither auto nor a count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Return the number, or "auto"."""
        return "auto" if value == "auto" else super().convert(value, param, ctx)

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's interface
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """Return the one word that can be completed."""
        from click.shell_completion import CompletionItem

        return [CompletionItem("auto")] if "auto".startswith(incomplete) else []


class Size(_ParamType):
    """A size in bytes: a number, alone (also hexadecimal) or with a unit; all units are powers of two."""

    name = "size"

    def __init__(self, *, signed: bool = False) -> None:
        super().__init__()
        self._signed = signed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the bytes."""
        match = _NUMBER.fullmatch(str(value))
        if match is None or (match["sign"] and not self._signed):
            self.fail(
                f"invalid size {value!r}: use bytes (decimal or 0x...), or a suffix K, M, G, KB, MB, GB, KiB,"
                " MiB, GiB",
                param,
                ctx,
            )
        return _value(match)


class MaxGrowth(_ParamType):
    """By how much the number of locations may grow: a number, or a percentage."""

    name = "growth"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> AllowedGrowth:
        """Return the allowance, exact."""
        match = re.fullmatch(rf"({_DECIMAL})|([0-9]{{1,9}}(?:\.[0-9]{{1,9}})?)%", str(value), re.ASCII)
        if match is None:
            self.fail(f"{value!r} is neither a number of locations nor a percentage", param, ctx)
        from decimal import Decimal  # exact: 2.3% of 1,000 is 23

        from pfestubs.rules.check.check import AllowedGrowth

        if match[1] is not None:
            return AllowedGrowth(Decimal(match[1].replace(",", "")), "locations")
        return AllowedGrowth(Decimal(match[2]), "percent")
