# SPDX-License-Identifier: GPL-2.0-or-later
"""The boot replayed: windows to the byte, the order of tests, the areas, calls, layouts."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

import naive_boot
from kernelwriter import MIB, LinkedKernel
from pfestubs.layouts import LAYOUTS
from pfestubs.rules import ppc
from pfestubs.rules.boot import Replay, Setting, StubArea, adjust, headrooms, replay

BASE = 0xC000000000000000
TEXT = range(BASE, BASE + 128 * MIB)
INIT = range(BASE + 128 * MIB, BASE + 256 * MIB)
OOL = LAYOUTS["ool"]


def setting(table: list[int], **changes: Any) -> Setting:
    """One text area of 24-byte stubs in the middle of 128 MiB of text, and the tracers beside it."""
    middle = BASE + 64 * MIB
    values: dict[str, Any] = {
        "bits": 64,
        "layout": OOL,
        "table": table,
        "text": TEXT,
        "inittext": INIT,
        "areas": [
            StubArea("text", BASE, 0),
            StubArea("text_end", middle, 1000),
            StubArea("inittext", INIT.start + 64 * MIB, 1000),
        ],
        "stub_size": 24,
        "tracers": {"ftrace_caller": middle - 0x100, "ftrace_regs_caller": middle - 0x200},
        "trampolines": {
            "ftrace_tramp_text": middle - 0x40,
            "ftrace_tramp_init": INIT.start + 64 * MIB - 0x40,
        },
        "word_at": lambda _address: ppc.NOP,
        **changes,
    }
    return Setting(**values)


def rules(result: Replay) -> list[str]:
    return [failure.rule for failure in result.failures]


def areas(given: Setting, result: Replay) -> list[str | None]:
    return [given.areas[i].name if i >= 0 else None for i in result.area]


# -- the window of the two branches between a function and its stub ---------------------------------------


@pytest.mark.parametrize("stub_size", [16, 24])
@pytest.mark.parametrize(
    ("insn0_minus_ip", "rule", "distance", "limit"),
    [
        (0x1FFFFF8, None, None, None),
        (0x1FFFFFC, "return-out-of-range", -0x2000004, -0x2000000),
        (0x2000000, "return-out-of-range", -0x2000008, -0x2000000),
        (0x2000004, "stub-out-of-range", -0x2000004, -0x2000000),
        (-0x1FFFFFC, None, None, None),
        (-0x2000000, "stub-out-of-range", 0x2000000, 0x1FFFFFC),
        (-0x2000004, "stub-out-of-range", 0x2000004, 0x1FFFFFC),
        (0, None, None, None),
    ],
)
def test_window_to_the_byte(
    stub_size: int, insn0_minus_ip: int, rule: str | None, distance: int | None, limit: int | None
) -> None:
    insn0 = BASE + 64 * MIB + stub_size - 16
    ip = insn0 - insn0_minus_ip
    result = replay(setting([ip], stub_size=stub_size))
    assert list(result.insns) == [insn0]
    if rule is None:
        assert result.failures == []
    else:
        (failure,) = result.failures
        assert (failure.rule, failure.distance, failure.limit) == (rule, distance, limit)


def test_window_is_inside_what_the_branches_encode() -> None:
    for insn0_minus_ip in (0x1FFFFF8, -0x1FFFFFC):
        assert ppc.branch_offset(ppc.encode_branch(insn0_minus_ip)) == insn0_minus_ip
        back = 4 - 12 - insn0_minus_ip
        assert ppc.branch_offset(ppc.encode_branch(back)) == back


# -- the choice of an area --------------------------------------------------------------------------------


def reserve_setting(table: list[int], reserve_at: int, count: int = 2, **changes: Any) -> Setting:
    plain = setting([])
    return setting(table, areas=[StubArea("text", reserve_at, count), *plain.areas[1:]], **changes)


@pytest.mark.parametrize(
    ("ip_minus_struct", "area"),
    [
        (0x1FFFFFC, "text"),
        (0x2000000, "text_end"),
        # In range of the struct, though not of insn[0]: the reserve is chosen, and the branch fails.
        (-0x2000000, "text"),
        (-0x2000004, "text_end"),
    ],
)
def test_struct_address_decides_about_the_reserve(ip_minus_struct: int, area: str) -> None:
    struct_at = BASE + 40 * MIB
    ip = struct_at + ip_minus_struct
    given = reserve_setting([ip], struct_at)
    given = replace(given, areas=[given.areas[0], StubArea("text_end", ip + MIB, 10), given.areas[2]])
    given = replace(given, trampolines={"ftrace_tramp_text": ip + MIB, "ftrace_tramp_init": ip})
    result = replay(given)
    assert areas(given, result) == [area]
    assert rules(result) == (["stub-out-of-range"] if ip_minus_struct == -0x2000000 else [])


def test_unreachable_slot_is_not_used_up() -> None:
    at = BASE + 36 * MIB
    table = [at - 33 * MIB, at - 32 * MIB, at - 32 * MIB + 24, at, at + 4]
    given = reserve_setting(table, at, tracers={"ftrace_caller": at - 8, "ftrace_regs_caller": at - 16})
    result = replay(given)
    # The second location reaches struct 0; the third tries struct 1 and reaches it exactly; then it is full.
    assert areas(given, result) == ["text_end", "text", "text", "text_end", "text_end"]
    assert list(result.index) == [0, 0, 1, 1, 2]


def test_slot_out_of_range_is_tried_again_by_the_next() -> None:
    at = BASE
    far = at + 0x2000000
    table = [at + 0x100, far + 24, far + 0x100]
    given = reserve_setting(table, at, 3)
    result = replay(given)
    assert areas(given, result) == ["text", "text_end", "text_end"]
    assert result.needed == {"text": 1, "text_end": 2, "inittext": 0}


def test_slots_move_with_their_index() -> None:
    """The k-th slot is k stubs further on: what slot 0 cannot reach, slot 1 can."""
    at = BASE
    table = [at + 0x100, at + 0x2000000 + 20]
    given = reserve_setting(table, at, 3)
    assert areas(given, replay(given)) == ["text", "text"]


def test_init_text_is_tested_first() -> None:
    ip = INIT.start + 0x100
    given = reserve_setting([ip], ip + 0x10, text=range(BASE, INIT.stop))
    assert areas(given, replay(given)) == ["inittext"]


def test_overflow_after_the_increment() -> None:
    plain = setting([])
    small = [plain.areas[0], StubArea("text_end", plain.areas[1].address, 2), plain.areas[2]]
    table = [BASE + 64 * MIB + i * 0x10000 for i in range(1, 6)]
    result = replay(setting(table, areas=small))
    assert [(f.position, f.rule, f.detail) for f in result.failures] == [
        (i, "area-exhausted", "text_end") for i in (2, 3, 4)
    ]
    assert result.needed["text_end"] == 5
    assert list(result.insns)[2:] == [0, 0, 0]


def test_an_area_of_none_serves_nobody() -> None:
    plain = setting([])
    none = [*plain.areas[:2], StubArea("inittext", plain.areas[2].address, 0)]
    result = replay(setting([INIT.start + 64 * MIB], areas=none))
    assert [(f.rule, f.detail) for f in result.failures] == [("area-exhausted", "inittext")]


# -- the table --------------------------------------------------------------------------------------------


def test_sorted_unsigned_and_skipped() -> None:
    near = BASE + 64 * MIB
    table = [near + 8, 0, TEXT.stop + 256 * MIB, 0x100, near, INIT.stop, TEXT.stop - 4 * MIB - 4, 0]
    table[6] = near + 4
    result = replay(setting(table))
    assert list(result.locations) == [near, near + 4, near + 8]
    assert sorted(result.skipped) == sorted([0, 0, 0x100, INIT.stop, TEXT.stop + 256 * MIB])


def test_half_open_ranges() -> None:
    text = range(BASE + 64 * MIB, BASE + 64 * MIB + 0x100)
    init = range(INIT.start + 64 * MIB, INIT.start + 64 * MIB + 0x100)
    table = [text.start - 4, text.start, text.stop - 4, text.stop, init.start - 4, init.start, init.stop]
    result = replay(setting(table, text=text, inittext=init))
    assert list(result.locations) == [text.start, text.stop - 4, init.start]


def test_no_nop_is_the_first_test() -> None:
    ip = BASE + 4 * MIB  # out of range of everything as well
    result = replay(setting([ip], word_at=lambda _a: 0x7C0802A6))
    assert [(f.rule, f.detail) for f in result.failures] == [("location-not-nop", 0x7C0802A6)]
    assert not any(result.needed.values())
    result = replay(setting([ip], word_at=lambda _a: None))
    assert [(f.rule, f.detail) for f in result.failures] == [("location-not-nop", None)]


GEP = (0x3C4C0123, 0x38424567)


@pytest.mark.parametrize(
    ("words", "step"),
    [
        ((ppc.NOP, 0, 0), 0),
        ((*GEP, ppc.NOP), 8),
        ((0x3C400123, 0x38424567, ppc.NOP), 8),  # lis r2
        ((*GEP, 0x7C0802A6), 0),  # no nop behind
        ((0x3C4D0123, 0x38424567, ppc.NOP), 0),  # addis r2,r13
        ((0x3C6C0123, 0x38424567, ppc.NOP), 0),  # addis r3,r12
        ((0x3C4C0123, 0x38634567, ppc.NOP), 0),  # addi r3,r3
        ((GEP[0], None, ppc.NOP), 0),
        ((None, None, None), 0),
        ((ppc.NOP, ppc.NOP, ppc.NOP), 0),
    ],
)
def test_clangs_global_entry_point(words: tuple[int | None, ...], step: int) -> None:
    memory = dict(zip((BASE, BASE + 4, BASE + 8), words, strict=True))
    assert adjust(BASE, memory.get) == BASE + step


def test_adjusted_location_is_what_counts() -> None:
    ip = BASE + 64 * MIB - 0x1FFFFF8 + 8 - 4  # +8 is served, as it stands it would be out of range
    memory = {ip: GEP[0], ip + 4: GEP[1], ip + 8: ppc.NOP}
    result = replay(setting([ip], word_at=memory.get))
    assert list(result.locations) == [ip + 8]
    assert result.failures == []


# -- calls ------------------------------------------------------------------------------------------------

SITE = BASE + 64 * MIB + 8 + 4  # the second instruction of stub 0 of text_end
NEAR = [BASE + 64 * MIB + 0x1000]
INIT_SITE = INIT.start + 64 * MIB + 8 + 4


@pytest.mark.parametrize("target", [SITE + 0x1FFFFFC, SITE - 0x2000000])
def test_direct_call_to_the_byte(target: int) -> None:
    result = replay(setting(NEAR, tracers={"ftrace_caller": target}, trampolines={}))
    assert result.failures == []
    assert list(result.target) == [target]


@pytest.mark.parametrize(("target", "limit"), [(SITE + 0x2000000, 0x1FFFFFC), (SITE - 0x2000004, -0x2000000)])
def test_call_out_of_range(target: int, limit: int) -> None:
    result = replay(setting(NEAR, tracers={"ftrace_caller": target}, trampolines={}))
    (failure,) = result.failures
    assert failure.rule == "tracer-unreachable"
    assert (failure.distance, failure.limit, failure.detail) == (target - SITE, limit, "ftrace_caller")
    assert list(result.target) == [0]


FAR = BASE - 256 * MIB


@pytest.mark.parametrize("offset", [0x1FFFFFC, -0x2000000])
def test_trampoline_to_the_byte(offset: int) -> None:
    relay = {"ftrace_tramp_text": SITE + offset, "ftrace_tramp_init": FAR}
    result = replay(setting(NEAR, tracers={"ftrace_caller": FAR}, trampolines=relay))
    assert result.failures == []
    assert list(result.target) == [SITE + offset]
    relay["ftrace_tramp_text"] += 4 if offset > 0 else -4
    result = replay(setting(NEAR, tracers={"ftrace_caller": FAR}, trampolines=relay))
    assert rules(result) == ["tracer-unreachable"]


def test_tracer_before_trampoline_and_text_before_init() -> None:
    both = {"ftrace_tramp_text": SITE + 0x100, "ftrace_tramp_init": SITE + 0x200}
    near = replay(setting(NEAR, tracers={"ftrace_caller": SITE + 0x300}, trampolines=both))
    assert list(near.target) == [SITE + 0x300]
    far = replay(setting(NEAR, tracers={"ftrace_caller": FAR}, trampolines=both))
    assert list(far.target) == [SITE + 0x100]
    assert far.failures == []


def test_both_tracers_are_needed() -> None:
    tracers = {"ftrace_caller": SITE - 0x2000000, "ftrace_regs_caller": SITE - 0x2000000 - 460}
    result = replay(setting(NEAR, tracers=tracers, trampolines={}))
    (failure,) = result.failures
    assert (failure.rule, failure.detail, failure.distance) == (
        "tracer-unreachable",
        "ftrace_regs_caller",
        -0x2000000 - 460,
    )
    assert list(result.target) == [tracers["ftrace_caller"]]  # boot itself succeeds
    relay = {"ftrace_tramp_text": SITE + 0x100, "ftrace_tramp_init": FAR}
    assert replay(setting(NEAR, tracers=tracers, trampolines=relay)).failures == []


def test_text_must_not_depend_on_init_memory() -> None:
    relay = {"ftrace_tramp_text": FAR, "ftrace_tramp_init": SITE + 0x100}
    result = replay(setting(NEAR, tracers={"ftrace_caller": FAR}, trampolines=relay))
    assert rules(result) == ["init-trampoline-only"]
    assert list(result.target) == [SITE + 0x100]


def test_init_text_may_depend_on_init_memory() -> None:
    relay = {"ftrace_tramp_text": FAR, "ftrace_tramp_init": INIT_SITE + 0x100}
    table = [INIT.start + 64 * MIB + 0x1000]
    result = replay(setting(table, tracers={"ftrace_caller": FAR}, trampolines=relay))
    assert result.failures == []
    assert list(result.target) == [INIT_SITE + 0x100]


def test_regs_caller_only_through_the_init_trampoline() -> None:
    tracers = {"ftrace_caller": SITE - 0x2000000, "ftrace_regs_caller": SITE - 0x2000000 - 460}
    relay = {"ftrace_tramp_text": FAR, "ftrace_tramp_init": SITE + 0x100}
    result = replay(setting(NEAR, tracers=tracers, trampolines=relay))
    assert [(f.rule, f.detail) for f in result.failures] == [("init-trampoline-only", "ftrace_regs_caller")]


# -- the other layouts ------------------------------------------------------------------------------------


def test_rfc_layout_has_no_reserve() -> None:
    plain = setting([])
    near = BASE + 64 * MIB
    given = setting(
        [near + 4, near, INIT.start + 64 * MIB], layout=LAYOUTS["pfe"], areas=plain.areas[1:], stub_size=16
    )
    result = replay(given)
    assert areas(given, result) == ["text_end", "text_end", "inittext"]
    assert list(result.insns) == [near, near + 16, INIT.start + 64 * MIB]
    assert result.failures == []


MCOUNT = 0x4BFFFF01  # bl, backwards


def inline(functions: list[list[int]], entry: int, bits: int = 64, **changes: Any) -> Setting:
    """Functions of the given words, 0x40 bytes apart; the table records the word number `entry`."""
    base = BASE + 64 * MIB if bits == 64 else 0xC0000000
    memory = {base + 0x40 * i + 4 * j: w for i, ws in enumerate(functions) for j, w in enumerate(ws)}
    values = {
        "bits": bits,
        "layout": None,
        "areas": [],
        "stub_size": 0,
        "text": range(base, base + MIB),
        "tracers": {"ftrace_caller": base - 0x100},
        "trampolines": {},
        "word_at": memory.get,
        **changes,
    }
    return setting([base + 0x40 * i + 4 * entry for i in range(len(functions))], **values)


N, BLR, STDU = ppc.NOP, 0x4E800020, 0xF821FFE1


@pytest.mark.parametrize(
    ("functions", "entry", "bits", "call"),
    [
        ([[N, N, BLR]] * 3, 0, 64, 1),  # patchable entries
        ([[N, N, BLR]] * 3, 0, 32, 1),
        ([[N, N, N, BLR]] * 3, 0, 64, 1),  # the third: `addis rN,r2,0`, relaxed by the linker
        ([[N, N, N, BLR]] * 3, 0, 32, 2),  # with CALL_OPS: the first nop stands in front of the function
        ([[ppc.MFLR_R0, MCOUNT, BLR]] * 3, 1, 64, 1),  # -mprofile-kernel
        ([[ppc.MFLR_R0, ppc.STD_R0_16_R1, MCOUNT]] * 3, 2, 64, 2),
        ([[ppc.MFLR_R0, ppc.STW_R0_4_R1, MCOUNT]] * 3, 2, 32, 2),
    ],
)
def test_inline_layouts(functions: list[list[int]], entry: int, bits: int, call: int) -> None:
    given = inline(functions, entry, bits)
    result = replay(given)
    assert result.failures == []
    assert list(result.locations) == [given.text.start + 0x40 * i + 4 * call for i in range(3)]
    assert set(result.area) == {-1}
    assert list(result.target) == [given.text.start - 0x100] * 3


@pytest.mark.parametrize(
    ("good", "bad", "entry", "bits", "detail"),
    [
        ([N, N, BLR], [N, STDU, BLR], 0, 64, STDU),
        ([N, N, BLR], [STDU, N, BLR], 0, 64, STDU),
        ([N, N, N, BLR], [N, N, BLR, BLR], 0, 32, BLR),
        ([ppc.MFLR_R0, MCOUNT], [ppc.MFLR_R0, STDU], 1, 64, STDU),
        ([ppc.MFLR_R0, ppc.STD_R0_16_R1, MCOUNT], [STDU, ppc.STD_R0_16_R1, MCOUNT], 2, 64, STDU),
        ([ppc.MFLR_R0, ppc.STD_R0_16_R1, MCOUNT], [ppc.MFLR_R0, STDU, MCOUNT], 2, 64, STDU),
        ([ppc.MFLR_R0, ppc.STW_R0_4_R1, MCOUNT], [ppc.MFLR_R0, ppc.STD_R0_16_R1, MCOUNT], 2, 32, 0xF8010010),
        (
            [ppc.MFLR_R0, ppc.STW_R0_4_R1, MCOUNT],
            [ppc.MFLR_R0, ppc.STW_R0_4_R1, 0x48000100],
            2,
            32,
            0x48000100,
        ),
    ],
)
def test_inline_words_that_are_not_the_compilers(
    good: list[int], bad: list[int], entry: int, bits: int, detail: int
) -> None:
    result = replay(inline([good, good, bad, good], entry, bits))
    assert [(f.position, f.rule, f.detail) for f in result.failures] == [(2, "location-not-nop", detail)]


def test_inline_word_that_is_not_in_the_file() -> None:
    result = replay(inline([[N, N], [N, N], [N]], 0))
    assert [(f.position, f.rule, f.detail) for f in result.failures] == [(2, "location-not-nop", None)]


@pytest.mark.parametrize(
    ("offset", "fails"), [(0x1FFFFFC, False), (0x2000000, True), (-0x2000000, False), (-0x2000004, True)]
)
def test_inline_reach_to_the_byte(offset: int, fails: bool) -> None:
    call = BASE + 64 * MIB + 4
    given = inline([[N, N]], 0, tracers={"ftrace_caller": call + offset})
    assert rules(replay(given)) == (["tracer-unreachable"] if fails else [])
    relay = replace(given, trampolines={"ftrace_tramp_text": call + 0x40, "ftrace_tramp_init": FAR})
    assert replay(relay).failures == []


# -- headroom ---------------------------------------------------------------------------------------------


def test_headroom_is_what_is_left_of_each_branch() -> None:
    near = BASE + 64 * MIB
    rooms = headrooms(given := setting([near + 0x100000]), replay(given))
    out = 0x100000 - 8
    assert rooms["stub"].bytes == 0x1FFFFFC - out
    assert rooms["return"].bytes == 0x1FFFFFC - (out - 8)
    assert rooms["tracer"].bytes == 0x2000000 - 0x40 - 12  # ftrace_tramp_text is the better one
    assert {room.location for room in rooms.values()} == {near + 0x100000}


def test_headroom_is_negative_out_of_range() -> None:
    near = BASE + 64 * MIB
    given = setting([near + 8 + 0x2000000])
    assert headrooms(given, replay(given))["stub"].bytes == -4


def test_no_headroom_without_a_stub() -> None:
    plain = setting([])
    given = setting([BASE + 64 * MIB], areas=[StubArea(a.name, a.address, 0) for a in plain.areas])
    assert headrooms(given, replay(given)) == {}


# -- against the slow one ---------------------------------------------------------------------------------


def random_kernel(seed: int) -> LinkedKernel:
    """A layout that fails, or nearly fails, in some way or other."""
    draw = random.Random(seed)
    spread = draw.choice([0x10000, 8 * MIB, 34 * MIB, 70 * MIB])
    count = draw.randrange(1, 60)
    edge = draw.random() < 0.3  # the first function at the edge of its stub's window
    reserve = 0 if edge else draw.choice([0, 1, 5, 40, 100])
    start = 0x400 + reserve * 24 + draw.choice([0, 33 * MIB - 0x800])
    text = sorted({start + draw.randrange(0, spread, 4) for _ in range(count)})
    init = sorted({draw.randrange(0, draw.choice([0x1000, 40 * MIB]), 4) for _ in range(draw.randrange(20))})
    layout = draw.choice(["ool", "ool", "pfe"])
    counts = {"text_end": max(0, len(text) - reserve) + draw.choice([0, 0, 3, -1])} if layout == "ool" else {}
    counts = {name: max(0, n) for name, n in counts.items()}
    stub_size = draw.choice([16, 24])
    insn0 = text[0] + 0x2000000 + draw.randrange(-16, 16, 4)
    kernel = LinkedKernel(
        text=text,
        inittext=init,
        reserve=reserve,
        layout=layout,
        stub_size=stub_size,
        counts=counts,
        area_at={"text_end": insn0 - (stub_size - 16)} if edge else {},
    )
    for name in ("ftrace_caller", "ftrace_tramp_text", "ftrace_tramp_init"):
        if draw.random() < 0.3:
            kernel.places[name] = kernel.base + draw.randrange(0, kernel.text_size, 4)
    for location in draw.sample(kernel.locations, min(3, len(kernel.locations))):
        if draw.random() < 0.2:
            kernel.words[location] = 0
    kernel.table = [*kernel.locations, *draw.sample([0, kernel.base - 4, kernel.place("_etext")], 2)]
    draw.shuffle(kernel.table)
    return kernel


def compare(given: Setting, machine: naive_boot.Machine) -> naive_boot.Boot:
    result, slow = replay(given), naive_boot.boot(machine)
    assert list(result.locations) == [one["ip"] for one in slow.locations]
    assert areas(given, result) == [one["area"] for one in slow.locations]
    assert [i or None for i in result.insns] == [one["insn0"] for one in slow.locations]
    assert [i or None for i in result.target] == [one["target"] for one in slow.locations]
    wrong = {i: one["error"] for i, one in enumerate(slow.locations) if one["error"]}
    assert {f.position: f.rule for f in result.failures} == wrong
    assert len(result.failures) == len(wrong)
    assert len(result.skipped) == slow.skipped
    assert {name: result.needed.get(name, 0) for name in slow.asked} == slow.asked
    for i, one in enumerate(slow.locations):
        if one["area"] is not None:
            assert result.index[i] == one["index"]
    return slow


def test_same_as_the_slow_one() -> None:
    seen = set()
    for seed in range(400):
        kernel = random_kernel(seed)
        slow = compare(kernel.setting(), kernel.machine())
        seen |= {one["error"] for one in slow.locations}
    # The layouts are worth something only if they fail in every way.
    assert seen == {
        None,
        "location-not-nop",
        "area-exhausted",
        "stub-out-of-range",
        "return-out-of-range",
        "tracer-unreachable",
        "init-trampoline-only",
    }
