# SPDX-License-Identifier: GPL-2.0-or-later
"""`check` on real kernels: the known numbers, the memory of a booted kernel, and a kernel that dies at boot."""

from __future__ import annotations

import json
import struct
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.kernel.simulation import simulate_boot
from support import naive_boot, tool

if TYPE_CHECKING:
    from pathlib import Path

    from support import Call, Kernels

DEBIAN, PSERIES, TRAP = "debian-7.2.13-ppc64le", "pseries-7.2.13-ppc64le", "pseries-7.2.13-trap"


def document(call: Call, code: int, *words: str | Path) -> Any:
    outcome = call("check", "--format", "json", *words)
    assert (outcome.code, outcome.err) == (code, "")
    return json.loads(outcome.out)


def test_debian_is_served_completely(kernels: Kernels, call: Call) -> None:
    path = kernels(f"{DEBIAN}/vmlinux")
    found = document(call, 0, path)
    assert found["locations"] == 42_648
    assert found["stub_size"] == 24
    assert found["findings"] == []
    assert [(a["name"], a["address"], a["reserved"], a["used"], a["needed"]) for a in found["areas"]] == [
        ("text", "0xc0000000000772b0", 32_768, 32_768, 32_768),
        ("text_end", "0xc0000000013da540", 8_121, 8_121, 8_121),
        ("inittext", "0xc000000002085248", 1_759, 1_759, 1_759),
    ]
    assert call("check", path).out == (
        f"{path}: ok: all 42,648 functions get a working stub (text 32,768 of 32,768, text_end 8,121 of 8,121,"
        " inittext 1,759 of 1,759), headroom 18,327,316 bytes (17.5 MiB, stub branch of cpuidle_add_sysfs+0x8)\n"
    )


def test_every_stub_is_what_the_booted_kernel_has(kernels: Kernels) -> None:
    """stubs.bin: the three areas of the guest's memory, 24 bytes a stub, a pointer first."""
    memory = kernels(f"{DEBIAN}/stubs.bin").read_bytes()
    booted = [words[1:] for words in struct.iter_unpack("<Q4I", memory)]
    with open_kernel(str(kernels(f"{DEBIAN}/vmlinux"))) as kernel:
        result = simulate_boot(kernel)
    first = {}
    start = 0
    for number, reserved in enumerate(kernel.areas):
        first[number] = start
        start += reserved.count
    assert start == len(booted) == 42_648
    predicted: dict[int, tuple[int, ...]] = {}
    for ip, area, index, insns, target in zip(
        result.locations, result.area, result.index, result.insns, result.target, strict=True
    ):
        predicted[first[area] + index] = tuple(naive_boot.stub_words(ip, insns, target))
    assert sorted(predicted) == list(range(42_648))
    wrong = [i for i, words in enumerate(booted) if predicted[i] != words]
    assert wrong == []


@pytest.mark.parametrize("name", [DEBIAN, PSERIES, TRAP])
def test_same_as_the_slow_one(name: str, kernels: Kernels) -> None:
    with open_kernel(str(kernels(f"{name}/vmlinux"))) as kernel:
        areas = {area.name: (area.address, area.count) for area in kernel.areas}
        slow = naive_boot.boot(
            naive_boot.Machine(
                table=kernel.table,
                text=(kernel.text.start, kernel.text.stop),
                inittext=(kernel.inittext.start, kernel.inittext.stop),
                reserve=areas["text"],
                end=areas["text_end"],
                init=areas["inittext"],
                stub_size=24,
                caller=kernel.tracers["ftrace_caller"],
                regs_caller=kernel.tracers["ftrace_regs_caller"],
                tramp_text=kernel.trampolines["ftrace_tramp_text"],
                tramp_init=kernel.trampolines["ftrace_tramp_init"],
                word=kernel.memory.word,
            )
        )
        result = simulate_boot(kernel)
    assert list(result.locations) == [one["ip"] for one in slow.locations]
    assert [i or None for i in result.insns] == [one["insn0"] for one in slow.locations]
    assert [i or None for i in result.target] == [one["target"] for one in slow.locations]
    wrong = [(i, one["error"]) for i, one in enumerate(slow.locations) if one["error"]]
    assert [(f.position, f.rule) for f in result.failures] == wrong
    assert {area.name: n for area, n in zip(kernel.areas, result.needed, strict=True)} == slow.asked


@pytest.mark.tools
def test_stripped_kernel_with_its_system_map(kernels: Kernels, call: Call, tmp_path: Path) -> None:
    full, symbols = kernels(f"{DEBIAN}/vmlinux"), kernels(f"{DEBIAN}/System.map")
    stripped = tmp_path / "vmlinux"
    subprocess.run([tool("powerpc64le-linux-gnu-strip"), "-o", stripped, full], check=True)
    assert call("check", stripped).code == 2
    one = document(call, 0, full)
    for path in (full, stripped):
        other = document(call, 0, path, "--system-map", symbols)
        assert {**other, "file": one["file"]} == one


def test_pseries_has_the_stubs_that_its_object_asks_for(kernels: Kernels, call: Call, tmp_path: Path) -> None:
    path, obj = kernels(f"{PSERIES}/vmlinux"), kernels(f"{PSERIES}/vmlinux.o")
    found = document(call, 0, path, "--prelink", obj)
    assert found["locations"] == 77_026
    assert [a["used"] for a in found["areas"]] == [32_768, 42_043, 2_215]
    assert found["findings"] == []
    saved = tmp_path / "count.json"
    saved.write_text(call("count", "--format", "json", obj).out)
    assert document(call, 0, path, "--prelink", saved) == found
    # Another kernel has other counts.
    other = document(call, 1, kernels(f"{DEBIAN}/vmlinux"), "--prelink", saved)
    assert [f["rule"] for f in other["findings"]] == ["count-mismatch"] * 2


def test_the_trap_that_mainlines_check_lets_pass(kernels: Kernels, call: Call) -> None:
    path = kernels(f"{TRAP}/vmlinux")
    found = document(call, 1, path)
    assert found["locations"] == 77_026
    assert [(a["used"], a["needed"]) for a in found["areas"]] == [
        (17_883, 17_883),
        (42_043, 56_928),
        (2_215, 2_215),
    ]
    failed = [f for f in found["findings"] if f["severity"] == "error"]
    assert len(failed) == 14_885
    assert {f["rule"] for f in failed} == {"area-exhausted"}
    assert (failed[0]["function"], failed[0]["location"]) == ("dev_create+0x8", "0xc0000000034a4a38")
    assert [f["rule"] for f in found["findings"] if f["severity"] == "note"] == ["area-unused"]
    lines = call("check", path).out.splitlines()
    assert len(lines) == 8
    assert (
        "area text_end has 42,043 stubs, 56,928 functions need one: 14,885 functions get no stub" in lines[0]
    )
    assert "set CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE=12432 in .config" in lines[0]
    assert lines[1:3] == [
        "    scripts/config --set-val PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE 12432",
        "    values from 6,055 to 18,465 work; 12,432 leaves the most room for text to grow, the same on both"
        " sides: 3.0 MiB",
    ]
    assert lines[-1].startswith(f"{path}: failed: 14,885 errors (area-exhausted 14,885), 77,026 locations")


def patched(kernels: Kernels, name: str, target: Path, changes: dict[str, int]) -> Path:
    """A copy of a real kernel with other 4-byte values at some symbols."""
    data = bytearray(kernels(f"{name}/vmlinux").read_bytes())
    with open_kernel(str(kernels(f"{name}/vmlinux"))) as kernel:
        for symbol, value in changes.items():
            address = kernel.symbols.find([symbol])[symbol].address
            old = kernel.memory.read(address, 4)
            assert old is not None
            whole = kernel.memory.read(address - 64, 128)
            assert whole is not None
            at = data.find(bytes(whole))
            assert at >= 0
            assert data.find(bytes(whole), at + 1) < 0
            struct.pack_into("<I", data, at + 64, value)
    target.write_bytes(data)
    return target


@pytest.mark.parametrize(
    ("symbol", "count", "area"),
    [
        ("ftrace_ool_stub_text_end_count", 8_121, "text_end"),
        ("ftrace_ool_stub_text_count", 32_768, "text"),
        ("ftrace_ool_stub_inittext_count", 1_759, "inittext"),
    ],
)
def test_a_count_lowered_by_one(
    symbol: str, count: int, area: str, kernels: Kernels, call: Call, tmp_path: Path
) -> None:
    path = patched(kernels, DEBIAN, tmp_path / "vmlinux", {symbol: count - 1})
    found = document(call, 1, path)
    first, second = found["findings"]
    assert (first["rule"], first["function"]) == ("area-damaged", None)
    assert first["message"].startswith(f"area {area} at ")
    # The last of the area's own: of text, whichever area is short, the last of all text.
    with open_kernel(str(path)) as kernel:
        text = sorted(kernel.table)
        last = [a for a in text if a in (kernel.inittext if area == "inittext" else kernel.text)][-1]
    assert (second["rule"], second["location"]) == ("area-exhausted", f"{last:#x}")
    assert second["location"] != found["headroom"]["location"]


def test_a_location_that_holds_no_nop(kernels: Kernels, call: Call, tmp_path: Path) -> None:
    with open_kernel(str(kernels(f"{DEBIAN}/vmlinux"))) as kernel:
        address = kernel.symbols.find(["cpuidle_add_sysfs"])["cpuidle_add_sysfs"].address
        window = kernel.memory.read(address - 256, 512)
        assert window is not None
        needle = bytes(window)
    data = bytearray(kernels(f"{DEBIAN}/vmlinux").read_bytes())
    at = data.find(needle) + 256 + 8
    assert data[at : at + 4] == b"\0\0\0\x60"
    data[at : at + 4] = struct.pack("<I", 0x7C0802A6)
    path = tmp_path / "vmlinux"
    path.write_bytes(data)
    (finding, unused) = sorted(document(call, 1, path)["findings"], key=lambda f: f["severity"])
    assert (finding["rule"], finding["function"]) == ("location-not-nop", "cpuidle_add_sysfs+0x8")
    assert "0x7c0802a6" in finding["message"]
    assert unused["rule"] == "area-unused"
