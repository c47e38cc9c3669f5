# SPDX-License-Identifier: GPL-2.0-or-later
"""What a file is: by its first bytes, or as an ELF file; with advice for each that is given by mistake."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

from pfestubs.errors import InputError

if TYPE_CHECKING:
    from pfestubs.read.elf import Elf

HEAD: Final = 64
"""Bytes that tell what a file is."""
ELF: Final = b"\x7fELF"
XZ, GZIP, ZSTD = b"\xfd7zXZ\0", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_MAP_LINE: Final = re.compile(rb"[0-9a-f]{8}(?:[0-9a-f]{8})? [A-Za-z] ")
_LOG_STAMP: Final = re.compile(rb"\[(?:[ <]*\+?\d+\.\d|[A-Za-z])")
_BYTE_ORDER_MARKS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_WHERE: Final = (
    'take vmlinux from the build tree or the debug package (docs/command-line.md, "Where to get a vmlinux")'
)
_MAGICS: Final = (
    (b"!<arch>\n", "is an archive, not an ELF file", "unpack it with ar and name the object"),
    (b"!<thin>\n", "is a thin archive, not an ELF file", "name the object it refers to"),
    (b"BZh", "is compressed (bzip2)", "unpack it first: bzip2 -dk"),
    (b"\x04\x22\x4d\x18", "is compressed (lz4)", "unpack it first: lz4 -dk"),
    (b"\x02\x21\x4c\x18", "is compressed (lz4, legacy format)", "unpack it first: lz4 -dk"),
    (b"\x5d\0\0", "is compressed (lzma)", "unpack it first: xz -dk --format=lzma"),
    (b"\x89LZO", "is compressed (lzop)", "unpack it first: lzop -dk"),
    (b"PK\3\4", "is a zip archive, not an ELF file", "unpack it with unzip and name the file in it"),
    (b"070701", "is a cpio archive, not an ELF file", "unpack it with cpio and name the file in it"),
    (b"\xed\xab\xee\xdb", "is an RPM package, not an ELF file", _WHERE),
    # makedumpfile refuses -E for input in its own format: "'-E' option is disable".
    (
        b"KDUMP   ",
        "is a compressed kdump",
        "makedumpfile cannot turn it back; save an ELF core instead: makedumpfile -E -d 31 /proc/vmcore CORE"
        " (QEMU: dump-guest-memory without -z, -l, -s)",
    ),
    (b"makedumpfile\0", "is a flattened dump", "restore it: makedumpfile -R CORE < DUMP"),
    (XZ, "is compressed (xz)", "unpack it first: xz -dk"),
    (GZIP, "is compressed (gzip)", "unpack it first: gzip -dk"),
    (ZSTD, "is compressed (zstd)", "unpack it first: zstd -dk"),
    (b"\x27\x05\x19\x56", "is a U-Boot image (uImage)", _WHERE),
    (
        b"\xd0\x0d\xfe\xed",
        "is a device tree blob, which a FIT image (.itb) is too",
        f"unpack the kernel in it (dumpimage -T flat_dt -p 0 -o KERNEL FILE), or {_WHERE}",
    ),
    (b"MZ", "is an EFI or DOS executable, not an ELF file", _WHERE),
)
"""First bytes, what such a file is, what to do; of packed files only those not unpacked here are refused."""

_LINKED: Final = ("ET_EXEC", "ET_DYN")
_WANTED: Final = {
    "kernel": (_LINKED, "a linked kernel", "this command reads the linked kernel: give vmlinux"),
    "object": (
        ("ET_REL",),
        "a relocatable object",
        "this command reads the object before the final link: give vmlinux.o",
    ),
    "module": (
        ("ET_REL",),
        "a kernel module",
        "this command reads modules: give .ko files or a directory of them",
    ),
    "core": (
        ("ET_CORE",),
        "a dump of memory",
        "give an ELF core: of kdump, of QEMU's dump-guest-memory, or /proc/kcore",
    ),
}
"""What a command reads: the types of such a file, what it is called, what to give instead of another."""
_KINDS: Final = {"ET_REL": "a relocatable object", "ET_CORE": "a core dump"} | dict.fromkeys(
    _LINKED, "a linked file"
)


# -- by the first bytes --------------------------------------------------------------------------------------


def is_packed(head: bytes) -> bool:
    """Return whether a file is one that is read unpacked (xz, gzip, zstd)."""
    return head.startswith((XZ, GZIP, ZSTD))


def is_document(head: bytes) -> bool:
    """Return whether a file begins as JSON does, in whatever encoding."""
    mark = next((mark for mark in _BYTE_ORDER_MARKS if head.startswith(mark)), b"")
    text = head.removeprefix(mark).replace(b"\0", b"")
    return bool(mark) or (text.lstrip().startswith((b"{", b"[")) and not _LOG_STAMP.match(text))


def refuse_other_than_elf(path: str, head: bytes) -> None:
    """Refuse a file that does not begin as an ELF file does."""
    if not head:
        raise InputError(path, "is empty")
    if head.startswith(ELF):
        return
    if _MAP_LINE.match(head):
        raise InputError(
            path,
            "is a System.map, not an ELF file",
            "give vmlinux (and this file with --system-map) or vmlinux.o",
        )
    for magic, problem, advice in _MAGICS:
        if head.startswith(magic):
            raise InputError(path, problem, advice)
    from pfestubs.read.boot_log import is_boot_log  # patterns that only a wrong file needs

    if is_boot_log(path):
        advice = f"pfestubs explain VMLINUX {path} says what it means"
        raise InputError(path, "is a boot log, not an ELF file", advice)
    raise InputError(path, f"is not an ELF file (starts with {head[:4].hex(' ')})")


# -- ELF files -----------------------------------------------------------------------------------------------


def require_kind(elf: Elf, wanted: Literal["kernel", "object", "module", "core"]) -> None:
    """Refuse an ELF file that is not what a command reads, for powerpc and with its code.

    Raises:
        InputError: with a sentence for each kind of file that people hand over by mistake.
    """
    types, name, advice = _WANTED[wanted]
    if elf.machine not in {"EM_PPC", "EM_PPC64"}:
        machine = str(elf.machine).removeprefix("EM_").replace("_", "-").lower()
        raise elf.error(f"is for machine {machine}, not for powerpc")
    if elf.bits != (64 if elf.machine == "EM_PPC64" else 32):
        raise elf.error(f"is a {elf.bits}-bit file for {elf.machine}: invalid combination for a kernel")
    if wanted in {"kernel", "object"}:
        if any(elf.section_name(i).startswith(".kernel:") for i in range(min(len(elf.sections), 64))):
            raise elf.error("is a boot image (zImage) with the kernel packed inside", _WHERE)
        if elf.sections_named(".gnu.linkonce.this_module"):
            raise elf.error(
                "is a kernel module, not the kernel", "pfestubs modules shows the stubs that modules need"
            )
    if elf.type not in types:
        kind = _KINDS.get(str(elf.type), f"an ELF file of type {elf.type}")
        if wanted == "object" and elf.type in _LINKED:
            kind = "a linked kernel"
        raise elf.error(f"is {kind}, not {name}", advice)
    if wanted != "core":
        _refuse_unusable_code(elf)


def _refuse_unusable_code(elf: Elf) -> None:
    code = [s for s in elf.sections if s.is_code and s.size]
    if code and all(s.is_nobits for s in code):
        raise elf.error(
            "holds debug information only (--only-keep-debug): its code sections are empty",
            "give the file with the code",
        )
    if any(s.is_allocated and s.is_compressed for s in elf.sections):
        raise elf.error("has compressed sections that would be loaded (SHF_COMPRESSED), which ELF forbids")
