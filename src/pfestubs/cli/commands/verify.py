# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs verify`."""

from pfestubs.cli import options
from pfestubs.cli.progress import track
from pfestubs.formats.verify import verify_summary
from pfestubs.read.dump import open_dump
from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.analyses.stubs import verify_stubs
from pfestubs.rules.kernel.simulation import boot_kernel


@options.command(
    "verify",
    """Compare the predicted stubs of VMLINUX with the memory in DUMP.

    DUMP is an ELF core of the same kernel, running or crashed: kdump's vmcore, QEMU's dump-guest-memory, or
    /proc/kcore. Exit status 0 if each stub is as predicted, in use, or freed with init memory; 1 if one is
    different; 2 if DUMP cannot be read or is not of this kernel, or if VMLINUX is damaged.
    """,
    "pfestubs verify vmlinux vmcore",
    "pfestubs verify --all vmlinux /proc/kcore",
)
@options.vmlinux
@options.input_argument("dump", "vmcore")
@options.output("verify")
@options.system_map
@options.show_all("Show every stub, also those as predicted or freed.")
def command(vmlinux: str, dump: str, output: options.Output, system_map: str | None, show_all: bool) -> int:
    """Run `pfestubs verify`."""
    with open_kernel(vmlinux, system_map) as kernel:
        boot = boot_kernel(kernel, with_stubs=True)
        # To find a kernel that moved, a search of 1 GiB takes a second.
        with open_dump(dump, kernel, lambda runs: track(runs, len(runs), "searching the dump")) as running:
            result = verify_stubs(boot, running, show_all=show_all)
        closing = f"{vmlinux}: {verify_summary(result)}"
        return output.finish(result, ok=result.ok, closing=closing, show_all=show_all)
