# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs check`."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

import click

from pfestubs.cli.colour import wants_colour
from pfestubs.formats import FORMATS, RenderOptions, render
from pfestubs.formats.check import summary
from pfestubs.formats.findings import finding_message
from pfestubs.formats.text import escape_line
from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.check import AllowedGrowth, CheckOptions, CheckResult, check_kernel
from pfestubs.system.files import refuse_input, write_output

if TYPE_CHECKING:
    from pfestubs.model import ObjectCounts

_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def _size(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    """Return bytes from a number, alone or with a unit, all powers of two."""
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,20})(?:([kmg])(?:i?b)?)?", value, re.ASCII | re.IGNORECASE)
    if match is None:
        raise click.BadParameter(
            f"invalid size {value!r}: use bytes, or a suffix K, M, G, KB, MB, GB, KiB, MiB, GiB."
        )
    return int(match[1]) * _UNITS[(match[2] or "").lower()]


def _growth(_ctx: click.Context, _param: click.Parameter, value: str | None) -> AllowedGrowth | None:
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,20})|([0-9]{1,9}(?:\.[0-9]{1,9})?)%", value, re.ASCII)
    if match is None:
        raise click.BadParameter(f"{value!r} is neither a number of locations nor a percentage.")
    from decimal import Decimal  # exact: 2.3% of 1,000 is 23

    if match[1] is not None:
        return AllowedGrowth(Decimal(match[1]), "locations")
    return AllowedGrowth(Decimal(match[2]), "percent")


@click.command("check")
@click.argument("vmlinux")
@click.option(
    "--format", "format_", type=click.Choice(list(FORMATS["check"])), default="text", show_default=True
)
@click.option("-o", "--output", metavar="FILE", help="Write to FILE instead of standard output.")
@click.option("--system-map", metavar="FILE", help="Take the symbols from FILE: for a stripped vmlinux.")
@click.option(
    "--prelink",
    metavar="VMLINUX_O|COUNT_JSON",
    help="Compare with the counts of vmlinux.o (or a saved count).",
)
@click.option("--all", "show_all", is_flag=True, help="Show every finding, not only 20 per rule.")
@click.option("-v", "--verbose", is_flag=True, help="Show notes, each area's use, each branch's headroom.")
@click.option(
    "--min-headroom",
    metavar="SIZE",
    callback=_size,
    help="Fail with less headroom: bytes, or K, M, G, KB, MB, GB, KiB, MiB, GiB (powers of two).",
)
@click.option("--baseline", metavar="JSON", help="An earlier kernel's check, saved with --format json.")
@click.option(
    "--max-growth",
    metavar="N|N%",
    callback=_growth,
    help="Fail if the number of locations grew by more than N (or N%) since the baseline.",
)
def command(
    vmlinux: str,
    format_: str,
    output: str | None,
    system_map: str | None,
    prelink: str | None,
    show_all: bool,
    verbose: bool,
    min_headroom: int | None,
    baseline: str | None,
    max_growth: AllowedGrowth | None,
) -> int:
    """Simulate the boot of VMLINUX and fail if it would fail.

    Each location gets its stub as the kernel would hand it out, and each branch is measured. Exit status: 0
    no problems found, 1 problems found in the kernel, 2 error.
    """
    if max_growth is not None and baseline is None:
        raise click.UsageError("--max-growth requires --baseline.")
    refuse_input(output, vmlinux, system_map, prelink, baseline)
    check_options = _check_options(prelink, min_headroom, baseline, max_growth)
    to_stdout = output in {None, "-"}
    options = RenderOptions(show_all, verbose, colour=format_ == "text" and to_stdout and wants_colour())
    with open_kernel(vmlinux, system_map) as kernel:
        result = check_kernel(kernel, check_options)
    write_output(output, render("check", format_, result, options))
    if not to_stdout and not result.ok:
        _report(result)
    return 0 if result.ok else 1


def _check_options(
    prelink: str | None, min_headroom: int | None, baseline: str | None, max_growth: AllowedGrowth | None
) -> CheckOptions:
    if prelink is None and baseline is None:
        return CheckOptions(min_headroom=min_headroom)
    from pfestubs.read.saved import read_baseline

    return CheckOptions(
        expected=None if prelink is None else _expected_counts(prelink),
        min_headroom=min_headroom,
        baseline=None if baseline is None else read_baseline(baseline),
        max_growth=max_growth,
    )


def _expected_counts(prelink: str) -> ObjectCounts:
    """Return the counts of an object, or of the document in which `pfestubs count` saved them."""
    from pfestubs.read.saved import is_elf, read_saved_count

    if not is_elf(prelink):
        return read_saved_count(prelink)
    from pfestubs.read.vmlinux_o import read_vmlinux_o
    from pfestubs.rules import sizing

    return sizing.count(read_vmlinux_o(prelink))


def _report(result: CheckResult) -> None:
    """Write to the build's log why it fails: the rest is in the file."""
    first = result.errors[0]
    file = escape_line(result.file)
    message = escape_line(finding_message(first))
    sys.stderr.write(f"{file}: error: {first.rule}: {message}\n{file}: {summary(result)}\n")
