# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs plan`."""

import click

from pfestubs.cli import options
from pfestubs.cli.progress import working
from pfestubs.errors import UsageError
from pfestubs.formats.plan import plan_summary
from pfestubs.model import ppc
from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.analyses.conditions import GROWTH_MAX
from pfestubs.rules.analyses.plan import plan_reserve
from pfestubs.rules.analyses.relink import GrowthShape
from pfestubs.rules.check import Remedies
from pfestubs.rules.kernel.simulation import boot_kernel


@options.command(
    "plan",
    """Find the reserves with which VMLINUX boots with tracing, and how much text can grow with each.

    The boot is replayed for other values of CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE. Text is added in three
    places: early (directly after the reserve), even (spread over the text after it) or late (after the last
    function). The recommended reserve is the one whose smallest growth over the three is largest. The exit
    status is 1 if the kernel as linked fails, or has less room to grow than --min-growth.
    """,
    "pfestubs plan vmlinux",
    "pfestubs plan --reserve 20000 --grow 8MiB --shape even vmlinux",
)
@options.vmlinux
@options.output("plan")
@options.system_map
@click.option(
    "--reserve",
    "reserves",
    type=options.count,
    metavar="N",
    multiple=True,
    help="Try this reserve (repeatable).",
)
@click.option(
    "--grow",
    "growths",
    type=options.signed_size,
    metavar="SIZE",
    multiple=True,
    help="Try adding this much text (repeatable): bytes, decimal or 0x..., or with K, M, G; may be negative.",
)
@click.option(
    "--shape",
    type=click.Choice([shape.value for shape in GrowthShape]),
    help="Where --grow adds text (default: early), and --min-growth requires room (default: anywhere).",
)
@options.min_growth("")
def command(
    vmlinux: str,
    output: options.Output,
    system_map: str | None,
    reserves: tuple[int, ...],
    growths: tuple[int, ...],
    shape: str | None,
    min_growth: int | None,
) -> int:
    """Run `pfestubs plan`."""
    with open_kernel(vmlinux, system_map) as kernel:
        sizes = [_instructions(size) for size in growths]
        place = None if shape is None else GrowthShape(shape)
        with working("planning"):
            result = plan_reserve(
                Remedies(boot_kernel(kernel)),
                reserves=reserves,
                growths=sizes,
                shape=place or GrowthShape.EARLY,
                required=None if min_growth is None else (min_growth, place),
            )
    return output.finish(result, ok=result.ok, closing=f"{result.kernel.file}: {plan_summary(result)}")


def _instructions(size: int) -> int:
    """Return a size rounded up to whole instructions."""
    if abs(size) > GROWTH_MAX:
        raise UsageError("--grow", f"{size:,} bytes is beyond the limit of {GROWTH_MAX >> 30} GiB")
    return -(-size // ppc.INSN_SIZE) * ppc.INSN_SIZE
