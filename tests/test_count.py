# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs count`: numbers, formats, options."""

import json
from pathlib import Path
from typing import Any

import pytest

from support import FIXTURES, OBJECTS, MiniKernel, assert_strict, call, json_of, printed, refusal, run_cli
from support.elfwriter import KernelObject

NAMES = sorted(path.stem for path in OBJECTS.glob("*.o"))


def test_every_fixture_object_has_an_expectation() -> None:
    assert len(NAMES) >= 19
    assert [path.stem for path in sorted((FIXTURES / "expected").glob("*.json"))] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_fixture_object(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FIXTURES.parent)
    json_of("count", f"fixtures/objects/{name}.o")  # fits its schema
    out = printed("count", "--format", "json", f"fixtures/objects/{name}.o")
    assert out == (FIXTURES / "expected" / f"{name}.json").read_text()


def test_schema_is_strict() -> None:
    good = json.loads((FIXTURES / "expected" / "ool-ppc64le-gnu.json").read_text())
    changes: list[dict[str, Any]] = [
        *({"schema": "pfestubs/count/2"}, {"extra": 1}, {"layout": None}, {"layout": "pfe"}, {"class": 32}),
        *({"stubs": None}, {"stubs": {"text_end": 1, "inittext": 1}}),
        {"entries": {**good["entries"], "other": 1}},
    ]
    assert_strict("count", good, changes)


def test_text_for_people() -> None:
    path = OBJECTS / "traps-ppc64le-lld.o"
    assert printed("count", path) == (
        f"{path}: ppc64, little-endian, layout ool\n"
        "entries: 27 (text 17, inittext 7, exittext 3)\n"
        "stubs:   text 5, text_end 15, inittext 7\n"
    )
    assert "layout unknown" in call("count", OBJECTS / "plain-ppc32-gnu.o").out


def test_text_groups_thousands(tmp_path: Path) -> None:
    path = KernelObject({".text": range(0, 160000, 4)}, reserve=32768).save(tmp_path / "vmlinux.o")
    assert "text 40,000" in call("count", path).out
    assert "text_end 7,232" in call("count", path).out


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [64, 32])
def test_class_and_byte_order(bits: int, order: str, tmp_path: Path) -> None:
    obj = KernelObject(
        {".text.unlikely": range(0, 4 * 600, 4), ".init.text": [0, 8]}, bits=bits, order=order, reserve=0x0102
    )
    document = json_of("count", obj.save(tmp_path / "vmlinux.o"))
    assert document["class"] == bits
    assert document["byte_order"] == ("little" if order == "<" else "big")
    assert document["stubs"] == {"text": 0x0102, "text_end": 600 - 0x0102, "inittext": 2}


def test_layout_option_serves_files_that_do_not_say() -> None:
    path = OBJECTS / "traps-ppc32-gnu.o"
    assert json_of("count", "--layout", "pfe", path)["stubs"] == {"text_end": 20, "inittext": 7}
    document = json_of("count", "--layout", "ool", "--reserve", 8, path)
    assert document["layout"] == "ool"
    assert document["stubs"] == {"text": 8, "text_end": 12, "inittext": 7}


def test_options_that_agree_change_nothing() -> None:
    path = OBJECTS / "ool-ppc64-gnu.o"
    assert call("count", "--layout", "ool", "--reserve", "5", path) == call("count", path)


@pytest.mark.parametrize(
    ("words", "name", "words_in_message"),
    [
        (["--layout", "pfe"], "ool-ppc64le-gnu", ["layout pfe", "layout ool", "ftrace_ool_stub_text"]),
        (["--reserve", "6"], "ool-ppc64le-gnu", ["6", "ftrace_ool_stub_text_count", "is 5"]),
        (["--layout", "ool", "--reserve", "32768"], "ool-ppc64le-gnu", ["32,768", "is 5"]),
        (["--reserve", "5"], "pfe-ppc64le-gnu", ["layout pfe has none"]),
        (["--layout", "ool", "--reserve", "5"], "pfe-ppc64-lld", ["ftrace_pfe_stub_text"]),
    ],
)
@pytest.mark.parametrize("command", ["count", "generate"])
def test_contradiction(command: str, words: list[str], name: str, words_in_message: list[str]) -> None:
    path = OBJECTS / f"{name}.o"
    message = refusal(command, *words, path, about=path)
    assert all(word in message for word in words_in_message)


def test_reserve_not_in_the_object(tmp_path: Path) -> None:
    path = KernelObject({".text": range(0, 40, 4)}, reserve=None).save(tmp_path / "vmlinux.o")
    message = refusal("count", path)
    assert "ftrace_ool_stub_text_count" in message
    assert "--reserve" in message
    assert json_of("count", "--reserve", 3, path)["stubs"] == {"text": 3, "text_end": 7, "inittext": 0}


def test_symbols_that_merely_end_like_ours(tmp_path: Path) -> None:
    obj = KernelObject(layout=None)
    obj.text(".text", [0])
    obj.refer("my_ftrace_ool_stub_text_end", "ftrace_ool_stub_text_ends", "xftrace_pfe_stub_text")
    assert json_of("count", obj.save(tmp_path / "vmlinux.o"))["layout"] is None


@pytest.mark.parametrize("command", ["count", "generate"])
@pytest.mark.parametrize("with_section", [True, False])
def test_no_entries(command: str, with_section: bool, tmp_path: Path) -> None:
    obj = KernelObject()
    text = obj.text(".text", [])
    if with_section:
        obj.table(text, [])
    path = obj.save(tmp_path / "vmlinux.o")
    message = refusal(command, path)
    assert "no entries" in message
    assert "--allow-empty" in message
    assert "0" in printed(command, "--allow-empty", path)


def test_miniature_kernel_without_functions(mini_kernel: MiniKernel) -> None:
    path = mini_kernel("objects", VARIANT="none") / "vmlinux.o"
    assert call("count", path).code == 2
    assert "stubs:   text 5, text_end 0, inittext 0" in printed("count", "--allow-empty", path)


@pytest.mark.parametrize(
    "words",
    [
        *("", "a.o b.o", "--reserve -1 a.o", "--reserve many a.o", "--reserve 4294967296 a.o"),
        *("--layout inline a.o", "--format yaml a.o", "--no-such-option a.o"),
    ],
)
def test_usage(words: str) -> None:
    assert "Traceback" not in refusal("count", *words.split())


def test_version_is_bare() -> None:
    from pfestubs import __version__

    for executable in ("pfestubs", "gen-ftrace-pfe-stubs", "ftrace-gen-ool-stubs"):
        outcome = run_cli("--version", executable=executable)
        assert (outcome.code, outcome.out, outcome.err) == (0, f"{__version__}\n", ""), executable


def test_real_process_says_the_same() -> None:
    path = OBJECTS / "pfe-ppc64-lld.o"
    assert run_cli("count", "--format", "json", path) == call("count", "--format", "json", path)


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "CLICOLOR_FORCE"])
def test_never_any_colour(variable: str) -> None:
    for words in (["count", "--format", "json"], ["generate"]):
        outcome = run_cli(*words, OBJECTS / "ool-ppc64-gnu.o", env={variable: "1", "TERM": "xterm-256color"})
        assert outcome.code == 0
        assert "\x1b" not in outcome.out


def test_escape_sequences_in_names_do_not_reach_the_terminal(tmp_path: Path) -> None:
    obj = KernelObject()
    obj.text(".te\x1b[31mxt", [0], flags=0x2)
    message = refusal("count", obj.save(tmp_path / "vmlinux.o"))
    assert "\x1b" not in message
    assert "[31mxt" in message
