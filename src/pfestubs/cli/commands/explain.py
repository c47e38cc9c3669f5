# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs explain`."""

from __future__ import annotations

import sys

import click

from pfestubs.formats import FORMATS, RenderOptions, render
from pfestubs.formats.explain import explain_summary
from pfestubs.formats.text import escape_line
from pfestubs.read.boot_log import read_boot_log
from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.boot_inputs import require_known_kind
from pfestubs.rules.explain import explain_log
from pfestubs.rules.simulation import simulate_boot
from pfestubs.system.files import refuse_input, write_output


@click.command("explain")
@click.argument("vmlinux")
@click.argument("log", required=False)
@click.option(
    "--format", "format_", type=click.Choice(list(FORMATS["explain"])), default="text", show_default=True
)
@click.option("-o", "--output", metavar="FILE", help="Write to FILE instead of standard output.")
@click.option("--system-map", metavar="FILE", help="Take the symbols from FILE: for a stripped vmlinux.")
def command(vmlinux: str, log: str | None, format_: str, output: str | None, system_map: str | None) -> int:
    """Explain the messages of ftrace in the boot log LOG of the kernel VMLINUX, and what to change.

    LOG is the output of dmesg, of journalctl -k or of a serial console; standard input if it is missing or
    "-". Exit status 0 if the log shows no failure of ftrace, 1 if it does, 2 if it is of another kernel or
    holds no kernel message.
    """
    refuse_input(output, vmlinux, log, system_map)
    with open_kernel(vmlinux, system_map) as kernel:
        require_known_kind(kernel)
        result = explain_log(simulate_boot(kernel), read_boot_log(log))
    write_output(output, render("explain", format_, result, RenderOptions()))
    if output not in {None, "-"} and result.failed:
        sys.stderr.write(f"{escape_line(result.log)}: {explain_summary(result)}\n")
    return 1 if result.failed else 0
