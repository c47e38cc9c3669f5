# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs report`."""

from contextlib import ExitStack

import click

from pfestubs.cli import options
from pfestubs.cli.progress import working
from pfestubs.errors import UsageError
from pfestubs.formats.report import outcome
from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.analyses.report import older_kernel, report_boot
from pfestubs.rules.kernel.simulation import boot_kernel

_OTHER_FORMATS = (".pdf", ".png", ".svg", ".jpg", ".json", ".xml", ".md", ".txt", ".ps", ".docx")


@options.command(
    "report",
    """Write a self-contained HTML report about VMLINUX.

    It shows the verdict of check and what to set, where text and stubs are, how far each function is from its
    stub, the plan, and the functions with the least headroom. The exit status is that of check: 1 if it finds
    errors, or if text can grow by less than --min-growth; the page is written anyway.
    """,
    "pfestubs report vmlinux -o report.html",
    "pfestubs report vmlinux -o report.html --compare old/vmlinux",
)
@options.vmlinux
@options.output_option(
    required=True, help="Write to FILE, which is replaced whole or not at all; - is standard output."
)
@options.system_map
@click.option(
    "--compare",
    metavar="OLD",
    type=options.InputFile("vmlinux"),
    help="Also show the figures and the distances of the kernel OLD.",
)
@options.old_system_map
@options.min_growth(", wherever it is added")
def command(
    vmlinux: str,
    output: str,
    system_map: str | None,
    compare: str | None,
    old_system_map: str | None,
    min_growth: int | None,
) -> int:
    """Run `pfestubs report`."""
    if old_system_map is not None and compare is None:
        raise click.UsageError("--old-system-map requires --compare.")
    if output.lower().endswith(_OTHER_FORMATS):
        raise UsageError(output, "is not the name of a page", "the report is HTML: name it *.html")
    with ExitStack() as opened:
        kernel = opened.enter_context(open_kernel(vmlinux, system_map))
        older = None
        if compare is not None:
            old = opened.enter_context(open_kernel(compare, old_system_map))
            older = older_kernel(boot_kernel(old), vmlinux, kernel.layout_name)
        with working("reporting"):
            result = report_boot(boot_kernel(kernel), older, min_growth)
        closing = f"{vmlinux}: {outcome(result)}"
        return options.Output("report", "html", output).finish(result, ok=result.ok, closing=closing)
