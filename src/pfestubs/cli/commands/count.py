# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs count`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pfestubs.cli.help_text import epilog
from pfestubs.cli.options import format_option, output_option, sizing_options, vmlinux_o_argument
from pfestubs.errors import Exit, UnsuitableError
from pfestubs.formats import RenderOptions, render
from pfestubs.formats.count import CountListing, TrapGate, trap_error
from pfestubs.read.vmlinux_o import read_vmlinux_o
from pfestubs.rules.kernel import sizing
from pfestubs.system.files import is_stdout, refuse_input, write_output
from pfestubs.system.messages import report

if TYPE_CHECKING:
    from pfestubs.model import ObjectCounts, VmlinuxO


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
    gate = _judge(obj, counts) if fail_on_trap else None
    write_output(output, render("count", format_, CountListing(counts, gate), RenderOptions()))
    if gate is None or gate.trap is None or gate.remedy is None:
        return Exit.SUCCESS
    if not is_stdout(output):
        report(f"{vmlinux_o}: error: {trap_error(gate.trap, gate.remedy)}")
    return Exit.PROBLEMS


def _judge(obj: VmlinuxO, counts: ObjectCounts) -> TrapGate:
    """Decide whether the reserve is in range.

    Raises:
        UnsuitableError: the object does not tell.
    """
    if counts.layout is None or counts.stubs is None:
        raise UnsuitableError(
            obj.file,
            "references neither ftrace_ool_stub_* nor ftrace_pfe_stub_* symbols, so its layout is unknown,"
            " and --fail-on-trap cannot test its reserve",
            "give the vmlinux.o of a kernel with CONFIG_PPC_FTRACE_OUT_OF_LINE",
        )
    reserve = counts.stubs.reserve or 0
    trap = sizing.measure_reserve(obj, counts.layout, reserve)
    if trap == "unknown":
        raise UnsuitableError(
            obj.file,
            "does not define ftrace_ool_stub_text, which --fail-on-trap needs",
            "give vmlinux.o as kbuild links it, with the reserve in it",
        )
    exposed = trap is not None and trap.exposed
    return TrapGate(trap, sizing.suggest_reserve(obj, counts.layout, reserve) if exposed else None)
