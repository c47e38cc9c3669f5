# SPDX-License-Identifier: GPL-2.0-or-later
"""The page of `pfestubs report` in a real browser: nothing is loaded, sort and search work, it fits."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pfestubs.rules.analyses.planner import Planner
from pfestubs.rules.kernel.simulation import boot_kernel
from support import MiniKernel, call
from support.browser import Browser
from support.kernelwriter import MIB, LinkedKernel, inline_kernel

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

ROWS = "document.querySelectorAll('#tightest tbody tr:not([hidden])')"
CELLS = f"Array.from({ROWS}, r => r.cells[%d].textContent)"
NAMES = CELLS % 0
HEADROOMS = CELLS % 1
SORTS = (
    "Array.from(document.querySelectorAll('#tightest th[aria-sort]'),"
    " h => h.textContent + ' ' + h.getAttribute('aria-sort'))"
)
SLIDE = """
(() => {
  const slider = document.getElementById("reserve");
  slider.value = %d;
  slider.dispatchEvent(new Event("input"));
})()
"""
DRAWN = """
Array.from(document.querySelectorAll("#profile .%s.tried"), r => r.y.baseVal.value + r.height.baseVal.value / 2)
"""
SCHEMES = ("light", "dark")

KERNELS = {
    "exhausted": LinkedKernel(text=[0x100000 + i * 100_000 for i in range(600)], reserve=500),
    "healthy": LinkedKernel(text=[0x4000 + i * 64 for i in range(600)], reserve=300),
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert CHROMIUM is not None, "chromium is not installed (make tools)"
    with Browser(CHROMIUM, tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, mini_kernel: MiniKernel) -> dict[str, Path]:
    """The pages of an exhausted, a healthy, a big-endian and a hostile kernel, and of one without stubs."""
    directory = tmp_path_factory.mktemp("pages")
    healthy = KERNELS["healthy"].save(directory / "healthy")
    writer = LinkedKernel(text=[0x1000, 0x2000], counts={"text_end": 0}, reserve=1)
    hostile = writer.save(directory / "hostile")
    content = hostile.read_bytes()
    for name, other in (("fn0", "<b>"), ("fn1", "'\">")):
        content = content.replace(f"\0{name}\0".encode(), f"\0{other}\0".encode())
    hostile.write_bytes(content)
    kernels = {
        "exhausted": KERNELS["exhausted"].save(directory / "exhausted"),
        "healthy": healthy,
        "compared": healthy,
        "big-endian": mini_kernel(TOOLCHAIN="gcc-ppc64") / "vmlinux",
        "hostile": hostile,
        "inline": inline_kernel().save(directory / "inline"),
    }
    written = {}
    for name, kernel in kernels.items():
        written[name] = directory / f"{name}.html"
        words: list[str | Path] = ["--compare", kernels["exhausted"]] if name == "compared" else []
        assert call("report", kernel, "-o", written[name], *words).code in {0, 1}
    return written


NAMES_OF_PAGES = ("exhausted", "healthy", "compared", "big-endian", "hostile", "inline")


@pytest.mark.parametrize("name", NAMES_OF_PAGES)
def test_nothing_is_loaded_and_nothing_fails(name: str, browser: Browser, pages: dict[str, Path]) -> None:
    for scheme in SCHEMES:
        browser.open(pages[name], scheme=scheme)
        browser.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")
        assert browser.requests == [pages[name].as_uri()]
        assert browser.complaints == []


@pytest.mark.parametrize("width", [320, 400, 1000])
@pytest.mark.parametrize("name", NAMES_OF_PAGES)
def test_page_fits(name: str, width: int, browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages[name], width=width)
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    # No label of a picture is outside the window.
    outside = browser.evaluate(
        "Array.from(document.querySelectorAll('svg.picture text')).filter(t => {"
        " const b = t.getBoundingClientRect(); return b.left < 0 || b.right > innerWidth; })"
        ".map(t => t.textContent)"
    )
    assert outside == []
    # Rows become blocks: no table is wider than its place, so that no column is lost; each cell has its title.
    if width <= 400:
        browser.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        wide = "Array.from(document.querySelectorAll('.scroll')).filter(e => e.scrollWidth > e.clientWidth)"
        assert browser.evaluate(f"{wide}.length") == 0
        title = "getComputedStyle(document.querySelector('#tightest td'), '::before').content"
        assert browser.evaluate(title) == '"Headroom"'


def test_paper(browser: Browser, pages: dict[str, Path]) -> None:
    """White, as the light page is; the dark one is not."""
    background = "getComputedStyle(document.body).backgroundColor"
    for scheme in SCHEMES:
        browser.open(pages["exhausted"], scheme=scheme)
        assert (browser.evaluate(background) == "rgb(255, 255, 255)") == (scheme == "light")
    browser.open(pages["exhausted"], scheme="dark", media="print")
    assert browser.evaluate(background) == "rgb(255, 255, 255)"
    assert browser.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert browser.call("Page.printToPDF")["data"]


def test_sort_with_the_keyboard(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["healthy"])
    before = browser.evaluate(NAMES)
    assert len(before) == 3
    assert browser.evaluate(SORTS) == ["Headroom ascending"]
    button = "document.querySelectorAll('#tightest thead button')[%d]"
    browser.evaluate(f"{button % 0}.focus()")
    browser.press("Enter", 13, "\r")
    assert browser.evaluate(SORTS) == ["Function ascending"]
    assert browser.evaluate(NAMES) == sorted(before)
    browser.press(" ", 32, " ")
    assert browser.evaluate(SORTS) == ["Function descending"]
    assert browser.evaluate(NAMES) == sorted(before, reverse=True)
    browser.press("Tab", 9)
    assert browser.evaluate(f"document.activeElement === {button % 1}")
    for reverse in (False, True):
        browser.press("Enter", 13, "\r")
        rooms = [int(cell.replace(",", "")) for cell in browser.evaluate(HEADROOMS)]
        assert rooms == sorted(rooms, reverse=reverse)
    assert browser.complaints == []


@pytest.mark.parametrize("name", ["exhausted", "healthy"])
def test_slider_draws_another_reserve(name: str, browser: Browser, pages: dict[str, Path]) -> None:
    """What the script draws for a reserve is what a boot of the kernel relinked with it does."""
    browser.open(pages[name])
    as_linked = "document.querySelectorAll('#profile .data:not(.off)').length"
    count, linked = browser.evaluate(as_linked), browser.evaluate("+document.getElementById('reserve').value")
    tried = "document.getElementById('tried').textContent"
    for reserve in (0, 7, 200, 480):
        boot = Planner(boot_kernel(KERNELS[name].kernel())).boot_of(reserve)
        browser.evaluate(SLIDE % reserve)
        chosen = int(browser.evaluate(tried).partition(":")[0].replace(",", ""))
        if chosen != reserve:
            boot = Planner(boot_kernel(KERNELS[name].kernel())).boot_of(chosen)
        text = [i for i, ip in enumerate(boot.locations) if ip in boot.kernel.text]
        failed = sum(not boot.insns[i] for i in text)
        assert (f"fails: {failed:,} functions" in browser.evaluate(tried)) == bool(failed)
        assert browser.evaluate(as_linked) == 0
        bad = browser.evaluate("document.querySelectorAll('#profile .bad.tried').length")
        assert bool(bad) == bool(failed)
        # The highest and the lowest box of each area, from pixels to bytes.
        for area, kind in enumerate(("reserve", "end")):
            distances = [boot.locations[i] - boot.insns[i] for i in text if boot.area[i] == area]
            distances = [max(-40 * MIB, min(40 * MIB, distance)) for distance in distances]
            drawn = browser.evaluate(DRAWN % kind)
            assert bool(drawn) == bool(distances)
            if distances:
                ends = [40 * MIB * (1 - (y - 34) / 100) for y in (max(drawn), min(drawn))]
                assert ends == pytest.approx([min(distances), max(distances)], abs=3 * 40 * MIB / 100)
    browser.evaluate(SLIDE % linked)
    assert browser.evaluate(as_linked) == count
    assert browser.complaints == []


@pytest.mark.parametrize("name", NAMES_OF_PAGES)
def test_complete_without_a_script(name: str, browser: Browser, pages: dict[str, Path]) -> None:
    """Only the slider is missing; what it would need is not shown."""
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(pages[name])
        assert browser.evaluate("document.querySelectorAll('svg.picture rect, svg.picture line').length") > 0
        hidden = "Array.from(document.querySelectorAll('.slider, #drawn'), e => getComputedStyle(e).display)"
        assert set(browser.evaluate(hidden)) <= {"none"}
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def accessible_nodes(browser: Browser) -> list[tuple[str, str]]:
    """Role and name of what a screen reader is told of."""
    nodes: list[dict[str, Any]] = browser.call("Accessibility.getFullAXTree")["nodes"]
    return [
        (node.get("role", {}).get("value", ""), node.get("name", {}).get("value", ""))
        for node in nodes
        if not node.get("ignored")
    ]


@pytest.mark.parametrize("name", ["exhausted", "inline"])
def test_screen_reader(name: str, browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages[name])
    nodes = accessible_nodes(browser)
    images = [label for role, label in nodes if role in {"image", "img"}]
    assert len(images) == browser.evaluate("document.querySelectorAll('svg.picture').length")
    assert all(images)
    for role in ("button", "region", "link", "DisclosureTriangle"):
        labels = [label for found, label in nodes if found == role]
        assert labels, role
        assert all(labels), role
    # Every picture's table can be opened with the keyboard.
    for index in range(browser.evaluate("document.querySelectorAll('details').length")):
        browser.evaluate(f"document.querySelectorAll('summary')[{index}].focus()")
        browser.press("Enter", 13, "\r")
        assert browser.evaluate(f"document.querySelectorAll('details')[{index}].open")


def test_names_stay_text(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["hostile"])
    assert browser.evaluate("document.querySelectorAll('b').length") == 0
    assert "<b>" in browser.evaluate(NAMES)
    assert "'\">" in browser.evaluate("document.getElementById('verdict').textContent")


def test_policy_holds(browser: Browser, pages: dict[str, Path]) -> None:
    """A script that got into the page in spite of everything would not run, and nothing could be sent."""
    browser.open(pages["healthy"])
    browser.evaluate(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.injected = 1';"
        " document.body.append(s); })()"
    )
    assert browser.evaluate("window.injected") is None
    assert browser.evaluate("fetch('data:,x').then(() => 'sent', () => 'refused')") == "refused"
    assert browser.complaints
