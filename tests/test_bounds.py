# SPDX-License-Identifier: GPL-2.0-or-later
"""Files and options made to cost much: each ends with a sentence, soon."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from conftest import OBJECTS
from pfestubs.read.elf import _NAME_LIMIT, _string
from pfestubs.read.symbols import MapSymbols

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Call, MiniKernel

OBJECT = OBJECTS / "ool-ppc64le-gnu.o"


def test_a_long_name_is_cut_and_an_unended_one_is_none() -> None:
    table = b"\0" + b"a" * 5000 + b"\0tail"
    assert _string(table, 1) == "a" * _NAME_LIMIT
    assert _string(table, 5002) == ""
    assert _string(table, 4990) == "a" * 11


def test_labels_between_functions_are_walked_over_once() -> None:
    """200,000 labels in front of 2,000 locations: quadratic would be minutes."""
    labels = [(i, "t", f".L{i}") for i in range(1000, 201_000)]
    symbols = MapSymbols([(500, "T", "f"), *labels])
    assert {symbols.locate(201_000 + i) for i in range(2000)} == {("f", 200_500 + i) for i in range(2000)}
    assert symbols.locate(600) == ("f", 100)
    assert symbols.locate(100) == ("0x64", 0)


@pytest.mark.parametrize("command", ["generate", "check"])
def test_an_input_is_never_written_over(
    call: Call, tmp_path: Path, mini_kernel: MiniKernel, command: str
) -> None:
    source = OBJECT if command == "generate" else mini_kernel(TOOLCHAIN="gcc-ppc64le") / "vmlinux"
    copy = tmp_path / "input"
    shutil.copy(source, copy)
    (tmp_path / "link").symlink_to(copy)
    for name in ("input", "link"):
        outcome = call(command, copy, "-o", tmp_path / name)
        assert (outcome.code, outcome.out) == (2, "")
        assert "is an input of this command" in outcome.err
        assert copy.read_bytes() == source.read_bytes()


def test_spare_stubs_fit_the_count(call: Call) -> None:
    assert call("generate", OBJECT, "--spare", "4294967288").code == 0
    outcome = call("generate", OBJECT, "--spare", "4294967289")
    assert outcome.code == 2
    assert "the count has 32 bits" in outcome.err
    assert call("generate", OBJECT, "--spare", "9" * 5000).code == 2


def test_a_saved_count_of_thousands_of_digits(call: Call, tmp_path: Path, mini_kernel: MiniKernel) -> None:
    saved = json.loads(call("count", "--format", "json", OBJECT).out)
    saved["entries"]["text"] = saved["entries"]["total"] = "@"
    path = tmp_path / "count.json"
    path.write_text(json.dumps(saved).replace('"@"', "9" * 4200))
    outcome = call("check", mini_kernel(TOOLCHAIN="gcc-ppc64le") / "vmlinux", "--prelink", path)
    assert outcome.code == 2
    assert "internal error" not in outcome.err


def test_a_device_is_no_input(call: Call) -> None:
    outcome = call("check", "/dev/zero")
    assert (outcome.code, outcome.err) == (2, "/dev/zero: error: is a device, not a file\n")
