# SPDX-License-Identifier: GPL-2.0-or-later
"""`plan`: working reserves and limits of growth, against boots one by one, relinked kernels, real ones."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pfestubs.errors import RefusedError
from pfestubs.layouts import RESERVE_CONFIG
from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.analyses.conditions import Conditions
from pfestubs.rules.analyses.plan import plan_reserve
from pfestubs.rules.analyses.planner import Planner
from pfestubs.rules.analyses.relink import Growth, GrowthShape, relink
from pfestubs.rules.check import Remedies
from pfestubs.rules.kernel.boot import Boot
from pfestubs.rules.kernel.replay import replay
from pfestubs.rules.kernel.simulation import simulate_boot
from support import Kernels, MiniKernel, call, json_of, printed, refusal
from support.kernelwriter import BASE, MIB, Linked, LinkedKernel, inline_kernel

DEBIAN, PSERIES, TRAP = "debian-7.2.13-ppc64le", "pseries-7.2.13-ppc64le", "pseries-7.2.13-trap"
TINY, GROWN = "tiny-7.3-ppc64le", "tiny-7.3-grown"


def works(boot: Boot, reserve: int, growth: Growth) -> bool:
    """Boot the relinked kernel one location after the other."""
    return not replay(relink(boot, reserve, growth)).failures


def test_a_limit_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many functions that are closer than stubs make each search as long as a boot."""
    asked: Counter[tuple[int, GrowthShape]] = Counter()
    limit = Conditions.limit

    def counted(self: Conditions, reserve: int, shape: GrowthShape) -> float:
        asked[reserve, shape] += 1
        return limit(self, reserve, shape)

    monkeypatch.setattr(Conditions, "limit", counted)
    assert Planner(Linked(5, 6, 6, 4096).boot()).recommended is not None
    assert len(asked) > 10
    assert max(asked.values()) == 1


# -- against boots one by one ------------------------------------------------------------------------------

LAYOUTS_OF_TEXT = st.builds(
    Linked,
    reserve=st.integers(0, 40),
    low=st.integers(0, 20),
    high=st.integers(1, 20),
    pad=st.sampled_from([0, 4096, 31 * MIB, 32 * MIB - 9000, 32 * MIB - 6000, 33 * MIB]),
    before=st.integers(0, 3),
    end_pad=st.sampled_from([0, 1024, 31 * MIB, 32 * MIB - 9000, 32 * MIB - 6000, 32 * MIB - 5000]),
    spare=st.integers(0, 3),
    init=st.integers(0, 2),
    stub_size=st.sampled_from([16, 24]),
)


@pytest.mark.slow
@given(LAYOUTS_OF_TEXT)
@settings(max_examples=150)
def test_working_reserves_are_those_that_boot(linked: Linked) -> None:
    boot = linked.boot()
    found = Planner(boot).working
    top = linked.before + linked.low + linked.high + linked.spare + 4
    booting = [r for r in range(top) if works(boot, r, Growth())]
    assert [r for r in range(top) if any(r in span for span in found)] == booting
    for span in found:
        assert works(boot, span[-1], Growth())
        assert not works(boot, span[-1] + 1, Growth())


@given(LAYOUTS_OF_TEXT, st.sampled_from(GrowthShape), st.integers(0, 40))
@example(Linked(5, 6, 6, 32 * MIB - 9000, spare=3), GrowthShape.LATE, 13)  # either area serves those between
@settings(max_examples=150)
def test_growth_is_exact_to_the_instruction(linked: Linked, shape: GrowthShape, reserve: int) -> None:
    boot = linked.boot()
    limit = Planner(boot).outcome(reserve, Growth()).limits[shape]
    if limit.bytes is None:
        assert works(boot, reserve, Growth(1 << 31, shape)) == limit.works
    else:
        assert works(boot, reserve, Growth(limit.bytes, shape))
        assert not works(boot, reserve, Growth(limit.bytes + 4, shape))
        failures = replay(relink(boot, reserve, Growth(limit.bytes + 4, shape))).failures
        assert limit.rule == failures[0].rule


@pytest.mark.slow
@given(LAYOUTS_OF_TEXT)
@settings(max_examples=60)
def test_the_recommended_reserve_has_the_largest_smallest_growth(linked: Linked) -> None:
    boot = linked.boot()
    planner = Planner(boot)

    def smallest(reserve: int) -> float:
        limits = planner.outcome(reserve, Growth()).limits.values()
        if not all(limit.works for limit in limits):
            return float("-inf")
        return min(float("inf") if limit.bytes is None else limit.bytes for limit in limits)

    top = linked.before + linked.low + linked.high + linked.spare + 2
    candidates = {r: smallest(r) for r in {*range(top), linked.reserve}}
    best = max(candidates.values())
    if best < 0:
        assert planner.recommended is None
        return
    assert planner.recommended is not None
    assert smallest(planner.recommended) == best
    equals = [r for r, growth in candidates.items() if growth == best]
    assert abs(planner.recommended - linked.reserve) == min(abs(r - linked.reserve) for r in equals)


def test_boots_with_growth_that_removes_text() -> None:
    """A kernel that no reserve serves: less text does."""
    boot = Linked(10, 20, 100, 40 * MIB, end_pad=40 * MIB).boot()
    result = plan_reserve(Remedies(boot))
    assert (result.working, result.recommended) == ([], None)
    assert result.shrink is not None
    size, reserve = result.shrink
    assert works(boot, reserve, Growth(-size, GrowthShape.EVEN))
    assert not any(works(boot, r, Growth(4 - size, GrowthShape.EVEN)) for r in range(140))


def test_init_text_out_of_reach_is_not_a_matter_of_text() -> None:
    far = LinkedKernel(area_at={"inittext": LinkedKernel().init_base + 40 * MIB})
    result = plan_reserve(Remedies(simulate_boot(far.kernel())))
    assert (result.working, result.recommended, result.shrink) == ([], None, None)


def test_the_end_area_moves_with_late_growth() -> None:
    """Also where no trampoline is right before it."""
    kernel = LinkedKernel().kernel()
    far = {**kernel.trampolines, "ftrace_tramp_text": kernel.text.start + 0x80}
    for trampolines in (kernel.trampolines, far):
        boot = simulate_boot(replace(kernel, trampolines=trampolines))
        grown = relink(boot, None, Growth(0x1000, GrowthShape.LATE))
        moves = [new.address - old.address for old, new in zip(kernel.areas, grown.areas, strict=True)]
        assert moves[:2] == [0, 0x1000]


# -- layouts without a reserve -----------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["pfe", None])
def test_layouts_without_a_reserve_have_growth_only(layout: str | None) -> None:
    writer = LinkedKernel(layout=layout, stub_size=16) if layout else inline_kernel()
    boot = simulate_boot(writer.kernel())
    result = plan_reserve(Remedies(boot), growths=[MIB], shape=GrowthShape.LATE)
    assert (result.reserve, result.recommended, result.working) == (None, None, [])
    assert [o.growth for o in result.outcomes] == [Growth(), Growth(MIB, GrowthShape.LATE)]
    for shape, limit in result.outcomes[0].limits.items():
        if limit.bytes is not None:
            assert not simulate_boot(relink(boot, None, Growth(limit.bytes, shape))).failures
            assert simulate_boot(relink(boot, None, Growth(limit.bytes + 4, shape))).failures
    with pytest.raises(RefusedError, match="a reserve of"):
        plan_reserve(Remedies(boot), reserves=[5])


@pytest.mark.parametrize(("last", "late"), [(0xFB8, -192), (0xFBC, None)])
def test_no_more_text_is_removed_than_is_there(last: int, late: int | None) -> None:
    """192 bytes are between the last function and the trampoline before the end area."""
    text = [0x1000, 32 * MIB + last]
    places = {"text_end": 32 * MIB + last + 0x100}
    kernel = LinkedKernel(layout="pfe", stub_size=16, text=text, area_at=places, text_size=40 * MIB).kernel()
    limit = Planner(simulate_boot(kernel)).limits(None)[GrowthShape.LATE]
    assert (limit.bytes, limit.works) == (late, late is not None)


def test_growth_of_32_bits_has_a_limit(tmp_path: Path) -> None:
    """Growth by 4 GiB moves nothing there."""
    middle = inline_kernel(bits=32, text=[0x1000, 32 * MIB, 63 * MIB], text_size=64 * MIB)
    growth = json_of("plan", middle.save(tmp_path / "vmlinux"))["outcomes"][0]["growth"]
    assert {shape: size // MIB for shape, size in growth.items()} == {"early": 31, "even": 2, "late": 31}


# -- what is asked -----------------------------------------------------------------------------------------


def test_every_reserve_with_every_growth() -> None:
    boot = Linked(2, 10, 10, MIB).boot()
    result = plan_reserve(Remedies(boot), reserves=[0, 5], growths=[0, 8, -4], shape=GrowthShape.EVEN)
    asked = result.outcomes[len(result.outcomes) - result.asked :]
    assert [(o.reserve, o.growth.bytes, o.growth.shape) for o in asked] == [
        (reserve, grown, GrowthShape.EVEN) for reserve in (0, 5) for grown in (0, 8, -4)
    ]


def test_a_first_function_is_named_as_linked() -> None:
    boot = Linked(20, 10, 30, 31 * MIB).boot()
    (outcome,) = plan_reserve(Remedies(boot), reserves=[20], growths=[2 * MIB]).outcomes[-1:]
    assert not outcome.ok
    assert outcome.first is not None
    assert outcome.first[1] in set(boot.locations)
    again = replay(relink(boot, 20, Growth(2 * MIB)))
    assert outcome.unserved == len(again.failures)
    assert boot.locations[again.failures[0].position] == outcome.first[1]


# -- the command -------------------------------------------------------------------------------------------


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    return LinkedKernel().save(tmp_path / "vmlinux")


@pytest.fixture
def trapped(tmp_path: Path) -> Path:
    """Ten functions, of which the reserve reaches none."""
    text = [33 * MIB + 64 * i for i in range(10)]
    return LinkedKernel(text=text, reserve=4).save(tmp_path / "trapped")


def test_json(healthy: Path, trapped: Path) -> None:
    json_of("plan", healthy, "--reserve", "0x1", "--grow", "-4KiB", "--grow", "40MiB", "--shape", "late")
    assert json_of("plan", trapped, code=1)["working"][0]["from"] == 0
    asked = json_of("plan", healthy, "--reserve", "1", "--grow", "0x1001")["outcomes"][-1]
    assert (asked["reserve"], asked["grow"], asked["shape"]) == (1, 0x1004, "early")


def test_text_of_a_healthy_kernel(healthy: Path) -> None:
    out = printed("plan", healthy)
    assert out.startswith(f"{healthy}: ok: ")
    for words in ("as linked", "early", "even", "late", "Reserves with which every function gets"):
        assert words in out


def test_text_of_a_trapped_kernel(trapped: Path) -> None:
    out = printed("plan", trapped, code=1)
    first = out.splitlines()[0]
    assert first.startswith(f"{trapped}: failed: 4 functions get no working stub, the first is fn6 (area-exh")
    assert f"; set {RESERVE_CONFIG}=0 in .config and link again: text can then grow by " in first
    assert "    scripts/config --set-val PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE 0\n" in out


def test_min_growth(healthy: Path, trapped: Path) -> None:
    growth = json_of("plan", healthy)["outcomes"][0]["growth"]
    least = min(value for value in growth.values() if value is not None)
    assert call("plan", healthy, "--min-growth", str(least)) == call("plan", healthy)
    out = printed("plan", healthy, "--min-growth", str(least + 1), code=1)
    assert out.startswith(f"{healthy}: failed: at least {least + 1:,} bytes ")
    assert f" text can grow by {least:,} bytes" in out or f" keep {RESERVE_CONFIG}=" in out
    json_of("plan", healthy, "--min-growth", "1G", code=1)
    assert call("plan", trapped, "--min-growth", "0") == call("plan", trapped)


def test_check_names_the_same_reserve(trapped: Path) -> None:
    found = json_of("check", trapped, code=1)
    remedy = next(f["remedy"] for f in found["findings"] if f["remedy"])
    assert remedy["value"] == json_of("plan", trapped, code=1)["recommended"]


def test_output_goes_to_the_file(trapped: Path, tmp_path: Path) -> None:
    outcome = call("plan", trapped, "-o", tmp_path / "out")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith(f"{trapped}: failed: 4 functions get no working stub")
    assert (tmp_path / "out").read_text() == call("plan", trapped).out


@pytest.mark.parametrize(
    "words", [("--reserve", "x"), ("--grow", "1X"), ("--grow", "5G"), ("--shape", "big")]
)
def test_usage_errors(words: tuple[str, ...], healthy: Path) -> None:
    refusal("plan", healthy, *words)


def test_a_reserve_for_a_layout_without_one(tmp_path: Path) -> None:
    path = LinkedKernel(layout="pfe", stub_size=16).save(tmp_path / "vmlinux")
    assert "layout pfe has none" in refusal("plan", path, "--reserve", "5")


# -- miniature kernels, linked again -----------------------------------------------------------------------


def last_location(path: Path) -> int:
    """The location in text that moves with either pad: of `.sched.text`, after the end area."""
    with open_kernel(str(path)) as kernel:
        return max(address for address in kernel.table if address in kernel.text)


@pytest.mark.cross
@pytest.mark.parametrize(("shape", "variable"), [("early", "TEXT_PAD"), ("late", "TRAMP_PAD")])
def test_growth_of_a_relinked_miniature(shape: str, variable: str, mini_kernel: MiniKernel) -> None:
    """Sections are aligned: text moves by as much as is added, give or take an alignment."""

    def linked(pad: int) -> Path:
        return mini_kernel(**{variable: str(pad)}) / "vmlinux"

    start = 31 * MIB
    limit = json_of("plan", linked(start))["outcomes"][0]["growth"][shape]
    codes = set()
    for more in (-16, 0, 4, 16):
        path = linked(start + limit + more)
        fails = last_location(path) - last_location(linked(start)) > limit
        assert call("check", path).code == fails
        codes.add(fails)
    assert codes == {False, True}


@pytest.mark.cross
def test_working_reserves_of_a_relinked_miniature(mini_kernel: MiniKernel) -> None:
    """A pad with which the reserve reaches all of its functions up to some value, and no further."""
    room = json_of("plan", mini_kernel(TEXT_PAD=31 * MIB, RESERVE=3) / "vmlinux")["outcomes"][0]
    pad = 31 * MIB + room["growth"]["early"]
    found = json_of("plan", mini_kernel(TEXT_PAD=pad, RESERVE=3) / "vmlinux")["working"]
    for span in found:
        for reserve, code in ((span["from"] - 1, 1), (span["from"], 0), (span["to"], 0), (span["to"] + 1, 1)):
            if reserve >= 0:
                assert call("check", mini_kernel(TEXT_PAD=pad, RESERVE=reserve) / "vmlinux").code == code


@pytest.mark.parametrize("shape", [None, "early", "late"])
def test_required_growth(tmp_path: Path, shape: str | None) -> None:
    """Without a shape, the least of all."""
    path = LinkedKernel(text=[0x1000, 0x1010, 0x800000, 0x800010]).save(tmp_path / "vmlinux")
    growth = json_of("plan", path)["outcomes"][0]["growth"]
    least = growth[shape] if shape else min(filter(None, growth.values()))
    words = ["--shape", shape] if shape else []
    for more in (0, 1):
        required = json_of("plan", path, "--min-growth", least + more, *words, code=more)["required"]
        assert required == {"growth": least + more, "shape": shape, "left": least, "ok": not more}
    out = " ".join(printed("plan", path, "--min-growth", "1G", code=1).split())
    assert "failed: at least 1,073,741,824 bytes" in out
    assert json_of("check", path)["growth"] == growth


def test_nothing_is_planned_for_a_damaged_kernel(tmp_path: Path) -> None:
    path = LinkedKernel(table=[BASE + 0x1000, *[0] * 4]).save(tmp_path / "vmlinux")
    out = printed("plan", path, "--min-growth", "0", code=1)
    assert "failed: table-damaged: " in out
    assert "fix this first (see pfestubs check)" in " ".join(out.split())
    document = json_of("plan", path, code=1)
    assert document["damage"]["rule"] == "table-damaged"
    assert (document["outcomes"], document["working"]) == ([], [])
    assert json_of("check", path, code=1)["growth"] is None


FAR = [48 * MIB + 16 * i for i in range(20)]


@pytest.mark.parametrize(
    "kernel",
    [LinkedKernel(), LinkedKernel(text=FAR, reserve=10), inline_kernel(text=range(0x1000, 0x1400, 32))],
)
def test_nothing_is_planned_for_a_location_without_a_nop(kernel: LinkedKernel, tmp_path: Path) -> None:
    location = kernel.locations[0] + (0 if kernel.layout else 4)
    path = replace(kernel, words={**kernel.words, location: 0x7C0802A6}).save(tmp_path / "vmlinux")
    document, checked = json_of("plan", path, code=1), json_of("check", path, code=1)
    (finding,) = (found for found in checked["findings"] if found["rule"] == "location-not-nop")
    assert document["damage"] == {name: finding[name] for name in ("rule", "message")}
    assert (document["recommended"], document["working"]) == (None, [])
    (linked,) = document["outcomes"]
    assert (linked["ok"], linked["first"]["function"]) == (False, finding["function"])
    assert set(linked["growth"].values()) == {None}
    assert checked["growth"] is None
    assert (checked["headroom"]["bytes"] is None) == bool(kernel.layout)
    assert json_of("diff", path, path, code=1)["growth"]["new"] is None
    assert "Reserves with which" not in printed("plan", path, code=1)
    call("report", path, "-o", tmp_path / "page.html")
    assert "must lose" not in (tmp_path / "page.html").read_text()


def test_a_wrong_count_has_the_remedy_of_check(tmp_path: Path) -> None:
    text = [0x1000 + 16 * i for i in range(20)]
    path = LinkedKernel(text=text, reserve=5, counts={"text_end": 14}).save(tmp_path / "vmlinux")
    out, (finding,) = (
        " ".join(printed("plan", path, code=1).split()),
        json_of("check", path, code=1)["findings"],
    )
    remedy = finding["message"].partition("; ")[2]
    assert finding["remedy"]["action"] == "regenerate-areas"
    assert f"fn19 (area-exhausted); {remedy} Reserves" in out
    assert "to 1,397,956, once the areas are generated again Kernel text" in out


@pytest.mark.parametrize("counts", [{"end": 3999}, {"reserve": 499}, {}])
def test_reserves_work_with_areas_generated_for_them(counts: dict[str, int]) -> None:
    """500 is the least, also where the areas as linked have a wrong count."""
    linked = Linked(**{"reserve": 500, "low": 500, "high": 4000, "pad": 40 * MIB, **counts})
    assert Planner(linked.boot()).working[0][0] == 500


@pytest.mark.parametrize(("mib", "even"), [(48, -8_385_620), (80, -41_941_524)])
def test_text_that_is_not_there_cannot_be_removed(tmp_path: Path, mib: int, even: int) -> None:
    """Early there is the text before the first function that fails, late what follows the last one."""
    text = [start + 16 * i for start in (0x1000, (mib - 8) * MIB) for i in range(12)]
    far = LinkedKernel(layout="pfe", stub_size=16, text=text, text_size=mib * MIB)
    growth = json_of("check", far.save(tmp_path / "far"), code=1)["growth"]
    assert growth == {"early": None, "even": even, "late": None}
    assert "; make the kernel's text smaller, or" in printed("plan", tmp_path / "far", code=1).splitlines()[0]
    few = LinkedKernel(layout="pfe", text=range(0x1000, 0x100000, 0x1000), counts={"text_end": 200})
    assert json_of("check", few.save(tmp_path / "few"), code=1)["growth"] is None


# -- real kernels ------------------------------------------------------------------------------------------


def megabytes(growth: dict[str, int]) -> list[float]:
    """Growth in MB, cut to one decimal: early, even, late."""
    return [growth[shape.value] // 100_000 / 10 for shape in GrowthShape]


def test_growth_of_debians_kernel(kernels: Kernels) -> None:
    """The figures of an independent replay."""
    words = [word for reserve in ("24000", "20000", "8000") for word in ("--reserve", reserve)]
    document = json_of("plan", kernels(f"{DEBIAN}/vmlinux"), *words)
    found = {o["reserve"]: megabytes(o["growth"]) for o in document["outcomes"]}
    assert (found[32_768], found[24_000]) == ([18.3, 23.5, 29.2], [21.4, 34.6, 26.1])
    assert (found[20_000], found[8_000]) == ([23.9, 46.2, 23.5], [30.6, 19.9, 16.9])
    assert min(found[document["recommended"]]) == 23.7


def test_the_trap_opens_with_a_smaller_reserve(kernels: Kernels) -> None:
    document = json_of("plan", kernels(f"{TRAP}/vmlinux"), "--reserve", "16000", code=1)
    (span,) = document["working"]
    for reserve in (16_000, 17_000, 17_883, document["recommended"]):
        assert span["from"] <= reserve <= span["to"]
    assert span["to"] < 32_768
    asked = document["outcomes"][-1]
    assert (asked["reserve"], asked["ok"], asked["unserved"]) == (16_000, True, 0)


def test_growth_into_the_trap(kernels: Kernels) -> None:
    """The trap kernel is pseries plus 24 MiB: 14,885 functions without a stub, dev_create first."""
    path = kernels(f"{PSERIES}/vmlinux")
    document = json_of("plan", path, "--reserve", "32768", "--grow", "24MiB")
    asked = document["outcomes"][-1]
    assert asked["rule"] == "area-exhausted"
    assert abs(asked["unserved"] - 14_885) < 149
    names = [s["function"] for s in json_of("stubs", path)["stubs"]]
    assert abs(names.index(asked["first"]["function"]) - names.index("dev_create+0x8")) <= 50


def test_growth_of_the_tiny_kernel(kernels: Kernels) -> None:
    words = ("--reserve", "32768", "--reserve", "5000", "--reserve", "1271", "--grow", "0x1d00000")
    document = json_of("plan", kernels(f"{TINY}/vmlinux"), *words)
    found = {o["reserve"]: o for o in document["outcomes"]}
    early = {reserve: o["growth"]["early"] for reserve, o in found.items()}
    assert (early[32_768], early[5_000], early[1_271]) == (0x1CFCB5C, 0x1EEC128, 0x1FD693C)
    assert 0x1E961C0 <= found[5_000]["growth"]["late"] <= 0x1E96200
    relinked = json_of("plan", kernels(f"{GROWN}/vmlinux"), code=1)["outcomes"][0]
    for failing in (found[32_768], relinked):
        assert failing["unserved"] == 75
        assert failing["first"]["function"] == "__mutex_lock_killable_slowpath+0x8"


@pytest.mark.parametrize("name", [DEBIAN, PSERIES, TRAP, TINY, GROWN])
def test_the_recommended_reserve_boots(name: str, kernels: Kernels) -> None:
    document = json_of("plan", kernels(f"{name}/vmlinux"), code=int(name in {TRAP, GROWN}))
    outcome = next(o for o in document["outcomes"] if o["reserve"] == document["recommended"])
    assert outcome["ok"]
    linked = document["outcomes"][0]
    if linked["ok"]:
        assert min(outcome["growth"].values()) >= min(linked["growth"].values())


def test_no_change_is_no_change() -> None:
    boot = Linked(3, 5, 5, MIB).boot()
    assert replace(relink(boot), memory=boot.kernel.memory, areas=boot.kernel.areas) == boot.kernel
