# SPDX-License-Identifier: GPL-2.0-or-later
"""The setting that a message names is one that serves every function, and its neighbours are judged rightly."""

from __future__ import annotations

import pytest

from pfestubs.layouts import LAYOUTS
from pfestubs.rules import ppc
from pfestubs.rules.boot import Setting, StubArea, replay
from pfestubs.rules.remedy import SMALLER_TEXT, cure

BASE = 0xC000000000000000
MIB = 1 << 20


def linked(
    reserve: int, low: int, high: int, pad: int, *, end_pad: int = 0, end: int | None = None
) -> Setting:
    """A kernel: reserve, `low` functions of 256 bytes, `pad` bytes, `high` functions, `end_pad`, end area.

    `end` overrides the stubs of the end area; without it they are what the generator reserves.
    """
    array = BASE + 0x1000
    first = array + reserve * 24
    second = first + low * 256 + pad
    tramp = second + high * 256 + end_pad
    end_area = tramp + 40
    count = max(0, low + high - reserve) if end is None else end
    etext = end_area + count * 24 + 256
    init = (etext // MIB + 1) * MIB
    return Setting(
        bits=64,
        layout=LAYOUTS["ool"],
        table=[*range(first, first + low * 256, 256), *range(second, second + high * 256, 256)],
        text=range(BASE, etext),
        inittext=range(init, init + MIB),
        areas=[
            StubArea("text", array, reserve),
            StubArea("text_end", end_area, count),
            StubArea("inittext", init + 64, 0),
        ],
        stub_size=24,
        tracers={"ftrace_caller": BASE + 0x100, "ftrace_regs_caller": BASE + 0x80},
        trampolines={"ftrace_tramp_text": tramp, "ftrace_tramp_init": init},
        word_at=lambda _address: ppc.NOP,
    )


def advice(setting: Setting) -> str:
    result = replay(setting)
    assert result.failures
    return cure(setting, result, result.failures[0].rule)


def test_a_trap_is_cured_by_a_round_lower_reserve() -> None:
    """Uniform text of 50 MiB: the reserve cannot all be used."""
    setting = linked(32768, 1000, 39000, 40 * MIB)
    text = advice(setting)
    assert text.startswith("lower CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE to 1,000 ")
    assert not replay(linked(1000, 1000, 39000, 40 * MIB)).failures


@pytest.mark.parametrize("low", [1266, 7, 0])
def test_where_only_one_value_serves_that_value_is_named(low: int) -> None:
    """Functions before the padding need the reserve, those behind it the end area."""
    text = advice(linked(32768, low, 9764, 40 * MIB))
    assert text == f"lower CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE to {low:,} and link again"
    assert not replay(linked(low, low, 9764, 40 * MIB)).failures
    assert replay(linked(low + 1, low, 9764, 40 * MIB)).failures
    if low:
        assert replay(linked(low - 1, low, 9764, 40 * MIB)).failures


def test_functions_beyond_the_end_area_need_a_larger_reserve() -> None:
    setting = linked(100, 500, 4000, 40 * MIB)
    text = advice(setting)
    assert text == "raise CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE to at least 500 and link again"
    assert not replay(linked(500, 500, 4000, 40 * MIB)).failures


def test_a_wrong_count_is_cured_by_generating_again() -> None:
    assert "generate the areas again" in advice(linked(100, 300, 300, 0, end=499))


def test_what_no_reserve_serves_is_said() -> None:
    """Functions 40 MiB from either area."""
    setting = linked(10, 20, 100, 40 * MIB, end_pad=40 * MIB)
    assert advice(setting) == SMALLER_TEXT
