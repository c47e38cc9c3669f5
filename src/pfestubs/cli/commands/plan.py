# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs plan`."""

from __future__ import annotations

import click

from pfestubs.cli.colour import render_options
from pfestubs.cli.help_text import epilog
from pfestubs.cli.options import format_option, output_option, system_map_option, vmlinux_argument
from pfestubs.cli.parameters import Count, Size
from pfestubs.errors import Exit, UsageError
from pfestubs.formats import render
from pfestubs.formats.plan import plan_summary
from pfestubs.model import ppc
from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.analyses.plan import GROWTH_MAX, plan_reserve
from pfestubs.rules.analyses.relink import GrowthShape
from pfestubs.rules.kernel.boot_inputs import require_known_kind
from pfestubs.rules.kernel.simulation import simulate_boot
from pfestubs.system.files import is_stdout, refuse_input, write_output
from pfestubs.system.messages import report


@click.command(
    "plan",
    help="""Find the reserves with which VMLINUX boots with tracing, and how much text can grow with each.

    The boot is replayed for other values of CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE. Text is added in three
    places: early (directly after the reserve), even (spread over the text after it) or late (after the last
    function). The recommended reserve is the one whose smallest growth over the three is largest. It fails if
    the kernel as linked does.
    """,
    epilog=epilog("pfestubs plan vmlinux", "pfestubs plan --reserve 20000 --grow 8MiB --shape even vmlinux"),
)
@vmlinux_argument
@format_option("plan")
@output_option
@system_map_option
@click.option(
    "--reserve", "reserves", type=Count(), metavar="N", multiple=True, help="Try this reserve (repeatable)."
)
@click.option(
    "--grow",
    "growths",
    type=Size(signed=True),
    metavar="SIZE",
    multiple=True,
    help="Try adding this much text (repeatable): bytes, decimal or 0x..., or with K, M, G; may be negative.",
)
@click.option(
    "--shape",
    type=click.Choice([shape.value for shape in GrowthShape]),
    default=GrowthShape.EARLY.value,
    show_default=True,
    help="Where --grow adds text.",
)
def command(
    vmlinux: str,
    format_: str,
    output: str | None,
    system_map: str | None,
    reserves: tuple[int, ...],
    growths: tuple[int, ...],
    shape: str,
) -> Exit:
    """Run `pfestubs plan`."""
    refuse_input(output, vmlinux, system_map)
    with open_kernel(vmlinux, system_map) as kernel:
        require_known_kind(kernel)
        result = plan_reserve(
            simulate_boot(kernel),
            reserves=reserves,
            growths=[_instructions(size) for size in growths],
            shape=GrowthShape(shape),
        )
    write_output(output, render("plan", format_, result, render_options(format_, output)))
    if not (is_stdout(output) or result.ok):
        report(f"{result.file}: {plan_summary(result)}")
    return Exit.SUCCESS if result.ok else Exit.PROBLEMS


def _instructions(size: int) -> int:
    """Return a size rounded up to whole instructions."""
    if abs(size) > GROWTH_MAX:
        raise UsageError("--grow", f"{size:,} bytes are more than {GROWTH_MAX:,}")
    return -(-size // ppc.INSN_SIZE) * ppc.INSN_SIZE
