# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs report`: its figures against the boot, and the page as a document."""

import base64
import hashlib
import random
import re
from dataclasses import replace
from functools import cache
from heapq import nsmallest
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from pfestubs.formats import RenderOptions, render
from pfestubs.formats.address_map import MapScale, area_map
from pfestubs.formats.check import SHOWN_PER_CAUSE, summary
from pfestubs.formats.findings import finding_sentence
from pfestubs.formats.report import kernel_name, level
from pfestubs.formats.templates import page_part
from pfestubs.model import Kernel
from pfestubs.rules.analyses.address_map import AddressMap, TextGap, map_addresses
from pfestubs.rules.analyses.conditions import GROWTH_MAX
from pfestubs.rules.analyses.planner import Planner
from pfestubs.rules.analyses.relink import Growth
from pfestubs.rules.analyses.report import TIGHTEST, ReportResult, report_boot
from pfestubs.rules.kernel.simulation import boot_kernel
from support import Kernels, call, printed, refusal
from support.kernelwriter import MIB, LinkedKernel, NamedAddresses, inline_kernel
from test_boot import MIDDLE, make_kernel

UNSAFE_NAMES = (
    *("</script><script>alert(1)</script>", "</style></title></svg><script>alert(2)</script>"),
    *('"><img src=x onerror=alert(3)>', "' onmouseover='alert(4)", "<!-- comment", "&lt;b&gt;"),
    *("{{ 7 * 7 }}{% raw %}", "right\u202eleft", "line\nbreak", "\x1b[31m", "n" * 4000),
)
VOID = {"meta", "link", "input", "br", "img"}


class Page(HTMLParser):
    """The elements of a page, its texts, and whether every element is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, attrs)
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, tag: str) -> str:
        return "".join(self.texts.get(tag, []))


def page_of(result: ReportResult, *, show_all: bool = False) -> str:
    return "".join(render("report", "html", result, RenderOptions(show_all=show_all)))


class Reported:
    """A kernel, its boot, what is reported of it, and the page."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.boot = boot_kernel(kernel)
        self.result = report_boot(self.boot)
        self.text = page_of(self.result)
        self.page = Page(self.text)


def spread(count: int, step: int) -> list[int]:
    return [0x100000 + i * step for i in range(count)]


EVERY_KIND = {
    "healthy": LinkedKernel(),
    "none": LinkedKernel(text=[], inittext=[]),
    "pfe": LinkedKernel(layout="pfe", stub_size=16, text=spread(300, 64), order=">"),
    "32-bit": LinkedKernel(text=spread(300, 64), bits=32, order=">", reserve=100),
    "trapped": LinkedKernel(text=spread(600, 100_000), reserve=500),
    "dense": LinkedKernel(text=[*spread(300, 64), *range(0x104B00, 0x105460, 8)], reserve=600),
    "short": LinkedKernel(text=spread(600, 64), counts={"text_end": 3}),
    "far": LinkedKernel(text=spread(900, 100_000), reserve=0),
    "spare": LinkedKernel(counts={"text_end": 9}),
    "without a reserve": LinkedKernel(reserve=0),
    "no nop": LinkedKernel(words={0xC000000000001010: 1}),
    "init far away": LinkedKernel(init_base=0xC000000040000000),
    "inline": inline_kernel(),
    "inline, far": inline_kernel(text=spread(900, 100_000)),
}


@cache
def reported(kind: str) -> Reported:
    return Reported(EVERY_KIND[kind].kernel())


@pytest.fixture(params=EVERY_KIND)
def every(request: pytest.FixtureRequest) -> Reported:
    return reported(request.param)


# -- figures ----------------------------------------------------------------------------------------------


def test_figures_agree_with_the_boot(every: Reported) -> None:
    boot, figures = every.boot, every.result.kernel
    pieces = [d for column in figures.profile for d in column.distances.values()]
    assert sum(d.locations for d in pieces) + figures.without == len(boot.locations)
    assert figures.without == sum(column.without for column in figures.profile)
    for position, area in enumerate(every.kernel.areas):
        counts = (column.distances.get(area.name) for column in figures.profile)
        assert sum(d.locations for d in counts if d) == boot.area.tolist().count(position)
    ends = [end for d in pieces for end in (d.least, d.greatest)]
    assert figures.extremes == ((min(ends), max(ends)) if ends else None)
    starts = [column.span.start for column in figures.profile]
    assert starts == sorted(set(starts))


def test_tightest_functions_are_those_of_the_boot(every: Reported) -> None:
    """The candidates hold what a search of all locations finds, by area."""
    boot, found = every.boot, every.result.tightest
    for position, name in enumerate([area.name for area in every.kernel.areas] or [None]):
        mine = [i for i, area in enumerate(boot.area) if area == position or name is None]
        served = {i for area in boot.served for i in area}.intersection(mine)
        rooms = [(min(room.bytes for room in boot.headrooms_at(i)), i) for i in served]
        tightest = sorted(i for _, i in nsmallest(TIGHTEST, rooms))
        groups = [g for g in found if name is None or boot.area[g.position] == position]
        assert sum(len(group.members) for group in groups) == min(TIGHTEST, len(rooms))
        assert min((group.headroom for group in groups), default=None) == min(rooms, default=(None,))[0]
        for end, tight in enumerate((*tightest[:1], *tightest[-1:])):
            assert tight in {group.members[-end] for group in groups}
    assert [group.headroom for group in found] == sorted(group.headroom for group in found)


def test_calls_that_only_a_trampoline_serves() -> None:
    """A call's headroom is that of the best target that its stub may use, as everywhere."""
    kernel = reported("init far away").kernel
    far = replace(kernel, trampolines={"ftrace_tramp_text": kernel.trampolines["ftrace_tramp_text"]})
    for each, expected in ((kernel, "return"), (far, "tracer")):
        boot = boot_kernel(each)
        (group,) = (g for g in report_boot(boot).tightest if boot.area[g.position] == 2)
        unreachable = expected == "tracer"
        assert (group.branch, group.headroom < 0) == (expected, unreachable)
        failure = boot.failure_at.get(group.position)
        assert (failure and failure.rule) == ("tracer-unreachable" if unreachable else None)


def test_neighbours_are_one_row() -> None:
    """Functions that follow one another and are limited alike are one row with a count."""
    text = [*spread(40, 64), *(0x800000 + i * 64 for i in range(40))]
    result = report_boot(boot_kernel(LinkedKernel(text=text, reserve=200).kernel()))
    group = next(group for group in result.tightest if group.position < 80)
    assert group.members == list(range(80))
    assert "79, to fn0" in re.findall(r'<table id="tightest".*?</table>', page_of(result), re.DOTALL)[0]


def test_neighbours_that_other_branches_limit_are_rows_of_their_own() -> None:
    """The way back to a function before its stub, the way to the stub of one after it."""
    result = report_boot(boot_kernel(make_kernel([MIDDLE - MIB, MIDDLE + 2 * MIB])))
    assert [(group.branch, group.members) for group in result.tightest] == [("stub", [1]), ("return", [0])]


@pytest.mark.parametrize(("gap", "pieces"), [(0, 1), (4, 2)])
def test_texts_that_touch_are_one_piece_of_the_map(gap: int, pieces: int) -> None:
    kernel = LinkedKernel().kernel()
    boot = boot_kernel(replace(kernel, text=range(kernel.text.start, kernel.inittext.start - gap)))
    assert len(map_addresses(boot).spans) == pieces


def test_known_distances() -> None:
    kernel = LinkedKernel(text=[0x1000, 20 * MIB], inittext=[], reserve=2).kernel()
    figures, locations = report_boot(boot_kernel(kernel)).kernel, sorted(kernel.table)
    distances = [ip - (kernel.areas[0].address + i * 24 + 8) for i, ip in enumerate(locations)]
    assert figures.extremes == (distances[0], distances[1])
    assert [column.distances["text"].least for column in figures.profile] == distances
    assert [(column.first, column.last) for column in figures.profile] == [(0, 0), (1, 1)]
    gap = TextGap(20 * MIB - 0x1000, "fn0", "fn1")
    assert figures.sizes == (len(kernel.text), len(kernel.inittext), gap)
    inline = reported("inline")
    tracer = next(iter(inline.kernel.tracers.values()))
    ends = tracer - max(inline.boot.locations), tracer - min(inline.boot.locations)
    assert inline.result.kernel.extremes == ends
    far = reported("far").result
    assert (far.kernel.extremes or (0,))[0] < -32 * MIB
    tightest = far.tightest[0]
    assert tightest.headroom < 0
    assert far.check.boot.failure_at[tightest.position].rule == "stub-out-of-range"


PLANNED = ["healthy", "trapped", "far", "short", "spare", "32-bit", "without a reserve"]


@pytest.mark.parametrize("kind", PLANNED)
def test_growth_curve_tells_what_the_boots_do(kind: str) -> None:
    curve, planner = reported(kind).result.curve, Planner(reported(kind).boot)
    assert curve is not None
    assert {planner.linked, planner.recommended or 0} <= {point.reserve for point in curve.points}
    for point in curve.points[:: max(1, len(curve.points) // 12)]:
        other = planner.boot_of(point.reserve)
        assert (point.served, point.without) == (other.needed[0], len(other.failures))
        assert (point.end_stubs, curve.conditions.first) == (other.kernel.areas[1].count, 0)
        assert bool(point.growth) == (not point.without)
        for shape, growth in point.growth.items():
            assert planner.works(point.reserve, Growth(growth, shape))
            assert growth == GROWTH_MAX or not planner.works(point.reserve, Growth(growth + 4, shape))


@pytest.mark.parametrize("kind", ["pfe", "inline", "none", "no nop"])
def test_no_growth_curve_where_nothing_can_be_told(kind: str) -> None:
    assert reported(kind).result.curve is None


# -- the page ---------------------------------------------------------------------------------------------


def test_page_is_well_formed_and_self_contained(every: Reported) -> None:
    page = every.page
    assert every.text.startswith("<!DOCTYPE html>\n")
    assert len(every.text) < 2 * MIB
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.elements:
        assert "style" not in attributes, tag
        assert not any(name.startswith("on") or name in {"src", "srcset"} for name in attributes), tag
        href = attributes.get("href", "data:,")
        assert href == "data:," or href.removeprefix("#") in ids, href
        for name in ("aria-labelledby", "aria-describedby", "for"):
            assert set(attributes.get(name, "").split()) <= set(ids)
    (policy,) = (meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        assert len(page.all(tag)) == 1
        digest = base64.b64encode(hashlib.sha256(page.text(tag).encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_pictures_have_titles_and_tables(every: Reported) -> None:
    text = every.text
    pictures = re.findall(r'<svg class="picture" id="([a-z]+)"', text)
    assert pictures == ["profile", *(["growth"] if every.result.curve else []), "map"]
    for figure in re.findall(r"<figure>.*?</figure>", text, re.DOTALL):
        (name,) = re.findall(r'<svg class="picture" id="([a-z]+)"', figure)
        assert f'aria-labelledby="{name}-title {name}-description"' in figure
        assert re.search(rf'<title id="{name}-title">[^<]+</title>', figure)
        assert re.search(rf'<desc id="{name}-description">[^<]+</desc>', figure)
        assert re.search(r"<details><summary>.*<table.*</details>", figure, re.DOTALL)
    # Every cell says which column it is: on a narrow screen rows are blocks.
    for table in re.findall(r"<table.*?</table>", text, re.DOTALL):
        titles = [re.sub("<[^>]*>", "", title) for title in re.findall(r"<th scope=.col.*?</th>", table)]
        for row in re.findall(r"<tr[^>]*><th scope=.row.*?</tr>", table, re.DOTALL):
            assert re.findall(r'data-label="([^"]*)"', row) == titles


def test_shapes_are_inside_their_pictures(every: Reported) -> None:
    for svg in re.findall(r'<svg class="picture".*?</svg>', every.text, re.DOTALL):
        height = float(re.findall(r'height="([0-9.]+)"', svg)[0])
        shape = r'<rect class="[a-z ]+" x="(N)%" y="(N)" width="(N)%" height="(N)"'.replace("N", "[-0-9.]+")
        for x, y, width, tall in re.findall(shape, svg):
            assert -0.01 <= float(x) <= float(x) + float(width) <= 100.01
            assert 0 <= float(y) <= float(y) + float(tall) <= height + 0.1
            assert float(width) > 0 or float(tall) == 14  # a reach that ends where the text starts
        for points in re.findall(r'points="([^"]*)"', svg):
            for x, y in (point.split(",") for point in points.split()):
                assert 0 <= float(x) <= 100.01
                assert 0 <= float(y) <= height


def test_verdict_and_setting_come_first() -> None:
    trapped = reported("trapped")
    page, plan = trapped.page, trapped.result.plan
    assert plan is not None
    assert summary(trapped.result.check).partition(": ")[2] in page.text("p")
    setting = f"CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE={plan.recommended}"
    assert setting in page.text("code")
    assert "This lowers the reserve from 500; as a command: scripts/config --set-val PPC_" in page.text("dd")
    assert f"Why {plan.recommended}: values from " in page.text("dd")
    assert page.text("title").startswith("failed: ftrace stubs of vmlinux")
    marks = ('id="verdict"', setting, "What fails first", "<dt>File</dt>", "<nav", '<svg class="picture')
    order = [trapped.text.index(mark) for mark in marks]
    assert order == sorted(order)
    healthy = reported("healthy").page
    assert "would be the first to fail" in healthy.text("dd")
    assert healthy.text("title").startswith("ok: ")


def test_failing_kernel_must_lose_text_and_has_no_headroom() -> None:
    trapped = reported("trapped")
    assert trapped.result.plan is not None
    limits = trapped.result.plan.outcomes[0].limits.values()
    losses = [-limit.bytes for limit in limits if limit.bytes is not None and limit.bytes < 0]
    assert losses
    for loss in losses:
        assert f"{loss:,} bytes" in trapped.page.text("dd").partition("text must lose ")[2]
        assert any(cell.startswith(f"must lose {loss:,} bytes") for cell in trapped.page.texts["td"])
    assert trapped.boot.headroom is None
    assert "has headroom" not in trapped.text


def test_cause_is_marked() -> None:
    """Where the next stub of the reserve is out of range a label says so, and how many stubs are left."""
    for kind in EVERY_KIND:
        assert (reported(kind).result.kernel.reserve_end is not None) == (kind == "trapped"), kind
        assert ("the reserve ends here" in reported(kind).text) == (kind == "trapped"), kind
    trapped = reported("trapped")
    boot, found, served = trapped.boot, trapped.result.kernel.reserve_end, trapped.boot.area.tolist().count(0)
    assert found == (boot.locations[served], 500 - served)
    (picture,) = re.findall(r'<svg class="picture" id="profile".*?</svg>', trapped.text, re.DOTALL)
    assert re.findall(r'<text class="bad"[^>]*>([^<]*)</text>', picture) == [
        "the reserve ends here:",
        f"{500 - served:,} stubs out of reach",
        "ftrace stops at",
        boot.function(boot.stops_at or 0),
    ]
    # The reserve is behind its functions, the end area before them: positive distances are drawn above.
    middle = level(0)
    for kind, above in (("reserve", True), ("end", False)):
        levels = re.findall(rf'<rect class="{kind} data" [^>]* y="([0-9.]+)"', picture)
        assert levels
        assert all((float(level) < middle) == above for level in levels)
    (line,) = re.findall(r'<line class="cause bad" x1="([0-9.]+)%"', picture)
    place = MapScale(trapped.result.kernel.address_map.spans).at(boot.locations[served])
    assert float(line) == pytest.approx(100 * place, abs=0.001)


def test_only_failures_are_hatched() -> None:
    """Full areas of a healthy kernel are as they should be; an area that is too small is not."""
    pages = (reported(kind).text for kind in ("healthy", "short"))
    (healthy,), (short,) = (re.findall(r'id="areas".*?</section>', text, re.DOTALL) for text in pages)
    assert "all 2 used" in healthy
    assert 'class="bad"' not in healthy
    assert f'<strong class="bad">{reported("short").result.kernel.without:,} too few</strong>' in short
    assert "rect.bad { fill: url(#hatch)" in page_part("report.css")
    assert 'id="hatch"' in reported("healthy").text


def test_flat_lines_are_said_to_be_good() -> None:
    healthy = reported("healthy").page.text("figcaption")
    assert "Lines as flat as these are good" in healthy
    assert "A flat line is good" in healthy
    for kind in ("trapped", "far"):
        assert "good" not in reported(kind).page.text("figcaption")


def test_no_plan_for_damaged_kernels() -> None:
    """The page names the damage; reserves and growth are not searched."""
    kernel = reported("healthy").kernel
    areas = [replace(area, address=area.address + 2) for area in kernel.areas]
    damaged = Reported(replace(kernel, areas=areas))
    plan = damaged.result.plan
    assert plan is not None
    assert plan.damage is not None
    assert (plan.outcomes, damaged.result.curve, damaged.result.ok) == ((), None, False)
    expected = f"There is no plan for a damaged kernel: {finding_sentence(plan.damage)}."
    assert expected in damaged.page.text("p")
    assert 'id="growth"' not in damaged.text


# -- colours ----------------------------------------------------------------------------------------------

# Machado, Oliveira and Fernandes 2009, severity 1.0, linear RGB: rows of a matrix.
DEFICIENCIES = {
    "none": "1 0 0  0 1 0  0 0 1",
    "protanopia": "0.152286 1.052583 -0.204868  0.114503 0.786281 0.099216  -0.003882 -0.048116 1.051998",
    "deuteranopia": "0.367322 0.860646 -0.227968  0.280085 0.672501 0.047413  -0.011820 0.042940 0.968881",
    "tritanopia": "1.255528 -0.076749 -0.178779  -0.078411 0.930809 0.147602  0.004733 0.691367 0.303900",
}


def luminance(colour: str, deficiency: str) -> float:
    """Relative luminance (WCAG 2.2) of "#rrggbb" as someone with the deficiency sees it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    rows = (row.split() for row in DEFICIENCIES[deficiency].split("  "))
    seen = (sum(float(a) * b for a, b in zip(row, linear, strict=True)) for row in rows)
    red, green, blue = (max(0.0, min(1.0, part)) for part in seen)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str, deficiency: str) -> float:
    low, high = sorted(luminance(colour, deficiency) for colour in (first, second))
    return (high + 0.05) / (low + 0.05)


def palettes() -> list[dict[str, str]]:
    """The colours of the page by name: light, dark, on paper."""
    blocks = re.findall(r":root \{(.*?)\}", page_part("report.css"), re.DOTALL)
    return [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in blocks]


def test_text_and_shapes_stand_out() -> None:
    """WCAG 2.2: 4.5 for text, 3 for shapes."""
    text = "text/back muted/back link/back bad/back text/bad-back text/good-back bad/bad-back good/good-back"
    text += " muted/bad-back muted/good-back"
    shapes = "reserve/back end/back init/back bad/back good/back mark/back"
    for colours in palettes():
        for pairs, least in ((text, 4.5), (shapes, 3)):
            for front, _, back in (pair.partition("/") for pair in pairs.split()):
                assert contrast(colours[front], colours[back], "none") >= least, (front, back)


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_colours_differ_for_everyone(deficiency: str) -> None:
    """The areas differ in lightness, light, dark and on paper; what fails is hatched as well."""
    assert len(palettes()) == 3
    for colours in palettes():
        for first, second in combinations(("reserve", "end", "init"), 2):
            assert contrast(colours[first], colours[second], deficiency) >= 1.7, (first, second)
        for name in ("reserve", "end", "init", "bad", "good"):
            assert contrast(colours[name], colours["back"], deficiency) >= 2.9, name
        assert contrast(colours["bad"], colours["end"], deficiency) >= 1.2


# -- names and findings -----------------------------------------------------------------------------------


def test_few_findings_of_a_cause_are_shown() -> None:
    errors = len(reported("short").result.check.errors)
    page = reported("short").text
    (items,) = re.findall(r'<ol class="findings">(.*?)</ol>', page, re.DOTALL)
    assert items.count("<li") == SHOWN_PER_CAUSE
    assert f"area-exhausted: {errors:,}</h3>" in page
    assert f"{errors - SHOWN_PER_CAUSE:,} more;" in page


@pytest.mark.parametrize("kind", ["healthy", "short", "no nop", "inline, far"])
def test_names_cannot_add_markup(kind: str) -> None:
    writer, plain = EVERY_KIND[kind], reported(kind).kernel
    names = {f"fn{i}": UNSAFE_NAMES[i % len(UNSAFE_NAMES)] + str(i) for i in range(len(writer.text))}
    symbols = NamedAddresses({names.get(n, n): address for n, address in writer.function_names().items()})
    banner, build_id = f"Linux version {UNSAFE_NAMES[2]}", UNSAFE_NAMES[0]
    unsafe = replace(plain, symbols=symbols, file=UNSAFE_NAMES[1], banner=banner, build_id=build_id)
    text, same = (
        page_of(report_boot(boot_kernel(each)), show_all=True)
        for each in (unsafe, replace(plain, banner="Linux version 7", build_id="0"))
    )
    assert [tag for tag, _ in Page(text).elements] == [tag for tag, _ in Page(same).elements]
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert "{{ 7 * 7 }}{% raw %}" in text or len(names) < 7


def test_same_input_same_page() -> None:
    assert Reported(reported("trapped").kernel).text == reported("trapped").text


def test_damaged_kernels_get_a_page() -> None:
    """Whatever the figures of a file are, the page is written."""
    rng = random.Random(1)
    plain = LinkedKernel(text=spread(30, 0x1000)).kernel()
    addresses = [0, 4, plain.text.start, plain.text.stop, plain.inittext.stop, 1 << 63, (1 << 64) - 4]
    for _ in range(40):
        changes: dict[str, Any] = {
            name: {n: rng.choice([a, *addresses]) for n, a in places.items()}
            for name, places in (("tracers", plain.tracers), ("trampolines", plain.trampolines))
        }
        if rng.random() < 0.3:
            changes["text"] = range(rng.choice(addresses), plain.text.stop)
        if rng.random() < 0.3:
            changes["inittext"] = range(plain.inittext.start, rng.choice(addresses))
        counts = [0, 7, 1 << 20, (1 << 32) - 1]
        changes["areas"] = [
            replace(a, address=rng.choice([a.address, *addresses]), count=rng.choice([a.count, *counts]))
            for a in plain.areas
        ]
        Reported(replace(plain, **changes))


# -- the command ------------------------------------------------------------------------------------------


def test_exit_status_and_streams(tmp_path: Path) -> None:
    good, bad = LinkedKernel().save(tmp_path / "good"), EVERY_KIND["trapped"].save(tmp_path / "bad")
    page = tmp_path / "report.html"
    assert printed("report", good, "-o", page) == ""
    assert page.read_text() == call("report", good, "-o", "-").out
    outcome = call("report", bad, "-o", page)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith(f"{bad}: failed: ")
    Page(page.read_text())
    printed("report", bad, "-o", "-", code=1)


def test_required_growth(tmp_path: Path) -> None:
    """The exit status is 1 from one instruction on beyond what text can grow by."""
    plan = reported("healthy").result.plan
    assert plan is not None
    growth = plan.outcomes[0].least_growth
    assert growth is not None
    kernel, page = LinkedKernel().save(tmp_path / "vmlinux"), tmp_path / "report.html"
    assert printed("report", kernel, "-o", page, "--min-growth", str(growth)) == ""
    assert f"Required are {growth:,} bytes" in Page(page.read_text()).text("dd")
    outcome = call("report", kernel, "-o", page, "--min-growth", str(growth + 4))
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith(f"{kernel}: failed: at least {growth + 4:,} bytes")
    assert Page(page.read_text()).text("h2").startswith(" Verdict: failed")
    inline = inline_kernel().save(tmp_path / "inline")
    printed("report", inline, "-o", page, "--min-growth", "1")


def test_errors(tmp_path: Path) -> None:
    good = LinkedKernel().save(tmp_path / "good")
    inline = inline_kernel().save(tmp_path / "inline")
    page = tmp_path / "report.html"
    for words, message in (
        ([good], "-o"),
        ([tmp_path / "absent", "-o", page], "absent: error: "),
        ([good, "-o", good], "is an input of this command"),
        ([good, "-o", tmp_path / "r.pdf"], "the report is HTML"),
        ([good, "-o", page, "--compare", page], "report.html: error: "),
        ([good, "-o", page, "--old-system-map", good], "--old-system-map requires --compare"),
        ([good, "-o", page, "--compare", inline], f"has layout inline, but {good} has layout ool"),
    ):
        assert message in refusal("report", *words)
    assert not page.exists()


def test_compare(tmp_path: Path) -> None:
    old = LinkedKernel(text=spread(600, 64), reserve=500).save(tmp_path / "old")
    new = EVERY_KIND["trapped"].save(tmp_path / "new")
    text = call("report", new, "-o", "-", "--compare", old).out
    assert f"The distances of the old kernel, {old}:" in Page(text).text("figcaption")
    (section,) = re.findall(r'id="compared".*?</section>', text, re.DOTALL)
    assert re.findall(r'<svg class="picture" id="([a-z-]+)"', section) == ["old-profile"]
    rows = {
        label: re.findall(r"<td[^>]*>([^<]*)</td>", row)
        for label, row in re.findall(r'<tr><th scope="row"[^>]*>([^<]*)</th>(.*?)</tr>', section, re.DOTALL)
    }
    assert rows["Functions"] == ["602", "602", "0"]
    assert rows["Headroom, bytes"][1:] == ["-", "-"]
    sizes = ("Kernel text, bytes", "Init text, bytes", "Largest gap without a traced function, bytes")
    for label in sizes:
        before, after, change = (int(cell.replace(",", "")) for cell in rows[label])
        assert change == after - before
    assert "old-profile" not in call("report", new, "-o", "-").out


@pytest.mark.parametrize(
    ("own", "other", "name"),
    [
        (("7.1", "aa" * 20), ("7.2", "bb" * 20), "7.1"),
        (("7.1", "aa" * 20), ("7.1", "bb" * 20), "7.1, build aaaaaaaaaaaa"),
        (("7.1", "aa" * 20), ("7.1", "aa" * 20), "7.1, vmlinux"),
        (("7.1", None), ("7.1", None), "7.1, vmlinux"),
        ((None, None), (None, None), "vmlinux"),
    ],
)
def test_two_kernels_of_one_release_are_told_apart(
    own: tuple[str | None, str | None], other: tuple[str | None, str | None], name: str
) -> None:
    first, second = (
        reported("healthy").kernel.identity._replace(release=release, build_id=build_id)
        for release, build_id in (own, other)
    )
    assert kernel_name(first, second) == name


# -- maps -------------------------------------------------------------------------------------------------


def test_scale() -> None:
    near = MapScale([range(100, 200), range(250, 300)])
    assert [near.at(a) for a in (0, 100, 150, 200, 225, 250, 300, 400)] == pytest.approx(
        [0, 0, 0.25, 0.5, 0.625, 0.75, 1, 1]
    )
    cut = MapScale([range(100), range(1 << 62, (1 << 62) + 100)])
    assert cut.gaps[0].cut
    assert cut.at(100) == cut.at(5000) < cut.at(1 << 62) < 0.6
    assert MapScale([]).at(5) == 0


def test_map_on_a_terminal() -> None:
    shown = map_addresses(boot_kernel(LinkedKernel(text=spread(600, 100_000), reserve=500).kernel()))
    lines = area_map(shown, 80)
    assert lines[0].startswith("map: ")
    rows = {line[:14].strip(): line[15:] for line in lines[1:]}
    assert ", ".join(rows) == "kernel text, init text, area text, area text_end, area inittext, tracers"
    assert set(rows["kernel text"].strip()) == {"="}
    assert rows["area text"].startswith("#.")
    assert ".#" in rows["area text_end"]
    assert max(map(len, lines)) <= 80
    assert not area_map(shown, 30)
    assert not area_map(AddressMap((), ()), 80)


# -- real kernels -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_real_kernels(kernels: Kernels, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    for path in kernels.all("vmlinux"):
        outcome = call("report", path, "-o", page)
        assert outcome.code == call("check", path).code
        Page(page.read_text())
        assert page.stat().st_size < 2 * MIB
