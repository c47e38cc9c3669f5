# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs verify`."""

from __future__ import annotations

import sys

import click

from pfestubs.formats import FORMATS, RenderOptions, render
from pfestubs.formats.text import escape_line
from pfestubs.formats.verify.text import verify_summary
from pfestubs.read.dump import open_dump
from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.boot_inputs import require_stubs
from pfestubs.rules.simulation import simulate_boot
from pfestubs.rules.stub_states import verify_stubs
from pfestubs.system.files import refuse_input, write_output


@click.command("verify")
@click.argument("vmlinux")
@click.argument("dump")
@click.option("--all", "show_all", is_flag=True, help="Show every stub, also those as predicted or freed.")
@click.option(
    "--format", "format_", type=click.Choice(list(FORMATS["verify"])), default="text", show_default=True
)
@click.option("-o", "--output", metavar="FILE", help="Write to FILE instead of standard output.")
@click.option("--system-map", metavar="FILE", help="Take the symbols from FILE: for a stripped vmlinux.")
def command(
    vmlinux: str, dump: str, show_all: bool, format_: str, output: str | None, system_map: str | None
) -> int:
    """Compare the predicted stubs of VMLINUX with the memory in DUMP.

    DUMP is an ELF core of the same kernel, running or crashed: kdump's vmcore, QEMU's dump-guest-memory, or
    /proc/kcore. Exit status 0 if each stub is as predicted, in use, or freed with init memory; 1 if one is
    different; 2 if DUMP cannot be read or is not of this kernel.
    """
    refuse_input(output, vmlinux, dump, system_map)
    with open_kernel(vmlinux, system_map) as kernel:
        require_stubs(kernel)
        with open_dump(dump, kernel) as running:
            result = verify_stubs(simulate_boot(kernel), running, show_all=show_all)
    write_output(output, render("verify", format_, result, RenderOptions(show_all=show_all)))
    if output not in {None, "-"} and not result.ok:
        sys.stderr.write(f"{escape_line(vmlinux)}: {verify_summary(result)}\n")
    return 0 if result.ok else 1
