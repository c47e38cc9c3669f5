# SPDX-License-Identifier: GPL-2.0-or-later
"""Real kernels, booted in QEMU: what `pfestubs verify` says of their memory.

Needs PFESTUBS_KERNELS; without it the tests say that they were skipped. QEMU itself is one of the tools that
the tests need, and a missing one is a failure.
"""

import fnmatch
import shutil
import struct
from pathlib import Path

import pytest

from bootguest import INIT_FREED, NO_PROGRAM, TRACING, boot
from support import Kernels, call, json_of, refusal, tool

DEBIAN = "debian-7.2.13-ppc64le"
PSERIES = "pseries-7.2.13-ppc64le"
TRAP = "pseries-7.2.13-trap"


@pytest.fixture(autouse=True)
def qemu(kernels: Kernels) -> str:  # kernels first: without them nothing is booted
    return tool("qemu-system-ppc64")


@pytest.mark.parametrize(("name", "entries"), [(DEBIAN, 42648), (PSERIES, 77026)])
def test_every_stub_is_as_predicted(kernels: Kernels, name: str, entries: int) -> None:
    vmlinux = kernels(f"{name}/vmlinux")
    with boot(vmlinux) as guest:
        assert guest.entries == entries
        outcome = call("verify", vmlinux, guest.dump)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == f"{vmlinux}: ok: {entries:,} of {entries:,} stubs as predicted\n"


def test_exactly_the_filtered_functions_are_in_use(kernels: Kernels) -> None:
    """Which those are is read from System.map: a function's nop is 0 or 8 bytes after its symbol."""
    vmlinux = kernels(f"{DEBIAN}/vmlinux")
    wanted = {}
    for line in kernels(f"{DEBIAN}/System.map").read_text().splitlines():
        address, kind, name = line.split()
        if kind in {"T", "t"} and fnmatch.fnmatchcase(name, "vfs_*"):
            wanted[int(address, 16)] = name
    with boot(vmlinux, "ftrace=function ftrace_filter=vfs_*", until=TRACING) as guest:
        document = json_of("verify", vmlinux, guest.dump)
    assert (document["different"], document["freed"]) == (0, 0)
    assert document["as_predicted"] + document["in_use"] == 42648
    found = {}
    for finding in document["findings"]:
        # Init stubs are out of ftrace_caller's reach in this kernel.
        target = "ftrace_tramp_text" if finding["area"] == "inittext" else "ftrace_caller"
        assert (finding["state"], finding["target_symbol"]) == ("in use", target)
        name, _, offset = finding["function"].partition("+")
        found[int(finding["location"], 16) - int(offset or "0", 16)] = name
        assert int(offset or "0", 16) in {0, 8}
    traced = {name for name in wanted.values() if name in set(found.values())}
    assert len(found) == document["in_use"] >= 70
    assert found == {address: name for address, name in wanted.items() if name in traced}
    # What is left out has no entry in the table: assembly, or marked notrace.
    listed = json_of("stubs", vmlinux)["stubs"]
    traceable = {stub["function"].partition("+")[0] for stub in listed}
    assert set(wanted.values()) & traceable == traced


def test_freed_init_memory_is_told_apart(kernels: Kernels) -> None:
    vmlinux = kernels(f"{DEBIAN}/vmlinux")
    with boot(vmlinux, until=INIT_FREED, initramfs=NO_PROGRAM) as guest:
        document = json_of("verify", vmlinux, guest.dump)
    assert (document["ok"], document["as_predicted"], document["freed"]) == (True, 40889, 1759)


def test_a_relocated_kernel_is_found(kernels: Kernels, tmp_path: Path) -> None:
    """As kexec does for a kdump kernel: `__run_at_load` is 1, and the kernel stays where it was loaded."""
    original = kernels(f"{DEBIAN}/vmlinux")
    vmlinux = tmp_path / "vmlinux"
    shutil.copyfile(original, vmlinux)
    with vmlinux.open("r+b") as file:
        file.seek(0x10000 + 0x5C)  # the first segment's offset, and __run_at_load's in it
        assert file.read(4) == b"0nur"  # RUN_AT_LOAD_DEFAULT
        file.seek(-4, 1)
        file.write(struct.pack("<I", 1))
    with boot(vmlinux) as guest:
        document = json_of("verify", original, guest.dump)
    assert (document["ok"], document["as_predicted"]) == (True, 42648)
    assert document["offset"] == "0x400000"  # where QEMU loads a kernel


def test_another_kernels_dump_is_refused(kernels: Kernels) -> None:
    with boot(kernels(f"{DEBIAN}/vmlinux")) as guest:
        sentence = refusal("verify", kernels(f"{PSERIES}/vmlinux"), guest.dump)
        assert "is of another kernel: '7.2.13+deb14-powerpc64le #1 SMP" in sentence
        with guest.dump.open("r+b") as file:
            file.truncate(guest.dump.stat().st_size - 4096)
        assert "is cut short" in refusal("verify", kernels(f"{DEBIAN}/vmlinux"), guest.dump)


def test_a_kernel_that_gives_tracing_up(kernels: Kernels) -> None:
    """The reserve trap: what the boot did before the first function without a stub, and nothing after it."""
    vmlinux = kernels(f"{TRAP}/vmlinux")
    with boot(vmlinux) as guest:
        assert "dev_create+0x8" in guest.console
        document = json_of("verify", vmlinux, guest.dump, code=1)
    assert (document["ok"], document["ftrace_disabled"]) == (False, True)
    assert document["stops_at"] == "dev_create+0x8"
    assert document["as_predicted"] == 17883 + 42043
    assert document["findings"][0]["function"] == "dev_create+0x8"
