# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs check`."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import click

from pfestubs.cli import options
from pfestubs.errors import Exit, PfestubsError
from pfestubs.formats import RenderOptions
from pfestubs.formats.check import annotation, summary, verdict
from pfestubs.formats.findings import finding_message
from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.check import CheckOptions, check_boot
from pfestubs.rules.kernel.simulation import boot_kernel
from pfestubs.system.files import print_messages, write_output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.model import KernelFigures, ObjectCounts
    from pfestubs.rules.check import AllowedGrowth


@options.command(
    "check",
    """Replay the boot of VMLINUX and fail if ftrace would fail.

    Each location gets its stub as the kernel would hand it out, and each branch is measured. Of several
    kernels, each gets one line, and the exit status is the worst.
    """,
    "pfestubs check vmlinux",
    "pfestubs check --min-headroom 1M --format junit -o pfestubs.xml vmlinux",
)
@click.argument("vmlinux", nargs=-1, required=True, metavar="VMLINUX...", type=options.InputFile("vmlinux"))
@options.output("check")
@options.system_map
@options.show_all("Show every finding, not only the first four of each cause.")
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Show notes, each area's use, each branch's headroom; on a terminal also a map.",
)
@click.option(
    "--prelink",
    metavar="VMLINUX_O|COUNT_JSON",
    type=options.InputFile("vmlinux.o"),
    help="Compare with the counts of vmlinux.o (or a saved count).",
)
@click.option(
    "--min-headroom",
    metavar="SIZE",
    type=options.size,
    help="Fail with less headroom: bytes, or K, M, G, KB, MB, GB, KiB, MiB, GiB (powers of two).",
)
@click.option(
    "--baseline",
    metavar="JSON",
    type=options.InputFile(),
    help="An earlier kernel's check, saved with --format json.",
)
@click.option(
    "--max-growth",
    metavar="N|N%",
    type=options.growth,
    help="Fail if the number of locations grew by more than N (or N%) since the baseline.",
)
def command(
    vmlinux: tuple[str, ...],
    output: options.Output,
    system_map: str | None,
    show_all: bool,
    verbose: bool,
    prelink: str | None,
    min_headroom: int | None,
    baseline: str | None,
    max_growth: AllowedGrowth | None,
) -> int:
    """Run `pfestubs check`."""
    if max_growth is not None and baseline is None:
        raise click.UsageError("--max-growth requires --baseline.")
    if len(vmlinux) > 1 and (output.format != "text" or system_map or prelink or baseline):
        raise click.UsageError("several kernels: text only, without --system-map, --prelink and --baseline.")
    check_options = CheckOptions(
        expected=None if prelink is None else _expected_counts(prelink),
        min_headroom=min_headroom,
        baseline=None if baseline is None else _baseline(baseline),
        max_growth=max_growth,
    )
    brief = len(vmlinux) > 1 and not verbose and not show_all
    status = Exit.SUCCESS
    closing: list[str] = []

    def pieces() -> Iterator[str]:
        nonlocal status
        for file in vmlinux:
            try:
                with open_kernel(file, system_map) as kernel:
                    result = check_boot(boot_kernel(kernel), check_options)
                    status = max(status, Exit.SUCCESS if result.ok else Exit.PROBLEMS)
                    if brief:
                        yield verdict(result, RenderOptions(on_stdout=output.on_stdout), with_remedy=True)
                    else:
                        yield from output.render(result, show_all=show_all, verbose=verbose)
                    if result.errors and not brief and not output.on_stdout:
                        first = result.errors[0]  # for the log of a build: the rest is in the file
                        closing.append(f"{file}: error: {first.rule}: {finding_message(first)}")
                        closing.append(f"{file}: {summary(result)}")
            except PfestubsError as e:
                if output.format == "github":
                    yield annotation("error", file, str(e))
                closing.append(str(e))
                status = Exit.ERROR

    document = pieces()
    first = next(document, None)
    if first is not None:  # else no kernel could be read: the output stays as it is
        write_output(output.path, chain([first], document))
    print_messages(*closing)
    return status


def _baseline(path: str) -> KernelFigures:
    from pfestubs.read.saved import read_baseline

    return read_baseline(path)


def _expected_counts(prelink: str) -> ObjectCounts:
    """Return the counts of an object, or of the document in which `pfestubs count` saved them."""
    from pfestubs.read.saved import is_saved, read_saved_count

    if is_saved(prelink):
        return read_saved_count(prelink)
    from pfestubs.read.vmlinux_o import read_vmlinux_o
    from pfestubs.rules.kernel import sizing

    return sizing.count(read_vmlinux_o(prelink))
