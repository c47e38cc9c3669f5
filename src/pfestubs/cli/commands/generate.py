# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs generate`: from `vmlinux.o` to the assembly file, also for hook and the drop-ins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from pfestubs.cli import options
from pfestubs.errors import InputError, UsageError
from pfestubs.formats.templates import render_template
from pfestubs.layouts import RESERVE_CONFIG, AreaRole
from pfestubs.read.vmlinux_o import read_vmlinux_o
from pfestubs.rules.kernel import sizing
from pfestubs.system.files import print_messages, write_output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pfestubs.layouts import Layout
    from pfestubs.model import VmlinuxO


@options.command(
    "generate",
    """Write the assembly file that reserves the stubs of VMLINUX_O.

    Without --spare the file reserves exactly what the kernel's own script does.
    """,
    "pfestubs generate vmlinux.o",
    "pfestubs generate --spare auto -o vmlinux.arch.S vmlinux.o",
)
@options.vmlinux_o
@options.output_file
@options.sizing(spare=True)
def command(
    vmlinux_o: str, output: str | None, spare: int | str | None, **sizes: Unpack[options.Sizing]
) -> None:
    """Run `pfestubs generate`."""
    write_output(output, generate(read_vmlinux_o(vmlinux_o), spare, **sizes))


def generate(obj: VmlinuxO, spare: int | str | None = None, **sizes: Unpack[options.Sizing]) -> str:
    """Return the assembly file for `obj`; warn of an exposed kernel unless spare was given.

    Args:
        obj: the object.
        spare: stubs to add, or "auto".
        sizes: what was asked for.

    Raises:
        InputError: what was asked for and the object disagree, or it has no entries, layout or reserve
            (`auto`: none that can be measured).
    """
    count = sizing.count(obj, **sizes)
    if count.layout is None or count.stubs is None:
        raise InputError(
            obj.file,
            "references neither ftrace_ool_stub_* nor ftrace_pfe_stub_* symbols, so its layout is unknown",
            "give it with --layout (and --reserve for ool)",
        )
    stubs = _with_spare(obj, count.layout, count.stubs, spare)
    return render_template(f"{count.layout.name}.S.j2", stubs)


def _with_spare(
    obj: VmlinuxO, layout: Layout, stubs: Mapping[str, int], spare: int | str | None
) -> Mapping[str, int]:
    if not isinstance(spare, int):
        trap = sizing.measure_reserve(obj, layout, stubs)
        if trap == "unknown" and spare == "auto":
            raise InputError(
                obj.file,
                "does not define ftrace_ool_stub_text, which --spare auto needs",
                "give a number of stubs",
            )
        if trap is None or trap == "unknown" or not trap.exposed:
            return stubs
        if spare is None:
            from pfestubs.formats.count import trap_sentence

            advice = f"lower {RESERVE_CONFIG}, or use --spare auto"
            print_messages(f"{obj.file}: warning: {trap_sentence(trap)}; {advice}")
            return stubs
        spare = trap.stubs
    end = next(area.name for area in layout.areas if area.role is AreaRole.END)
    total = stubs[end] + spare
    if total > options.COUNT_LIMIT:
        raise UsageError("--spare", f"{spare:,} more stubs make {total:,}; a count has 32 bits")
    return {**stubs, end: total}
