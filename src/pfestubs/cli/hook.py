# SPDX-License-Identifier: GPL-2.0-or-later
"""The pre-link hook: generate the assembly file next to the object and assemble it."""

from __future__ import annotations

from pfestubs.cli.generation import GenerateOptions, generate
from pfestubs.errors import UsageError
from pfestubs.read.vmlinux_o import read_vmlinux_o
from pfestubs.system.assembler import assemble
from pfestubs.system.files import refuse_input


def run_hook(vmlinux_o: str, arch_vmlinux_o: str, request: GenerateOptions) -> None:
    """Write `arch_vmlinux_o` and the `.S` of the same name.

    Raises:
        UsageError: `arch_vmlinux_o` is not named `*.o`.
        PfestubsError: what reading, sizing and assembling raise.
    """
    if not arch_vmlinux_o.endswith(".o"):
        raise UsageError(arch_vmlinux_o or "ARCH_VMLINUX_O", "is not the name of an object (*.o)")
    assembly = arch_vmlinux_o.removesuffix(".o") + ".S"
    refuse_input(arch_vmlinux_o, vmlinux_o)
    refuse_input(assembly, vmlinux_o)
    obj = read_vmlinux_o(vmlinux_o)
    assemble(assembly, arch_vmlinux_o, generate(obj, request), obj)
