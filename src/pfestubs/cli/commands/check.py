# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs check`."""

from __future__ import annotations

import re
import sys
from typing import Final

import click

from pfestubs.cli.colour import wants_colour
from pfestubs.formats.check import FORMATS, RenderOptions, render, summary
from pfestubs.formats.text import escape_line
from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.check import CheckOptions, CheckResult, Growth, check_kernel
from pfestubs.system.files import refuse_input, write_output

_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def _size(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    """Bytes: a number, alone or with K, M, G, KiB, MiB or GiB, all powers of two."""
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,20})(?:([kmg])(?:ib)?)?", value, re.ASCII | re.IGNORECASE)
    if match is None:
        raise click.BadParameter(f"{value!r} is no size: give bytes, or K, M, G, KiB, MiB or GiB.")
    return int(match[1]) * _UNITS[(match[2] or "").lower()]


def _growth(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Growth | None:
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,20})|([0-9]{1,9}(?:\.[0-9]{1,9})?)%", value, re.ASCII)
    if match is None:
        raise click.BadParameter(f"{value!r} is neither a number of locations nor a percentage.")
    from decimal import Decimal  # exact: 2.3% of 1,000 is 23

    if match[1] is not None:
        return Growth(Decimal(match[1]), "locations")
    return Growth(Decimal(match[2]), "percent")


@click.command("check")
@click.argument("vmlinux")
@click.option("--format", "format_", type=click.Choice(list(FORMATS)), default="text", show_default=True)
@click.option("-o", "--output", metavar="FILE", help="Write to FILE instead of standard output.")
@click.option("--system-map", metavar="FILE", help="Take the symbols from FILE: for a stripped vmlinux.")
@click.option(
    "--prelink",
    metavar="VMLINUX_O|COUNT_JSON",
    help="Compare with what the object, or its saved count, promised.",
)
@click.option("--all", "every", is_flag=True, help="Show every finding, not just 20 of a rule.")
@click.option("-v", "--verbose", is_flag=True, help="Show notes, each area's use, each branch's headroom.")
@click.option(
    "--min-headroom",
    metavar="SIZE",
    callback=_size,
    help="Fail with less headroom: bytes, or with K, M, G, KiB, MiB, GiB (powers of two).",
)
@click.option("--baseline", metavar="JSON", help="An earlier kernel's check, saved with --format json.")
@click.option(
    "--max-growth",
    metavar="N|N%",
    callback=_growth,
    help="Fail if there are so many more locations than in the baseline.",
)
def command(
    vmlinux: str,
    format_: str,
    output: str | None,
    system_map: str | None,
    prelink: str | None,
    every: bool,
    verbose: bool,
    min_headroom: int | None,
    baseline: str | None,
    max_growth: Growth | None,
) -> int:
    """Replay the boot of VMLINUX and fail if it would fail.

    Each location gets its stub as the kernel would hand it out, and each branch is measured. Exit code 0 if
    nothing is wrong, 1 if something is, 2 if VMLINUX cannot be checked.
    """
    if max_growth is not None and baseline is None:
        raise click.UsageError("--max-growth needs --baseline: growth since when?")
    refuse_input(output, vmlinux, system_map, prelink, baseline)
    demands = _demands(prelink, min_headroom, baseline, max_growth)
    to_stdout = output in {None, "-"}
    view = RenderOptions(every, verbose, colour=format_ == "text" and to_stdout and wants_colour())
    with open_kernel(vmlinux, system_map) as kernel:
        verdict = check_kernel(kernel, demands)
    write_output(output, render(verdict, format_, view))
    if not to_stdout and not verdict.ok:
        _report(verdict)
    return 0 if verdict.ok else 1


def _demands(
    prelink: str | None, min_headroom: int | None, baseline: str | None, max_growth: Growth | None
) -> CheckOptions:
    if prelink is None and baseline is None:
        return CheckOptions(min_headroom=min_headroom)
    from pfestubs.read.saved import read_baseline, read_expected_counts

    return CheckOptions(
        promise=None if prelink is None else read_expected_counts(prelink),
        min_headroom=min_headroom,
        baseline=None if baseline is None else read_baseline(baseline),
        max_growth=max_growth,
    )


def _report(verdict: CheckResult) -> None:
    """Why the build breaks, for its log: the rest is in the file."""
    first = verdict.errors[0]
    file = escape_line(verdict.file)
    sys.stderr.write(
        f"{file}: error: {first.rule}: {escape_line(first.message)}\n{file}: {summary(verdict)}\n"
    )
