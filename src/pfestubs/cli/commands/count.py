# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs count`."""

from __future__ import annotations

import click

from pfestubs.cli.options import epilog, format_option, output_option, sizing_options, vmlinux_o_argument
from pfestubs.cli.output import finish
from pfestubs.formats.count import trap_error
from pfestubs.read.vmlinux_o import read_vmlinux_o
from pfestubs.rules.kernel import sizing
from pfestubs.system.files import refuse_input


@click.command(
    "count",
    help="Count the entries of VMLINUX_O by kind, and the stubs to reserve for them.",
    epilog=epilog(
        "pfestubs count --fail-on-trap vmlinux.o", "pfestubs count --format json -o count.json vmlinux.o"
    ),
)
@vmlinux_o_argument
@format_option("count")
@output_option
@sizing_options(spare=False)
@click.option(
    "--fail-on-trap",
    is_flag=True,
    help="Exit with status 1 if functions may be too far from the reserve to use it.",
)
def command(
    vmlinux_o: str,
    format_: str,
    output: str | None,
    layout: str | None,
    reserve: int | None,
    allow_empty: bool,
    fail_on_trap: bool,
) -> int:
    """Run `pfestubs count`."""
    refuse_input(output, vmlinux_o)
    obj = read_vmlinux_o(vmlinux_o)
    counts = sizing.count(obj, layout=layout, reserve=reserve, allow_empty=allow_empty)
    sized = sizing.judge_reserve(obj, counts) if fail_on_trap else sizing.SizedObject(counts)
    return finish(
        "count",
        sized,
        ok=sized.ok,
        format_=format_,
        output=output,
        closing=[f"{vmlinux_o}: error: {trap_error(sized.trap)}"] if fail_on_trap else (),
    )
