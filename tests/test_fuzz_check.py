# SPDX-License-Identifier: GPL-2.0-or-later
"""Any bytes at all: `check` ends with 0, 1 or 2 and a sentence."""

from __future__ import annotations

import json
import random
import struct
from typing import TYPE_CHECKING

import pytest

from kernelwriter import LinkedKernel

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Call, Outcome


def inline() -> LinkedKernel:
    kernel = LinkedKernel(layout=None, bits=32, order=">", zeros=True)
    kernel.words |= {location + 4: 0x60000000 for location in kernel.locations}
    return kernel


KERNELS = {
    "ool": LinkedKernel(),
    "rela": LinkedKernel(zeros=True, order=">"),
    "pfe": LinkedKernel(layout="pfe", stub_size=16),
    "ppc32": inline(),
}
ODD = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0xFFFE,
    0xFFFF,
    1 << 31,
    (1 << 32) - 1,
    1 << 63,
    (1 << 64) - 8,
    (1 << 64) - 1,
)


def assert_contract_outcome(outcome: Outcome, path: Path) -> None:
    """Require an exit status of the contract, and a message or a document; no internal error."""
    assert outcome.code in {0, 1, 2}, outcome
    assert "Traceback" not in outcome.err
    assert "internal error" not in outcome.err, outcome.err
    if outcome.code == 2:
        assert outcome.out == ""
        assert outcome.err.startswith(f"{path}: error: "), outcome.err
        assert len(outcome.err.splitlines()) == 1
    else:
        assert outcome.err == ""
        document = json.loads(outcome.out)
        assert document["ok"] == (outcome.code == 0)


@pytest.mark.parametrize("name", KERNELS)
def test_mutations(name: str, call: Call, tmp_path: Path) -> None:
    path = tmp_path / "vmlinux"
    kernel = KERNELS[name]
    original = kernel.save(path).read_bytes()
    # Where the file has content: everything that is not a hole.
    content = [i for i in range(0, len(original) - 8, 4) if any(original[i : i + 8])]
    assert len(content) > 200
    draw = random.Random(name)
    codes = set()
    for _ in range(400):
        data = bytearray(original)
        for _ in range(draw.choice([1, 1, 1, 2, 4])):
            at = draw.choice(content)
            kind = draw.randrange(4)
            if kind == 0:
                data[at + draw.randrange(8)] ^= 1 << draw.randrange(8)
            elif kind == 1:
                struct.pack_into(kernel.order + "Q", data, at, draw.choice(ODD))
            elif kind == 2:
                struct.pack_into(kernel.order + "I", data, at, draw.choice(ODD) & 0xFFFFFFFF)
            else:
                other = draw.choice(content)
                data[at : at + 8] = data[other : other + 8]
        path.write_bytes(data)
        outcome = call("check", "--format", "json", path)
        assert_contract_outcome(outcome, path)
        codes.add(outcome.code)
    assert codes == {0, 1, 2}


def test_cut_short(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "vmlinux"
    original = KERNELS["rela"].save(path).read_bytes()
    draw = random.Random(1)
    for length in [*range(0, 200, 7), *(draw.randrange(len(original)) for _ in range(60))]:
        path.write_bytes(original[:length])
        outcome = call("check", "--format", "json", path)
        assert_contract_outcome(outcome, path)
        assert outcome.code == 2


@pytest.mark.parametrize(
    "symbols",
    [
        {"_stext": (1 << 64) - 8, "_etext": 8},
        {"ftrace_ool_stub_text": (1 << 64) - 8},
        {"ftrace_ool_stub_text_end": (1 << 64) - 8},
        {"ftrace_ool_stub_inittext": 0},
        {"ftrace_caller": 0, "ftrace_tramp_text": (1 << 64) - 4, "ftrace_tramp_init": 2},
        {"__stop_mcount_loc": (1 << 64) - 1},
        {"__start_mcount_loc": 0},
    ],
)
def test_addresses_near_the_top_of_the_address_space(
    symbols: dict[str, int | None], call: Call, tmp_path: Path
) -> None:
    path = LinkedKernel(symbols=symbols).save(tmp_path / "vmlinux")
    outcome = call("check", "--format", "json", path)
    assert_contract_outcome(outcome, path)
    assert outcome.code in {1, 2}


def test_text_that_is_the_whole_address_space(call: Call, tmp_path: Path) -> None:
    symbols: dict[str, int | None] = {"_stext": 0, "_etext": (1 << 64) - 1}
    path = LinkedKernel(symbols=symbols).save(tmp_path / "vmlinux")
    assert call("check", path).code == 0  # odd, but nothing fails at boot


def test_a_location_near_the_top_of_the_address_space(call: Call, tmp_path: Path) -> None:
    for layout in ("ool", None):
        end = (1 << 64) - 4
        kernel = LinkedKernel(layout=layout, table=[end], symbols={"_etext": (1 << 64) - 1})
        path = kernel.save(tmp_path / "vmlinux")
        outcome = call("check", "--format", "json", path)
        assert_contract_outcome(outcome, path)
        # No instructions are there: nothing proves that a kernel without stub symbols has no stubs.
        assert outcome.code == (2 if layout is None else 1)


@pytest.mark.parametrize("base", [0xC000000000000000, 0x10000, (1 << 64) - 0x10000000])
@pytest.mark.parametrize("count", [0xFFFFFFFF, 0x80000000, 0])
def test_unrealistic_counts(count: int, base: int, call: Call, tmp_path: Path) -> None:
    for area in ("text", "text_end", "inittext"):
        kernel = LinkedKernel(base=base)
        kernel.sizes = {name: kernel.counts[name] * 24 for name in kernel.counts}
        kernel.counts[area] = count
        path = kernel.save(tmp_path / "vmlinux")
        outcome = call("check", "--format", "json", path)
        assert_contract_outcome(outcome, path)
        assert outcome.code == 1


@pytest.mark.parametrize(
    "lines", ["", "\x00" * 50, "zz T _stext", "c000 T", "1 T a\n" * 3 + "x", "9" * 5000 + " T _stext"]
)
def test_system_maps(lines: str, call: Call, tmp_path: Path) -> None:
    path = KERNELS["ool"].save(tmp_path / "vmlinux")
    symbols = tmp_path / "System.map"
    symbols.write_text(lines)
    outcome = call("check", path, "--system-map", symbols)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.split(": error: ")[0] in {str(path), str(symbols)}
