# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs diff`: kernels and saved documents, in any combination."""

import html
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfestubs.errors import RefusedError
from pfestubs.formats import RenderOptions
from pfestubs.formats.diff import _figures, render_markdown
from pfestubs.formats.markdown import LIMIT
from pfestubs.model import AreaFigures, EntryCounts, KernelFigures, KernelIdentity
from pfestubs.rules.analyses.diff import boot_figures, compare
from pfestubs.rules.analyses.planner import Planner
from pfestubs.rules.analyses.relink import Growth
from support import OBJECTS, Kernels, call, json_of, printed, refusal, validator
from support.kernelwriter import BASE, MIB, Linked, LinkedKernel

UNSAFE_NAMES = (
    *("<script>alert(1)</script>", "</pre></details>", "`code`", "**bold**", "|cell|", "@someone #1"),
    *("line\nbreak", "\x1b[31mred", "&lt;"),
)


@pytest.fixture
def document() -> Any:
    """The document of `pfestubs diff --format json`; the status tells whether the new kernel would fail."""

    def diff(*words: str | Path) -> Any:
        outcome = call("diff", "--format", "json", *words)
        value = json.loads(outcome.out)
        validator("diff").validate(value)
        fails = bool(value["unserved"]["new"] or value["damage"]["new"])
        assert (outcome.code, outcome.err) == (fails, "")
        return value

    return diff


def rename(path: Path, names: Mapping[str, str]) -> Path:
    """Give symbols other names of the same length."""
    content = path.read_bytes()
    for old, new in names.items():
        assert len(old) == len(new)
        content = content.replace(b"\0" + old.encode() + b"\0", b"\0" + new.encode() + b"\0")
    path.write_bytes(content)
    return path


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return LinkedKernel().save(tmp_path / "old")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """Two more functions of text, one less of init text."""
    text = [0x1000 + 0x10 * i for i in range(5)]
    return LinkedKernel(text=text, inittext=[0]).save(tmp_path / "new")


def save_document(command: str, file: Path, to: Path) -> Path:
    outcome = call(command, "--format", "json", file)
    assert outcome.code in {0, 1}
    to.write_text(outcome.out)
    return to


# -- kernels -------------------------------------------------------------------------------------------------


def area(name: str, old: int, new: int | None) -> dict[str, Any]:
    """An area whose stubs are all used."""
    return {"name": name, "reserved": {"old": old, "new": new}, "used": {"old": old, "new": new}}


def test_two_kernels(document: Any, old: Path, new: Path) -> None:
    value = document(old, new)
    assert (value["old"], value["new"], value["same"]) == (str(old), str(new), False)
    assert value["locations"] == {"old": 5, "new": 6, "added": ["fn3", "fn4"], "removed": ["init1"]}
    assert value["areas"] == [area("text", 2, 2), area("text_end", 1, 3), area("inittext", 2, 1)]
    assert value["unserved"] == {"old": 0, "new": 0}
    assert value["headroom"]["old"] > 0
    assert value["source"] == {"old": "kernel", "new": "kernel"}
    back = document(new, old)
    assert back["locations"] == {"old": 6, "new": 5, "added": ["init1"], "removed": ["fn3", "fn4"]}


def test_a_file_against_itself(document: Any, old: Path) -> None:
    value = document(old, old)
    assert value["same"] is True
    assert (value["locations"]["added"], value["locations"]["removed"]) == ([], [])
    assert printed("diff", old, old) == f"{old}: no differences (5 locations); compared with {old}\n"
    assert "No differences" in call("diff", old, old, "--format", "markdown").out
    bad = LinkedKernel(counts={"text_end": 0}).save(old.with_name("bad"))
    words = "no differences (5 locations); 1 location of the new kernel would fail at boot"
    assert printed("diff", bad, bad, code=1) == f"{bad}: {words}; compared with {bad}\n"


def test_static_functions_of_one_name_are_counted(document: Any, tmp_path: Path) -> None:
    text = [0x1000 + 0x10 * i for i in range(4)]
    old = rename(LinkedKernel(text=text).save(tmp_path / "old"), {"fn1": "fn0"})
    new = rename(LinkedKernel(text=text).save(tmp_path / "new"), {"fn1": "fn0", "fn2": "fn0", "fn3": "fn0"})
    value = document(old, new)
    assert value["locations"] == {"old": 6, "new": 6, "added": ["fn0", "fn0"], "removed": ["fn2", "fn3"]}
    assert document(new, old)["locations"]["removed"] == ["fn0", "fn0"]


def test_a_nop_that_moves_within_its_function(document: Any, tmp_path: Path) -> None:
    class Moved(LinkedKernel):
        def function_names(self) -> dict[str, int]:
            return {name: address - 8 for name, address in super().function_names().items()}

    kinds = (LinkedKernel, Moved)
    assert document(*(kind(inittext=[0x20]).save(tmp_path / kind.__name__) for kind in kinds))["same"] is True


def test_growth_left(document: Any, tmp_path: Path) -> None:
    # Both functions get stubs of the reserve; the second one limits what can come between them.
    old, new = (
        LinkedKernel(text=[0x1000, offset]).save(tmp_path / f"{offset:x}") for offset in (0x2000, 0x1802000)
    )
    growth = document(old, new)["growth"]
    assert growth["old"]["early"] - growth["new"]["early"] == 0x1800000
    assert growth["new"]["early"] > 0
    bad = LinkedKernel(counts={"text_end": 0}).save(tmp_path / "bad")
    saved = save_document("check", old, tmp_path / "old.json")
    for other in (bad, saved):
        assert document(other, old)["growth"] == {"old": None, "new": growth["old"]}


def test_a_kernel_that_fails(document: Any, old: Path, tmp_path: Path) -> None:
    text = [0x1000 + 0x10 * i for i in range(9)]
    bad = LinkedKernel(text=text, counts={"text_end": 2}).save(tmp_path / "bad")
    value = document(old, bad)
    assert value["unserved"] == {"old": 0, "new": 5}
    assert value["growth"]["new"] == plan_growth(bad)
    out = printed("diff", old, bad, code=1)
    assert "5 locations of the new kernel would fail at boot" in out
    assert re.search(r"^headroom +[0-9,]+ \(32.0 MiB\) +none *$", out, re.MULTILINE)
    assert call("diff", bad, old).code == 0
    saved = save_document("check", bad, tmp_path / "bad.json")
    assert document(old, saved)["unserved"]["new"] == 5


def plan_growth(path: Path) -> Any:
    growth = json_of("plan", path, code=1)["outcomes"][0]["growth"]
    return growth if any(value is not None for value in growth.values()) else None


def test_growth_to_be_removed() -> None:
    """The reserve is out of range of the last functions; with less text it is not."""
    boot = Linked(100, 10, 200, 33 * MIB).boot()
    assert boot.failures
    far = boot_figures(boot)
    limits = Planner(boot).outcome(100, Growth()).limits
    assert far.growth == {shape.value: limit.bytes for shape, limit in limits.items()}
    assert far.growth["early"] is not None
    assert far.growth["early"] < 0
    table = _figures(compare(boot_figures(Linked(100, 10, 200, 0).boot()), far))
    (row,) = [row for row in table.rows if row[0] == "growth left, early"]
    assert row[2] == f"must lose {-far.growth['early'] / MIB:.1f} MiB"


def test_sizes_of_text(document: Any, old: Path, tmp_path: Path) -> None:
    large = LinkedKernel(text=[0x1000, 0x1010, 0x400000], text_size=0x500000).save(tmp_path / "large")
    text = document(old, large)["text"]
    assert text["new"]["text"] == 0x500000 > text["old"]["text"]
    assert text["new"]["gap"] > 0x300000
    assert text["new"]["inittext"] == text["old"]["inittext"]
    out = call("diff", old, large).out
    assert re.search(r"^kernel text +[0-9,]+ +[0-9,]+ \(5.0 MiB\) +\+[0-9.]+ MiB$", out, re.MULTILINE)
    assert re.search(r"^largest gap ", out, re.MULTILINE)


@pytest.mark.parametrize("format_", ["text", "markdown", "json"])
def test_a_damaged_kernel(document: Any, old: Path, tmp_path: Path, format_: str) -> None:
    lost = [BASE + 0x1000, *[0] * 4]
    bad = LinkedKernel(table=lost).save(tmp_path / "bad")
    saved = save_document("check", bad, tmp_path / "bad.json")
    area = LinkedKernel(sizes={"text": 40}).save(tmp_path / "area")
    for before, new in ((old, bad), (old, saved), (old, area), (bad, bad)):
        assert "-damaged" in printed("diff", "--format", format_, before, new, code=1)
    assert document(old, area)["same"] is False
    assert document(bad, old)["damage"] == {"old": "table-damaged", "new": None}
    assert document(old, bad)["growth"]["new"] is None


def test_kernels_of_different_kinds(document: Any, old: Path, tmp_path: Path) -> None:
    other = LinkedKernel(layout="pfe", bits=32, order=">", stub_size=16).save(tmp_path / "other")
    value = document(old, other)
    keys = ("class", "byte_order", "layout", "stub_size")
    assert [value[key]["old"] for key in keys] == [64, "little", "ool", 24]
    assert [value[key]["new"] for key in keys] == [32, "big", "pfe", 16]
    assert value["areas"][0] == area("text", 2, None)
    for words in ("different kinds", "32-bit, big-endian, layout pfe"):
        assert words in call("diff", old, other).out


def test_text(old: Path, new: Path) -> None:
    out = call("diff", old, new).out
    assert re.search(r"^locations +5 +6 +\+1$", out, re.MULTILINE)
    assert re.search(r"^area text_end, used +1 +3 +\+2$", out, re.MULTILINE)
    assert "2 locations added:\n  + fn3\n  + fn4\n1 location removed:\n  - init1\n" in out
    assert out.splitlines()[-1] == f"{new}: 6 locations, +1: 2 added, 1 removed; compared with {old}"


def test_text_shows_twenty_without_all(old: Path, tmp_path: Path) -> None:
    many = LinkedKernel(text=[0x1000 + 0x10 * i for i in range(40)]).save(tmp_path / "many")
    assert "  ... and 17 more (--all shows all)\n" in call("diff", old, many).out
    out = call("diff", old, many, "--all").out
    assert out.count("  + fn") == 37
    assert "more" not in out


# -- saved documents -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["check", "stubs"])
def test_a_kernel_against_its_own_document(document: Any, new: Path, tmp_path: Path, command: str) -> None:
    saved = save_document(command, new, tmp_path / "saved.json")
    for pair in ((new, saved), (saved, new), (saved, saved)):
        assert document(*pair)["same"] is True


def test_check_documents_hold_totals(document: Any, old: Path, new: Path, tmp_path: Path) -> None:
    saved = save_document("check", old, tmp_path / "old.json")
    value = document(saved, new)
    assert value["locations"] == {"old": 5, "new": 6, "added": None, "removed": None}
    assert value["areas"][1]["reserved"] == {"old": 1, "new": 3}
    assert value["headroom"] == document(old, new)["headroom"]
    assert value["class"] == {"old": 64, "new": 64}
    assert "functions are not named: a saved check holds only totals" in call("diff", saved, new).out


def test_stubs_documents_name_functions(document: Any, old: Path, new: Path, tmp_path: Path) -> None:
    saved = save_document("stubs", new, tmp_path / "new.json")
    value = document(old, saved)
    assert value["locations"] == document(old, new)["locations"]
    assert value["areas"][1] == {**area("text_end", 1, 3), "reserved": {"old": 1, "new": None}}
    assert value["headroom"]["new"] is None


def test_a_failing_kernel_against_its_documents(document: Any, tmp_path: Path) -> None:
    text = [0x1000 + 0x10 * i for i in range(9)]
    kernel = LinkedKernel(text=text, counts={"text_end": 2}, words={BASE + 0x1020: 0})
    bad = kernel.save(tmp_path / "bad")
    check, stubs = (save_document(c, bad, tmp_path / f"{c}.json") for c in ("check", "stubs"))
    assert document(bad, check)["same"] is True
    assert document(bad, check)["unserved"]["new"] > 1
    assert document(stubs, check)["locations"]["old"] == 11
    assert document(check, stubs)["unserved"]["new"] == document(bad, check)["unserved"]["new"]
    assert printed("diff", check, stubs, code=1).count("of the new kernel would fail at boot") == 1


def test_count_documents(document: Any, old: Path, tmp_path: Path) -> None:
    a, b = (
        save_document("count", OBJECTS / f"{name}.o", tmp_path / f"{name}.json")
        for name in ("ool-ppc64le-gnu", "reserve-ppc64le-gnu")
    )
    value = document(a, b)
    counts = [json.loads(path.read_text()) for path in (a, b)]
    assert [value["locations"][side] for side in ("old", "new")] == [c["entries"]["total"] for c in counts]
    for row in value["areas"]:
        assert [row["reserved"][side] for side in ("old", "new")] == [c["stubs"][row["name"]] for c in counts]
        assert row["used"] == {"old": None, "new": None}
    assert value["entries"]["old"]["text"] == counts[0]["entries"]["text"]
    assert document(a, a)["same"] is True
    assert "exit" not in printed("diff", a, old)  # a kernel does not tell


def test_count_against_a_kernel_leaves_exit_text_out() -> None:
    counts = EntryCounts(text=10, inittext=3, exittext=2)
    count = KernelFigures(KernelIdentity("c.json", "ool"), "count", 13, entries=counts)
    assert compare(count, KernelFigures(KernelIdentity("vmlinux", "ool"), "kernel", 13)).same
    assert compare(count, count).locations == (15, 15)


def test_an_earlier_check_lacks_keys(document: Any, old: Path, tmp_path: Path) -> None:
    saved = save_document("check", old, tmp_path / "old.json")
    later = {"kernel", "pfestubs", "stub_size", "baseline", "class", "byte_order"}
    value = json.loads(saved.read_text())
    saved.write_text(json.dumps({key: value[key] for key in value if key not in later}))
    found = document(old, saved)
    assert found["same"] is True
    assert found["class"] == {"old": 64, "new": None}


def test_some_functions_are_not_a_kernel(old: Path, tmp_path: Path) -> None:
    some = tmp_path / "some.json"
    some.write_text(call("stubs", old, "fn1", "init1", "--format", "json").out)
    assert f"{some}: error: lists only some functions of its kernel (2)" in refusal("diff", old, some)
    assert call("diff", some, some).code == 0


COUNT: dict[str, Any] = {
    "schema": "pfestubs/count/1",
    "file": "vmlinux.o",
    "machine": "ppc64",
    "class": 64,
    "byte_order": "little",
    "relocation": "R_PPC64_ADDR64",
    "layout": "ool",
    "entries": {"text": 3, "inittext": 2, "exittext": 0, "total": 5},
    "stubs": {"text": 2, "text_end": 1, "inittext": 2},
}
CHECK: dict[str, Any] = {
    "schema": "pfestubs/check/1",
    "layout": "ool",
    "locations": 5,
    "areas": [{"name": name, "reserved": 2, "used": 2} for name in ("text", "text_end")],
    "headroom": {"bytes": 7},
    "findings": [],
}
DAMAGED: list[Any] = [
    "",
    "null",
    "\x00\xff",
    "[" * 100_000,
    '{"a": ' * 50_000,
    "1" * 5000,
    {},
    {**COUNT, "schema": "pfestubs/count/2"},
    *({**COUNT, "entries": {**COUNT["entries"], "total": total}} for total in (6, 5.0, True, "5", -1, None)),
    {**COUNT, "entries": {"text": -1, "inittext": 2, "exittext": 4, "total": 5}},
    {**COUNT, "layout": "other"},
    {**COUNT, "stubs": None},
    {**COUNT, "stubs": {"text_end": 1, "inittext": 2}},
    {**COUNT, "stubs": {"text": 2, "text_end": None, "inittext": 2}},
    json.dumps({**CHECK, "headroom": {"bytes": float("nan")}}),
]
STUBS: dict[str, Any] = {
    "schema": "pfestubs/stubs/1",
    "layout": "ool",
    "stub_size": 24,
    "stubs": [{"function": "f+0x8", "area": "text", "index": 0}],
}


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("{", "is not the JSON document"),
        ("[]", "'schema' is missing"),
        ({"schema": "pfestubs/verify/1"}, "'schema' is 'pfestubs/verify/1', expected pfestubs/check/1 or"),
        ({**CHECK, "layout": "new"}, "'layout' is 'new'"),
        ({**CHECK, "locations": -1}, "'locations' is -1"),
        ({**CHECK, "locations": True}, "'locations' is True"),
        ({**CHECK, "areas": {}}, "'areas' is an object, expected a list"),
        ({**CHECK, "areas": [3]}, "'areas[0]' is 3, expected an object"),
        ({**CHECK, "areas": [{"name": "x"}]}, "'areas[0].name' is 'x'"),
        ({**CHECK, "areas": CHECK["areas"] * 2}, "'areas[2].name' is 'text'"),
        ({**CHECK, "areas": [{"name": "text", "reserved": 1}] * 2}, "'areas[0].used' is missing"),
        ({**CHECK, "areas": CHECK["areas"][:1]}, "'areas' is a list, expected 2 items"),
        ({**CHECK, "layout": "inline"}, "'areas' is a list, expected no items"),
        ({**CHECK, "ok": True, "findings": [{"rule": "growth", "severity": "error"}]}, "is 'error'"),
        ({**CHECK, "headroom": {}}, "'headroom.bytes' is missing; save one"),
        ('{"schema": "pfestubs/check/1", "schema": "pfestubs/check/1"}', "has the key 'schema' twice"),
        ({**CHECK, "headroom": 5}, "'headroom' is 5"),
        ({**CHECK, "headroom": {"bytes": 1.5}}, "'headroom.bytes' is 1.5"),
        ({**CHECK, "findings": [{"rule": None}]}, "'findings[0].rule' is missing"),
        ({**CHECK, "kernel": {"release": 7}}, "'kernel.release' is 7, expected text"),
        ({**CHECK, "stub_size": "24"}, "'stub_size' is '24'"),
        ({**STUBS, "layout": "inline"}, "'layout' is 'inline'"),
        ({**STUBS, "stubs": None}, "'stubs' is missing"),
        ({**STUBS, "stubs": [{"area": None}]}, "'stubs[0].function' is missing"),
        ({**STUBS, "stubs": [{"function": "f", "area": "x", "index": 0}]}, "'stubs[0].area' is 'x'"),
        ({**STUBS, "stubs": [{"function": "f", "area": "text"}]}, "'stubs[0].index' is missing"),
        *((value, "") for value in DAMAGED),
    ],
)
def test_damaged_documents(old: Path, tmp_path: Path, value: Any, sentence: str) -> None:
    path = tmp_path / "saved.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    commands: list[list[str | Path]] = [["diff", old, path]]
    if "areas" not in sentence and "stub" not in sentence:  # which a baseline does not need
        commands += [["check", old, option, path] for option in ("--baseline", "--prelink")]
    for command in commands:
        assert sentence in refusal(*command, about=path) or command[0] == "check"


# -- errors and options --------------------------------------------------------------------------------------


def test_the_output_is_not_an_input(old: Path, new: Path, tmp_path: Path) -> None:
    assert call("diff", old, new, "-o", new).code == 2
    shown = call("diff", old, new).out
    outcome = call("diff", old, new, "-o", tmp_path / "out")
    assert (outcome.code, outcome.out, (tmp_path / "out").read_text()) == (0, "", shown)


def test_a_system_map_is_of_a_kernel(old: Path, tmp_path: Path) -> None:
    saved = save_document("check", old, tmp_path / "old.json")
    words = ("diff", saved, old, "--old-system-map", tmp_path / "System.map")
    assert "needs no System.map; omit it" in refusal(*words)


# -- markdown ------------------------------------------------------------------------------------------------


def figures(functions: Mapping[str, int], file: str = "vmlinux") -> KernelFigures:
    return KernelFigures(
        KernelIdentity(file, "ool"),
        "kernel",
        sum(functions.values()),
        functions=Counter(functions),
        areas={"text": AreaFigures(10, 5)},
        headroom=1000,
    )


def rendered(old: KernelFigures, new: KernelFigures) -> str:
    return "".join(render_markdown(compare(old, new), RenderOptions()))


def test_markdown(old: Path, new: Path) -> None:
    out = call("diff", old, new, "--format", "markdown").out
    assert out.startswith("### Out-of-line ftrace stubs\n\n**6 locations, +1: 2 added, 1 removed.**\n")
    assert "| locations | 5 | 6 | +1 |" in out
    assert "<summary>2 locations added</summary>\n\n<pre>\nfn3\nfn4\n</pre>\n\n</details>\n" in out
    assert out.index("locations |") < out.index("<details>")


@pytest.mark.parametrize("sizes", [(0, 5000), (5000, 0), (5000, 5000), (10, 9000), (9000, 10)])
def test_markdown_is_cut(sizes: tuple[int, int]) -> None:
    old = figures({f"removed_{i:05}_{'x' * 20}": 1 for i in range(sizes[0])})
    new = figures({f"added_{i:05}_{'&' * 10}": 1 for i in range(sizes[1])})
    out = rendered(old, new)
    assert 55_000 < len(out) <= LIMIT
    assert out.count("<details>") == out.count("</details>") == sum(map(bool, sizes))
    for size, word in zip(sizes, ("removed", "added"), strict=True):
        shown = len(re.findall(rf"^{word}_", out, re.MULTILINE))
        assert size == shown or f"... and {size - shown:,} more\n" in out
    if min(sizes) == 10:  # the short list is whole
        assert out.count(" more\n") == 1


def test_markdown_of_unsafe_names() -> None:
    out = rendered(figures({}), figures(dict.fromkeys(UNSAFE_NAMES, 1)))
    inside = out[out.index("<pre>\n") + 6 : out.index("</pre>")]
    assert "<" not in inside
    assert "\x1b" not in out
    shown = [html.unescape(line) for line in inside.splitlines()]
    assert shown == [name.replace("\n", "\\n").replace("\x1b", "\\x1b") for name in sorted(UNSAFE_NAMES)]


@given(st.text(min_size=1, max_size=400), st.text(min_size=1, max_size=400))
def test_markdown_of_any_file_name(first: str, second: str) -> None:
    out = rendered(figures({"a": 1}, first), figures({"b": 1}, second))
    lines = [line for line in out.splitlines() if line.startswith(("- old: ", "- new: "))]
    assert len(lines) == 2
    for line in lines:
        # A code span ends at the first run of as many backticks as it starts with.
        span = line.split(": ", 1)[1]
        fence = re.match("`+", span)
        assert fence
        end = re.search(rf"(?<!`){fence[0]}(?!`)", span[len(fence[0]) :])
        assert end
        assert span[len(fence[0]) + end.end() :].startswith(" (`kernel, ")
    assert len(out) < 5000


# -- rules ---------------------------------------------------------------------------------------------------

NAMES = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 4))


@given(NAMES, NAMES)
def test_added_and_removed_explain_the_totals(first: dict[str, int], second: dict[str, int]) -> None:
    result = compare(figures(first), figures(second))
    added, removed = result.added, result.removed
    assert added is not None
    assert removed is not None
    assert not added & removed
    assert Counter(first) + added - removed == Counter(second)
    assert result.same == (first == second)
    assert list(added) == sorted(added)


def test_a_partial_listing_is_compared_with_its_like() -> None:
    some = KernelFigures(KernelIdentity("s.json", "ool"), "stubs", 1, functions=Counter("a"), partial=True)
    with pytest.raises(RefusedError, match="lists only some functions"):
        compare(figures({"a": 1}), some)
    assert compare(some, some).same


# -- real kernels --------------------------------------------------------------------------------------------


def test_real_kernels(kernels: Kernels, document: Any, tmp_path: Path) -> None:
    debian, pseries = kernels("debian-7.2.13-ppc64le/vmlinux"), kernels("pseries-7.2.13-ppc64le/vmlinux")
    value = document(debian, pseries)
    locations = value["locations"]
    assert (locations["old"], locations["new"]) == (42648, 77026)
    assert locations["old"] + len(locations["added"]) - len(locations["removed"]) == locations["new"]
    saved = save_document("stubs", debian, tmp_path / "stubs.json")
    assert document(saved, pseries)["locations"] == locations
    assert document(debian, saved)["same"] is True
    assert len(call("diff", debian, pseries, "--format", "markdown").out) <= LIMIT


def test_a_reserve_that_is_a_trap(kernels: Kernels, document: Any) -> None:
    value = document(kernels("pseries-7.2.13-ppc64le/vmlinux"), kernels("pseries-7.2.13-trap/vmlinux"))
    assert value["locations"]["added"] == value["locations"]["removed"] == []
    assert value["unserved"] == {"old": 0, "new": 14885}
