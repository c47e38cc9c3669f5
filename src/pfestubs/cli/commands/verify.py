# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs verify`."""

from __future__ import annotations

import click

from pfestubs.cli.options import (
    all_option,
    epilog,
    format_option,
    input_argument,
    output_option,
    system_map_option,
    vmlinux_argument,
)
from pfestubs.cli.output import finish
from pfestubs.cli.progress import track
from pfestubs.formats.verify import verify_summary
from pfestubs.read.dump import open_dump
from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.analyses.stub_states import verify_stubs
from pfestubs.rules.kernel.simulation import boot_kernel
from pfestubs.system.files import refuse_input


@click.command(
    "verify",
    help="""Compare the predicted stubs of VMLINUX with the memory in DUMP.

    DUMP is an ELF core of the same kernel, running or crashed: kdump's vmcore, QEMU's dump-guest-memory, or
    /proc/kcore. Exit status 0 if each stub is as predicted, in use, or freed with init memory; 1 if one is
    different; 2 if DUMP cannot be read or is not of this kernel, or if VMLINUX is damaged.
    """,
    epilog=epilog("pfestubs verify vmlinux vmcore", "pfestubs verify --all vmlinux /proc/kcore"),
)
@vmlinux_argument
@input_argument("dump", "vmcore")
@format_option("verify")
@output_option
@system_map_option
@all_option("Show every stub, also those as predicted or freed.")
def command(
    vmlinux: str, dump: str, format_: str, output: str | None, system_map: str | None, show_all: bool
) -> int:
    """Run `pfestubs verify`."""
    refuse_input(output, vmlinux, dump, system_map)
    with open_kernel(vmlinux, system_map) as kernel:
        boot = boot_kernel(kernel, with_stubs=True)
        # To find a kernel that moved, a search of 1 GiB takes a second.
        with open_dump(dump, kernel, lambda runs: track(runs, len(runs), "searching the dump")) as running:
            result = verify_stubs(boot, running, show_all=show_all)
        return finish(
            "verify",
            result,
            ok=result.ok,
            format_=format_,
            output=output,
            closing=[f"{vmlinux}: {verify_summary(result)}"],
            show_all=show_all,
        )
