# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules of `check`: findings with their facts, order and remedies, expected counts, thresholds.

Sentences are not tested here but in `test_check_formats.py`.
"""

import struct
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pfestubs.errors import InputError, Refusal, RefusedError
from pfestubs.formats.findings import finding_message
from pfestubs.layouts import LAYOUTS, RESERVE_CONFIG, AreaSpec
from pfestubs.model import ByteOrder, EntryCounts, KernelFigures, KernelIdentity, ObjectCounts
from pfestubs.model.findings import Action, Finding, Remedy
from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.check import AllowedGrowth, CheckOptions, CheckResult, check_boot
from pfestubs.rules.kernel.integrity import measure_stub_size
from pfestubs.rules.kernel.simulation import boot_kernel
from support.kernelwriter import BASE, MIB, LinkedKernel, inline_kernel

Check = Callable[..., CheckResult]

RESERVE, END, INIT = LAYOUTS["ool"].areas
REGENERATE = Remedy(Action.REGENERATE_AREAS)
RESTORE_ORDER = Remedy(Action.RESTORE_LINK_ORDER)


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Check a kernel that is written to a file and read back."""

    def of(kernel: LinkedKernel, options: CheckOptions | None = None) -> CheckResult:
        path = kernel.save(tmp_path / "vmlinux")
        with open_kernel(str(path)) as read:
            return check_boot(boot_kernel(read), options or CheckOptions())

    return of


Facts = tuple[str, dict[str, Any]]


def facts(finding: Finding) -> Facts:
    """What a finding's sentence is made from; that it can be made."""
    assert finding_message(finding)
    return finding.case or finding.rule, dict(finding.figures)


def case(name: str, **figures: Any) -> Facts:
    return name, figures


def shortage(area: AreaSpec, stubs: int, needed: int) -> Facts:
    return case("area-exhausted", area=area, stubs=stubs, needed=needed, missing=needed - stubs)


def saved(file: str, layout: str, locations: int, *machine: Any) -> KernelFigures:
    """The figures of an earlier kernel's saved check."""
    return KernelFigures(KernelIdentity(file, layout, *machine), "check", locations)


def against(
    locations: int, amount: str, unit: Any = "locations", layout: str = "ool", **options: Any
) -> CheckOptions:
    """A limit on the growth since an earlier kernel."""
    growth = AllowedGrowth(Decimal(amount), unit)
    return CheckOptions(baseline=saved("old.json", layout, locations), max_growth=growth, **options)


def errors(result: CheckResult) -> list[tuple[str, str | None]]:
    return [(finding.rule, finding.function) for finding in result.errors]


def only(result: CheckResult) -> Finding:
    (finding,) = result.errors
    return finding


def figures(result: CheckResult) -> tuple[str, int, int]:
    return result.boot.kernel.layout_name, result.boot.stub_size, len(result.boot.locations)


def test_a_healthy_kernel_has_no_findings(check: Check) -> None:
    assert check(LinkedKernel(reserve=0)).findings == []  # legal
    result = check(LinkedKernel())
    assert result.ok
    assert result.findings == []
    assert figures(result) == ("ool", 24, 5)
    assert [(area.name, area.count, used, needed) for area, used, needed in result.boot.uses] == [
        ("text", 2, 2, 2),
        ("text_end", 1, 1, 1),
        ("inittext", 2, 2, 2),
    ]
    assert set(result.boot.headrooms) == {"stub", "return", "tracer"}
    assert result.boot.headroom in result.boot.headrooms.values()
    assert result.boot.stop_function is None
    kernel = result.boot.kernel
    assert (kernel.release, kernel.banner, kernel.build_id) == (None, None, None)


def test_which_kernel_it_is() -> None:
    banner = "Linux version 7.2.13-amd64 (builder@host) (gcc 14.2) #1 SMP"
    kernel = replace(LinkedKernel().kernel(), banner=banner, build_id="0123")
    result = check_boot(boot_kernel(kernel), CheckOptions())
    assert (result.boot.kernel.file, result.boot.kernel.release) == ("vmlinux", "7.2.13-amd64")
    assert (result.boot.kernel.banner, result.boot.kernel.build_id) == (banner, "0123")
    assert replace(kernel, banner="another text").release is None


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize(("layout", "stub_size"), [("ool", 24), ("ool", 16), ("pfe", 16), ("pfe", 24)])
def test_stub_size_and_storage_are_read_from_the_file(
    order: str, zeros: bool, layout: str, stub_size: int, check: Check
) -> None:
    result = check(LinkedKernel(order=order, zeros=zeros, layout=layout, stub_size=stub_size))
    assert result.findings == []
    assert figures(result) == (layout, stub_size, 5)
    byte_order = "little" if order == "<" else "big"
    assert (result.boot.kernel.bits, result.boot.kernel.byte_order) == (64, byte_order)


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("zeros", [False, True])
def test_no_stub_symbols_is_inline(bits: int, order: str, zeros: bool, check: Check) -> None:
    result = check(inline_kernel(bits=bits, order=order, zeros=zeros))
    assert result.findings == []
    assert figures(result) == ("inline", 0, 5)
    assert result.boot.uses == []
    assert list(result.boot.headrooms) == ["tracer"]


# -- one finding per location, in boot order --------------------------------------------------------------


def test_findings_by_location_in_boot_order(check: Check) -> None:
    kernel = LinkedKernel(counts={"text_end": 0})
    kernel.words[kernel.locations[0]] = 0x7C0802A6
    kernel.words[kernel.locations[4]] = 0
    kernel.table = [*reversed(kernel.locations), 0, BASE - 0x100]
    result = check(kernel)
    assert [(x.rule, x.function, x.location) for x in result.findings] == [
        ("area-unused", None, None),
        ("location-skipped", None, 0),
        ("location-skipped", hex(BASE - 0x100), BASE - 0x100),
        ("location-not-nop", "fn0", kernel.locations[0]),
        ("location-not-nop", "init1", kernel.locations[4]),
    ]
    assert len(result.boot.locations) == 5
    assert list(map(facts, result.findings)) == [
        case("area-unused", area=INIT, unused=1, stubs=2),
        case("entry-empty"),
        case("location-skipped"),
        case("location-not-nop", word=0x7C0802A6),
        case("location-not-nop", word=0),
    ]
    assert [finding.remedy for finding in result.errors] == [Remedy(Action.REBUILD), None]
    assert result.boot.stop_function == "fn0"


def test_file_findings_first_and_thresholds_last(check: Check) -> None:
    kernel = LinkedKernel(counts={"text_end": 0}, sizes={"inittext": 1}, reserve=1, cut=0)
    expected = object_counts(EntryCounts(3, 2, 0), {"text": 1, "text_end": 2, "inittext": 2})
    options = against(1, "1", expected=expected, min_headroom=1 << 30)
    rules = "area-damaged count-mismatch area-exhausted area-exhausted low-headroom growth"
    assert [found.rule for found in check(kernel, options).errors] == rules.split()


def test_notes_do_not_break_the_build(check: Check) -> None:
    result = check(LinkedKernel(counts={"text_end": 7}))
    assert result.ok
    (note,) = result.findings
    assert (note.rule, note.severity, note.remedy) == ("area-unused", "note", None)
    assert facts(note) == case("area-unused", area=END, unused=6, stubs=7)
    assert note.stub == LinkedKernel().area_address("text_end")


def test_function_names_carry_the_offset(check: Check) -> None:
    kernel = LinkedKernel()
    kernel.words[kernel.locations[1] + 8] = 0x60000000
    kernel.table = [kernel.locations[1] + 8, kernel.locations[0]]
    kernel.words[kernel.locations[0]] = 0
    kernel.counts = {"text": 0, "text_end": 0, "inittext": 0}
    assert errors(check(kernel)) == [("location-not-nop", "fn0"), ("area-exhausted", "fn1+0x8")]


# -- distances and limits, signed as the kernel computes them ---------------------------------------------


@pytest.mark.parametrize(
    ("rule", "stub_minus_ip", "distance"),
    [
        ("stub-out-of-range", 0x2000004, -0x2000004),  # 4 bytes beyond what its stub can reach
        ("return-out-of-range", 0x2000000, -0x2000008),
    ],
)
def test_out_of_range(rule: str, stub_minus_ip: int, distance: int, check: Check) -> None:
    at = {"text_end": 0x1000 + stub_minus_ip}
    finding = only(check(LinkedKernel(text=[0x1000], inittext=[], layout="pfe", stub_size=16, area_at=at)))
    assert (finding.rule, finding.function, finding.location) == (rule, "fn0", BASE + 0x1000)
    assert (finding.distance, finding.limit) == (distance, -0x2000000)
    assert finding.stub == BASE + 0x1000 + stub_minus_ip
    assert (facts(finding), finding.remedy) == (case(rule), Remedy(Action.SHRINK_TEXT))


def test_tracer_unreachable_and_init_trampoline_only(check: Check) -> None:
    far = LinkedKernel(text=[0x2800000], inittext=[0x0], reserve=0)
    for name in ("ftrace_tramp_text", "ftrace_tramp_init"):
        far.places[name] = BASE
    result = check(far)
    assert errors(result) == [("tracer-unreachable", "fn0"), ("tracer-unreachable", "init0")]
    assert list(map(facts, result.errors)) == [case("tracer-unreachable", tracer="ftrace_caller")] * 2
    assert [finding.remedy for finding in result.errors] == [RESTORE_ORDER, None]
    assert result.boot.stop_function == "fn0"
    far.places["ftrace_tramp_init"] = far.area_at["inittext"] - 0x40
    result = check(far)
    finding = only(result)
    assert (finding.rule, finding.function) == ("init-trampoline-only", "fn0")
    assert facts(finding) == case("init-trampoline-only", tracer="ftrace_caller")
    assert finding.remedy == RESTORE_ORDER
    assert result.boot.stop_function is None
    site = far.area_address("text_end") + 12
    assert (finding.distance, finding.limit) == (far.place("ftrace_caller") - site, -0x2000000)


# -- remedies ---------------------------------------------------------------------------------------------


def trap() -> LinkedKernel:
    """60 functions 1 MiB apart: 32 of the 60 stubs of the reserve are in range."""
    text = range(0x10000, 0x10000 + 60 * MIB, MIB)
    return LinkedKernel(text=text, inittext=[], reserve=60, counts={"text_end": 20})


def test_the_reserve_trap_and_its_remedy(check: Check) -> None:
    result = check(trap())
    first = result.errors[0]
    assert (first.rule, first.function) == ("area-exhausted", "fn52")
    figures = {"stubs": 20, "needed": 28, "missing": 8, "reserve": 60, "usable": 32}
    assert facts(first) == case("reserve-trapped", area=END, **figures)
    assert first.remedy is not None
    assert (first.remedy.action, first.remedy.config) == (Action.LOWER_RESERVE, RESERVE_CONFIG)
    assert [finding.remedy for finding in result.errors[1:]] == [None] * 7
    lower = first.remedy.value
    assert lower is not None
    assert check(replace(trap(), reserve=lower, counts={"text_end": 80 - lower}, area_at={})).ok


def test_raise_the_reserve(check: Check) -> None:
    """The first functions are out of range of the end area; a larger reserve gives them stubs."""
    text = [0x1000, 0x1010, 0x1020, 0x1030, 0x2300000]
    kernel = LinkedKernel(text=text, inittext=[], text_size=0x2400000)
    result = check(kernel)
    assert errors(result) == [("stub-out-of-range", "fn2"), ("stub-out-of-range", "fn3")]
    assert result.errors[0].remedy is not None
    assert result.errors[0].remedy[:4] == Remedy(Action.RAISE_RESERVE, RESERVE_CONFIG, 4, (4, 4))[:4]
    assert result.errors[1].remedy is None
    assert check(LinkedKernel(text=kernel.text, inittext=[], reserve=4)).ok


@pytest.mark.parametrize(
    ("counts", "shortage"), [({"text_end": 0}, shortage(END, 0, 1)), ({"inittext": 1}, shortage(INIT, 1, 2))]
)
def test_areas_with_a_wrong_count_are_generated_again(
    counts: dict[str, int], shortage: Facts, check: Check
) -> None:
    finding = only(check(LinkedKernel(counts=counts)))
    assert (facts(finding), finding.remedy) == (shortage, REGENERATE)


def test_rfc_area_exhausted(check: Check) -> None:
    finding = only(check(LinkedKernel(layout="pfe", stub_size=16, counts={"text_end": 2})))
    assert (finding.rule, finding.function) == ("area-exhausted", "fn2")
    assert facts(finding) == shortage(LAYOUTS["pfe"].areas[0], 2, 3)
    assert (finding.stub, finding.remedy) == (None, REGENERATE)


def test_init_text_out_of_range_is_not_a_matter_of_the_reserve(check: Check) -> None:
    far = LinkedKernel().init_base + 40 * MIB
    result = check(LinkedKernel(area_at={"inittext": far}))
    assert errors(result) == [("stub-out-of-range", "init0"), ("stub-out-of-range", "init1")]
    assert [finding.remedy for finding in result.errors] == [Remedy(Action.SHRINK_TEXT), None]


# -- the table --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kernel", "damage", "figures", "locations"),
    [
        (LinkedKernel(cut=3), "table-length", {"bytes": 37, "word": 8}, 4),
        (LinkedKernel(cut=4), "table-length", {"bytes": 36, "word": 8}, 4),
        (LinkedKernel(table=[0, 0, 0]), "table-empty", {"entries": 3}, 0),
        (LinkedKernel(table=[BASE - 0x100, 0x1000, 0]), "no-locations", {"entries": 3}, 0),
        (LinkedKernel(table=[]), "no-entries", {"entries": 0}, 0),
    ],
)
def test_damaged_tables(
    kernel: LinkedKernel, damage: str, figures: dict[str, int], locations: int, check: Check
) -> None:
    """A check that examined nothing must not pass: such a table belongs to other addresses."""
    result = check(kernel)
    first = result.errors[0]
    assert first.rule == "table-damaged"
    assert facts(first) == case(damage, address=kernel.data_address, **figures)
    assert first.remedy == Remedy(Action.APPLY_RELOCATIONS)
    assert len(result.boot.locations) == locations
    if not locations:
        assert (len(result.errors), result.boot.headroom, result.boot.stop_function) == (1, None, None)


def test_misaligned_and_duplicate_entries(check: Check) -> None:
    kernel = LinkedKernel(counts={"text_end": 3})
    kernel.table = [*kernel.locations, kernel.locations[1], kernel.locations[0] + 2]
    result = check(kernel)
    assert errors(result) == [("table-damaged", "fn1"), ("table-damaged", "fn0+0x2")]
    assert list(map(facts, result.errors)) == [case("entry-repeated"), case("entry-misaligned")]
    assert [finding.remedy for finding in result.errors] == [Remedy(Action.APPLY_RELOCATIONS), None]
    assert result.errors[0].location == kernel.locations[1]
    assert result.errors[1].location == kernel.locations[0] + 2


def test_a_single_zero_is_a_note(check: Check) -> None:
    result = check(LinkedKernel(table=[0, *LinkedKernel().locations]))
    assert (result.ok, [found.rule for found in result.findings]) == (True, ["location-skipped"])


# -- the areas --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("area", LAYOUTS["ool"].areas, ids=lambda area: area.name)
@pytest.mark.parametrize("change", [-24, -1, 8, 24])
def test_size_is_not_count_times_stub_size(area: AreaSpec, change: int, check: Check) -> None:
    kernel = LinkedKernel(text=[0x1000 + 16 * i for i in range(4)])
    size = 48 + change
    kernel.sizes = {area.name: size}
    finding = only(check(kernel))
    assert finding.rule == "area-damaged"
    address = kernel.area_address(area.name)
    assert facts(finding) == case("area-size", area=area, bytes=size, expected=48, stubs=2, stub_size=24)
    assert (finding.stub, finding.remedy) == (address, REGENERATE)


@pytest.mark.parametrize("area", ["text", "text_end", "inittext"])
def test_a_symbol_size_of_0_is_unknown(area: str, check: Check) -> None:
    """Some tools write no sizes; the gap to the next symbol counts then."""
    assert check(LinkedKernel(sizes={area: 0})).findings == []
    assert check(LinkedKernel(sizes=dict.fromkeys(("text", "text_end", "inittext"), 0))).ok


def test_the_size_of_a_stub_is_what_most_areas_say() -> None:
    kernel = LinkedKernel(counts={"text_end": 9}).kernel()

    def size(*sizes: int | None, gap: bool = False, counts: tuple[int, ...] = (2, 9, 2)) -> int:
        areas = [
            replace(area, size=size, count=count, size_is_gap=gap)
            for area, size, count in zip(kernel.areas, sizes, counts, strict=True)
        ]
        return measure_stub_size(replace(kernel, areas=areas))

    assert size(32, 144, 32) == 16
    assert size(48, 144, 48) == 24  # two of three, though the other has more stubs
    assert size(48, 144, 47) == 16  # one of two: the one with more stubs
    assert size(48, 144, 32, counts=(2, 9, 0)) == 16  # an area without stubs has no say
    assert size(None, None, None) == 24  # the layout's own
    assert size(47, 145, 31) == 16  # nothing fits: what the largest area comes closest to
    assert size(50, 220, 50, gap=True) == 24  # gaps hold padding
    assert size(40, 150, 40, gap=True) == 16
    assert measure_stub_size(replace(kernel, layout=None, areas=())) == 0
    rfc = LinkedKernel(layout="pfe").kernel()
    assert measure_stub_size(replace(rfc, areas=[replace(area, size=None) for area in rfc.areas])) == 16


@pytest.mark.parametrize("area", ["text", "text_end", "inittext"])
def test_count_lowered_by_one(area: str, check: Check) -> None:
    kernel = LinkedKernel(reserve=2, text=[0x1000 + 16 * i for i in range(5)], inittext=[0, 16])
    sizes = {name: count * 24 for name, count in kernel.counts.items()}
    kernel.counts[area] -= 1
    kernel.sizes = {area: sizes[area]}
    last = {"text": "fn4", "text_end": "fn4", "inittext": "init1"}[area]
    assert errors(check(kernel)) == [("area-damaged", None), ("area-exhausted", last)]


@pytest.mark.parametrize(("area", "at"), [(RESERVE, -0x1000), (END, 0x100000), (INIT, BASE + 0x40)])
def test_areas_outside_their_text(area: AreaSpec, at: int, check: Check) -> None:
    kernel = LinkedKernel()
    kernel.area_at[area.name] = at
    (outside,) = [x for x in check(kernel).errors if x.case.startswith("area-outside")]
    address, inside = kernel.area_address(area.name), kernel.kernel()
    end = address + kernel.counts[area.name] * 24
    name = "area-outside-init" if area is INIT else "area-outside-text"
    outer = inside.inittext if area is INIT else inside.text
    assert (outside.rule, facts(outside)) == ("area-damaged", case(name, area=area, end=end, outer=outer))
    assert (outside.stub, outside.remedy) == (address, RESTORE_ORDER)


def test_area_that_ends_beyond_its_text(check: Check) -> None:
    kernel = LinkedKernel()
    kernel.area_at["text_end"] = kernel.text_size - 24
    assert check(kernel).ok
    kernel.area_at["text_end"] += 8
    assert only(check(kernel)).case == "area-outside-text"


def test_overlapping_and_misaligned_areas(check: Check) -> None:
    kernel = LinkedKernel(text=[0x1000, 0x1010, 0x1020, 0x1030])
    kernel.area_at["text_end"] = kernel.area_at["text"] + 24
    end = kernel.area_address("text_end")
    finding = only(check(kernel))
    assert finding.rule == "area-damaged"
    assert facts(finding) == case("area-overlap", area=RESERVE, end=end + 24, other=END)
    assert (finding.stub, finding.remedy) == (end, RESTORE_ORDER)
    kernel.area_at["text_end"] = kernel.area_at["text"] + 48
    assert check(kernel).ok
    kernel.area_at["text_end"] += 4
    finding = only(check(kernel))
    assert facts(finding) == case("area-misaligned", area=END, alignment=8)
    assert (finding.stub, finding.remedy) == (kernel.area_address("text_end"), REGENERATE)


def test_rfc_areas_begin_at_an_instruction(check: Check) -> None:
    kernel = LinkedKernel(layout="pfe", stub_size=16)
    kernel.area_at["text_end"] += 4
    assert check(kernel).ok


# -- expected counts --------------------------------------------------------------------------------------


STUBS = {"text": 2, "text_end": 1, "inittext": 2}
"""Of the areas of a `LinkedKernel`."""


def object_counts(
    entries: EntryCounts, stubs: Mapping[str, int] | None = None, layout: str | None = "ool", **changes: Any
) -> ObjectCounts:
    row = LAYOUTS[layout] if layout else None
    counts = ObjectCounts("vmlinux.o", 64, "little", row, entries, stubs)
    return counts._replace(**changes)


def expect(entries: int = 3, **stubs: int) -> CheckOptions:
    return CheckOptions(expected=object_counts(EntryCounts(entries, 2, 0), STUBS | stubs))


def test_expected_counts_are_met(check: Check) -> None:
    assert check(LinkedKernel(), expect()).findings == []


@pytest.mark.parametrize(
    ("area", "count", "severity"),
    [
        (RESERVE, 3, "error"),
        (RESERVE, 1, "note"),
        (END, 0, "note"),
        (END, 2, "error"),
        (INIT, 1, "note"),
        (INIT, 3, "error"),
    ],
)
def test_counts_that_were_not_expected(area: AreaSpec, count: int, severity: str, check: Check) -> None:
    """More stubs than expected (--spare, a stale assembly file) do no harm."""
    result = check(LinkedKernel(), expect(**{area.name: count}))
    (finding,) = result.findings
    assert (finding.rule, finding.severity) == ("count-mismatch", severity)
    stubs = LinkedKernel().counts[area.name]
    assert facts(finding) == case("area-count", area=area, stubs=stubs, expected=count, source="vmlinux.o")
    assert (finding.stub, finding.remedy) == (LinkedKernel().area_address(area.name), REGENERATE)
    assert result.ok == (severity == "note")


def test_fewer_locations_are_not_reported_and_more_are(check: Check) -> None:
    assert check(LinkedKernel(), expect(entries=4)).findings == []
    assert check(
        LinkedKernel(table=[0, 0, *LinkedKernel().locations]), expect()
    ).ok  # empty slots do not count
    finding = only(check(LinkedKernel(), expect(entries=2)))
    assert (finding.rule, finding.severity) == ("count-mismatch", "error")
    assert facts(finding) == case("entry-count", entries=5, expected=4, source="vmlinux.o")
    assert finding.remedy == REGENERATE


def test_no_locations_to_compare_with_the_object(check: Check) -> None:
    result = check(LinkedKernel(table=[0, 0]), expect())
    assert [finding.rule for finding in result.errors] == ["table-damaged", "count-mismatch"]
    assert list(map(facts, result.errors)) == [
        case("table-empty", address=LinkedKernel().data_address, entries=2),
        case("nothing-to-count", entries=0, expected=5, source="vmlinux.o"),
    ]


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"layout": LAYOUTS["pfe"], "stubs": {"text_end": 3, "inittext": 2}}, Refusal.LAYOUT_DIFFERS),
        ({"layout": None, "stubs": None}, Refusal.LAYOUT_DIFFERS),
        ({"bits": 32}, Refusal.MACHINE_DIFFERS),
        ({"byte_order": "big"}, Refusal.MACHINE_DIFFERS),
    ],
)
def test_expected_counts_of_another_kind_of_kernel(
    changes: dict[str, Any], refusal: Refusal, check: Check
) -> None:
    counts = object_counts(EntryCounts(3, 2, 0), STUBS)
    other = CheckOptions(expected=counts._replace(**changes))
    with pytest.raises(RefusedError) as caught:
        check(LinkedKernel(), other)
    assert caught.value.refusal is refusal
    with pytest.raises(RefusedError, match="has layout"):
        check(inline_kernel(), expect())


# -- thresholds -------------------------------------------------------------------------------------------


def test_min_headroom_to_the_byte(check: Check) -> None:
    room = check(LinkedKernel()).boot.headroom
    assert room is not None
    assert check(LinkedKernel(), CheckOptions(min_headroom=room.bytes)).ok
    finding = only(check(LinkedKernel(), CheckOptions(min_headroom=room.bytes + 1)))
    assert (finding.rule, finding.function) == ("low-headroom", "fn0")
    assert finding.location == room.location
    figures = {"bytes": room.bytes, "branch": room.branch, "minimum": room.bytes + 1}
    assert facts(finding) == case("low-headroom", **figures)


def test_a_threshold_with_nothing_to_measure_is_not_met(check: Check) -> None:
    options = against(0, "1000", min_headroom=-(1 << 30))
    result = check(LinkedKernel(table=[0]), options)
    assert [finding.rule for finding in result.errors] == ["table-damaged", "low-headroom", "growth"]
    assert list(map(facts, result.errors)) == [
        case("table-empty", address=LinkedKernel().data_address, entries=1),
        case("no-headroom", minimum=-(1 << 30)),
        case("nothing-to-compare", baseline=0, source="old.json"),
    ]
    assert [(x.function, x.location) for x in result.errors[1:]] == [(None, None)] * 2


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
def test_growth(amount: str, unit: Any, baseline: int, ok: bool, check: Check) -> None:
    result = check(LinkedKernel(), against(baseline, amount, unit))
    assert result.ok == ok
    name = "growth-in-percent" if unit == "percent" else "growth"
    figures = {"baseline": baseline, "source": "old.json", "locations": 5, "grown": 5 - baseline}
    grown = case(name, **figures, allowed=Decimal(amount))
    assert [(x.rule, facts(x)) for x in result.errors] == ([] if ok else [("growth", grown)])


@pytest.mark.parametrize(
    ("layout", "bits", "byte_order", "refusal"),
    [
        ("pfe", None, None, "has layout"),
        ("inline", None, None, "has layout"),
        ("ool", 32, "little", "is 64-bit"),
        ("ool", 64, "big", "is 64-bit"),
        ("ool", 64, "little", None),
        ("ool", None, None, None),  # documents of earlier versions do not tell the machine
    ],
)
def test_a_baseline_of_another_kind_of_kernel(
    layout: str, bits: int | None, byte_order: ByteOrder | None, refusal: str | None, check: Check
) -> None:
    options = CheckOptions(baseline=saved("old.json", layout, 5, bits, byte_order))
    with pytest.raises(RefusedError, match=refusal) if refusal else nullcontext():
        assert check(LinkedKernel(), options).ok


def test_a_baseline_of_an_inline_kernel(check: Check) -> None:
    options = against(4, "0", layout="inline")
    assert [x.rule for x in check(inline_kernel(), options).errors] == ["growth"]


def test_percentages_are_exact() -> None:
    assert AllowedGrowth(Decimal("2.3"), "percent").of(1000) == 23
    assert AllowedGrowth(Decimal("0.3"), "percent").of(42_648) == 127
    assert AllowedGrowth(Decimal(1500), "locations").of(3) == 1500


# -- kernels that cannot be checked -------------------------------------------------------------------------


TABLE = ("__start_mcount_loc", "__stop_mcount_loc")
MISSING = [*LinkedKernel().places, *TABLE, "ftrace_ool_stub_inittext_count"]


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        *(
            (LinkedKernel(symbols={name: None}), f"has no symbol {name}; give the vmlinux with")
            for name in MISSING
        ),
        (LinkedKernel(symbols=dict.fromkeys(TABLE)), "has no location table"),
        (LinkedKernel(layout=None, table=[]), "empty location table"),
        (LinkedKernel(elf_flags=1, order=">"), "ABI v1"),
        (LinkedKernel(symbols={"ftrace_pfe_stub_text": BASE + 0x100}), "two layouts"),
        (
            LinkedKernel(symbols={"ftrace_ool_stub_text_count": 0x100}),
            "has ftrace_ool_stub_text_count at 0x100, where",
        ),
    ],
)
def test_kernels_that_cannot_be_checked(kernel: LinkedKernel, message: str, check: Check) -> None:
    with pytest.raises(InputError, match=message):
        check(kernel)


def test_no_stub_symbols_and_no_inline_shape(check: Check) -> None:
    """Absent symbols are not evidence: `strip` removes them, too."""
    kernel = inline_kernel()
    for location in kernel.locations[:3]:
        kernel.words[location + 4] = 0xF821FFE1
    with pytest.raises(RefusedError, match="do not hold the instructions"):
        check(kernel)
    with pytest.raises(RefusedError, match="do not hold the instructions"):
        boot_kernel(kernel.kernel(), with_stubs=True)
    kernel.words[kernel.locations[0] + 4] = 0x60000000
    finding_rules = [x.rule for x in check(kernel).errors]
    assert finding_rules == ["location-not-nop"] * 2
    with pytest.raises(RefusedError, match="traces without stubs"):
        boot_kernel(kernel.kernel(), with_stubs=True)
    boot_kernel(LinkedKernel().kernel(), with_stubs=True)


def test_an_inline_kernel_out_of_range(check: Check) -> None:
    """A kernel without stubs can only shrink."""
    kernel = inline_kernel(text=[0x1000, 0x2800000])
    kernel.places["ftrace_tramp_text"] = kernel.places["ftrace_tramp_init"] = BASE
    result = check(kernel)
    finding = result.errors[0]
    assert (finding.rule, finding.function, finding.stub) == ("tracer-unreachable", "fn1+0x4", None)
    assert finding.remedy == Remedy(Action.SHRINK_TEXT)
    assert result.boot.stop_function is None


# -- the relocations that fill the table ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "info", "found"),
    [
        (0, 38, None),  # R_PPC64_ADDR64 and UADDR64 without a symbol fill a slot, too
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
    with pytest.raises(InputError, match=found) if found else nullcontext(), open_kernel(str(path)) as kernel:
        assert list(kernel.table) == LinkedKernel().locations


# -- does the table account for the kernel? ------------------------------------------------------------------

MANY = [0x1000 + 0x10 * i for i in range(40)]


def cut_short(first: int, last: int) -> LinkedKernel:
    """A kernel whose symbols enclose only some of the entries of its table."""
    kernel = LinkedKernel(text=MANY)
    places = (kernel.data_address + 8 * i for i in (first, last))
    return replace(kernel, symbols=dict(zip(TABLE, places, strict=True)))


LOST = {
    "zeros": (LinkedKernel(table=[BASE + 0x1000, 0, 0, 0, 0]), "entries-skipped"),
    "out of text": (LinkedKernel(table=[BASE + 0x1000, BASE + 0x1010, 8, 16, 24]), "entries-skipped"),
    "a sixth": (
        LinkedKernel(text=MANY, table=[*(BASE + at for at in MANY[:35]), *[0] * 7]),
        "entries-skipped",
    ),
    "a reserve for more": (
        LinkedKernel(text=MANY, inittext=[], reserve=100, table=[BASE + at for at in MANY[:10]]),
        "functions-unlisted",
    ),
    "cut at the end": (cut_short(0, 30), "table-continues"),
    "cut at the start": (cut_short(1, 42), "table-continues"),
    "no init text": (LinkedKernel(counts={"inittext": 1500}, inittext=[0]), "init-area-unfilled"),
    "few of many": (
        LinkedKernel(text=[0x1000], inittext=[], reserve=0, counts={"text_end": 3, "inittext": 2}),
        "areas-unfilled",
    ),
    "many": (
        LinkedKernel(text=range(0x10000, 0x17D00, 16), inittext=[], reserve=10, counts={"inittext": 1000}),
        "init-area-unfilled",
    ),
}


@pytest.mark.parametrize(("kernel", "damage"), LOST.values(), ids=LOST)
def test_a_table_that_lost_entries(kernel: LinkedKernel, damage: str, check: Check) -> None:
    first = check(kernel).findings[0]
    assert (first.rule, first.case, first.severity) == ("table-damaged", damage, "error")


WHOLE = {
    "one empty": LinkedKernel(table=[BASE + 0x1000, BASE + 0x1010, 0]),
    "as many of exit text": LinkedKernel(inittext=[], table=[BASE + at for at in (0x1000, 0x1010, -8, -16)]),
    "exit text": LinkedKernel(table=[BASE + at for at in (0x1000, 0x1010, 0x1020, -0x10, -0x20)]),
    "--spare": LinkedKernel(counts={"text_end": 5000}),
    "a large reserve": LinkedKernel(text=[0x20000, 0x20010], reserve=5000),
    "--gc-sections": LinkedKernel(text=MANY, reserve=0, counts={"text_end": 100, "inittext": 6}),
    "no init text": LinkedKernel(text=MANY, inittext=[]),
    "other nops": LinkedKernel(text=MANY, inittext=[], reserve=100, table=[BASE + at for at in MANY[16:]]),
}


@pytest.mark.parametrize("kernel", WHOLE.values(), ids=WHOLE)
def test_a_table_that_accounts_for_its_kernel(kernel: LinkedKernel, check: Check) -> None:
    assert check(kernel).ok


@pytest.mark.parametrize("expected", [20, 21])
def test_a_table_with_far_fewer_entries_than_the_object(expected: int, check: Check) -> None:
    obj = object_counts(EntryCounts(text=expected - 2, inittext=2, exittext=9), STUBS)
    result = check(LinkedKernel(), CheckOptions(expected=obj))
    address = LinkedKernel().data_address
    short = case("table-short", address=address, found=5, expected=21, source="vmlinux.o")
    assert list(map(facts, result.errors)) == ([short] if expected == 21 else [])
    assert all(finding.remedy == Remedy(Action.APPLY_RELOCATIONS) for finding in result.errors)


@pytest.mark.parametrize("area", LAYOUTS["ool"].areas, ids=lambda area: area.name)
@pytest.mark.parametrize("where", [0, -4])
def test_an_area_that_is_not_empty(area: AreaSpec, where: int, check: Check) -> None:
    """Its first or its last word holds code."""
    kernel = LinkedKernel()
    size = 24 * kernel.counts[area.name]
    place = kernel.area_address(area.name) + where % size
    finding = only(check(replace(kernel, words={place: 0x7C0802A6})))
    assert facts(finding) == case("area-occupied", area=area, bytes=size)
    assert finding.stub == kernel.area_address(area.name)
    assert check(replace(kernel, words={kernel.area_address(area.name) + size: 0x7C0802A6})).ok


def test_texts_that_overlap(check: Check) -> None:
    kernel = LinkedKernel(symbols={"_sinittext": BASE})
    assert facts(check(kernel).findings[0]) == case(
        "texts-overlap",
        text=range(BASE, kernel.place("_etext")),
        inittext=range(BASE, kernel.place("_einittext")),
    )


def test_each_exhausted_area_has_its_figures(check: Check) -> None:
    result = check(LinkedKernel(counts={"text_end": 0, "inittext": 0}))
    assert [(facts(x), x.remedy) for x in result.errors] == [
        (shortage(END, 0, 1), REGENERATE),
        (shortage(INIT, 0, 2), REGENERATE),
        (shortage(INIT, 0, 2), None),
    ]
    assert (result.boot.without_stub, result.boot.headroom) == (3, None)


def test_a_pointer_to_a_function_next_to_the_table_is_no_entry() -> None:
    """Function pointers are global entry points, 8 bytes before the nop; an unknown one is an entry of clang's."""
    entry = BASE + 0x1018
    words = {entry: 0x3C4C0000, entry + 4: 0x38420000}
    for text, damage in (([0x1000, 0x1020], []), ([0x1000], [case("table-continues", address=entry + 8)])):
        writer = LinkedKernel(text=text, counts={"text_end": 9}, words={**words, entry + 8: 0x60000000})
        kernel = replace(writer.kernel(), beyond_table=lambda: [entry, 0, BASE - 8])
        assert list(map(facts, boot_kernel(kernel).damage)) == damage
