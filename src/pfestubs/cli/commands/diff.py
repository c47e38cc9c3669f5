# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfestubs.cli import options
from pfestubs.cli.progress import working
from pfestubs.errors import UsageError
from pfestubs.formats.diff import diff_summary
from pfestubs.read.saved import is_saved, read_saved_figures
from pfestubs.rules.analyses.diff import boot_figures, compare

if TYPE_CHECKING:
    from pfestubs.model import KernelFigures


@options.command(
    "diff",
    """Show what changed between the kernels OLD and NEW: functions, areas, headroom.

    OLD and NEW are vmlinux files, or JSON saved by check, count or stubs. --system-map applies to NEW. The
    exit status is 1 if NEW would fail at boot.
    """,
    "pfestubs diff old/vmlinux vmlinux",
    "pfestubs diff --format markdown base.json vmlinux",
)
@options.input_argument("old", "vmlinux")
@options.input_argument("new", "vmlinux")
@options.output("diff")
@options.show_all("Show every function, not only 20 added and 20 removed.")
@options.system_map
@options.old_system_map
def command(
    old: str,
    new: str,
    output: options.Output,
    show_all: bool,
    system_map: str | None,
    old_system_map: str | None,
) -> int:
    """Run `pfestubs diff`."""
    with working("comparing"):
        result = compare(_figures(old, old_system_map), _figures(new, system_map))
    closing = f"{new}: {diff_summary(result)}"
    return output.finish(result, ok=not result.new_fails, closing=closing, show_all=show_all)


def _figures(path: str, system_map: str | None) -> KernelFigures:
    if is_saved(path):
        if system_map is not None:
            raise UsageError(path, "is a saved document, which needs no System.map", "omit it")
        return read_saved_figures(path)
    from pfestubs.read.vmlinux import open_kernel
    from pfestubs.rules.kernel.simulation import boot_kernel

    with open_kernel(path, system_map) as kernel:
        return boot_figures(boot_kernel(kernel))
