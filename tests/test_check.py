# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs check` and `ftrace-check`: options, exit status, streams, what is compared with."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pfestubs.formats.check import summary
from pfestubs.read.saved import read_baseline
from pfestubs.read.vmlinux import open_kernel
from pfestubs.rules.check import CheckOptions, check_boot
from pfestubs.rules.kernel.simulation import boot_kernel
from support import call, executable_path, json_of, on_terminal, printed, refusal, run_cli, run_program, tool
from support.dumps import linked_memory, qemu, with_banner
from support.kernelwriter import MIB, LinkedKernel, inline_kernel
from test_diff import COUNT
from test_generate import trap_object


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return LinkedKernel().save(tmp_path / "good")


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """30 of 35 functions without a stub."""
    text = [0x1000 + 16 * i for i in range(37)]
    return LinkedKernel(text=text, counts={"text_end": 5}).save(tmp_path / "bad")


# -- text -------------------------------------------------------------------------------------------------


def test_one_line_when_all_is_well(good: Path) -> None:
    assert printed("check", good) == (
        f"{good}: ok: all 5 functions get a working stub (text 2 of 2, text_end 1 of 1, inittext 2 of 2),"
        " headroom 33,550,852 bytes (32.0 MiB, stub branch of fn0)\n"
    )


def test_a_cause_three_more_functions_and_a_count(bad: Path) -> None:
    lines = printed("check", bad, code=1).splitlines()
    assert len(lines) == 6
    assert lines[0].startswith(f"{bad}: error: area-exhausted: fn7 at 0xc000000000001070 gets no stub: area")
    assert all(line.startswith(f"{bad}: error: area-exhausted: fn") for line in lines[:4])
    assert lines[4] == f"{bad}: 26 more of area-exhausted (--all shows all)"
    assert lines[5] == (
        f"{bad}: failed: 30 errors (area-exhausted 30), 39 locations; ftrace would be disabled at boot, at fn7"
    )
    every = printed("check", "--all", bad, code=1).splitlines()
    assert (len(every), every[:4], every[-1].startswith(lines[5])) == (31, lines[:4], True)


def test_verbose_shows_notes_and_tables(tmp_path: Path) -> None:
    path = LinkedKernel(counts={"text_end": 4}).save(tmp_path / "vmlinux")
    assert "area-unused" not in call("check", path).out
    lines = printed("check", "-v", path).splitlines()
    assert lines[0] == f"{path}: note: area-unused: 3 of 4 stubs of area text_end are unused"
    assert [line.split() for line in lines[1:-2]] == [
        ["area", "address", "reserved", "used", "needed"],
        ["text", "0xc000000000000200", "2", "2", "2"],
        ["text_end", "0xc000000000001080", "4", "1", "1"],
        ["inittext", "0xc000000000003070", "2", "2", "2"],
        ["branch", "headroom,", "bytes", "location", "function"],
        ["stub", "33,550,852", "0xc000000000001000", "fn0"],
        ["return", "33,550,860", "0xc000000000001000", "fn0"],
        ["tracer", "33,553,948", "0xc000000000001010", "fn1"],
    ]
    assert lines[-2] == (
        "kernel text 8.0 KiB, init text 4.0 KiB; the largest gap without a traced function is 3.5 KiB, after"
        " ftrace_ool_stub_text, before fn0"
    )
    assert lines[-1].startswith(f"{path}: ok: all 5 functions get a working stub")


def test_inline_kernel(tmp_path: Path) -> None:
    path = inline_kernel().save(tmp_path / "vmlinux")
    last = printed("check", "-v", path).splitlines()[-1]
    assert last.startswith(f"{path}: ok: all 5 functions reach the tracer (layout inline)")


def test_names_of_the_file_cannot_forge_lines(tmp_path: Path) -> None:
    kernel = LinkedKernel(counts={"text_end": 0})
    raw = kernel.save(tmp_path / "vmlinux").read_bytes()
    assert raw.count(b"\0fn2\0") == 1
    evil = tmp_path / "evil"
    evil.write_bytes(raw.replace(b"\0fn2\0", b"\0f\n\x1b\0"))
    for format_ in ("text", "github"):
        out = printed("check", "--format", format_, evil, code=1)
        assert len(out.splitlines()) == 2
        assert "\x1b" not in out
        assert r"f\n\x1b" in out
    assert call("check", "--format", "junit", evil).code == 1
    assert {f["function"] for f in json_of("check", evil, code=1)["findings"]} == {"f\n\x1b"}


# -- several kernels -------------------------------------------------------------------------------------


def test_each_of_several_kernels_gets_a_line(good: Path, bad: Path, tmp_path: Path) -> None:
    assert call("check", good, good).out == 2 * call("check", good).out
    outcome = call("check", bad, good)
    assert (outcome.code, outcome.err) == (1, "")
    first, second = outcome.out.splitlines()
    last = call("check", bad).out.splitlines()[-1]
    remedy = "generate the assembly file again from this kernel's vmlinux.o"
    assert first == f"{last}; {remedy} (--spare adds stubs to area text_end), and link again"
    assert f"{second}\n" == call("check", good).out
    missing = tmp_path / "missing"
    outcome = call("check", missing, bad, good)
    assert (outcome.code, outcome.out) == (2, f"{first}\n{second}\n")
    assert outcome.err == call("check", missing).err
    assert call("check", bad, good, "--all").out == call("check", bad, "--all").out + call("check", good).out
    for words in (["--format", "json"], ["--system-map", "x"], ["--prelink", "x"], ["--baseline", "x"]):
        assert "several kernels: text only, without --system-map" in refusal("check", bad, good, *words)


def test_github_shows_a_kernel_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "vmlinux"
    path.write_bytes(b"no kernel")
    outcome = call("check", path, "--format", "github")
    assert outcome.code == 2
    assert outcome.out == f"::error file={path},title=pfestubs check::{outcome.err}"
    assert call("check", path).out == ""


# -- colour -----------------------------------------------------------------------------------------------


def test_colour_follows_the_terminal(bad: Path) -> None:
    words = [executable_path("pfestubs"), "check", "-v", bad]
    shown = on_terminal(words, {"TERM": "xterm"})[1]
    assert "\x1b[1;31merror:\x1b[0m" in shown
    plain = on_terminal(words, {"TERM": "xterm", "NO_COLOR": "1"})[1]
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown) == plain
    assert max(map(len, plain.splitlines())) <= max(80, len(str(bad)) + 1)
    assert "\x1b" not in on_terminal(words, {"TERM": "dumb"})[1]
    assert "\x1b" not in run_cli("check", bad, "-v").out
    forced = run_cli("check", bad, env={"FORCE_COLOR": "1"}).out
    assert "\x1b[1;31merror:\x1b[0m" in forced
    assert "\x1b" not in run_cli("check", bad, env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).out


@pytest.mark.parametrize(
    "words",
    ["check V", "plan V", "diff K V", "stubs V", "kbuild V", "verify K core", "count --fail-on-trap o"],
)
def test_nothing_breaks_inside_a_word(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 80 columns: the words are those of a file, but for a column that a narrow table goes without."""
    monkeypatch.chdir(tmp_path)
    name, kernel = "vmlinux-7.2.13+deb14-powerpc64le", with_banner(LinkedKernel())
    LinkedKernel(text=[33 * MIB + 64 * i for i in range(10)], reserve=4).save(tmp_path / name)
    (tmp_path / "core").write_bytes(qemu(linked_memory(kernel), "<"))
    trap_object(tmp_path / "o", [(".text", range(0, 40 * MIB, 4096), 40 * MIB)], reserve=32768)
    kernel.save(tmp_path / "K")
    given = words.replace("V", name).split()
    _, shown = on_terminal(
        [executable_path("pfestubs"), *given], {"TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "80"}
    )
    shown = shown.rpartition("\x1b[2K")[2]  # after the bar
    assert max(map(len, shown.splitlines())) <= 80
    outcome = call(*given)
    expected = set((outcome.out + outcome.err).split())
    assert set(shown.split()) <= expected | {"="}
    assert "\x1b" not in shown


def test_a_bar_for_long_work() -> None:
    code = (
        "import time; from pfestubs.cli import progress; progress._PATIENCE = 0.0\n"
        "with progress.working('planning'): time.sleep(0.5)"
    )
    done, shown = on_terminal([sys.executable, "-c", code], {"TERM": "xterm"})
    assert done.code == 0
    assert "planning" in shown


@pytest.mark.parametrize("format_", ["text", "json", "junit", "sarif", "github"])
def test_files_and_documents_have_no_colour(format_: str, bad: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    words = ("check", "-v", "--format", format_, bad)
    outcome = run_cli(*words, "-o", target, env={"FORCE_COLOR": "1"})
    assert outcome.code == 1
    written = target.read_text()
    assert written
    assert "\x1b" not in written + outcome.out + outcome.err
    if format_ != "text":
        assert run_cli(*words, env={"FORCE_COLOR": "1"}).out == written


# -- output -----------------------------------------------------------------------------------------------


def test_output_goes_to_the_file(bad: Path, good: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    outcome = call("check", bad, "-o", target)
    assert (outcome.code, outcome.out) == (1, "")
    assert target.read_text() == call("check", bad).out
    # The build's log says why it failed, and how to fix it.
    first, last = outcome.err.splitlines()
    assert first == target.read_text().splitlines()[0]
    assert target.read_text().splitlines()[-1].startswith(last)
    assert printed("check", good, "-o", target) == ""
    assert target.read_text() == call("check", good).out
    assert call("check", good, "-o", "-").out == call("check", good).out


# -- usage ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("growth", ["-1", "2.5", "%", "nan%", "1e3", "0x%"])
def test_not_a_growth(growth: str, good: Path) -> None:
    assert "Usage: pfestubs check" in refusal("check", good, "--baseline", "b", "--max-growth", growth)


@pytest.mark.parametrize(
    "words",
    ["--max-growth 5", "--max-growth 5 --min-headroom 1", "--min-headroom 1KX", "--format xml", "--nonsense"],
)
def test_usage_errors(words: str, good: Path) -> None:
    assert "Usage: pfestubs check" in refusal("check", good, *words.split())


# -- a stripped kernel ------------------------------------------------------------------------------------


def system_map(kernel: LinkedKernel, path: Path) -> Path:
    """What nm says of the kernel, as kbuild writes it."""
    done = run_program(tool("powerpc64le-linux-gnu-nm"), "-n", kernel.save(path.parent / "full"), check=True)
    path.write_text(done.out)
    return path


@pytest.mark.tools
def test_system_map(tmp_path: Path) -> None:
    kernel = LinkedKernel(counts={"text_end": 0})
    full = tmp_path / "full"
    symbols = system_map(kernel, tmp_path / "System.map")
    stripped = tmp_path / "stripped"
    run_program(tool("powerpc64le-linux-gnu-strip"), "-o", stripped, full, check=True)
    assert "--system-map" in refusal("check", stripped)
    one, other = (json_of("check", *words, code=1) for words in ([full], [stripped, "--system-map", symbols]))
    assert {**other, "file": one["file"]} == one
    assert one["findings"]


@pytest.mark.tools
def test_system_map_of_another_kernel(good: Path, tmp_path: Path) -> None:
    other = LinkedKernel(symbols={"ftrace_caller": 0xC000000000000060})
    symbols = system_map(other, tmp_path / "System.map")
    assert "has ftrace_caller at 0xc000000000000060" in refusal("check", good, "--system-map", symbols)


# -- expected counts and baselines -------------------------------------------------------------------------------


def saved(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_expected_counts_differ(good: Path, tmp_path: Path) -> None:
    expected = saved(tmp_path / "c.json", {**COUNT, "stubs": {"text": 2, "text_end": 1, "inittext": 3}})
    out = printed("check", good, "--prelink", expected, code=1)
    assert f"count-mismatch: area inittext has 2 stubs, expected 3 from {expected}" in out


def test_an_object_without_stub_symbols_is_of_another_kernel(good: Path, tmp_path: Path) -> None:
    """Also with the same counts: what a kernel with stubs is linked from refers to their symbols."""
    unknown = saved(tmp_path / "c.json", {**COUNT, "layout": None, "stubs": None})
    assert "has layout inline, but" in refusal("check", good, "--prelink", unknown)


def test_missing_count_and_baseline(good: Path, tmp_path: Path) -> None:
    for option in ("--prelink", "--baseline"):
        assert "cannot be read" in refusal("check", good, option, tmp_path / "missing")


@pytest.fixture
def baseline(good: Path, tmp_path: Path) -> Path:
    return saved(tmp_path / "base.json", call("check", "--format", "json", good).out)


def test_a_kernel_against_itself(good: Path, baseline: Path) -> None:
    assert printed("check", good, "--baseline", baseline, "--max-growth", "0").endswith(
        f"; against {baseline}: locations +0, headroom +0 bytes\n"
    )
    known = {"file": str(baseline), "release": None, "locations": 5, "headroom": 33_550_852}
    assert json_of("check", good, "--baseline", baseline)["baseline"] == known


@pytest.mark.parametrize(
    ("growth", "code"), [("5", 0), ("0x5", 0), ("4", 1), ("100%", 0), ("99.9%", 1), ("0%", 1)]
)
def test_growth(growth: str, code: int, baseline: Path, tmp_path: Path) -> None:
    grown = LinkedKernel(text=[0x1000 + 16 * i for i in range(8)]).save(tmp_path / "grown")
    outcome = call("check", grown, "--baseline", baseline, "--max-growth", growth)
    assert outcome.code == code
    assert "locations +5" in outcome.out
    sentence = f"growth: 10 locations, 5 more than in {baseline} (5); at most {growth} more are allowed"
    assert (sentence in outcome.out) == bool(code)


def test_a_baseline_of_another_release(tmp_path: Path, good: Path) -> None:
    value = json_of("check", good)
    value["kernel"]["release"] = "6.13.0"
    path = saved(tmp_path / "b.json", value)
    assert json_of("check", good, "--baseline", path)["baseline"]["release"] == "6.13.0"
    with open_kernel(str(good)) as kernel:
        known = replace(kernel, banner="Linux version 7.2.13 (b@h) #1")
        result = check_boot(boot_kernel(known), CheckOptions(baseline=read_baseline(str(path))))
        unnamed = check_boot(boot_kernel(kernel), CheckOptions(baseline=read_baseline(str(path))))
        assert "(of kernel 6.13.0, this is 7.2.13): locations +0" in summary(result)
        assert summary(unnamed).endswith(f"; against {path}: locations +0, headroom +0 bytes")


def test_baseline_without_locations(good: Path, tmp_path: Path) -> None:
    old = {"schema": "pfestubs/check/1", "layout": "ool", "locations": 0, "headroom": {"bytes": None}}
    path = saved(tmp_path / "b.json", old)
    assert call("check", good, "--baseline", path).out.endswith("locations +5\n")


# -- the drop-in ------------------------------------------------------------------------------------------


def test_drop_in_is_silent_when_all_is_well(good: Path) -> None:
    for nm in ("nm", "powerpc64le-linux-gnu-nm --synthetic", "no such tool"):
        outcome = run_cli(nm, good, executable="ftrace-check")
        assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


def test_drop_in_says_what_is_wrong(bad: Path) -> None:
    outcome = run_cli("nm", bad, executable="ftrace-check", env={"FORCE_COLOR": "1"})
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == call("check", bad).out


@pytest.mark.parametrize("missing", ["ftrace_caller", "ftrace_tramp_text", "_stext"])
def test_drop_in_does_not_let_a_missing_symbol_pass(missing: str, tmp_path: Path) -> None:
    path = LinkedKernel(symbols={missing: None}).save(tmp_path / "vmlinux")
    outcome = run_cli("nm", path, executable="ftrace-check")
    assert (outcome.code, outcome.out) == (2, "")
    assert missing in outcome.err


@pytest.mark.parametrize("words", [(), ("nm",), ("", "vmlinux"), ("nm", ""), ("nm", "a", "b")])
def test_drop_in_arguments(words: tuple[str, ...]) -> None:
    outcome = run_cli(*words, executable="ftrace-check")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("ftrace-check: error: ")
