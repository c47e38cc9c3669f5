# SPDX-License-Identifier: GPL-2.0-or-later
"""The reserve that a remedy names gives every function a working stub, and what linking again would change.

A miniature kernel is laid out as the linker does. Laid out with another reserve, it is what `relink`
must make of it.
"""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pfestubs.formats.findings import remedy_details
from pfestubs.layouts import RESERVE_CONFIG, AreaRole
from pfestubs.model import Kernel, ppc
from pfestubs.model.findings import Action, Remedy
from pfestubs.rules.analyses.planner import Planner
from pfestubs.rules.analyses.relink import Growth, GrowthShape, NopMemory, relink, text_entries
from pfestubs.rules.check import Remedies, failure_findings
from pfestubs.rules.kernel.boot import Boot, Failure
from pfestubs.rules.kernel.replay import replay
from pfestubs.rules.kernel.simulation import simulate_boot
from support.kernelwriter import BASE, MIB, Linked, LinkedKernel, WordMemory

REGENERATE = Remedy(Action.REGENERATE_AREAS)
SHRINK_TEXT = Action.SHRINK_TEXT
RESTORE_ORDER = Remedy(Action.RESTORE_LINK_ORDER)


def remedy(boot: Boot) -> Remedy:
    assert boot.failures
    return Remedies(boot).for_failure(boot.failures[0])._replace(working=None, growth=None)


def lower(reserve: int) -> Remedy:
    return Remedy(Action.LOWER_RESERVE, RESERVE_CONFIG, reserve)


def raise_to(reserve: int) -> Remedy:
    return Remedy(Action.RAISE_RESERVE, RESERVE_CONFIG, reserve)


# -- the reserve to set -----------------------------------------------------------------------------------


def test_a_trap_needs_a_lower_round_reserve() -> None:
    """Uniform text of 50 MiB: the reserve cannot all be used."""
    linked = Linked(32768, 1000, 39000, 40 * MIB)
    assert linked.boot().trapped_reserve
    assert remedy(linked.boot()) == lower(1000)
    assert linked.boots(1000)


@pytest.mark.parametrize("low", [1266, 7, 0])
def test_where_only_one_value_works_it_is_named(low: int) -> None:
    """Functions before the padding need the reserve, those after it the end area."""
    linked = Linked(32768, low, 9764, 40 * MIB)
    assert remedy(linked.boot()) == lower(low)
    assert linked.boots(low)
    assert not linked.boots(low + 1)
    if low:
        assert not linked.boots(low - 1)


def test_functions_out_of_range_of_the_end_area_need_a_larger_reserve() -> None:
    linked = Linked(100, 500, 4000, 40 * MIB)
    assert remedy(linked.boot()) == raise_to(500)
    assert linked.boots(500)
    assert not linked.boots(499)


def test_a_wrong_count_needs_the_areas_generated_again() -> None:
    assert remedy(Linked(100, 300, 300, 0, end=499).boot()) == REGENERATE


def test_each_cause_has_its_remedy() -> None:
    """Of the trap and a stub out of range, and of too few stubs, which another link has."""
    far = [48 * MIB + 16 * i for i in range(20)]
    trap = LinkedKernel(text=far, reserve=10, counts={"inittext": 1})
    away = LinkedKernel(layout="pfe", text=[0x1000, *far], counts={"text_end": 20})
    for writer, action in ((trap, Action.LOWER_RESERVE), (away, SHRINK_TEXT)):
        boot = simulate_boot(writer.kernel())
        found = [finding.remedy.action for finding in failure_findings(boot, boot.failures) if finding.remedy]
        assert found == [action, Action.REGENERATE_AREAS]


def test_the_end_of_the_values_that_work_is_not_between_two_limits() -> None:
    """Nothing limits text on the other side of the reserve."""
    boot = simulate_boot(LinkedKernel(area_at={"text_end": 80 * MIB}).kernel())
    found = Remedies(boot).for_failure(boot.failures[0])
    assert found.working is not None and found.value == found.working[0] == 3  # noqa: PT018
    assert remedy_details(found)[1].endswith("; 3 leaves the most room for text to grow: 32.0 MiB")


def test_a_kernel_that_no_reserve_helps_must_shrink() -> None:
    """Functions 40 MiB from either area."""
    boot = Linked(10, 20, 100, 40 * MIB, end_pad=40 * MIB).boot()
    found = remedy(boot)
    assert (found.action, found.config) == (Action.SHRINK_TEXT, None)
    assert found.value is not None

    def works(removed: int) -> bool:
        shrunk = simulate_boot(relink(boot, None, Growth(-removed, GrowthShape.EVEN)))
        return any(Planner(shrunk).works(reserve, Growth()) for reserve in range(130))

    assert works(found.value)
    assert not works(found.value - 4)


def test_a_trap_that_a_lower_reserve_does_not_open() -> None:
    """The functions in the middle are out of range of both areas, whatever the reserve is."""
    linked = Linked(3000, 20, 1000, 40 * MIB, end_pad=40 * MIB, end=10)
    boot = linked.boot()
    assert boot.trapped_reserve
    assert remedy(boot).action is SHRINK_TEXT


# -- headroom ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reserve", "expected"), [(150, lower), (50, raise_to)])
def test_the_planned_reserve_is_named_where_its_headroom_suffices(reserve: int, expected: Any) -> None:
    """100 functions on either side of 30 MiB: only a reserve of 100 has all of them near their stubs."""
    boot = Linked(reserve, 100, 100, 30 * MIB).boot()
    assert not boot.failures
    assert boot.headroom is not None
    before = boot.headroom.bytes
    assert before < 3 * MIB
    planned = simulate_boot(relink(boot, 100)).headroom
    assert planned is not None
    for minimum in (before + 1, planned.bytes):
        assert Remedies(boot).for_headroom(before, minimum) == expected(100)
    beyond = planned.bytes + 1
    assert Remedies(boot).for_headroom(before, beyond) == Remedy(SHRINK_TEXT, value=beyond - before)


def test_with_the_planned_reserve_only_less_text_is_left() -> None:
    boot = Linked(100, 100, 100, 30 * MIB).boot()
    assert boot.headroom is not None
    room = boot.headroom.bytes
    assert Remedies(boot).for_headroom(room, room + 8) == Remedy(SHRINK_TEXT, value=8)


def test_headroom_without_a_reserve() -> None:
    boot = simulate_boot(LinkedKernel(layout=None).kernel())
    assert Remedies(boot).for_headroom(0, 1000) == Remedy(SHRINK_TEXT, value=1000)


# -- what is not a matter of the reserve ------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["tracer-unreachable", "init-trampoline-only"])
def test_calls_out_of_range_need_the_linker_scripts_order(rule: Any) -> None:
    assert Remedies(Linked(10, 20, 100, 0).boot()).for_failure(Failure(0, rule)) == RESTORE_ORDER
    inline = simulate_boot(LinkedKernel(layout=None).kernel())
    assert Remedies(inline).for_failure(Failure(0, rule)).action is SHRINK_TEXT


def test_other_words_at_the_locations_need_another_build() -> None:
    boot = Linked(10, 20, 100, 0).boot(memory=WordMemory(lambda _address: 0))
    assert remedy(boot) == Remedy(Action.REBUILD)


@pytest.mark.parametrize(("distance", "expected"), [(0, Action.REGENERATE_AREAS), (40 * MIB, SHRINK_TEXT)])
def test_a_layout_without_reserve(distance: int, expected: Action) -> None:
    counts, at = {"text_end": 2 if distance else 1}, {"text_end": 0x2000 + distance}
    writer = LinkedKernel(text=[0x1000, 0x1010], layout="pfe", stub_size=16, counts=counts, area_at=at)
    assert remedy(simulate_boot(writer.kernel())).action is expected


def test_init_text_only() -> None:
    """Without text there is nothing that a reserve could change."""
    short = LinkedKernel(text=[], counts={"inittext": 1})
    assert remedy(simulate_boot(short.kernel())) == REGENERATE
    far = LinkedKernel(text=[], area_at={"inittext": LinkedKernel().init_base + 40 * MIB})
    assert remedy(simulate_boot(far.kernel())).action is SHRINK_TEXT


# -- linked again with another reserve --------------------------------------------------------------------


def assert_same_kernel(one: Kernel, other: Kernel) -> None:
    assert list(one.table) == list(other.table)
    assert (one.text, one.inittext) == (other.text, other.inittext)
    assert list(one.areas) == list(other.areas)
    assert (one.tracers, one.trampolines) == (other.tracers, other.trampolines)


@settings(max_examples=200)
@given(
    st.builds(
        Linked,
        reserve=st.integers(0, 50),
        low=st.integers(0, 30),
        high=st.integers(0, 30),
        pad=st.sampled_from([0, 0x100, 40 * MIB]),
        before=st.integers(0, 10),
        spare=st.integers(0, 5),
        end_pad=st.sampled_from([0, 0x40]),
        init=st.integers(0, 5),
        stub_size=st.sampled_from([16, 24]),
    ),
    st.integers(0, 60),
)
def test_relink_is_what_the_linker_makes(linked: Linked, reserve: int) -> None:
    """The end area of a kernel tells how many entries were counted, unless the reserve holds them all."""
    text = linked.before + linked.low + linked.high
    if linked.reserve >= text:
        linked = replace(linked, spare=0)
    boot = linked.boot()
    assume(any(area.count for area in boot.kernel.areas))  # else the size of a stub cannot be known
    assert text_entries(boot) == max(text + linked.spare, text)
    again = relink(boot, reserve)
    assert_same_kernel(again, replace(linked, reserve=reserve).kernel())
    assert not any(area.size_is_gap for area in again.areas)
    assert Planner(boot).works(reserve, Growth()) == linked.boots(reserve)


def test_the_same_reserve_changes_nothing() -> None:
    boot = Linked(10, 20, 100, MIB, before=3, init=2).boot()
    assert_same_kernel(relink(boot, 10), boot.kernel)


def test_skipped_entries_are_left_out_and_locations_hold_nops() -> None:
    linked = Linked(10, 20, 100, MIB)
    kernel = linked.kernel()
    table = array("Q", [0, BASE - 0x100, *kernel.table])
    bad = kernel.table[5]
    memory = WordMemory(lambda address: 0 if address == bad else ppc.NOP)
    again = relink(simulate_boot(replace(kernel, table=table, memory=memory)), 20)
    assert list(again.table) == list(replace(linked, reserve=20).kernel().table)
    assert replay(again).failures == []


def test_the_memory_of_a_kernel_that_was_not_linked() -> None:
    memory = NopMemory()
    assert memory.word(0x1000) == ppc.NOP
    assert list(memory.words_at(array("Q", [1, 2, 3]))) == [ppc.NOP] * 3
    assert memory.read(0x1000, 4) is None


def test_the_tracer_moves_only_where_it_is_after_the_reserve() -> None:
    kernel = Linked(10, 20, 100, 0).kernel()
    reserve = kernel.area(AreaRole.RESERVE)
    assert reserve is not None
    tracers = {"ftrace_caller": reserve.address - 4, "ftrace_regs_caller": reserve.address + 240}
    again = relink(simulate_boot(replace(kernel, tracers=tracers)), 11)
    assert again.tracers == {**tracers, "ftrace_regs_caller": reserve.address + 264}
    assert again.area(AreaRole.RESERVE) == replace(reserve, count=11, size=11 * 24)


def test_an_end_area_before_the_reserve() -> None:
    """A linker script may reverse the two; what is between them moves by the growth of the end area then."""
    text = [0x100, 0x3000, 0x3010, 0x8000, 0x8010]
    writer = LinkedKernel(text=text, area_at={"text_end": 0x2000, "text": 0x6000})
    kernel = writer.kernel()
    again = relink(simulate_boot(kernel), 1)
    base = writer.base
    assert [a - base for a in again.table[:5]] == [0x100, 0x3000 + 24, 0x3010 + 24, 0x8000, 0x8010]
    assert [(a.address - base, a.count) for a in again.areas[:2]] == [(0x6000 + 24, 1), (0x2000, 4)]
    assert (again.text, again.areas[2]) == (kernel.text, kernel.areas[2])


@pytest.mark.parametrize("base", [0x10000, (1 << 64) - 0x10000000])
@pytest.mark.parametrize("count", [0xFFFFFFFF, 100_000])
def test_a_damaged_count_moves_code_around_the_address_space(base: int, count: int) -> None:
    """Addresses wrap, as they do in a machine."""
    place: dict[str, Any] = {"base": base, "init_base": base + 0x5000000, "text_size": 0x4000000}
    counts, at = {"text": count, "text_end": 1}, {"text_end": 0x3000000}
    text = range(0x1000, 0x1000 + 60 * MIB, MIB)
    writer = LinkedKernel(text=text, inittext=[0], reserve=count, counts=counts, area_at=at, **place)
    boot = simulate_boot(writer.kernel())
    assert boot.failures
    for failure in boot.failures:
        assert isinstance(Remedies(boot).for_failure(failure), Remedy)
    for reserve in (0, 1, 32, 0xFFFFFFFF):
        again = relink(boot, reserve)
        assert len(again.table) == len(boot.locations)
        assert simulate_boot(again).failures == replay(again).failures


@pytest.mark.parametrize("grown", [256 * MIB, 300 * MIB, 257 * MIB + 4])
def test_init_text_moves_by_whole_boundaries(grown: int) -> None:
    """To the first boundary like its own (16 MiB) that text does not reach."""
    boot = Linked(100, 10, 10, 0, init=2).boot()
    again = relink(boot, None, Growth(grown, GrowthShape.EARLY))
    moved = again.inittext.start - boot.kernel.inittext.start
    assert moved % (16 * MIB) == 0
    assert 0 <= again.inittext.start - again.text.stop < 16 * MIB
    assert [a - b for a, b in zip(again.table[-2:], boot.locations[-2:], strict=True)] == [moved] * 2
