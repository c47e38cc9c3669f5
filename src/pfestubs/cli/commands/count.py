# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs count`."""

from typing import Unpack

import click

from pfestubs.cli import options
from pfestubs.formats.count import trap_error
from pfestubs.read.vmlinux_o import read_vmlinux_o
from pfestubs.rules.kernel import sizing


@options.command(
    "count",
    "Count the entries of VMLINUX_O by kind, and the stubs to reserve for them.",
    "pfestubs count --fail-on-trap vmlinux.o",
    "pfestubs count --format json -o count.json vmlinux.o",
)
@options.vmlinux_o
@options.output("count")
@options.sizing(spare=False)
@click.option(
    "--fail-on-trap",
    is_flag=True,
    help="Exit with status 1 if functions may be too far from the reserve to use it.",
)
def command(
    vmlinux_o: str, output: options.Output, fail_on_trap: bool, **sizes: Unpack[options.Sizing]
) -> int:
    """Run `pfestubs count`."""
    obj = read_vmlinux_o(vmlinux_o)
    counts = sizing.count(obj, **sizes)
    sized = sizing.judge_reserve(obj, counts) if fail_on_trap else sizing.SizedObject(counts)
    return output.finish(sized, ok=sized.ok, closing=f"{vmlinux_o}: error: {trap_error(sized.trap)}")
