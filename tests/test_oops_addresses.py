# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs stubs` with addresses and symbols as they are copied from an oops."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from support import Call, MiniKernel


@pytest.fixture(scope="module")
def mini(mini_kernel: MiniKernel) -> Path:
    return mini_kernel(TOOLCHAIN="gcc-ppc64le") / "vmlinux"


@pytest.fixture(scope="module")
def stub(call: Call, mini: Path) -> Any:
    """The third stub of area text."""
    found = json.loads(call("stubs", "--format", "json", mini).out)["stubs"][2]
    assert (found["area"], found["index"]) == ("text", 2)
    return found


def test_an_address_in_a_stub(call: Call, mini: Path, stub: Any) -> None:
    call_address = int(stub["insns_address"], 16) + 4
    offset = call_address - int(stub["address"], 16) + 2 * 24
    for word in (
        f"{call_address:#x}",
        f"{call_address:x}",
        f"[{call_address:x}]",
        f"[<{call_address:x}>]",
        f"ftrace_ool_stub_text+{offset:#x}",
        f"ftrace_ool_stub_text+{offset:#x}/0x78",
    ):
        outcome = call("stubs", mini, word)
        assert outcome.code == 0, outcome.err
        assert outcome.out.startswith(f"{stub['function']} at {stub['location']}: ")
        assert outcome.err == (
            f"{mini}: {word} is instruction 2 of 4 (bl ftrace_caller) of the stub of {stub['function']}\n"
        )


def test_a_place_in_a_function(call: Call, mini: Path, stub: Any) -> None:
    symbol = stub["function"].split("+")[0]
    outcome = call("stubs", mini, f"{symbol}+0x4/0x10")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"{stub['function']} at {stub['location']}: ")


def test_an_offset_that_is_not_a_location(call: Call, mini: Path, stub: Any) -> None:
    symbol = stub["function"].split("+")[0]
    outcome = call("stubs", mini, f"{symbol}+0x2")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == (
        f"{mini}: error: {symbol}+0x2 is not a location: {symbol} has {stub['function']}\n"
    )


def test_an_offset_beyond_its_function(call: Call, mini: Path, stub: Any) -> None:
    symbol = stub["function"].split("+")[0]
    assert call("stubs", mini, f"{symbol}+0x44/0x10").code == 2
