# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs count --fail-on-trap`: the gate before the link."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pfestubs.model.findings import Action, Remedy
from pfestubs.read.vmlinux_o import read_vmlinux_o
from pfestubs.rules.kernel import sizing
from support import OBJECTS, call, json_of, printed, refusal
from support.elfwriter import KernelObject
from test_generate import MIB, spread, trap_object

CONFIG = "CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE"


def kernel(path: Path, mib: int, functions: int, reserve: int) -> Path:
    return trap_object(path, [(".text", spread(functions, mib * MIB), mib * MIB)], reserve=reserve)


def trap_of(path: Path, code: int) -> Any:
    return json_of("count", "--fail-on-trap", path, code=code)["trap"]


EXPOSED = [(40, 38000, 32768), (40, 30000, 32768)]


@pytest.mark.parametrize(("mib", "functions", "reserve"), EXPOSED)
def test_an_exposed_kernel(mib: int, functions: int, reserve: int, tmp_path: Path) -> None:
    path = kernel(tmp_path / "vmlinux.o", mib, functions, reserve)
    assert call("count", path).code == 0
    outcome = call("count", "--fail-on-trap", path)
    assert (outcome.code, outcome.err) == (1, "")
    served = min(reserve, functions)
    last = outcome.out.splitlines()[-1]
    assert last.startswith(f"{path}: error: the reserve may be out of range: text location {served:,} is "), (
        last
    )
    assert f"; up to {served:,} functions may get no stub; " in last
    assert "(limit 33,554,428, margin 1,048,576)" in last
    trap = trap_of(path, 1)
    assert trap["exposed"] is True
    assert (trap["index"], trap["stubs"]) == (served - 1, served)
    assert trap["distance"] > trap["limit"] - trap["margin"]
    # The remedy holds: the same kernel with that reserve passes.
    assert trap["remedy"]["action"] == "lower-reserve"
    found = re.search(rf"; lower the reserve: set {CONFIG}=([0-9]+) in \.config and link again$", last)
    assert found
    assert trap["remedy"] == {"action": "lower-reserve", "config": CONFIG, "value": int(found[1])}
    assert int(found[1]) % 100 == 0
    again = kernel(tmp_path / "again.o", mib, functions, int(found[1]))
    assert call("count", "--fail-on-trap", again).code == 0


def test_a_file_for_the_figures_a_sentence_for_the_log(tmp_path: Path) -> None:
    path = kernel(tmp_path / "vmlinux.o", *EXPOSED[0])
    target = tmp_path / "count.json"
    outcome = call("count", "--fail-on-trap", "--format", "json", "-o", target, path)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith(f"{path}: error: the reserve may be out of range: ")
    assert json.loads(target.read_text())["trap"]["exposed"] is True
    assert call("diff", target, target).code == 0  # it is read back


def test_a_safe_kernel(tmp_path: Path) -> None:
    path = kernel(tmp_path / "vmlinux.o", 20, 40889, 32768)
    assert re.fullmatch(
        r"reserve: ok: text location 32,768 is [0-9,]+ bytes from its stub \(limit 33,554,428, margin"
        r" 1,048,576\)",
        printed("count", "--fail-on-trap", path).splitlines()[-1],
    )
    trap = trap_of(path, 0)
    assert (trap["exposed"], trap["remedy"]) == (False, None)


@pytest.mark.parametrize("name", ["pfe-ppc64le-gnu", "trapspfe-ppc64le-gnu"])
def test_a_kernel_without_reserve(name: str) -> None:
    path = OBJECTS / f"{name}.o"
    assert printed("count", "--fail-on-trap", path).endswith("reserve: no function depends on one\n")
    assert trap_of(path, 0) is None


def test_text_too_large_for_any_reserve(tmp_path: Path) -> None:
    out = printed("count", "--fail-on-trap", kernel(tmp_path / "vmlinux.o", 70, 60000, 45000), code=1)
    assert out.endswith("; make the kernel's text smaller, or disable CONFIG_FUNCTION_TRACER\n")


def test_what_cannot_be_judged_is_an_error(tmp_path: Path) -> None:
    path = KernelObject({".text": range(0, 400, 4)}, reserve=None).save(tmp_path / "vmlinux.o")
    for words in ([OBJECTS / "plain-ppc32-gnu.o"], ["--reserve", "5", path]):
        assert "--fail-on-trap" in refusal("count", "--fail-on-trap", *words)


@pytest.mark.parametrize(("mib", "functions"), [(20, 40000), (40, 38000), (50, 70000), (60, 60000)])
def test_the_suggestion_leaves_both_areas_the_same_room(mib: int, functions: int, tmp_path: Path) -> None:
    obj = read_vmlinux_o(str(kernel(tmp_path / "vmlinux.o", mib, functions, 32768)))
    layout = sizing.count(obj).layout
    assert layout is not None
    remedy = sizing.suggest_reserve(obj, layout, 32768)
    assert remedy.config == CONFIG
    assert remedy.value is not None
    spacing = mib * MIB // functions
    room_of_reserve = 0x1FFFFFC - (remedy.value - 1) * spacing
    room_of_end = 0x2000000 - (functions - remedy.value) * spacing
    assert abs(room_of_reserve - room_of_end) <= 102 * 2 * spacing


def test_an_end_out_of_range_of_a_reserve_that_reaches_nothing(tmp_path: Path) -> None:
    obj = read_vmlinux_o(str(kernel(tmp_path / "vmlinux.o", 70, 60000, 45000)))
    layout = sizing.count(obj).layout
    assert layout is not None
    assert sizing.suggest_reserve(obj, layout, 45000) == Remedy(Action.SHRINK_TEXT)


def test_a_suggestion_for_few_functions_is_not_rounded(tmp_path: Path) -> None:
    """Zero is a multiple of 100, but leaves the end area out of range."""
    obj = read_vmlinux_o(str(kernel(tmp_path / "vmlinux.o", 40, 50, 50)))
    layout = sizing.count(obj).layout
    assert layout is not None
    assert sizing.suggest_reserve(obj, layout, 50) == Remedy(Action.LOWER_RESERVE, CONFIG, 25)
