# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs verify`."""

from __future__ import annotations

import sys

import click

from pfestubs.formats.verify import FORMATS
from pfestubs.read.dump import open_dump
from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.setting import layout_of
from pfestubs.rules.verify import verify
from pfestubs.system.files import refuse_input, write_output


@click.command("verify")
@click.argument("vmlinux")
@click.argument("dump")
@click.option("--all", "every", is_flag=True, help="Show every stub, also those as predicted or freed.")
@click.option("--format", "format_", type=click.Choice(list(FORMATS)), default="text", show_default=True)
@click.option("-o", "--output", metavar="FILE", help="Write to FILE instead of standard output.")
@click.option("--system-map", metavar="FILE", help="Take the symbols from FILE: for a stripped vmlinux.")
def command(
    vmlinux: str, dump: str, every: bool, format_: str, output: str | None, system_map: str | None
) -> int:
    """Compare the predicted stubs of VMLINUX with the memory in DUMP.

    DUMP is an ELF core of the same kernel, running or crashed: kdump's vmcore, QEMU's dump-guest-memory, or
    /proc/kcore. Exit code 0 if each stub is as predicted, in use, or freed with init memory; 1 if one is
    different; 2 if DUMP cannot be read or is not of this kernel.
    """
    refuse_input(output, vmlinux, dump, system_map)
    with open_kernel(vmlinux, system_map) as kernel:
        layout_of(kernel)
        with open_dump(dump, kernel) as running:
            verification = verify(kernel, running, every=every)
    write_output(output, FORMATS[format_](verification, every=every))
    if output not in {None, "-"} and not verification.ok:
        sys.stderr.write(FORMATS["text"](verification).splitlines()[-1] + "\n")
    return 0 if verification.ok else 1
