# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels broken on purpose, linked by real linkers: each is caught, by the right rule, at the right function."""

import json
from pathlib import Path
from typing import Any

import pytest

from pfestubs.read.vmlinux import open_kernel
from support import MiniKernel, call, run_program, tool

PAD = 40 << 20
# The first text function that gets no stub in the reserve of five: a weak one that is overridden. Its entry
# stays, named by the symbol before it.
SIXTH = "mini_notrace+0x18"
GCC, LLVM = ("gcc-ppc64le", "gcc-ppc64"), ("llvm-ppc64le", "llvm-ppc64")


def check(path: Path, *words: str | Path) -> Any:
    outcome = call("check", "--format", "json", path, *words)
    assert outcome.code in {0, 1}, outcome.err
    document = json.loads(outcome.out)
    assert document["ok"] == (outcome.code == 0)
    return document


def errors(document: Any) -> list[tuple[str, str | None]]:
    return [(f["rule"], f["function"]) for f in document["findings"] if f["severity"] == "error"]


def assert_failed(document: Any, rule: str, count: int, first: str) -> None:
    found = errors(document)
    assert ([each for each, _ in found], found[0][1]) == ([rule] * count, first)


# -- healthy kernels: every way to store the table ----------------------------------------------------------

STORAGES = [
    *((t, r) for t in GCC for r in ("no", "pie", "relr")),
    *((t, r) for t in LLVM for r in ("no", "pie", "pie-apply", "relr")),
]


@pytest.mark.parametrize("layout", ["ool", "pfe"])
@pytest.mark.parametrize(("toolchain", "relocatable"), STORAGES)
def test_every_storage_of_the_table(
    toolchain: str, relocatable: str, layout: str, mini_kernel: MiniKernel
) -> None:
    directory = mini_kernel(TOOLCHAIN=toolchain, RELOCATABLE=relocatable, LAYOUT=layout)
    found = check(directory / "vmlinux", "--prelink", directory / "vmlinux.o")
    assert found["findings"] == []
    assert (found["layout"], found["locations"]) == (layout, 16)
    assert found["stub_size"] == (24 if layout == "ool" else 16)
    used = {area["name"]: area["used"] for area in found["areas"]}
    own = {"text": 5, "text_end": 7} if layout == "ool" else {"text_end": 12}
    assert used == {**own, "inittext": 4}
    assert check(directory / "vmlinux", "--system-map", directory / "System.map") == found


@pytest.mark.parametrize(
    "variables",
    [
        {"TOOLCHAIN": "gcc-ppc64le", "LAYOUT": "inline"},
        {"TOOLCHAIN": "llvm-ppc64", "LAYOUT": "inline"},
        {"TOOLCHAIN": "gcc-ppc32", "RELOCATABLE": "no"},
        {"TOOLCHAIN": "gcc-ppc32", "RELOCATABLE": "pie"},
    ],
    ids=lambda variables: "-".join(variables.values()),
)
def test_table_without_stub_symbols_is_inline(variables: dict[str, str], mini_kernel: MiniKernel) -> None:
    found = check(mini_kernel(**variables) / "vmlinux")
    assert (found["layout"], found["stub_size"], found["locations"]) == ("inline", None, 16)
    assert found["findings"] == []


def test_clangs_global_entry_points(mini_kernel: MiniKernel) -> None:
    plain = check(mini_kernel(TOOLCHAIN="llvm-ppc64le") / "vmlinux")
    gep = check(mini_kernel(TOOLCHAIN="llvm-ppc64le", GEP=1) / "vmlinux")
    assert gep["findings"] == []
    assert gep["headroom"] == plain["headroom"]


def test_odd_names_and_exit_text(mini_kernel: MiniKernel) -> None:
    directory = mini_kernel(VARIANT="traps")
    found = check(directory / "vmlinux", "--prelink", directory / "vmlinux.o")
    assert found["ok"]
    assert found["locations"] == 24  # 27 entries, of which 3 are exit text
    assert [f["rule"] for f in found["findings"]] == ["area-unused", *["location-skipped"] * 3]


@pytest.mark.parametrize("variant", ["textonly", "initonly"])
def test_one_kind_of_text_only(variant: str, mini_kernel: MiniKernel) -> None:
    assert check(mini_kernel(VARIANT=variant) / "vmlinux")["ok"]


# -- pads: what does not reach ----------------------------------------------------------------------------


@pytest.mark.parametrize("toolchain", ["gcc-ppc64le", "llvm-ppc64"])
def test_the_reserve_trap(toolchain: str, mini_kernel: MiniKernel) -> None:
    directory = mini_kernel(TOOLCHAIN=toolchain, TEXT_PAD=PAD)
    found = check(directory / "vmlinux", "--prelink", directory / "vmlinux.o")
    # Boot order is address order; seven stubs are there, and five functions come after them.
    with open_kernel(str(directory / "vmlinux")) as kernel:
        eighth = sorted(a for a in kernel.table if a in kernel.text)[7]
        name, offset = kernel.symbols.locate(eighth)
    assert_failed(found, "area-exhausted", 5, f"{name}+{offset:#x}" if offset else name)
    remedy = next(f["remedy"] for f in found["findings"] if f["severity"] == "error")
    config = "CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE"
    assert remedy == {"action": "lower-reserve", "config": config, "value": 0}
    relinked = mini_kernel(TOOLCHAIN=toolchain, TEXT_PAD=PAD, RESERVE=0)
    assert check(relinked / "vmlinux")["ok"]


def test_the_trap_is_gone_within_the_limit(mini_kernel: MiniKernel) -> None:
    assert check(mini_kernel(TEXT_PAD=31 << 20) / "vmlinux")["ok"]


def test_end_area_out_of_reach(mini_kernel: MiniKernel) -> None:
    found = check(mini_kernel(TRAMP_PAD=PAD) / "vmlinux")
    failed = [f for f in found["findings"] if f["severity"] == "error"]
    assert {f["rule"] for f in failed} == {"stub-out-of-range"}
    assert failed[0]["function"] == SIXTH
    for finding in failed:
        assert finding["distance"] < finding["limit"] == -0x2000000
    assert found["headroom"]["bytes"] == min(f["distance"] for f in failed) + 0x2000000 - 8
    assert found["headroom"]["branch"] == "return"


def test_one_function_out_of_reach(mini_kernel: MiniKernel) -> None:
    found = check(mini_kernel(SCHED_PAD=PAD) / "vmlinux")
    assert errors(found) == [("stub-out-of-range", "mini_schedule+0x8")]
    (finding,) = [f for f in found["findings"] if f["severity"] == "error"]
    assert finding["distance"] > finding["limit"] == 0x1FFFFFC
    rooms = {room["branch"]: room for room in found["headroom"]["by_branch"]}
    assert rooms["stub"]["function"] == "mini_schedule+0x8"
    assert rooms["stub"]["bytes"] == 0x1FFFFFC - finding["distance"]


@pytest.mark.parametrize("toolchain", ["gcc-ppc64", "llvm-ppc64le"])
def test_init_text_beyond_32_mib(toolchain: str, mini_kernel: MiniKernel) -> None:
    found = check(mini_kernel(TOOLCHAIN=toolchain, INITTEXT_PAD=PAD) / "vmlinux")
    assert_failed(found, "stub-out-of-range", 4, "mini_init+0x8")


def test_init_stubs_through_their_own_trampoline(mini_kernel: MiniKernel) -> None:
    assert check(mini_kernel(INIT_PAD=PAD) / "vmlinux")["ok"]


def test_text_stubs_through_the_trampoline_in_init_memory(mini_kernel: MiniKernel) -> None:
    half = {"TRAMP_FIRST": 1, "RESERVE": 0, "TEXT_PAD": PAD // 2, "TRAMP_PAD": PAD // 2}
    found = check(mini_kernel(**half) / "vmlinux")
    assert_failed(found, "init-trampoline-only", 12, "mini_open+0x8")
    found = check(mini_kernel(**half, INIT_PAD=PAD) / "vmlinux")
    assert_failed(found, "tracer-unreachable", 12, "mini_open+0x8")


# -- what tools leave of a kernel (changed bytes and symbols: test_check_rules.py) ---------------------------


def test_zeros_without_their_relocations(mini_kernel: MiniKernel, tmp_path: Path) -> None:
    """What a linker leaves if relocations are dropped from an image that needs them."""
    path = tmp_path / "vmlinux"
    objcopy = tool("powerpc64le-linux-gnu-objcopy")
    original = mini_kernel(TOOLCHAIN="llvm-ppc64le", RELOCATABLE="pie") / "vmlinux"
    run_program(objcopy, "-R", ".rela.dyn", original, path, check=True)
    assert errors(check(path)) == [("table-damaged", None)]
