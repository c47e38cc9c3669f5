# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold for every kernel, tried on generated layouts."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import naive_boot
from kernelwriter import MIB, LinkedKernel
from pfestubs.rules import ppc
from pfestubs.rules.boot import Setting, StubArea, headrooms, replay

# Nothing may depend on how fast the machine is.
common = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


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
    kernel = LinkedKernel(
        text=text,
        inittext=sorted(init),
        layout=layout,
        stub_size=draw(st.sampled_from([16, 24])),
        reserve=reserve,
        counts={"text_end": max(0, len(text) - (reserve if layout == "ool" else 0)) + spare},
    )
    if draw(st.booleans()):
        kernel.places["ftrace_tramp_text"] = kernel.base + draw(word)
    return kernel


@common
@given(kernels())
def test_no_findings_means_every_branch_arrives(kernel: LinkedKernel) -> None:
    setting = kernel.setting()
    result = replay(setting)
    wrong = {failure.position for failure in result.failures}
    seen: set[int] = set()
    for i, ip in enumerate(result.locations):
        if i in wrong:
            continue
        insn0, target = result.insns[i], result.target[i]
        out = ppc.encode_branch(insn0 - ip)
        call = ppc.encode_branch(target - (insn0 + 4), link=True)
        back = ppc.encode_branch(ip + 4 - (insn0 + 12))
        assert naive_boot.branch_target(out, ip) == insn0
        assert naive_boot.branch_target(call, insn0 + 4) == target
        assert naive_boot.branch_target(back, insn0 + 12) == ip + 4
        assert target in {*setting.tracers.values(), *setting.trampolines.values()}
        # And every location has a stub to itself, inside an area of its own text.
        area = setting.areas[result.area[i]]
        assert area.address <= insn0 < insn0 + 16 <= area.address + area.count * setting.stub_size
        assert (area.name == "inittext") == (ip in setting.inittext)
        assert insn0 not in seen
        seen.add(insn0)


@common
@given(kernels())
def test_the_fast_one_agrees_with_the_slow_one(kernel: LinkedKernel) -> None:
    result, slow = replay(kernel.setting()), naive_boot.boot(kernel.machine())
    assert [f.rule for f in result.failures] == [one["error"] for one in slow.locations if one["error"]]
    assert [i or None for i in result.insns] == [one["insn0"] for one in slow.locations]
    assert [i or None for i in result.target] == [one["target"] for one in slow.locations]


def single(**changes: Any) -> Setting:
    """One function and one stub, far from everything that is not named in `changes`."""
    base = 0xC000000000000000
    values: dict[str, Any] = {
        "bits": 64,
        "layout": LinkedKernel().setting().layout,
        "table": [base + 256 * MIB],
        "text": range(base, base + 512 * MIB),
        "inittext": range(base + 600 * MIB, base + 700 * MIB),
        "areas": [
            StubArea("text", base, 0),
            StubArea("text_end", base + 256 * MIB, 1),
            StubArea("inittext", base + 600 * MIB, 0),
        ],
        "stub_size": 24,
        "tracers": {"ftrace_caller": base + 256 * MIB + 0x100},
        "trampolines": {"ftrace_tramp_text": base - 512 * MIB, "ftrace_tramp_init": base - 512 * MIB},
        "word_at": lambda _address: ppc.NOP,
        **changes,
    }
    return Setting(**values)


around = st.one_of(
    st.integers(-64, 64).map(lambda n: 0x2000000 + 4 * n),
    st.integers(-64, 64).map(lambda n: -0x2000000 + 4 * n),
    st.integers(-40 * MIB // 4, 40 * MIB // 4).map(lambda n: 4 * n),
)


@common
@given(around, st.sampled_from([16, 24]))
def test_a_stub_finding_disappears_exactly_at_the_limit(insn0_minus_ip: int, stub_size: int) -> None:
    ip = 0xC000000000000000 + 256 * MIB
    struct_at = ip + insn0_minus_ip - (stub_size - 16)
    plain = single()
    areas = [plain.areas[0], StubArea("text_end", struct_at, 1), plain.areas[2]]
    tracers = {"ftrace_caller": struct_at + 0x100}
    result = replay(replace(plain, areas=areas, stub_size=stub_size, tracers=tracers))
    assert bool(result.failures) == (not -0x1FFFFFC <= insn0_minus_ip <= 0x1FFFFF8)
    for failure in result.failures:
        assert failure.distance is not None
        assert failure.limit is not None
        assert abs(failure.distance) > abs(failure.limit)


@common
@given(around, around, around)
def test_a_call_finding_disappears_exactly_at_the_limit(direct: int, text: int, init: int) -> None:
    site = 0xC000000000000000 + 256 * MIB + 8 + 4
    assume(len({direct, text, init}) == 3)
    result = replay(
        single(
            tracers={"ftrace_caller": site + direct},
            trampolines={"ftrace_tramp_text": site + text, "ftrace_tramp_init": site + init},
        )
    )
    reach = [-0x2000000 <= d <= 0x1FFFFFC for d in (direct, text, init)]
    if reach[0] or reach[1]:
        expected = []
    else:
        expected = ["init-trampoline-only"] if reach[2] else ["tracer-unreachable"]
    assert [failure.rule for failure in result.failures] == expected
    if not any(reach):
        (failure,) = result.failures
        assert (failure.distance, failure.limit) == (direct, -0x2000000 if direct < 0 else 0x1FFFFFC)


def room(distance: int) -> int:
    return min(0x1FFFFFC - distance, distance + 0x2000000)


@common
@given(kernels())
def test_headroom_is_the_minimum_over_all_stubs(kernel: LinkedKernel) -> None:
    """The four sites that the cheap computation looks at are the ones that matter."""
    setting = kernel.setting()
    result = replay(setting)
    found = headrooms(setting, result)
    served = [(ip, insn0) for ip, insn0 in zip(result.locations, result.insns, strict=True) if insn0]
    if not served:
        assert found == {}
        return
    relay = setting.trampolines["ftrace_tramp_text"]

    def tracer(insn0: int) -> int:
        site = insn0 + 4
        return min(max(room(t - site), room(relay - site)) for t in setting.tracers.values())

    assert found["stub"].bytes == min(room(ip - insn0) for ip, insn0 in served)
    assert found["return"].bytes == min(room(ip + 4 - (insn0 + 12)) for ip, insn0 in served)
    assert found["tracer"].bytes == min(tracer(insn0) for _, insn0 in served)
    by_location = dict(served)
    # The function named is one that really is that tight.
    ip = found["stub"].location
    assert room(ip - by_location[ip]) == found["stub"].bytes
    ip = found["return"].location
    assert room(ip - 8 - by_location[ip]) == found["return"].bytes
    assert tracer(by_location[found["tracer"].location]) == found["tracer"].bytes
    # Headroom and findings tell the same story.
    out = {"stub-out-of-range", "return-out-of-range"}
    tight = min(found["stub"].bytes, found["return"].bytes)
    assert (tight < 0) == any(failure.rule in out for failure in result.failures)


far = st.integers(0, 80 * MIB // 4).map(lambda n: 4 * n)


@common
@given(
    st.lists(far, min_size=1, max_size=30, unique=True), st.lists(far, min_size=3, max_size=3), st.booleans()
)
def test_headroom_of_calls_wherever_the_stubs_are(sites: list[int], targets: list[int], inline: bool) -> None:
    """Stubs between two targets that are far apart are the tightest, and no first or last one."""
    base = 0xC000000000000000
    width = max(targets) - min(targets) + 4
    sites = sorted({min(targets) + site % width for site in sites})
    caller, regs, relay = (base + target for target in targets)
    setting = single(
        tracers={"ftrace_caller": caller, "ftrace_regs_caller": regs},
        trampolines={"ftrace_tramp_text": relay},
        layout=None if inline else single().layout,
    )
    # A stub's call is its second instruction; without stubs the location itself is the call.
    insns = [base + site - (0 if inline else 4) for site in sites]
    empty = replay(replace(setting, table=[]))
    column = array("Q", insns)
    found = headrooms(setting, replace(empty, locations=column, insns=column))["tracer"]
    each = {
        insn: min(max(room(t - base - site), room(relay - base - site)) for t in (caller, regs))
        for insn, site in zip(insns, sites, strict=True)
    }
    assert found.bytes == min(each.values())
    assert each[found.location] == found.bytes


@common
@given(kernels(), st.randoms(use_true_random=False))
def test_the_order_of_the_table_does_not_matter(kernel: LinkedKernel, random: Any) -> None:
    table = list(kernel.locations)
    random.shuffle(table)
    setting = kernel.setting()
    assert replay(replace(setting, table=table)) == replay(setting)


@common
@given(kernels(), st.integers(-0x1000, 0x1000))
def test_only_distances_matter(kernel: LinkedKernel, pages: int) -> None:
    """Moved as a whole, the kernel boots the same."""
    setting = kernel.setting()
    shift = pages * 0x1000
    nops = {location + shift for location in kernel.locations}
    moved = replace(
        setting,
        table=[address + shift for address in setting.table],
        text=range(setting.text.start + shift, setting.text.stop + shift),
        inittext=range(setting.inittext.start + shift, setting.inittext.stop + shift),
        areas=[StubArea(a.name, a.address + shift, a.count) for a in setting.areas],
        tracers={n: a + shift for n, a in setting.tracers.items()},
        trampolines={n: a + shift for n, a in setting.trampolines.items()},
        word_at=lambda address: ppc.NOP if address in nops else 0,
    )
    one, other = replay(setting), replay(moved)
    assert one.failures == other.failures
    assert (one.area, one.index, dict(one.needed)) == (other.area, other.index, dict(other.needed))
    assert [a + shift for a in one.locations] == list(other.locations)
