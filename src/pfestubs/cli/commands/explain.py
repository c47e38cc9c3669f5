# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs explain`."""

from __future__ import annotations

import sys

import click

from pfestubs.cli.inputs import refuse_swapped
from pfestubs.cli.options import epilog, format_option, output_option, system_map_option, vmlinux_argument
from pfestubs.cli.output import finish
from pfestubs.formats.explain import explain_summary
from pfestubs.read.boot_log import STANDARD_INPUT, read_boot_log
from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.analyses.explain import explain_log
from pfestubs.rules.kernel.simulation import boot_kernel
from pfestubs.system.files import print_messages, refuse_input


@click.command(
    "explain",
    help="""Explain the messages of ftrace in the boot log LOG of the kernel VMLINUX, and what to change.

    LOG is the output of dmesg, of journalctl -k or of a serial console; standard input if it is missing or
    "-". It fails if the log shows that ftrace failed. A log of another kernel is an error, also one that does
    not show that ftrace was set up.
    """,
    epilog=epilog("pfestubs explain vmlinux console.log", "dmesg | pfestubs explain vmlinux"),
)
@vmlinux_argument
@click.argument("log", required=False, type=click.Path(allow_dash=True))
@format_option("explain")
@output_option
@system_map_option
def command(vmlinux: str, log: str | None, format_: str, output: str | None, system_map: str | None) -> int:
    """Run `pfestubs explain`."""
    refuse_input(output, vmlinux, log, system_map)
    refuse_swapped("explain", vmlinux, log or "-")
    if log in {None, "-"} and sys.stdin is not None and sys.stdin.buffer.isatty():
        print_messages(f"{STANDARD_INPUT}: reading the boot log; Ctrl-D ends it")
    with open_kernel(vmlinux, system_map) as kernel:
        result = explain_log(boot_kernel(kernel), read_boot_log(log))
    closing = [f"{result.log.file}: {explain_summary(result)}"]
    return finish("explain", result, ok=not result.failed, format_=format_, output=output, closing=closing)
