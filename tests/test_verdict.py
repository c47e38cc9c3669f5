# SPDX-License-Identifier: GPL-2.0-or-later
"""The verdict: findings, their order and words, the cure, promises, thresholds; the table and the areas."""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from kernelwriter import MIB, LinkedKernel
from pfestubs.errors import ContradictionError, UnreadableError, UnsuitableError
from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.check import Baseline, CheckOptions, CheckResult, ExpectedCounts, Growth, check_kernel
from pfestubs.rules.sizing import Entries, Stubs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pfestubs.rules.findings import Finding

    Judged = Callable[..., CheckResult]

BASE = 0xC000000000000000


@pytest.fixture
def judged(tmp_path: Path) -> Judged:
    """The verdict on a kernel written to a file and read back."""

    def of(kernel: LinkedKernel, demands: CheckOptions | None = None) -> CheckResult:
        path = kernel.save(tmp_path / "vmlinux")
        with open_kernel(str(path)) as read:
            return check_kernel(read, demands or CheckOptions())

    return of


def errors(verdict: CheckResult) -> list[tuple[str, str | None]]:
    return [(f.rule, f.function) for f in verdict.errors]


def only(verdict: CheckResult) -> Finding:
    (finding,) = verdict.errors
    return finding


def test_all_is_well(judged: Judged) -> None:
    verdict = judged(LinkedKernel())
    assert verdict.ok
    assert verdict.findings == []
    assert (verdict.layout, verdict.stub_size, verdict.locations) == ("ool", 24, 5)
    assert [(a.name, a.reserved, a.used, a.needed) for a in verdict.areas] == [
        ("text", 2, 2, 2),
        ("text_end", 1, 1, 1),
        ("inittext", 2, 2, 2),
    ]
    assert {room.branch for room in verdict.by_branch} == {"stub", "return", "tracer"}
    assert verdict.headroom in verdict.by_branch


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize(("layout", "stub_size"), [("ool", 24), ("ool", 16), ("pfe", 16), ("pfe", 24)])
def test_stub_size_and_storage_are_read_from_the_file(
    order: str, zeros: bool, layout: str, stub_size: int, judged: Judged
) -> None:
    verdict = judged(LinkedKernel(order=order, zeros=zeros, layout=layout, stub_size=stub_size))
    assert verdict.findings == []
    assert (verdict.layout, verdict.stub_size, verdict.locations) == (layout, stub_size, 5)


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("zeros", [False, True])
def test_no_stub_symbols_is_inline(bits: int, order: str, zeros: bool, judged: Judged) -> None:
    kernel = LinkedKernel(layout=None, bits=bits, order=order, zeros=zeros)
    kernel.words |= {location + 4: 0x60000000 for location in kernel.locations}
    verdict = judged(kernel)
    assert verdict.findings == []
    assert (verdict.layout, verdict.stub_size, verdict.locations) == ("inline", None, 5)
    assert verdict.areas == []
    assert [room.branch for room in verdict.by_branch] == ["tracer"]


# -- one finding a location, in boot order ----------------------------------------------------------------


def test_findings_by_location_in_boot_order(judged: Judged) -> None:
    kernel = LinkedKernel(counts={"text_end": 0})
    kernel.words[kernel.locations[0]] = 0x7C0802A6
    kernel.words[kernel.locations[4]] = 0
    kernel.table = [*reversed(kernel.locations), 0, BASE - 0x100]
    verdict = judged(kernel)
    assert [(f.rule, f.function, f.location) for f in verdict.findings] == [
        ("area-unused", None, None),
        ("location-skipped", None, 0),
        ("location-skipped", hex(BASE - 0x100), BASE - 0x100),
        ("location-not-nop", "fn0", kernel.locations[0]),
        ("location-not-nop", "init1", kernel.locations[4]),
    ]
    assert verdict.locations == 5
    assert "holds 0x7c0802a6" in verdict.errors[0].message


def test_file_findings_first_and_thresholds_last(judged: Judged) -> None:
    kernel = LinkedKernel(counts={"text_end": 0}, sizes={"inittext": 1}, reserve=1, cut=0)
    demands = CheckOptions(
        promise=ExpectedCounts("o", "ool", Entries(3, 2, 0), Stubs(1, 2, 2)),
        min_headroom=1 << 30,
        baseline=Baseline("b.json", 1, None),
        max_growth=Growth(Decimal(1), "locations"),
    )
    assert [f.rule for f in judged(kernel, demands).errors] == [
        "area-damaged",
        "count-mismatch",
        "area-exhausted",
        "area-exhausted",
        "low-headroom",
        "growth",
    ]


def test_notes_do_not_break_the_build(judged: Judged) -> None:
    verdict = judged(LinkedKernel(counts={"text_end": 7}))
    assert verdict.ok
    (note,) = verdict.findings
    assert (note.rule, note.severity) == ("area-unused", "note")
    assert note.message == "6 of 7 stubs of area text_end stay unused"


def test_function_names_carry_the_offset(judged: Judged) -> None:
    kernel = LinkedKernel()
    kernel.words[kernel.locations[1] + 8] = 0x60000000
    kernel.table = [kernel.locations[1] + 8, kernel.locations[0]]
    kernel.words[kernel.locations[0]] = 0
    kernel.counts = {"text": 0, "text_end": 0, "inittext": 0}
    found = [(f.rule, f.function) for f in judged(kernel).errors]
    assert found == [("location-not-nop", "fn0"), ("area-exhausted", "fn1+0x8")]


# -- distances and limits, signed as the kernel computes them ---------------------------------------------


def test_stub_out_of_range(judged: Judged) -> None:
    # The function lies 4 bytes beyond what its stub can reach.
    at = {"text_end": 0x1000 + 0x2000004}
    finding = only(judged(LinkedKernel(text=[0x1000], inittext=[], layout="pfe", stub_size=16, area_at=at)))
    assert (finding.rule, finding.function) == ("stub-out-of-range", "fn0")
    assert (finding.distance, finding.limit) == (-0x2000004, -0x2000000)
    assert finding.location == BASE + 0x1000
    assert finding.stub == BASE + 0x1000 + 0x2000004
    assert "is 33,554,436 bytes from its stub at 0xc000000002001004 (limit 33,554,432)" in finding.message


def test_return_out_of_range(judged: Judged) -> None:
    kernel = LinkedKernel(text=[0x1000], inittext=[], reserve=0, area_at={"text_end": 0x1000 + 0x2000000 - 8})
    finding = only(judged(kernel))
    assert (finding.rule, finding.distance, finding.limit) == ("return-out-of-range", -0x2000008, -0x2000000)


def test_tracer_unreachable_and_init_trampoline_only(judged: Judged) -> None:
    far = LinkedKernel(text=[0x2800000], inittext=[0x0], reserve=0)
    for name in ("ftrace_tramp_text", "ftrace_tramp_init"):
        far.places[name] = BASE
    assert errors(judged(far)) == [("tracer-unreachable", "fn0"), ("tracer-unreachable", "init0")]
    far.places["ftrace_tramp_init"] = far.area_at["inittext"] - 0x40
    finding = only(judged(far))
    assert (finding.rule, finding.function) == ("init-trampoline-only", "fn0")
    site = far.area_address("text_end") + 12
    assert (finding.distance, finding.limit) == (far.place("ftrace_caller") - site, -0x2000000)


# -- the cure ---------------------------------------------------------------------------------------------


def trap() -> LinkedKernel:
    """100 functions 1 MiB apart: the reserve of 60 is in reach of the first 32."""
    return LinkedKernel(
        text=[0x10000 + i * MIB for i in range(60)], inittext=[], reserve=60, counts={"text_end": 20}
    )


def test_the_reserve_trap_and_its_cure(judged: Judged) -> None:
    verdict = judged(trap())
    first = verdict.errors[0]
    assert first.rule == "area-exhausted"
    assert first.function == "fn52"
    assert "area text_end has 20, 28 are needed; 8 functions stay without a stub" in first.message
    assert "only 32 of the 60 stubs of area text are in reach" in first.message
    assert "lower CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE to " in first.message
    assert all("CONFIG" not in f.message for f in verdict.errors[1:])
    advised = int(first.message.split("NUM_RESERVE to ")[1].split(" ")[0].replace(",", ""))
    cured = trap()
    cured = LinkedKernel(text=cured.text, inittext=[], reserve=advised, counts={"text_end": 80 - advised})
    assert judged(cured).ok


def test_raise_the_reserve(judged: Judged) -> None:
    """The first functions are out of reach of the end area; a larger reserve serves them."""
    kernel = LinkedKernel(
        text=[0x1000, 0x1010, 0x1020, 0x1030, 0x2300000], inittext=[], reserve=2, text_size=0x2400000
    )
    verdict = judged(kernel)
    assert errors(verdict) == [("stub-out-of-range", "fn2"), ("stub-out-of-range", "fn3")]
    assert "raise CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE to at least 4" in verdict.errors[0].message
    assert judged(LinkedKernel(text=kernel.text, inittext=[], reserve=4)).ok


def test_a_wrong_count_is_cured_by_generating_again(judged: Judged) -> None:
    assert "generate the areas again" in only(judged(LinkedKernel(counts={"text_end": 0}))).message
    assert "generate the areas again" in only(judged(LinkedKernel(counts={"inittext": 1}))).message


def test_rfc_area_exhausted(judged: Judged) -> None:
    finding = only(judged(LinkedKernel(layout="pfe", stub_size=16, counts={"text_end": 2})))
    assert (finding.rule, finding.function) == ("area-exhausted", "fn2")
    assert "area text_end has 2, 3 are needed; 1 function stays without a stub; generate" in finding.message


def test_init_text_out_of_reach_is_no_matter_of_the_reserve(judged: Judged) -> None:
    kernel = LinkedKernel(text=[0x1000], inittext=[0, 0x10])
    kernel = LinkedKernel(
        text=[0x1000], inittext=[0, 0x10], reserve=1, area_at={"inittext": kernel.init_base + 40 * MIB}
    )
    verdict = judged(kernel)
    assert errors(verdict) == [("stub-out-of-range", "init0"), ("stub-out-of-range", "init1")]
    assert "RESERVE" not in verdict.errors[0].message


# -- the table --------------------------------------------------------------------------------------------


def test_odd_length(judged: Judged) -> None:
    kernel = LinkedKernel(cut=3)
    finding = judged(kernel).errors[0]
    assert finding.rule == "table-damaged"
    assert "has 37 bytes, no multiple of 8" in finding.message
    assert judged(kernel).locations == 4


def test_misaligned_and_duplicate_entries(judged: Judged) -> None:
    kernel = LinkedKernel(counts={"text_end": 3})
    kernel.table = [*kernel.locations, kernel.locations[1], kernel.locations[0] + 2]
    verdict = judged(kernel)
    assert errors(verdict) == [("table-damaged", "fn1"), ("table-damaged", "fn0+0x2")]
    assert "more than once" in verdict.errors[0].message
    assert verdict.errors[1].location == kernel.locations[0] + 2


def test_all_slots_empty(judged: Judged) -> None:
    kernel = LinkedKernel(table=[0, 0, 0])
    verdict = judged(kernel)
    assert errors(verdict) == [("table-damaged", None)]
    assert verdict.headroom is None
    assert verdict.locations == 0


def test_a_single_zero_is_a_note(judged: Judged) -> None:
    kernel = LinkedKernel()
    kernel.table = [0, *kernel.locations]
    verdict = judged(kernel)
    assert verdict.ok
    assert [f.rule for f in verdict.findings] == ["location-skipped"]


# -- the areas --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("area", ["text", "text_end", "inittext"])
@pytest.mark.parametrize("change", [-24, -1, 8, 24])
def test_size_is_not_count_times_stub_size(area: str, change: int, judged: Judged) -> None:
    kernel = LinkedKernel(reserve=1)
    size = kernel.counts[area] * 24
    kernel.sizes = {area: size + change}
    finding = only(judged(kernel))
    assert finding.rule == "area-damaged"
    assert finding.message.startswith(f"area {area} at ")
    assert f"has {size + change:,} bytes, expected {size:,}" in finding.message


@pytest.mark.parametrize("area", ["text", "text_end", "inittext"])
def test_count_lowered_by_one(area: str, judged: Judged) -> None:
    kernel = LinkedKernel(reserve=2, text=[0x1000 + 16 * i for i in range(5)], inittext=[0, 16])
    sizes = {name: count * 24 for name, count in kernel.counts.items()}
    kernel.counts[area] -= 1
    kernel.sizes = {area: sizes[area]}
    last = {"text": "fn4", "text_end": "fn4", "inittext": "init1"}[area]
    assert errors(judged(kernel)) == [("area-damaged", None), ("area-exhausted", last)]


def test_reserve_of_none_is_legal(judged: Judged) -> None:
    assert judged(LinkedKernel(reserve=0)).findings == []


def test_areas_outside_their_text(judged: Judged) -> None:
    for name, at in (("text", -0x1000), ("text_end", 0x100000), ("inittext", BASE + 0x40)):
        kernel = LinkedKernel()
        kernel.area_at[name] = at
        damaged = [f for f in judged(kernel).errors if f.rule == "area-damaged"]
        assert [f.message.split(" (")[0] for f in damaged if "lies outside" in f.message] == [f"area {name}"]


def test_area_that_ends_beyond_its_text(judged: Judged) -> None:
    kernel = LinkedKernel()
    kernel.area_at["text_end"] = kernel.text_size - 24
    assert judged(kernel).ok
    kernel.area_at["text_end"] += 8
    assert "lies outside kernel text" in only(judged(kernel)).message


def test_overlapping_and_misaligned_areas(judged: Judged) -> None:
    kernel = LinkedKernel(text=[0x1000, 0x1010, 0x1020, 0x1030])
    kernel.area_at["text_end"] = kernel.area_at["text"] + 24
    assert "area text ends at 0xc000000000000230, after area text_end begins" in only(judged(kernel)).message
    kernel.area_at["text_end"] = kernel.area_at["text"] + 48
    assert judged(kernel).ok
    kernel.area_at["text_end"] += 4
    assert "is not aligned to 8 bytes" in only(judged(kernel)).message


def test_rfc_areas_begin_at_an_instruction(judged: Judged) -> None:
    kernel = LinkedKernel(layout="pfe", stub_size=16)
    kernel.area_at["text_end"] += 4
    assert judged(kernel).ok


# -- promises ---------------------------------------------------------------------------------------------


def promise(entries: int = 3, **stubs: int) -> CheckOptions:
    counts = {"text": 2, "text_end": 1, "inittext": 2, **stubs}
    return CheckOptions(promise=ExpectedCounts("vmlinux.o", "ool", Entries(entries, 2, 0), Stubs(**counts)))


def test_promise_kept(judged: Judged) -> None:
    assert judged(LinkedKernel(), promise()).findings == []


@pytest.mark.parametrize(("area", "count"), [("text", 3), ("text_end", 0), ("text_end", 2), ("inittext", 1)])
def test_counts_that_were_not_promised(area: str, count: int, judged: Judged) -> None:
    finding = only(judged(LinkedKernel(), promise(**{area: count})))
    assert finding.rule == "count-mismatch"
    assert f"area {area} has " in finding.message
    assert f"vmlinux.o promised {count}" in finding.message


def test_fewer_locations_are_no_error_and_more_are(judged: Judged) -> None:
    assert judged(LinkedKernel(), promise(entries=4)).ok
    finding = only(judged(LinkedKernel(), promise(entries=2)))
    assert (finding.rule, "has 5 entries, vmlinux.o only 4" in finding.message) == ("count-mismatch", True)


def test_promise_of_unknown_layout_compares_entries_only(judged: Judged) -> None:
    unknown = CheckOptions(promise=ExpectedCounts("o", None, Entries(2, 2, 0), None))
    assert [f.rule for f in judged(LinkedKernel(), unknown).errors] == ["count-mismatch"]


def test_promise_of_another_layout(judged: Judged) -> None:
    other = CheckOptions(promise=ExpectedCounts("o", "pfe", Entries(3, 2, 0), Stubs(None, 3, 2)))
    with pytest.raises(ContradictionError, match="is of layout pfe"):
        judged(LinkedKernel(), other)


# -- thresholds -------------------------------------------------------------------------------------------


def test_min_headroom_to_the_byte(judged: Judged) -> None:
    room = judged(LinkedKernel()).headroom
    assert room is not None
    assert judged(LinkedKernel(), CheckOptions(min_headroom=room.bytes)).ok
    finding = only(judged(LinkedKernel(), CheckOptions(min_headroom=room.bytes + 1)))
    assert (finding.rule, finding.function) == ("low-headroom", room.function)
    assert f"{room.bytes:,} bytes" in finding.message


@pytest.mark.parametrize(
    ("amount", "unit", "baseline", "ok"),
    [
        ("2", "locations", 3, True),
        ("1", "locations", 3, False),
        ("0", "locations", 5, True),
        ("0", "locations", 6, True),
        ("25", "percent", 4, True),
        ("24.9", "percent", 4, False),
        ("0", "percent", 4, False),
    ],
)
def test_growth(amount: str, unit: Any, baseline: int, ok: bool, judged: Judged) -> None:
    demands = CheckOptions(
        baseline=Baseline("old.json", baseline, None), max_growth=Growth(Decimal(amount), unit)
    )
    verdict = judged(LinkedKernel(), demands)
    assert verdict.ok == ok
    assert [f.rule for f in verdict.errors] == [] if ok else ["growth"]


def test_percentages_are_exact() -> None:
    assert Growth(Decimal("2.3"), "percent").allowed(1000) == 23
    assert Growth(Decimal("0.3"), "percent").allowed(42_648) == 127
    assert str(Growth(Decimal("2.30"), "percent")) == "2.30%"
    assert str(Growth(Decimal(1500), "locations")) == "1,500"


# -- what cannot be looked at -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "ftrace_caller",
        "ftrace_regs_caller",
        "ftrace_tramp_text",
        "ftrace_tramp_init",
        "_stext",
        "_etext",
        "_sinittext",
        "_einittext",
    ],
)
def test_missing_symbol(name: str, judged: Judged) -> None:
    with pytest.raises(UnsuitableError, match=f"has no symbol {name}"):
        judged(LinkedKernel(symbols={name: None}))


@pytest.mark.parametrize("name", ["__start_mcount_loc", "__stop_mcount_loc"])
def test_half_a_table(name: str, judged: Judged) -> None:
    with pytest.raises(UnsuitableError, match=f"has no symbol {name}"):
        judged(LinkedKernel(symbols={name: None}))


def test_no_table(judged: Judged) -> None:
    symbols = dict.fromkeys(("__start_mcount_loc", "__stop_mcount_loc"))
    with pytest.raises(UnsuitableError, match="has no location table"):
        judged(LinkedKernel(symbols=dict(symbols)))


def test_empty_table(judged: Judged) -> None:
    with pytest.raises(UnsuitableError, match="empty location table"):
        judged(LinkedKernel(table=[]))


def test_elfv1(judged: Judged) -> None:
    with pytest.raises(UnsuitableError, match="ABI v1"):
        judged(LinkedKernel(elf_flags=1, order=">"))


def test_half_the_stub_symbols(tmp_path: Path, judged: Judged) -> None:
    kernel = LinkedKernel(symbols={"ftrace_ool_stub_inittext_count": None})
    with pytest.raises(UnsuitableError, match="has no symbol ftrace_ool_stub_inittext_count"):
        judged(kernel)


def test_symbols_of_two_layouts(judged: Judged) -> None:
    with pytest.raises(ContradictionError, match="two layouts"):
        judged(LinkedKernel(symbols={"ftrace_pfe_stub_text": BASE + 0x100}))


def test_count_outside_the_file(judged: Judged) -> None:
    kernel = LinkedKernel(symbols={"ftrace_ool_stub_text_count": 0x100})
    with pytest.raises(UnreadableError, match="does not hold ftrace_ool_stub_text_count"):
        judged(kernel)


# -- the relocations that fill the table ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "info", "found"),
    [
        (0, 38, None),  # R_PPC64_ADDR64 and UADDR64 without a symbol fill a slot as well
        (0, 43, None),
        (0, 44, "relocation R_PPC64_REL64"),
        (0, 1 << 32 | 22, "relocation R_PPC64_RELATIVE"),
        (4, 22, "relocation R_PPC64_RELATIVE"),
    ],
)
def test_relocations_of_the_table(step: int, info: int, found: str | None, tmp_path: Path) -> None:
    path = LinkedKernel(zeros=True).save(tmp_path / "vmlinux")
    data = path.read_bytes()
    with open_kernel(str(path)) as kernel:
        address = kernel.table_address
    entry = struct.pack("<QQ", address, 22)
    assert data.count(entry) == 1
    path.write_bytes(data.replace(entry, struct.pack("<QQ", address + step, info)))
    if found is None:
        with open_kernel(str(path)) as kernel:
            assert list(kernel.table) == LinkedKernel().locations
    else:
        with pytest.raises(UnreadableError, match=found), open_kernel(str(path)):
            pass
