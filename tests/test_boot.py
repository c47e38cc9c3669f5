# SPDX-License-Identifier: GPL-2.0-or-later
"""The simulated boot: windows to the byte, the order of tests, the areas, calls, layouts.

Every test boots with the specification (`replay`) and in bulk (`simulate_boot`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from pfestubs.layouts import LAYOUTS
from pfestubs.model import Kernel, ppc
from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.kernel.boot import Boot
from pfestubs.rules.kernel.replay import InlineSites, replay
from pfestubs.rules.kernel.simulation import simulate_boot
from pfestubs.rules.kernel.stubs import call_adjust
from support import Kernels, naive_boot
from support.kernelwriter import BASE, MIB, LinkedKernel, NamedAddresses, WordMemory, kernel_of, machine_of

TEXT = range(BASE, BASE + 128 * MIB)
INIT = range(BASE + 128 * MIB, BASE + 256 * MIB)


MIDDLE = BASE + 64 * MIB
INIT_MIDDLE = INIT.start + 64 * MIB


def make_kernel(
    table: list[int],
    *,
    areas: dict[str, tuple[int, int]] | None = None,
    word_at: Callable[[int], int | None] | None = None,
    **changes: Any,
) -> Kernel:
    """One area of stubs in the middle of 128 MiB of text, one of init text, and the tracers next to it.

    `areas` gives the address and the count of those that are elsewhere.
    """
    places = {"text": (BASE, 0), "text_end": (MIDDLE, 1000), "inittext": (INIT_MIDDLE, 1000), **(areas or {})}
    values: dict[str, Any] = {
        "text": TEXT,
        "inittext": INIT,
        "tracers": {"ftrace_caller": MIDDLE - 0x100, "ftrace_regs_caller": MIDDLE - 0x200},
        "trampolines": {"ftrace_tramp_text": MIDDLE - 0x40, "ftrace_tramp_init": INIT_MIDDLE - 0x40},
        "symbols": NamedAddresses({"fn": BASE}),
        **({} if word_at is None else {"memory": WordMemory(word_at)}),
        **changes,
    }
    return kernel_of(table, places, **values)


def assert_same_boot(one: Boot, other: Boot) -> None:
    """Compare every column, and everything that follows from them."""
    for column in fields(Boot):
        assert getattr(one, column.name) == getattr(other, column.name), column.name
    assert one.headrooms == other.headrooms
    assert one.stops_at == other.stops_at


def boot(kernel: Kernel) -> Boot:
    """Boot both ways and return the boot."""
    result = replay(kernel)
    assert_same_boot(result, simulate_boot(kernel))
    return result


def rules(result: Boot) -> list[str]:
    return [failure.rule for failure in result.failures]


def names(result: Boot) -> list[str | None]:
    return [result.kernel.areas[i].name if i >= 0 else None for i in result.area]


def needed(result: Boot) -> dict[str, int]:
    return {area.name: n for area, n in zip(result.kernel.areas, result.needed, strict=True)}


TOP = 1 << 64


@pytest.mark.parametrize(
    ("start", "target", "bits", "distance"),
    [
        (0x100, 0x80, 64, -0x80),
        (TOP - 8, 8, 64, 16),
        (8, TOP - 8, 64, -16),
        (TOP + 8, 16, 64, 8),
        (0, 1 << 63, 64, -(1 << 63)),
        (0xFFFFFFF8, 8, 32, 16),
        (8, 0xFFFFFFF8, 32, -16),
    ],
)
def test_distance(start: int, target: int, bits: int, distance: int) -> None:
    assert ppc.distance(start, target, bits) == distance


# -- the window of the two branches between a function and its stub ----------------------------------------


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
    insn0 = MIDDLE + stub_size - 16
    ip = insn0 - insn0_minus_ip
    result = boot(make_kernel([ip], stub_size=stub_size))
    assert result.stub_size == stub_size
    assert list(result.insns) == [insn0]
    assert result.stub_address(0) == MIDDLE
    assert result.has_stub(0) == (rule is None)
    found = [(failure.rule, failure.distance, failure.limit) for failure in result.failures]
    assert found == ([(rule, distance, limit)] if rule else [])


def test_window_is_inside_what_the_branches_encode() -> None:
    for insn0_minus_ip in (0x1FFFFF8, -0x1FFFFFC):
        assert ppc.branch_offset(ppc.encode_branch(0, insn0_minus_ip)) == insn0_minus_ip
        back = 4 - 12 - insn0_minus_ip
        assert ppc.branch_offset(ppc.encode_branch(0, back)) == back


# -- the choice of an area --------------------------------------------------------------------------------


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
    areas = {"text": (struct_at, 2), "text_end": (ip + MIB, 10)}
    trampolines = {"ftrace_tramp_text": ip + MIB, "ftrace_tramp_init": ip}
    result = boot(make_kernel([ip], areas=areas, trampolines=trampolines))
    assert names(result) == [area]
    assert rules(result) == (["stub-out-of-range"] if ip_minus_struct == -0x2000000 else [])


AT, NEXT = BASE + 36 * MIB, BASE + 0x2000000


@pytest.mark.parametrize(
    ("reserve", "table", "area", "index"),
    [
        # The second location reaches struct 0; the third tries struct 1 and reaches it exactly; then it is full.
        (
            (AT, 2),
            [AT - 33 * MIB, AT - 32 * MIB, AT - 32 * MIB + 24, AT, AT + 4],
            ["text_end", "text", "text", "text_end", "text_end"],
            [0, 0, 1, 1, 2],
        ),
        # A slot out of range is tried again by the next.
        ((BASE, 3), [BASE + 0x100, NEXT + 24, NEXT + 0x100], ["text", "text_end", "text_end"], [0, 0, 1]),
        # The k-th slot is k stubs further on: what slot 0 cannot reach, slot 1 can.
        ((BASE, 3), [BASE + 0x100, NEXT + 20], ["text", "text"], [0, 1]),
    ],
)
def test_an_unreachable_slot_is_not_used_up(
    reserve: tuple[int, int], table: list[int], area: list[str], index: list[int]
) -> None:
    tracers = {"ftrace_caller": AT - 8, "ftrace_regs_caller": AT - 16}
    result = boot(make_kernel(table, areas={"text": reserve}, tracers=tracers))
    assert (names(result), list(result.index)) == (area, index)
    assert needed(result) == {"text": area.count("text"), "text_end": area.count("text_end"), "inittext": 0}


def test_init_text_is_tested_first() -> None:
    ip = INIT.start + 0x100
    kernel = make_kernel([ip], areas={"text": (ip + 0x10, 2)}, text=range(BASE, INIT.stop))
    assert names(boot(kernel)) == ["inittext"]


def test_overflow_after_the_increment() -> None:
    table = [MIDDLE + i * 0x10000 for i in range(1, 6)]
    result = boot(make_kernel(table, areas={"text_end": (MIDDLE, 2)}))
    found = [(f.position, f.rule, f.area) for f in result.failures]
    assert found == [(i, "area-exhausted", 1) for i in (2, 3, 4)]
    assert needed(result)["text_end"] == 5
    assert result.uses[1][1] == 2
    assert list(result.insns)[2:] == [0, 0, 0]
    assert list(result.area) == [1, 1, -1, -1, -1]
    assert [result.has_stub(i) for i in range(5)] == [True, True, False, False, False]
    assert result.stops_at == 2
    assert set(result.failure_at) == {2, 3, 4}


def test_an_area_without_stubs_is_exhausted_at_once() -> None:
    result = boot(make_kernel([INIT_MIDDLE], areas={"inittext": (INIT_MIDDLE, 0)}))
    assert [(f.rule, f.area) for f in result.failures] == [("area-exhausted", 2)]
    assert (result.headrooms, result.headroom, result.uses[2][1]) == ({}, None, 0)
    assert needed(result) == {"text": 0, "text_end": 0, "inittext": 1}


# -- the table --------------------------------------------------------------------------------------------


def test_sorted_unsigned_and_skipped() -> None:
    near = MIDDLE
    table = [near + 8, 0, TEXT.stop + 256 * MIB, 0x100, near, INIT.stop, TEXT.stop - 4 * MIB - 4, 0]
    table[6] = near + 4
    result = boot(make_kernel(table))
    assert list(result.locations) == [near, near + 4, near + 8]
    assert list(result.skipped) == [0, 0, 0x100, INIT.stop, TEXT.stop + 256 * MIB]


def test_an_empty_entry_where_text_starts_at_zero() -> None:
    kernel = kernel_of(
        [0, 0x1000],
        {"text": (0x200, 1), "text_end": (0x2000, 1), "inittext": (0x21000, 1)},
        text=range(0x10000),
        inittext=range(0x20000, 0x30000),
        tracers={"ftrace_caller": 0x100, "ftrace_regs_caller": 0x104},
        trampolines={"ftrace_tramp_text": 0x180, "ftrace_tramp_init": 0x20100},
    )
    assert list(boot(kernel).locations) == [0x1000]
    assert boot(kernel).skipped == [0]


def test_half_open_ranges() -> None:
    text = range(BASE + 64 * MIB, BASE + 64 * MIB + 0x100)
    init = range(INIT.start + 64 * MIB, INIT.start + 64 * MIB + 0x100)
    table = [text.start - 4, text.start, text.stop - 4, text.stop, init.start - 4, init.start, init.stop]
    result = boot(make_kernel(table, text=text, inittext=init))
    assert list(result.locations) == [text.start, text.stop - 4, init.start]


@pytest.mark.parametrize("word", [0x7C0802A6, None])
def test_no_nop_is_the_first_test(word: int | None) -> None:
    ip = BASE + 4 * MIB  # also out of range of everything
    result = boot(make_kernel([ip], word_at=lambda _address: word))
    assert [(f.rule, f.word) for f in result.failures] == [("location-not-nop", word)]
    assert (any(result.needed), result.headrooms, result.stops_at) == (False, {}, 0)


GEP = (0x3C4C0123, 0x38424567)


@pytest.mark.parametrize(
    ("words", "step"),
    [
        ((ppc.NOP, 0, 0), 0),
        ((*GEP, ppc.NOP), 8),
        ((0x3C400123, 0x38424567, ppc.NOP), 8),  # lis r2
        ((*GEP, 0x7C0802A6), 0),  # no nop after it
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
    assert call_adjust(BASE, memory.get) == BASE + step


def entry_at(address: int, table: list[int], **changes: Any) -> Boot:
    """Boot a kernel with a global entry point, its nop and no other words."""
    memory = {address: GEP[0], address + 4: GEP[1], address + 8: ppc.NOP}
    return boot(make_kernel(table, word_at=memory.get, **changes))


def test_adjusted_location_is_what_counts() -> None:
    ip = MIDDLE - 0x1FFFFF8 + 8 - 4  # +8 is in range, the address in the table would not be
    result = entry_at(ip, [ip])
    assert (list(result.locations), result.failures) == ([ip + 8], [])


def test_boot_order_is_that_of_the_table_where_adjusting_reverses_it() -> None:
    """The kernel sorts before it adjusts, and does not sort again."""
    result = entry_at(MIDDLE, [MIDDLE + 4, MIDDLE])
    assert list(result.locations) == [MIDDLE + 8, MIDDLE + 4]
    assert [(f.position, f.rule, f.word) for f in result.failures] == [(1, "location-not-nop", GEP[1])]


def test_the_global_entry_point_is_looked_for_in_64_bit_kernels_only() -> None:
    result = entry_at(MIDDLE, [MIDDLE], bits=32)
    assert [(f.rule, f.word) for f in result.failures] == [("location-not-nop", GEP[0])]


def test_a_location_near_the_top_of_the_address_space_is_adjusted() -> None:
    at = (1 << 64) - 8
    assert list(entry_at(at, [at], text=range(BASE, 1 << 64), inittext=range(0)).locations) == [0]


@pytest.mark.parametrize("reversed_range", ["text", "inittext"])
def test_reversed_ranges_hold_no_location(reversed_range: str) -> None:
    """A damaged file may have _etext before _stext."""
    at = MIDDLE if reversed_range == "inittext" else INIT_MIDDLE
    table = [at + offset for offset in range(-0x100, 0x100, 16)]
    changes: dict[str, Any] = {reversed_range: range(at, BASE)}
    result = boot(make_kernel(table, **changes))
    assert list(result.locations) == table
    assert result.skipped == []


# -- calls ------------------------------------------------------------------------------------------------

SITE = MIDDLE + 8 + 4  # the second instruction of stub 0 of text_end
NEAR = [MIDDLE + 0x1000]
INIT_SITE = INIT_MIDDLE + 8 + 4


FAR = BASE - 256 * MIB
AWAY = FAR - SITE
BACK = -0x2000000
REGS = BACK - 460  # ftrace_regs_caller comes before ftrace_caller
UNREACHABLE, INIT_ONLY = "tracer-unreachable", "init-trampoline-only"


@pytest.mark.parametrize(
    ("caller", "regs", "text", "init", "target", "failure"),
    [
        (0x1FFFFFC, None, None, None, 0x1FFFFFC, None),
        (BACK, None, None, None, BACK, None),
        (0x2000000, None, None, None, None, (UNREACHABLE, 0x2000000, 0x1FFFFFC, "ftrace_caller")),
        (BACK - 4, None, None, None, None, (UNREACHABLE, BACK - 4, BACK, "ftrace_caller")),
        (AWAY, None, 0x1FFFFFC, AWAY, 0x1FFFFFC, None),
        (AWAY, None, BACK, AWAY, BACK, None),
        (AWAY, None, 0x2000000, AWAY, None, (UNREACHABLE, AWAY, BACK, "ftrace_caller")),
        (AWAY, None, BACK - 4, AWAY, None, (UNREACHABLE, AWAY, BACK, "ftrace_caller")),
        (0x300, None, 0x100, 0x200, 0x300, None),  # the tracer comes before the trampolines, text before init
        (AWAY, None, 0x100, 0x200, 0x100, None),
        (BACK, REGS, None, None, BACK, (UNREACHABLE, REGS, BACK, "ftrace_regs_caller")),  # both are needed
        (BACK, REGS, 0x100, AWAY, BACK, None),
        (AWAY, None, AWAY, 0x100, 0x100, (INIT_ONLY, AWAY, BACK, "ftrace_caller")),
        (BACK, REGS, AWAY, 0x100, BACK, (INIT_ONLY, REGS, BACK, "ftrace_regs_caller")),
    ],
)
def test_what_the_call_of_a_stub_reaches(
    caller: int,
    regs: int | None,
    text: int | None,
    init: int | None,
    target: int | None,
    failure: tuple[str, int, int, str] | None,
) -> None:
    """All as offsets from the call; text must not depend on init memory."""

    def places(**offsets: int | None) -> dict[str, int]:
        return {f"ftrace_{name}": SITE + offset for name, offset in offsets.items() if offset is not None}

    tracers, trampolines = places(caller=caller, regs_caller=regs), places(tramp_text=text, tramp_init=init)
    result = boot(make_kernel(NEAR, tracers=tracers, trampolines=trampolines))
    assert list(result.target) == [0 if target is None else SITE + target]
    found = [(f.rule, f.distance, f.limit, f.tracer) for f in result.failures]
    assert found == ([failure] if failure else [])
    if rules(result) == [INIT_ONLY]:  # the stub breaks after boot: at boot it is written
        assert (result.has_stub(0), result.stops_at) == (True, None)


def test_init_text_may_depend_on_init_memory() -> None:
    trampolines = {"ftrace_tramp_text": FAR, "ftrace_tramp_init": INIT_SITE + 0x100}
    result = boot(make_kernel([INIT_MIDDLE], tracers={"ftrace_caller": FAR}, trampolines=trampolines))
    assert (result.failures, list(result.target)) == ([], [INIT_SITE + 0x100])


# -- the other layouts ------------------------------------------------------------------------------------


def test_rfc_layout_has_no_reserve() -> None:
    table = [MIDDLE + 4, MIDDLE, INIT_MIDDLE]
    result = boot(make_kernel(table, layout=LAYOUTS["pfe"], stub_size=16))
    assert names(result) == ["text_end", "text_end", "inittext"]
    assert list(result.insns) == [MIDDLE, MIDDLE + 16, INIT_MIDDLE]
    assert result.failures == []
    assert not result.trapped_reserve


MCOUNT = 0x4BFFFF01  # bl, backwards


def inline(functions: list[list[int]], entry: int, bits: int = 64, **changes: Any) -> Kernel:
    """Functions of the given words, 0x40 bytes apart; the table records the word number `entry`."""
    base = MIDDLE if bits == 64 else 0xC0000000
    memory = {base + 0x40 * i + 4 * j: w for i, ws in enumerate(functions) for j, w in enumerate(ws)}
    values = {
        "bits": bits,
        "layout": None,
        "text": range(base, base + MIB),
        "tracers": {"ftrace_caller": base - 0x100},
        "trampolines": {},
        "word_at": memory.get,
        **changes,
    }
    return make_kernel([base + 0x40 * i + 4 * entry for i in range(len(functions))], **values)


N, BLR, STDU = ppc.NOP, 0x4E800020, 0xF821FFE1
MFLR, STD, STW = ppc.MFLR_R0, ppc.STD_R0_16_R1, ppc.STW_R0_4_R1


@pytest.mark.parametrize(
    ("functions", "entry", "bits", "call"),
    [
        ([[N, N, BLR]] * 3, 0, 64, 1),  # patchable entries
        ([[N, N, BLR]] * 3, 0, 32, 1),
        ([[N, N, N, BLR]] * 3, 0, 64, 1),  # the third: `addis rN,r2,0`, relaxed by the linker
        ([[N, N, N, BLR]] * 3, 0, 32, 2),  # with CALL_OPS: the first nop is in front of the function
        ([[MFLR, MCOUNT, BLR]] * 3, 1, 64, 1),  # -mprofile-kernel
        ([[MFLR, STD, MCOUNT]] * 3, 2, 64, 2),
        ([[MFLR, STW, MCOUNT]] * 3, 2, 32, 2),
    ],
)
def test_inline_layouts(functions: list[list[int]], entry: int, bits: int, call: int) -> None:
    kernel = inline(functions, entry, bits)
    result = boot(kernel)
    assert result.failures == []
    assert list(result.locations) == [kernel.text.start + 0x40 * i + 4 * call for i in range(3)]
    assert set(result.area) == {-1}
    assert not any(result.has_stub(i) for i in range(3))
    assert list(result.target) == [kernel.text.start - 0x100] * 3
    assert result.stops_at is None
    assert InlineSites(kernel).are_evident()


@pytest.mark.parametrize(
    ("good", "bad", "entry", "bits", "word"),
    [
        ([N, N, BLR], [N, STDU, BLR], 0, 64, STDU),
        ([N, N, BLR], [STDU, N, BLR], 0, 64, STDU),
        ([N, N, N, BLR], [N, N, BLR, BLR], 0, 32, BLR),
        ([MFLR, MCOUNT], [MFLR, STDU], 1, 64, STDU),
        ([MFLR, STD, MCOUNT], [STDU, STD, MCOUNT], 2, 64, STDU),
        ([MFLR, STD, MCOUNT], [MFLR, STDU, MCOUNT], 2, 64, STDU),
        ([MFLR, STW, MCOUNT], [MFLR, STD, MCOUNT], 2, 32, STD),
        ([MFLR, STW, MCOUNT], [MFLR, STW, 0x48000100], 2, 32, 0x48000100),
    ],
)
def test_inline_words_that_are_not_the_compilers(
    good: list[int], bad: list[int], entry: int, bits: int, word: int
) -> None:
    kernel = inline([good, good, bad, good], entry, bits)
    result = boot(kernel)
    assert [(f.position, f.rule, f.word) for f in result.failures] == [(2, "location-not-nop", word)]
    assert result.stops_at == 2
    assert InlineSites(kernel).are_evident()


def test_inline_word_that_is_not_in_the_file() -> None:
    result = boot(inline([[N, N], [N, N], [N]], 0))
    assert [(f.position, f.rule, f.word) for f in result.failures] == [(2, "location-not-nop", None)]


@pytest.mark.parametrize(
    ("words", "entry", "bits"),
    [
        ([N, STDU], 0, 64),  # one nop: a kernel with stubs whose symbols are gone
        ([N, BLR], 0, 32),
        ([STDU, STDU], 0, 64),
        ([MFLR, STD, MCOUNT], 2, 32),  # the words of PPC64
        ([STDU, STDU, MCOUNT], 2, 64),
        ([], 0, 64),  # nothing in the file
    ],
)
@pytest.mark.parametrize(("good", "evident"), [(0, False), (2, False), (3, True)])
def test_inline_shape_of_most_locations_is_evidence(
    words: list[int], entry: int, bits: int, good: int, evident: bool
) -> None:
    """Two locations have other words; two of four are not most."""
    shape = {64: [MFLR, STD, MCOUNT], 32: [MFLR, STW, MCOUNT]}[bits]
    fine = [N, N, BLR] if entry == 0 else shape
    assert InlineSites(inline([fine] * good + [words] * 2, entry, bits)).are_evident() == evident


def test_no_locations_are_no_evidence() -> None:
    assert not InlineSites(inline([], 0)).are_evident()
    outside = replace(inline([[N, N]] * 3, 0), text=range(BASE, BASE + 0x100))
    assert not InlineSites(outside).are_evident()


@pytest.mark.parametrize(
    ("offset", "fails"), [(0x1FFFFFC, False), (0x2000000, True), (-0x2000000, False), (-0x2000004, True)]
)
def test_inline_reach_to_the_byte(offset: int, fails: bool) -> None:
    """Reach is tested when a tracer is enabled: the boot itself does not stop."""
    call = MIDDLE + 4
    kernel = inline([[N, N]], 0, tracers={"ftrace_caller": call + offset})
    result = boot(kernel)
    assert rules(result) == (["tracer-unreachable"] if fails else [])
    assert result.stops_at is None
    trampolines = {"ftrace_tramp_text": call + 0x40, "ftrace_tramp_init": FAR}
    assert boot(replace(kernel, trampolines=trampolines)).failures == []


# -- headroom ---------------------------------------------------------------------------------------------


def test_headroom_is_what_is_left_of_each_branch() -> None:
    result = boot(make_kernel([MIDDLE + 0x100000]))
    rooms = result.headrooms
    to_stub = 0x100000 - 8
    assert rooms["stub"].bytes == 0x1FFFFFC - to_stub
    assert rooms["return"].bytes == 0x1FFFFFC - (to_stub - 8)
    assert rooms["tracer"].bytes == 0x2000000 - 0x40 - 12  # ftrace_tramp_text is the better one
    assert {room.location for room in rooms.values()} == {MIDDLE + 0x100000}
    assert result.headroom == rooms["stub"]
    assert boot(make_kernel([MIDDLE + 8 + 0x2000000])).headrooms["stub"].bytes == -4


def test_headroom_of_init_text_counts_the_trampoline_in_init_memory() -> None:
    """A stub of text must not depend on it: it is freed after boot."""
    trampolines = {"ftrace_tramp_text": FAR, "ftrace_tramp_init": INIT_SITE - 0x40}
    tracers = {"ftrace_caller": FAR}
    init = boot(make_kernel([INIT_MIDDLE], tracers=tracers, trampolines=trampolines))
    assert init.headrooms["tracer"].bytes == 0x2000000 - 0x40
    trampolines["ftrace_tramp_init"] = SITE - 0x40
    text = boot(make_kernel([MIDDLE], tracers=tracers, trampolines=trampolines))
    assert rules(text) == ["init-trampoline-only"]
    assert text.headrooms["tracer"].bytes == 0x2000000 - (SITE - FAR)
    trampolines["ftrace_tramp_init"] = INIT_SITE - 0x40
    tracers["ftrace_caller"] = SITE - 0x1000
    both = boot(make_kernel([MIDDLE, INIT_MIDDLE], tracers=tracers, trampolines=trampolines))
    assert (both.headrooms["tracer"].bytes, both.headrooms["tracer"].location) == (0x2000000 - 0x1000, MIDDLE)


def test_the_last_call_of_text_after_init_text() -> None:
    """The tightest call is that of the last stub, whose distance is neither the least nor the greatest."""
    ips = [INIT_MIDDLE + at for at in (0, 124, 248, 252, 256, 260)]
    tracer = INIT_MIDDLE - 0x1FE0000
    areas = {"text_end": (INIT_MIDDLE + 0x10000, 10), "inittext": (MIDDLE, 0)}
    tracers, trampolines = {"ftrace_caller": tracer}, {"ftrace_tramp_text": BASE}
    kernel = make_kernel(ips, text=INIT, inittext=TEXT, areas=areas, tracers=tracers, trampolines=trampolines)
    assert boot(kernel).headrooms["tracer"].location == ips[-1]


# -- what follows from a boot -----------------------------------------------------------------------------


def test_the_reserve_is_trapped_if_it_is_out_of_range_while_the_end_area_is_exhausted() -> None:
    table = [BASE + 0x100, BASE + 40 * MIB, BASE + 40 * MIB + 4]

    def trapped(reserve: int, end: int) -> bool:
        areas = {"text": (BASE, reserve), "text_end": (MIDDLE, end)}
        return bool(boot(make_kernel(table, areas=areas)).trapped_reserve)

    assert trapped(2, 1)
    assert not trapped(2, 2)  # the end area has what is needed
    assert not trapped(1, 1)  # every stub of the reserve is used


def test_functions_are_named_by_the_kernels_symbols() -> None:
    result = boot(make_kernel(NEAR, symbols=NamedAddresses({"fn": NEAR[0] - 8, "other": NEAR[0] + 4})))
    assert result.function(0) == "fn+0x8"


# -- against the independent implementation ----------------------------------------------------------------


def random_layout(seed: int) -> LinkedKernel:
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
    at = {"text_end": insn0 - (stub_size - 16)} if edge else {}
    values: dict[str, Any] = {"layout": layout, "stub_size": stub_size, "counts": counts, "area_at": at}
    kernel = LinkedKernel(text=text, inittext=init, reserve=reserve, **values)
    for name in ("ftrace_caller", "ftrace_tramp_text", "ftrace_tramp_init"):
        if draw.random() < 0.3:
            kernel.places[name] = kernel.base + draw.randrange(0, kernel.text_size, 4)
    for location in draw.sample(kernel.locations, min(3, len(kernel.locations))):
        if draw.random() < 0.2:
            kernel.words[location] = 0
    kernel.table = [*kernel.locations, *draw.sample([0, kernel.base - 4, kernel.place("_etext")], 2)]
    draw.shuffle(kernel.table)
    return kernel


def compare(result: Boot, machine: naive_boot.Machine) -> naive_boot.Boot:
    slow = naive_boot.boot(machine)
    assert list(result.locations) == [one["ip"] for one in slow.locations]
    assert names(result) == [one["area"] for one in slow.locations]
    assert [i or None for i in result.insns] == [one["insn0"] for one in slow.locations]
    assert [i or None for i in result.target] == [one["target"] for one in slow.locations]
    wrong = [(i, one["error"], one["distance"]) for i, one in enumerate(slow.locations) if one["error"]]
    assert [(f.position, f.rule, f.distance) for f in result.failures] == wrong
    assert len(result.skipped) == slow.skipped
    assert {name: needed(result).get(name, 0) for name in slow.asked} == slow.asked
    for i, one in enumerate(slow.locations):
        if one["area"] is not None:
            assert result.index[i] == one["index"]
    assert {b: room.bytes for b, room in result.headrooms.items()} == naive_boot.headrooms(machine, slow)
    return slow


def test_same_as_the_independent_implementation() -> None:
    seen = set()
    for seed in range(400):
        layout = random_layout(seed)
        slow = compare(boot(layout.kernel()), layout.machine())
        seen |= {one["error"] for one in slow.locations}
    # The layouts are worth something only if they fail in every way.
    calls, areas = {"tracer-unreachable", "init-trampoline-only"}, {"area-exhausted", "stub-out-of-range"}
    assert seen == {None, "location-not-nop", "return-out-of-range", *calls, *areas}


def test_both_ways_agree_on_every_real_kernel(kernels: Kernels) -> None:
    """And so does the independent implementation, where the kernel has stubs."""
    for path in kernels.all("vmlinux"):
        with open_kernel(str(path)) as kernel:
            result = boot(kernel)
            if kernel.layout is not None:
                compare(result, machine_of(kernel, stub_size=24))
        assert len(result.locations) > 1000, path


@pytest.mark.parametrize("limit", [0x2000000, -0x1FFFFFC])
@pytest.mark.parametrize("step", range(-28, 29, 4))
def test_a_run_ends_where_the_reach_of_a_target_does(limit: int, step: int) -> None:
    """The border of a tracer's reach lies within the stubs of one run."""
    writer = LinkedKernel(text=[0x1000 + 0x10 * i for i in range(12)], reserve=0, inittext=[])
    site = writer.area_address("text_end") + 12 + 6 * 24
    tracers = {"ftrace_caller": site + step - limit, "ftrace_regs_caller": site - limit}
    kernel = replace(writer.kernel(), tracers=tracers)
    one, other = simulate_boot(kernel), replay(kernel)
    assert (one.target, one.failures) == (other.target, other.failures)
    assert len(set(one.target)) > 1 or one.failures


def test_the_headroom_of_a_location_that_only_a_freed_trampoline_serves() -> None:
    writer = LinkedKernel(text=[0x2800000], inittext=[0x0], reserve=0)
    writer.places["ftrace_tramp_text"] = BASE
    result = simulate_boot(writer.kernel())
    assert [failure.rule for failure in result.failures] == ["init-trampoline-only"]
    each = [room.bytes for area in result.served for i in area for room in result.headrooms_at(i)]
    assert result.headroom is not None
    assert min(each) == result.headroom.bytes < 0
