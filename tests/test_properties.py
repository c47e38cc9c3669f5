# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold for every kernel, tried on generated layouts."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pfestubs.layouts import LAYOUTS, AreaRole
from pfestubs.model import TRAMPOLINE_FREED, Kernel, ppc
from pfestubs.rules.kernel.replay import replay
from pfestubs.rules.kernel.simulation import simulate_boot
from support import naive_boot
from support.kernelwriter import BASE, MIB, LinkedKernel, WordMemory, kernel_of
from test_boot import assert_same_boot, compare

# Nothing may depend on how fast the machine is.
common = settings(max_examples=150)


@st.composite
def kernels(draw: st.DrawFn) -> LinkedKernel:
    """Layouts about the size where branches begin to fail."""
    word = st.integers(0, 36 * MIB // 4).map(lambda n: 4 * n)
    near = st.integers(0, 0x4000).map(lambda n: 4 * n)
    reserve = draw(st.sampled_from([0, 1, 3, 10]))
    gap = 0x400 + 24 * reserve + draw(st.one_of(near, word))
    offsets = draw(st.lists(st.one_of(near, word), min_size=1, max_size=24, unique=True))
    init = draw(st.lists(near, max_size=8, unique=True))
    layout = draw(st.sampled_from(["ool", "pfe"]))
    spare = draw(st.sampled_from([0, 0, 0, 2, 12]))
    text = sorted(gap + offset for offset in offsets)
    counts = {"text_end": max(0, len(text) - (reserve if layout == "ool" else 0)) + spare}
    values: dict[str, Any] = {
        "layout": layout,
        "stub_size": draw(st.sampled_from([16, 24])),
        "counts": counts,
    }
    kernel = LinkedKernel(text=text, inittext=sorted(init), reserve=reserve, **values)
    if draw(st.booleans()):
        kernel.places["ftrace_tramp_text"] = kernel.base + draw(word)
    return kernel


limit = st.builds(
    lambda end, words: end + 4 * words,
    st.sampled_from([ppc.BACKWARD_LIMIT, ppc.FORWARD_LIMIT]),
    st.integers(-3, 3),
)
"""Distances around the limits of a branch."""


def moved_nops(writer: LinkedKernel, draw: st.DrawFn) -> None:
    """Let some locations hold no nop: other words, nothing, or clang's global entry point."""
    every = writer.locations
    for location in draw(st.lists(st.sampled_from(every), max_size=4)):
        kind = draw(st.sampled_from(["broken", "global entry", "half a global entry"]))
        if kind == "broken":
            writer.words[location] = draw(st.sampled_from([0, ppc.MFLR_R0, 0xFFFFFFFF]))
        else:
            writer.words |= {location: 0x3C4C0123, location + 4: 0x38424567}
            if kind == "global entry":
                writer.words[location + 8] = ppc.NOP


@st.composite
def any_kernels(draw: st.DrawFn) -> Kernel:
    """Layouts of every size and with every kind of damage, near the limits and far from them."""
    size = draw(st.sampled_from([0x4000, MIB, 33 * MIB, 65 * MIB, 100 * MIB]))
    word = st.integers(0, size // 4).map(lambda n: 4 * n)
    reserve = draw(st.one_of(st.sampled_from([0, 1, 2]), st.integers(0, 60), st.just(1_500_000)))
    layout = draw(st.sampled_from(["ool", "ool", "pfe"]))
    stub_size = draw(st.sampled_from([16, 24]))
    # A run of functions close together, and some far apart, so that areas change in the middle.
    run = range(draw(word), 1 << 62, draw(st.sampled_from([4, 16, 24, 256])))[: draw(st.integers(0, 60))]
    offsets = {*run, *draw(st.lists(word, max_size=30))}
    gap = 0x400 + stub_size * min(reserve, 100)
    text = sorted(gap + offset for offset in offsets)
    init_word = st.integers(0, draw(st.sampled_from([0x1000, 35 * MIB])) // 4).map(lambda n: 4 * n)
    wanted = max(0, len(text) - (reserve if layout == "ool" else 0))
    end = max(0, wanted + draw(st.sampled_from([0, 0, 0, 3, -1, -7, 1_500_000])))
    writer = LinkedKernel(
        text=text,
        inittext=sorted(draw(st.lists(init_word, max_size=12, unique=True))),
        layout=layout,
        bits=draw(st.sampled_from([64, 64, 64, 32])),
        stub_size=stub_size,
        reserve=reserve,
        counts={"text_end": end},
        text_size=gap + 2 * size + 0x10000 + 24 * min(end, 100),
    )
    if text and draw(st.sampled_from([False, True])):  # the areas anywhere, or to the byte at the limit
        for area in ("text", "text_end"):
            number = draw(st.one_of(st.just(0), st.integers(0, len(text) - 1)))
            index = draw(st.one_of(st.just(number), st.integers(0, 8)))
            at_limit = text[number] + draw(limit) - stub_size * index
            writer.area_at[area] = draw(st.one_of(word, st.just(at_limit)))
    if draw(st.integers(0, 5)) == 0:
        misaligned: str = draw(st.sampled_from(["text", "text_end", "inittext"]))
        writer.area_at[misaligned] += draw(st.integers(1, 8))
    for name in ("ftrace_caller", "ftrace_regs_caller", "ftrace_tramp_text", "ftrace_tramp_init"):
        if draw(st.integers(0, 3)) == 0:
            site = writer.area_at["text_end"] + stub_size * draw(st.integers(1, 8)) - 12
            place = draw(st.one_of(word, limit.map(site.__add__))) + draw(st.sampled_from([0, 0, 0, 1, 2]))
            writer.places[name] = writer.base + place
    if writer.locations:
        moved_nops(writer, draw)
    limits = ("_stext", "_etext", "_sinittext", "_einittext")
    table = list(writer.locations)
    if table:
        table += draw(st.lists(st.sampled_from(table), max_size=6))
        if draw(st.integers(0, 4)) == 0:
            table += [draw(st.sampled_from(table)) + draw(st.integers(1, 8))]
            writer.words[table[-1]] = ppc.NOP
    table += draw(st.lists(st.sampled_from([0, 4, (1 << 64) - 4, *map(writer.place, limits)]), max_size=4))
    writer.table = draw(st.permutations(table))
    if draw(st.integers(0, 5)) == 0:  # text ranges that overlap, are empty or reversed
        for name in draw(st.lists(st.sampled_from(limits), min_size=1, max_size=2, unique=True)):
            anywhere = st.integers(0, writer.text_size // 2).map(lambda n: 2 * n + writer.base)
            writer.places[name] = draw(st.one_of(anywhere, st.sampled_from([0, writer.base, (1 << 64) - 1])))
    return replace(writer.kernel(), file=f"stub size {stub_size}")


@settings(common, max_examples=400)
@given(any_kernels())
def test_the_simulation_in_bulk_is_the_replay(kernel: Kernel) -> None:
    assert_same_boot(simulate_boot(kernel), replay(kernel))


@common
@given(kernels())
def test_no_findings_means_every_branch_arrives(writer: LinkedKernel) -> None:
    kernel = writer.kernel()
    result = simulate_boot(kernel)
    wrong = {failure.position for failure in result.failures}
    seen: set[int] = set()
    for i, ip in enumerate(result.locations):
        if i in wrong:
            continue
        insn0, target = result.insns[i], result.target[i]
        out = ppc.encode_branch(ip, insn0)
        forth = ppc.encode_branch(insn0 + 4, target, link=True)
        back = ppc.encode_branch(insn0 + 12, ip + 4)
        assert naive_boot.branch_target(out, ip) == insn0
        assert naive_boot.branch_target(forth, insn0 + 4) == target
        assert naive_boot.branch_target(back, insn0 + 12) == ip + 4
        assert target in {*kernel.tracers.values(), *kernel.trampolines.values()}
        # And every location has a stub to itself, inside an area of its own text.
        area = kernel.areas[result.area[i]]
        assert area.address <= insn0 < insn0 + 16 <= area.address + area.count * writer.stub_size
        assert (area.role is AreaRole.INIT) == (ip in kernel.inittext)
        assert insn0 not in seen
        seen.add(insn0)


@common
@given(kernels())
def test_both_ways_agree_with_the_independent_implementation(writer: LinkedKernel) -> None:
    kernel = writer.kernel()
    for result in (replay(kernel), simulate_boot(kernel)):
        compare(result, writer.machine())


def single(end: tuple[int, int] = (BASE + 256 * MIB, 1), **changes: Any) -> Kernel:
    """One function and one stub, in the area at `end`, far from everything that is not named in `changes`."""
    values: dict[str, Any] = {
        "table": [BASE + 256 * MIB],
        "places": {"text": (BASE, 0), "text_end": end, "inittext": (BASE + 600 * MIB, 0)},
        "text": range(BASE, BASE + 512 * MIB),
        "inittext": range(BASE + 600 * MIB, BASE + 700 * MIB),
        "tracers": {"ftrace_caller": BASE + 256 * MIB + 0x100},
        "trampolines": {"ftrace_tramp_text": BASE - 512 * MIB, "ftrace_tramp_init": BASE - 512 * MIB},
    }
    return kernel_of(**{**values, **changes})


around = st.one_of(
    st.integers(-64, 64).map(lambda n: 0x2000000 + 4 * n),
    st.integers(-64, 64).map(lambda n: -0x2000000 + 4 * n),
    st.integers(-40 * MIB // 4, 40 * MIB // 4).map(lambda n: 4 * n),
)


@common
@given(around, st.sampled_from([16, 24]))
def test_a_stub_finding_disappears_exactly_at_the_limit(insn0_minus_ip: int, stub_size: int) -> None:
    ip = BASE + 256 * MIB
    struct_at = ip + insn0_minus_ip - (stub_size - 16)
    tracers = {"ftrace_caller": struct_at + 0x100}
    result = simulate_boot(single(end=(struct_at, 1), stub_size=stub_size, tracers=tracers))
    assert bool(result.failures) == (not -0x1FFFFFC <= insn0_minus_ip <= 0x1FFFFF8)
    for failure in result.failures:
        assert failure.distance is not None
        assert failure.limit is not None
        assert abs(failure.distance) > abs(failure.limit)


@common
@given(
    st.lists(st.one_of(limit, st.integers(-64, 64).map(lambda n: 4 * n)), min_size=1, max_size=8),
    st.integers(0, 4),
    limit,
    st.sampled_from([16, 24]),
)
def test_both_ways_agree_to_the_byte(distances: list[int], reserve: int, end: int, stub_size: int) -> None:
    """Locations around the limits of a reserve, the end area around the limits of the first location."""
    reserve_at = BASE + 256 * MIB
    table = array("Q", sorted(reserve_at + distance for distance in distances))
    places = {"text": (reserve_at, reserve), "text_end": (table[0] + end, 8), "inittext": (BASE, 0)}
    tracers = {"ftrace_caller": reserve_at + 0x100, "ftrace_regs_caller": reserve_at + 0x40}
    trampolines = {"ftrace_tramp_text": table[0] + end - 0x40, "ftrace_tramp_init": BASE}
    kernel = single(table=table, places=places, stub_size=stub_size, tracers=tracers, trampolines=trampolines)
    assert_same_boot(simulate_boot(kernel), replay(kernel))


@common
@given(around, around, around)
def test_a_call_finding_disappears_exactly_at_the_limit(direct: int, text: int, init: int) -> None:
    site = BASE + 256 * MIB + 8 + 4
    assume(len({direct, text, init}) == 3)
    trampolines = {"ftrace_tramp_text": site + text, "ftrace_tramp_init": site + init}
    result = simulate_boot(single(tracers={"ftrace_caller": site + direct}, trampolines=trampolines))
    reach = [-0x2000000 <= d <= 0x1FFFFFC for d in (direct, text, init)]
    if reach[0] or reach[1]:
        expected = []
    else:
        expected = ["init-trampoline-only"] if reach[2] else ["tracer-unreachable"]
    assert [failure.rule for failure in result.failures] == expected
    if not any(reach):
        (failure,) = result.failures
        assert (failure.distance, failure.limit) == (direct, -0x2000000 if direct < 0 else 0x1FFFFFC)


room = naive_boot.headroom


@common
@given(kernels())
def test_headroom_is_the_minimum_over_all_stubs(writer: LinkedKernel) -> None:
    """The few call sites that the cheap computation looks at are the ones that matter."""
    kernel = writer.kernel()
    result = simulate_boot(kernel)
    found = result.headrooms
    served = [(ip, insn0) for ip, insn0 in zip(result.locations, result.insns, strict=True) if insn0]
    if not served or result.without_stub:
        assert found == {}
        return
    by_location = dict(served)

    def tracer(ip: int) -> int:
        site = by_location[ip] + 4
        own = ip in kernel.inittext
        usable = [a for name, a in kernel.trampolines.items() if own or name != TRAMPOLINE_FREED]
        return min(max(room(t - site) for t in (tracer, *usable)) for tracer in kernel.tracers.values())

    assert found["stub"].bytes == min(room(ip - insn0) for ip, insn0 in served)
    assert found["return"].bytes == min(room(ip + 4 - (insn0 + 12)) for ip, insn0 in served)
    assert found["tracer"].bytes == min(tracer(ip) for ip, _ in served)
    # The function named is one that really is that tight.
    ip = found["stub"].location
    assert room(ip - by_location[ip]) == found["stub"].bytes
    ip = found["return"].location
    assert room(ip - 8 - by_location[ip]) == found["return"].bytes
    assert tracer(found["tracer"].location) == found["tracer"].bytes
    # The headroom of each location: the least of all is the kernel's.
    each = [room.bytes for area in result.served for i in area for room in result.headrooms_at(i)]
    assert min(each) == min(room.bytes for room in found.values())
    # Headroom and failures agree.
    out = {"stub-out-of-range", "return-out-of-range"}
    tight = min(found["stub"].bytes, found["return"].bytes)
    assert (tight < 0) == any(failure.rule in out for failure in result.failures)


@common
@given(kernels(), st.integers(-96 * MIB // 4, 96 * MIB // 4))
def test_headroom_of_each_location_past_the_end_of_the_address_space(
    writer: LinkedKernel, words: int
) -> None:
    """A kernel at the end of the address space, what its stubs call around address 0."""
    shift = (1 << 64) - 256 * MIB - writer.base
    writer = replace(writer, base=writer.base + shift, init_base=writer.init_base + shift, area_at={})
    kernel = writer.kernel()
    places = (("ftrace_caller", 4 * words), ("ftrace_regs_caller", 4 * words + 64))
    tracers = {name: address & ppc.ADDRESS_MASK for name, address in places}
    result = simulate_boot(replace(kernel, tracers=tracers))
    each = [room.bytes for area in result.served for i in area for room in result.headrooms_at(i)]
    if result.headroom is not None:
        assert result.headroom.bytes == min(each)


far = st.integers(0, 80 * MIB // 4).map(lambda n: 4 * n)


@common
@given(
    st.lists(far, min_size=1, max_size=30, unique=True),
    st.lists(far, min_size=4, max_size=4),
    st.booleans(),
    st.integers(0, 3),
)
def test_headroom_of_calls_wherever_the_stubs_are(
    sites: list[int], targets: list[int], inline: bool, init: int
) -> None:
    """Stubs between two targets that are far apart are the tightest, not the first or the last one.

    `init` fourths of the range are init text, whose stubs may use the trampoline in init memory.
    """
    width = max(targets) - min(targets) + 4
    sites = sorted({min(targets) + site % width for site in sites})
    caller, regs, text_trampoline, init_trampoline = (BASE + target for target in targets)
    inittext = range(BASE, BASE + min(targets) + init * width // 4)
    kernel = single(
        tracers={"ftrace_caller": caller, "ftrace_regs_caller": regs},
        trampolines={"ftrace_tramp_text": text_trampoline, "ftrace_tramp_init": init_trampoline},
        layout=None if inline else LAYOUTS["ool"],
        inittext=inittext,
        table=(),
    )
    # A stub's call is its second instruction; without stubs the location itself is the call.
    insns = array("Q", [BASE + site - (0 if inline else 4) for site in sites])
    area = array("b", [2 if insn in inittext else 1 for insn in insns])
    none = array("Q", [0]) * len(sites)
    boot = replace(replay(kernel), locations=insns, insns=none if inline else insns, area=area, target=none)
    found = boot.headrooms["tracer"]
    each = {
        insn: min(
            max(room(t - BASE - site) for t in (tracer, text_trampoline, *own))
            for tracer in (caller, regs)
            for own in [[init_trampoline] if insn in inittext else []]
        )
        for insn, site in zip(insns, sites, strict=True)
    }
    assert found.bytes == min(each.values())
    assert each[found.location] == found.bytes


@common
@given(kernels(), st.randoms(use_true_random=False))
def test_the_order_of_the_table_does_not_matter(writer: LinkedKernel, random: Any) -> None:
    kernel = writer.kernel()
    table = list(kernel.table)
    random.shuffle(table)
    shuffled = simulate_boot(replace(kernel, table=array("Q", table)))
    assert_same_boot(replace(shuffled, kernel=kernel), simulate_boot(kernel))


@common
@given(kernels(), st.integers(-0x1000, 0x1000))
def test_only_distances_matter(writer: LinkedKernel, pages: int) -> None:
    """Moved as a whole, the kernel boots the same."""
    kernel = writer.kernel()
    shift = pages * 0x1000
    nops = {location + shift for location in writer.locations}
    moved = replace(
        kernel,
        table=array("Q", (address + shift for address in kernel.table)),
        text=range(kernel.text.start + shift, kernel.text.stop + shift),
        inittext=range(kernel.inittext.start + shift, kernel.inittext.stop + shift),
        areas=[replace(area, address=area.address + shift) for area in kernel.areas],
        tracers={n: a + shift for n, a in kernel.tracers.items()},
        trampolines={n: a + shift for n, a in kernel.trampolines.items()},
        memory=WordMemory(lambda address: ppc.NOP if address in nops else 0),
    )
    one, other = simulate_boot(kernel), simulate_boot(moved)
    assert one.failures == other.failures
    assert (one.area, one.index, one.needed) == (other.area, other.index, other.needed)
    assert [a + shift for a in one.locations] == list(other.locations)
    assert {b: r.bytes for b, r in one.headrooms.items()} == {b: r.bytes for b, r in other.headrooms.items()}
