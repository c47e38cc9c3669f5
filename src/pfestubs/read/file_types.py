# SPDX-License-Identifier: GPL-2.0-or-later
"""Reject unsupported file types with a specific error for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pfestubs.errors import UnsuitableError
from pfestubs.read import elf as e

if TYPE_CHECKING:
    from pfestubs.read.elf import Elf

_LINKED_WANTED: Final = "this command reads the linked kernel: give vmlinux"
_CORE_WANTED: Final = "give an ELF core: of kdump, of QEMU's dump-guest-memory, or /proc/kcore"
_MODULE_WANTED: Final = "this command reads modules: give .ko files or a directory of them"
_OBJECT_WANTED: Final = "this command reads the object before the final link: give vmlinux.o"


def require_relocatable_object(elf: Elf) -> None:
    """Refuse what is not a relocatable powerpc object.

    Raises:
        UnsuitableError: with a sentence for each kind of file that people hand over by mistake.
    """
    _refuse_machine(elf)
    if elf.type != e.ET_REL:
        _refuse_wrapper(elf)
        _refuse_core(elf, _OBJECT_WANTED)
        raise UnsuitableError(elf.path, "is a linked kernel, not a relocatable object", _OBJECT_WANTED)
    _refuse_module(elf)
    _refuse_debug_file(elf)
    if elf.symtab is None:
        raise UnsuitableError(
            elf.path, "has no symbol table: it was stripped", "give vmlinux.o as the linker wrote it"
        )


def require_linked_kernel(elf: Elf) -> None:
    """Refuse what is not a linked powerpc kernel.

    Raises:
        UnsuitableError: with a sentence for each kind of file that people hand over by mistake.
    """
    _refuse_machine(elf)
    _refuse_wrapper(elf)
    _refuse_core(elf, _LINKED_WANTED)
    if elf.type == e.ET_REL:
        _refuse_module(elf)
        raise UnsuitableError(elf.path, "is a relocatable object, not a linked kernel", _LINKED_WANTED)
    if elf.type not in {e.ET_EXEC, e.ET_DYN}:
        raise UnsuitableError(elf.path, f"is an ELF file of type {elf.type}", _LINKED_WANTED)
    _refuse_debug_file(elf)


def require_module(elf: Elf) -> None:
    """Refuse what is not a powerpc kernel module.

    Raises:
        UnsuitableError: with a sentence for each kind of file that people hand over by mistake.
    """
    _refuse_machine(elf)
    if elf.type != e.ET_REL:
        _refuse_core(elf, _MODULE_WANTED)
        raise UnsuitableError(elf.path, "is a linked file, not a kernel module", _MODULE_WANTED)
    _refuse_debug_file(elf)


def require_core(elf: Elf) -> None:
    """Refuse what is not an ELF core of a powerpc machine.

    Raises:
        UnsuitableError: with a sentence for each kind of file that people hand over by mistake.
    """
    _refuse_machine(elf)
    if elf.type != e.ET_CORE:
        kinds = {e.ET_REL: "a relocatable object", e.ET_EXEC: "a linked file", e.ET_DYN: "a linked file"}
        kind = kinds.get(elf.type, f"an ELF file of type {elf.type}")
        raise UnsuitableError(elf.path, f"is {kind}, not a dump of memory", _CORE_WANTED)


def _refuse_machine(elf: Elf) -> None:
    if elf.machine not in {e.EM_PPC, e.EM_PPC64}:
        name = elf.machine_name.removeprefix("EM_").replace("_", "-").lower()
        raise UnsuitableError(elf.path, f"is for machine {name}, not for powerpc")
    if elf.bits != (64 if elf.machine == e.EM_PPC64 else 32):
        raise UnsuitableError(
            elf.path, f"is a {elf.bits}-bit file for {elf.machine_name}: invalid combination for a kernel"
        )


def _refuse_wrapper(elf: Elf) -> None:
    if any(elf.section_name(i).startswith(".kernel:") for i in range(min(len(elf.sections), 64))):
        raise UnsuitableError(
            elf.path,
            "is a boot image (zImage) with the kernel packed inside",
            "give vmlinux from the build tree or the debug package",
        )


def _refuse_core(elf: Elf, advice: str) -> None:
    if elf.type == e.ET_CORE:
        raise UnsuitableError(elf.path, "is a core dump", advice)


def _refuse_module(elf: Elf) -> None:
    if elf.sections_named(".gnu.linkonce.this_module"):
        raise UnsuitableError(
            elf.path,
            "is a kernel module, not the kernel",
            "pfestubs modules shows the stubs that modules need",
        )


def _refuse_debug_file(elf: Elf) -> None:
    code = [s for s in elf.sections if s.flags & e.SHF_EXECINSTR and s.size]
    if code and all(s.type == e.SHT_NOBITS for s in code):
        raise UnsuitableError(
            elf.path,
            "holds debug information only (--only-keep-debug): its code sections are empty",
            "give the file with the code",
        )
