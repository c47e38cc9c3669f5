# SPDX-License-Identifier: GPL-2.0-or-later
"""Files and options made to be expensive: each ends with a sentence, soon."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from pfestubs.read.names import NAME_LIMIT, string_at
from support import OBJECTS

if TYPE_CHECKING:
    from pathlib import Path

    from support import Call, MiniKernel

OBJECT = OBJECTS / "ool-ppc64le-gnu.o"


def test_a_long_name_is_cut_and_an_unterminated_one_is_empty() -> None:
    table = b"\0" + b"a" * 5000 + b"\0tail"
    assert string_at(table, 1) == "a" * NAME_LIMIT
    assert string_at(table, 5002) == ""
    assert string_at(table, 4990) == "a" * 11


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


@pytest.mark.parametrize("name", ["", "new/"])
def test_a_name_that_is_not_a_file(call: Call, tmp_path: Path, name: str) -> None:
    outcome = call("generate", OBJECT, "-o", f"{tmp_path}/{name}" if name else "")
    assert outcome.code == 2
    assert not outcome.err.startswith(":")
    assert list(tmp_path.iterdir()) == []


def test_a_map_without_the_kernels_stubs_is_of_another_kernel(call: Call, mini_kernel: MiniKernel) -> None:
    directory = mini_kernel(TOOLCHAIN="gcc-ppc64le")
    thinned = directory.parent / "thinned.map"
    lines = (directory / "System.map").read_text().splitlines(keepends=True)
    thinned.write_text("".join(line for line in lines if "ftrace_ool_stub" not in line))
    outcome = call("check", directory / "vmlinux", "--system-map", thinned)
    assert outcome.code == 2
    assert "has no ftrace_ool_stub" in outcome.err


def test_an_empty_tree_name_is_not_the_working_directory(call: Call) -> None:
    assert "SRCTREE: error: is empty" in call("kbuild", "install", "").err
