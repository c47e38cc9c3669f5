# SPDX-License-Identifier: GPL-2.0-or-later
"""From `vmlinux.o` to the text of the assembly file: the step that generate, hook and the drop-ins share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pfestubs.errors import InputError, UsageError
from pfestubs.formats.templates import render_assembly
from pfestubs.layouts import RESERVE_CONFIG
from pfestubs.read.vmlinux_o import read_vmlinux_o
from pfestubs.rules.kernel import sizing
from pfestubs.system.files import print_messages, refuse_input

if TYPE_CHECKING:
    from pfestubs.layouts import Layout
    from pfestubs.model import AreaCounts, VmlinuxO

_COUNT_LIMIT: Final = 0xFFFFFFFF


@dataclass(frozen=True)
class GenerateOptions:
    """Options of the command line; None lets the object decide. `spare` is a count of stubs or "auto"."""

    layout: str | None = None
    reserve: int | None = None
    spare: int | str | None = None
    allow_empty: bool = False


def generate(obj: VmlinuxO, request: GenerateOptions) -> str:
    """Return the assembly file for `obj`; warn of an exposed kernel unless spare was given.

    Raises:
        InputError: the request and the object disagree, or it has no entries, layout or reserve (`auto`: none
            that can be measured).
    """
    count = sizing.count(obj, layout=request.layout, reserve=request.reserve, allow_empty=request.allow_empty)
    if count.layout is None or count.stubs is None:
        raise InputError(
            obj.file,
            "references neither ftrace_ool_stub_* nor ftrace_pfe_stub_* symbols, so its layout is unknown",
            "give it with --layout (and --reserve for ool)",
        )
    return render_assembly(count.layout, _with_spare(obj, count.layout, count.stubs, request.spare))


def _with_spare(obj: VmlinuxO, layout: Layout, stubs: AreaCounts, spare: int | str | None) -> AreaCounts:
    if not isinstance(spare, int):
        trap = sizing.find_trap(obj, layout, stubs.reserve or 0)
        if trap == "unknown" and spare == "auto":
            raise InputError(
                obj.file,
                "does not define ftrace_ool_stub_text, which --spare auto needs",
                "give a number of stubs",
            )
        if trap is None or trap == "unknown":
            return stubs
        if spare is None:
            from pfestubs.formats.count import trap_sentence

            advice = f"lower {RESERVE_CONFIG}, or use --spare auto"
            print_messages(f"{obj.file}: warning: {trap_sentence(trap)}; {advice}")
            return stubs
        spare = trap.stubs
    total = stubs.end + spare
    if total > _COUNT_LIMIT:
        raise UsageError("--spare", f"{spare:,} stubs more make {total:,}, the count has 32 bits")
    return stubs._replace(end=total)


def run_hook(vmlinux_o: str, arch_vmlinux_o: str, request: GenerateOptions) -> None:
    """Write `arch_vmlinux_o` and the `.S` of the same name.

    Raises:
        UsageError: `arch_vmlinux_o` is not named `*.o`.
        PfestubsError: what reading, sizing and assembling raise.
    """
    from pfestubs.system.assembler import assemble  # and subprocess: 5 ms

    if not arch_vmlinux_o.endswith(".o"):
        raise UsageError(arch_vmlinux_o or "ARCH_VMLINUX_O", "is not the name of an object (*.o)")
    assembly = arch_vmlinux_o.removesuffix(".o") + ".S"
    refuse_input(arch_vmlinux_o, vmlinux_o)
    refuse_input(assembly, vmlinux_o)
    obj = read_vmlinux_o(vmlinux_o)
    assemble(assembly, arch_vmlinux_o, generate(obj, request), obj)
