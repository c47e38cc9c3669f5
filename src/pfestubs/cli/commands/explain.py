# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs explain`."""

import sys

import click

from pfestubs.cli import options
from pfestubs.formats.explain import explain_summary
from pfestubs.read.boot_log import STANDARD_INPUT, read_boot_log
from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.analyses.explain import explain_log
from pfestubs.rules.kernel.simulation import boot_kernel
from pfestubs.system.files import print_messages


@options.command(
    "explain",
    """Explain the messages of ftrace in the boot log LOG of the kernel VMLINUX, and what to change.

    LOG is the output of dmesg, of journalctl -k or of a serial console; standard input if it is missing or
    "-". Exit status 1 if the log shows that ftrace failed, 2 if it is of another kernel or does not show that
    ftrace was set up.
    """,
    "pfestubs explain vmlinux console.log",
    "dmesg | pfestubs explain vmlinux",
)
@options.vmlinux
@click.argument("log", required=False, type=click.Path(allow_dash=True))
@options.output("explain")
@options.system_map
def command(vmlinux: str, log: str | None, output: options.Output, system_map: str | None) -> int:
    """Run `pfestubs explain`."""
    options.refuse_swapped("explain", vmlinux, log or "-")
    if log in {None, "-"} and sys.stdin is not None and sys.stdin.buffer.isatty():
        print_messages(f"{STANDARD_INPUT}: reading the boot log; Ctrl-D ends it")
    with open_kernel(vmlinux, system_map) as kernel:
        result = explain_log(boot_kernel(kernel), read_boot_log(log))
    closing = f"{result.log.file}: {explain_summary(result)}"
    return output.finish(result, ok=not result.failed, closing=closing)
