# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs report`: its figures against the boot, and the page as a document."""

from __future__ import annotations

import base64
import hashlib
import random
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from pfestubs.formats import RenderOptions, render
from pfestubs.formats.address_map import MapScale, area_map
from pfestubs.formats.check import SHOWN_PER_CAUSE, summary
from pfestubs.rules.analyses.address_map import AddressMap, AddressSpan, map_addresses
from pfestubs.rules.analyses.report import BINS, TIGHTEST, older_kernel, report_boot
from pfestubs.rules.kernel.simulation import simulate_boot
from support.kernelwriter import LinkedKernel, NamedAddresses

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pfestubs.model import Kernel
    from support import Call, Kernels

MIB = 1 << 20
NOP = 0x60000000
UNSAFE_NAMES = (
    "</script><script>alert(1)</script>",
    "</style></title></svg><script>alert(2)</script>",
    '"><img src=x onerror=alert(3)>',
    "' onmouseover='alert(4)",
    "<!-- comment",
    "&lt;b&gt;",
    "{{ 7 * 7 }}{% raw %}",
    "right\u202eleft",
    "line\nbreak",
    "\x1b[31m",
    "n" * 4000,
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


def page_of(kernel: Kernel, older: Kernel | None = None) -> str:
    old = None if older is None else older_kernel(simulate_boot(older), kernel.file, "ool")
    return "".join(render("report", "html", report_boot(simulate_boot(kernel), old), RenderOptions()))


def spread(count: int, step: int) -> list[int]:
    return [0x100000 + i * step for i in range(count)]


def inline_kernel(**changes: object) -> LinkedKernel:
    kernel = LinkedKernel(layout=None, **changes)  # type: ignore[arg-type]
    kernel.words |= {location + 4: NOP for location in kernel.locations}
    return kernel


def kernels_of_every_kind() -> Iterator[tuple[str, LinkedKernel]]:
    yield "healthy", LinkedKernel()
    yield "none", LinkedKernel(text=[], inittext=[])
    yield "pfe", LinkedKernel(layout="pfe", stub_size=16, text=spread(300, 64), order=">")
    yield "32-bit", LinkedKernel(text=spread(300, 64), bits=32, order=">", reserve=100)
    yield "trapped", LinkedKernel(text=spread(600, 100_000), reserve=500)
    yield "short", LinkedKernel(text=spread(600, 64), counts={"text_end": 3})
    yield "far", LinkedKernel(text=spread(900, 100_000), reserve=0)
    yield "spare", LinkedKernel(counts={"text_end": 9})
    yield "without a reserve", LinkedKernel(reserve=0)
    yield "no nop", LinkedKernel(words={0xC000000000001010: 1})
    yield "init far away", LinkedKernel(init_base=0xC000000040000000)
    yield "inline", inline_kernel()
    yield "inline, far", inline_kernel(text=spread(900, 100_000))


EVERY_KIND = dict(kernels_of_every_kind())


@pytest.fixture(scope="module", params=EVERY_KIND)
def kernel(request: pytest.FixtureRequest) -> Kernel:
    return EVERY_KIND[request.param].kernel()


# -- figures ----------------------------------------------------------------------------------------------


def test_figures_agree_with_the_boot(kernel: Kernel) -> None:
    result, boot = report_boot(simulate_boot(kernel)), simulate_boot(kernel)
    headroom = boot.headroom
    if headroom is None:
        assert boot.without_stub or not result.tightest
    else:
        first = result.tightest[0]
        assert (first.headroom, len(result.tightest)) == (
            headroom.bytes,
            min(TIGHTEST, len(boot.locations) - result.histogram.without * (kernel.layout is not None)),
        )
        rooms = [function.headroom for function in result.tightest]
        assert rooms == sorted(rooms)
    served = sum(sum(counts) for counts in result.histogram.counts.values())
    assert served + result.histogram.without == len(boot.locations)
    for position, area in enumerate(kernel.areas):
        assert sum(result.histogram.counts[area.name]) == boot.area.tolist().count(position)
    in_profile = sum(
        column.without + sum(d.locations for d in column.distances.values()) for column in result.profile
    )
    assert in_profile == len(boot.locations)
    starts = [column.span.start for column in result.profile]
    assert starts == sorted(set(starts))


def test_histogram_and_profile_of_known_distances() -> None:
    kernel = LinkedKernel(text=[0x1000, 20 * MIB], inittext=[], reserve=2).kernel()
    result = report_boot(simulate_boot(kernel))
    distances = [
        location - (kernel.areas[0].address + i * 24 + 8) for i, location in enumerate(sorted(kernel.table))
    ]
    assert result.histogram.extremes == (distances[0], distances[1])
    filled = {place for place, count in enumerate(result.histogram.counts["text"]) if count}
    assert filled == {1 + 32, 1 + 32 + 19}
    assert len(result.histogram.counts["text"]) == BINS + 2
    assert [column.distances["text"].least for column in result.profile] == distances


def test_out_of_range_is_in_the_outer_bins() -> None:
    result = report_boot(simulate_boot(EVERY_KIND["far"].kernel()))
    counts = result.histogram.counts["text_end"]
    assert counts[0] > 0
    assert any(function.rule == "stub-out-of-range" for function in result.tightest)
    assert result.tightest[0].headroom < 0


# -- the page ---------------------------------------------------------------------------------------------


def test_page_is_well_formed_and_self_contained(kernel: Kernel) -> None:
    text = page_of(kernel)
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>\n")
    assert len(text) < 2 * MIB
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.elements:
        assert "style" not in attributes, tag
        assert not any(name.startswith("on") or name in {"src", "srcset"} for name in attributes), tag
        href = attributes.get("href", "data:,")
        assert href == "data:," or href.removeprefix("#") in ids, href
        for name in ("aria-labelledby", "aria-controls", "for"):
            assert set(attributes.get(name, "").split()) <= set(ids)


def test_policy_permits_only_the_style_and_the_script() -> None:
    page = Page(page_of(LinkedKernel().kernel()))
    (policy,) = (meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none';")
    for tag in ("style", "script"):
        assert len(page.all(tag)) == 1
        digest = base64.b64encode(hashlib.sha256(page.text(tag).encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_pictures_have_titles_and_tables(kernel: Kernel) -> None:
    text = page_of(kernel)
    pictures = re.findall(r'<svg class="picture" id="([a-z]+)"', text)
    assert pictures[:3] == ["map", "profile", "histogram"]
    for figure in re.findall(r"<figure>.*?</figure>", text, re.DOTALL):
        (name,) = re.findall(r'<svg class="picture" id="([a-z]+)"', figure)
        assert f'aria-labelledby="{name}-title {name}-description"' in figure
        assert re.search(rf'<title id="{name}-title">[^<]+</title>', figure)
        assert re.search(rf'<desc id="{name}-description">[^<]+</desc>', figure)
        assert re.search(r"<details><summary>.*<table>.*</details>", figure, re.DOTALL)


def test_shapes_are_inside_their_pictures(kernel: Kernel) -> None:
    for svg in re.findall(r'<svg class="picture".*?</svg>', page_of(kernel), re.DOTALL):
        height = float(re.findall(r'height="([0-9.]+)"', svg)[0])
        for x, y, width, tall in re.findall(
            r'<rect class="[a-z ]+" x="([-0-9.]+)%" y="([-0-9.]+)" width="([-0-9.]+)%" height="([-0-9.]+)"',
            svg,
        ):
            assert -0.01 <= float(x) <= float(x) + float(width) <= 100.01
            assert 0 <= float(y) <= float(y) + float(tall) <= height + 0.1
            assert float(width) > 0 or float(tall) == 14  # a reach that ends where the text starts


def test_verdict_and_setting() -> None:
    kernel = EVERY_KIND["trapped"].kernel()
    result = report_boot(simulate_boot(kernel))
    page = Page(page_of(kernel))
    assert summary(result.check).partition(": ")[2] in page.text("p")
    assert result.plan is not None
    setting = f"CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE={result.plan.recommended}"
    assert setting in page.text("code")
    assert "This lowers the reserve from 500. Link the kernel again." in page.text("dd")
    assert page.text("title").startswith("failed: ftrace stubs of vmlinux")
    healthy = Page(page_of(LinkedKernel().kernel()))
    assert "would be the first to fail" in healthy.text("dd")
    assert healthy.text("title").startswith("ok: ")


def test_few_findings_of_a_cause_are_shown() -> None:
    kernel = EVERY_KIND["short"].kernel()
    errors = len(report_boot(simulate_boot(kernel)).check.errors)
    page = page_of(kernel)
    (items,) = re.findall(r'<ol class="findings">(.*?)</ol>', page, re.DOTALL)
    assert items.count("<li") == SHOWN_PER_CAUSE
    assert f"area-exhausted: {errors:,}</h3>" in page
    assert f"{errors - SHOWN_PER_CAUSE:,} more;" in page


@pytest.mark.parametrize("kind", ["healthy", "short", "far", "no nop", "inline, far"])
def test_names_cannot_add_markup(kind: str) -> None:
    writer = EVERY_KIND[kind]
    plain = writer.kernel()
    names = {f"fn{i}": UNSAFE_NAMES[i % len(UNSAFE_NAMES)] + str(i) for i in range(len(writer.text))}
    symbols = NamedAddresses({names.get(n, n): address for n, address in writer.function_names().items()})
    name = UNSAFE_NAMES[1]
    unsafe = replace(
        plain, symbols=symbols, file=name, banner=f"Linux version {UNSAFE_NAMES[2]}", build_id=UNSAFE_NAMES[0]
    )
    plain = replace(plain, banner="Linux version 7", build_id="0")
    text = page_of(unsafe)
    assert [tag for tag, _ in Page(text).elements] == [tag for tag, _ in Page(page_of(plain)).elements]
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert "{{ 7 * 7 }}{% raw %}" in text or len(names) < 7


def test_same_input_same_page(kernel: Kernel) -> None:
    assert page_of(kernel) == page_of(kernel)


def test_damaged_kernels_get_a_page() -> None:
    """Whatever the figures of a file are, the page is written."""
    rng = random.Random(1)
    plain = LinkedKernel(text=spread(30, 0x1000)).kernel()
    addresses = [0, 4, plain.text.start, plain.text.stop, plain.inittext.stop, 1 << 63, (1 << 64) - 4]
    for _ in range(80):
        damaged = replace(
            plain,
            text=range(rng.choice(addresses), plain.text.stop) if rng.random() < 0.3 else plain.text,
            inittext=range(plain.inittext.start, rng.choice(addresses))
            if rng.random() < 0.3
            else plain.inittext,
            areas=[
                replace(
                    area,
                    address=rng.choice([area.address, *addresses]),
                    count=rng.choice([area.count, 0, 7, 1 << 20, (1 << 32) - 1]),
                )
                for area in plain.areas
            ],
            tracers={name: rng.choice([a, *addresses]) for name, a in plain.tracers.items()},
            trampolines={name: rng.choice([a, *addresses]) for name, a in plain.trampolines.items()},
        )
        Page(page_of(damaged))


# -- the command ------------------------------------------------------------------------------------------


def test_exit_status_and_streams(tmp_path: Path, call: Call) -> None:
    good, bad = LinkedKernel().save(tmp_path / "good"), EVERY_KIND["short"].save(tmp_path / "bad")
    page = tmp_path / "report.html"
    outcome = call("report", good, "-o", page)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert page.read_text() == call("report", good, "-o", "-").out
    outcome = call("report", bad, "-o", page)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith(f"{bad}: failed: ")
    Page(page.read_text())
    outcome = call("report", bad, "-o", "-")
    assert (outcome.code, outcome.err) == (1, "")


def test_errors(tmp_path: Path, call: Call) -> None:
    good = LinkedKernel().save(tmp_path / "good")
    inline = inline_kernel().save(tmp_path / "inline")
    page = tmp_path / "report.html"
    outcome = call("report", good)
    assert outcome.code == 2
    assert "-o" in outcome.err
    assert call("report", tmp_path / "absent", "-o", page).code == 2
    assert call("report", good, "-o", good).code == 2
    assert call("report", good, "-o", page, "--compare", page).code == 2
    outcome = call("report", good, "-o", page, "--old-system-map", good)
    assert (outcome.code, "--old-system-map requires --compare" in outcome.err) == (2, True)
    outcome = call("report", good, "-o", page, "--compare", inline)
    assert outcome.code == 2
    assert f"{inline}: error: has layout inline, but {good} has layout ool" in outcome.err
    assert not page.exists()


def test_help(call: Call) -> None:
    text = " ".join(call("report", "--help").out.split())
    assert "1 if it finds errors; the page is written anyway" in text
    assert "Exit status: 0 success, no problems found; 1 problems found in the kernel; 2 error" in text


def test_compare(tmp_path: Path, call: Call) -> None:
    old = LinkedKernel(text=spread(600, 64), reserve=500).save(tmp_path / "old")
    new = EVERY_KIND["trapped"].save(tmp_path / "new")
    text = call("report", new, "-o", "-", "--compare", old).out
    page = Page(text)
    assert 'class="old"' in text
    assert f"Old kernel: {old}" in page.text("p")
    (histogram,) = re.findall(r'id="histogram".*?</details>', text, re.DOTALL)
    assert "Old kernel</th>" in histogram
    # The old kernel is drawn first: below.
    kinds = re.findall(r'<rect class="([a-z]+)" x=', histogram)
    assert kinds.index("old") < min(kinds.index(kind) for kind in ("reserve", "end", "init"))
    assert 'class="old"' not in call("report", new, "-o", "-").out


# -- maps -------------------------------------------------------------------------------------------------


def test_scale() -> None:
    near = MapScale([AddressSpan(100, 200), AddressSpan(250, 300)])
    assert [near.at(a) for a in (0, 100, 150, 200, 225, 250, 300, 400)] == pytest.approx(
        [0, 0, 0.25, 0.5, 0.625, 0.75, 1, 1]
    )
    cut = MapScale([AddressSpan(0, 100), AddressSpan(1 << 62, (1 << 62) + 100)])
    assert cut.gaps[0].cut
    assert cut.at(100) == cut.at(5000) < cut.at(1 << 62) < 0.6
    assert MapScale([]).at(5) == 0


def test_map_on_a_terminal() -> None:
    kernel = LinkedKernel(text=spread(600, 100_000), reserve=500).kernel()
    lines = area_map(map_addresses(kernel, 24), 80)
    assert lines[0].startswith("map: ")
    rows = {line[:14].strip(): line[15:] for line in lines[1:]}
    assert list(rows) == [
        "kernel text",
        "init text",
        "area text",
        "area text_end",
        "area inittext",
        "tracers",
    ]
    assert set(rows["kernel text"].strip()) == {"="}
    assert rows["area text"].startswith("#.")
    assert ".#" in rows["area text_end"]
    assert max(map(len, lines)) <= 80
    assert not area_map(map_addresses(kernel, 24), 30)
    assert not area_map(AddressMap((), ()), 80)


# -- real kernels -----------------------------------------------------------------------------------------


def test_real_kernels(kernels: Kernels, tmp_path: Path, call: Call) -> None:
    page = tmp_path / "report.html"
    for path in kernels.all("vmlinux"):
        outcome = call("report", path, "-o", page)
        assert outcome.code == call("check", path).code
        Page(page.read_text())
        assert page.stat().st_size < 2 * MIB
