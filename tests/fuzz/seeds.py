# SPDX-License-Identifier: GPL-2.0-or-later
"""Sound inputs to start from: ready-built objects, miniature kernels and what belongs to them.

Everything comes from the fixtures or is written here; a cross compiler is not needed. Miniatures that GNU ld
and LLD linked are among the fixtures.
"""

import gzip
import lzma
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pfestubs.layouts import LAYOUTS
from support import FIXTURES, OBJECTS, call
from support.dumps import kdump, linked_memory, qemu, vmcoreinfo, with_banner, write_stubs
from support.elfwriter import AX, EM_PPC, EM_PPC64, ENTRIES, SHT_NOBITS, WA, Section, write_elf
from support.kernelwriter import BASE, LinkedKernel, inline_kernel

CASES = FIXTURES / "cases"


@dataclass(frozen=True)
class KernelSeed:
    """A linked kernel and what was made of it, as bytes; empty where there is none."""

    name: str
    vmlinux: bytes
    system_map: bytes = b""
    cores: tuple[bytes, ...] = ()
    documents: dict[str, bytes] = field(default_factory=dict)


@cache
def objects() -> tuple[bytes, ...]:
    """Objects before the final link."""
    return tuple(path.read_bytes() for path in [*sorted(OBJECTS.glob("*.o")), CASES / "crel.o"])


@cache
def modules() -> tuple[tuple[str, bytes], ...]:
    """Modules, by file name."""
    plain = _module(64, "<")
    return (
        ("a.ko", plain),
        ("b.ko", _module(32, ">")),
        ("a.ko.xz", lzma.compress(plain)),
        ("a.ko.gz", gzip.compress(plain, mtime=0)),
    )


@cache
def logs() -> tuple[bytes, ...]:
    """Boot logs."""
    return tuple(path.read_bytes() for path in sorted((FIXTURES / "logs").glob("*.log")))


@cache
def trees() -> tuple[tuple[tuple[str, bytes], ...], ...]:
    """Kernel trees, each as paths and contents."""
    directory = FIXTURES / "trees"
    names = ("mainline-7.2", "mainline-6.13", "rfc-v3", "before-6.13", "installed-by-0.1.0/mainline-7.2")
    return tuple(
        tuple(
            (str(path.relative_to(directory / name)), path.read_bytes())
            for path in sorted((directory / name).rglob("*"))
            if path.is_file()
        )
        for name in names
    )


def kernels(directory: Path) -> tuple[KernelSeed, ...]:
    """Return linked kernels; documents of them are made with pfestubs itself."""
    written = {
        "ool": with_banner(LinkedKernel()),
        "rela": with_banner(LinkedKernel(zeros=True, order=">")),
        "pfe": with_banner(LinkedKernel(layout="pfe", stub_size=16)),
        "ppc32": inline_kernel(bits=32, order=">", zeros=True),
        "top": LinkedKernel(base=(1 << 64) - 0x10000000),
    }
    found = []
    for name, kernel in written.items():
        path = kernel.save(directory / "vmlinux")
        seed = KernelSeed(name, path.read_bytes(), map_of(kernel), _cores(kernel))
        found.append(_with_documents(seed, directory))
    for name, map_ in (
        ("pie-no-sections", "pie.map"),
        ("mini-stripped", "mini.map"),
        ("stripped", "stripped.own.map"),
        ("same-name", "same-name.map"),
        ("sizes-zero", ""),
        ("strip-keep", ""),
        ("moved-symbols", ""),
    ):
        data = (CASES / name).read_bytes()
        found.append(KernelSeed(name, data, (CASES / map_).read_bytes() if map_ else b""))
    return tuple(found)


def map_of(kernel: LinkedKernel) -> bytes:
    """Return the System.map of a written kernel; what its `places` say goes first."""
    data = kernel.data_address
    places = {"__start_mcount_loc": data, "__stop_mcount_loc": data + 8 * len(kernel.table_values)}
    for number, area in enumerate(LAYOUTS[kernel.layout].areas if kernel.layout else ()):
        places[area.symbol] = kernel.area_address(area.name)
        places[area.count_symbol] = data + 0x800000 + 4 * number
    places |= {name: value for name, value in kernel.places.items() if value is not None}
    rows = sorted((address, name) for name, address in (places | kernel.function_names()).items())
    return "".join(f"{address:016x} T {name}\n" for address, name in rows).encode()


def _cores(kernel: LinkedKernel) -> tuple[bytes, ...]:
    """Return dumps of a kernel that has booted: as kdump writes them, and as QEMU does."""
    if kernel.layout is None or kernel.bits != 64 or kernel.base != BASE:
        return ()
    memory = linked_memory(kernel)
    write_stubs(kernel, memory)
    info = vmcoreinfo(kernel.order, "OSRELEASE=7.2.0-mini", "KERNELOFFSET=0")
    return kdump([(0, bytes(memory))], kernel.order, info), qemu(memory, kernel.order)


def _with_documents(seed: KernelSeed, directory: Path) -> KernelSeed:
    path = directory / "vmlinux"
    documents = {}
    for command in ("check", "stubs"):
        outcome = call(command, "--format", "json", path)
        if outcome.code != 2:
            documents[command] = outcome.out.encode()
    name = "pfe-ppc64le-gnu" if seed.name == "pfe" else "ool-ppc64le-gnu"
    count = call("count", "--format", "json", OBJECTS / f"{name}.o")
    documents["count"] = count.out.encode()
    return KernelSeed(seed.name, seed.vmlinux, seed.system_map, seed.cores, documents)


def _module(bits: int, order: str) -> bytes:
    sections = [
        Section(".text", flags=AX, size=0x100, type=SHT_NOBITS, align=16),
        Section(ENTRIES, bytes(3 * bits // 8), flags=WA, align=8),
        Section(".init.text", bytes(16), flags=AX),
    ]
    return write_elf(sections, machine=EM_PPC64 if bits == 64 else EM_PPC, bits=bits, order=order)
