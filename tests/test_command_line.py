# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: help, names that are mistyped, numbers, input files, messages of one line each."""

import lzma
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest

from pfestubs.cli import main, options
from pfestubs.errors import Exit
from pfestubs.formats.text import escape_line
from support import OBJECTS, Kernels, MiniKernel, call, json_of, printed, refusal, refused, run_cli
from support.elfwriter import KernelObject

OBJECT = OBJECTS / "ool-ppc64le-gnu.o"
HERE = [name for name in main.COMMANDS if name != "kbuild"]
EXIT_STATUS = (
    "Exit status: 0 success, no problems found; 1 problems found in the kernel; 2 error (usage, unreadable"
    " input, failed tool)."
)


def words_of(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="session")
def vmlinux(mini_kernel: MiniKernel) -> Path:
    return mini_kernel(VARIANT="traps") / "vmlinux"


# -- help ------------------------------------------------------------------------------------------------------


def test_exit_status() -> None:
    assert {e.name: int(e) for e in Exit} == {"SUCCESS": 0, "PROBLEMS": 1, "ERROR": 2}


@pytest.mark.parametrize("name", HERE)
def test_help_of_a_command(name: str) -> None:
    outcome = call(name, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    _, examples = outcome.out.split("\n  Examples:\n")
    first, second, empty, *status = examples.splitlines()
    assert (first[:4], second[:4], empty) == ("    ", "    ", "")
    assert f"pfestubs {name}" in first
    assert f"pfestubs {name}" in second
    assert words_of("\n".join(status)) == EXIT_STATUS
    assert call(name, "-h") == call("help", name) == outcome


@pytest.mark.parametrize("name", HERE)
def test_every_option_has_help(name: str) -> None:
    command: click.Command = import_module(f"pfestubs.cli.commands.{name}").command
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{name} {option.opts}"
            assert option.help.endswith((".", ")", "(powers of two)."))


@pytest.mark.parametrize("name", HERE)
def test_examples_are_accepted(name: str) -> None:
    """The options of an example exist, and its words are as many as the command takes."""
    command: click.Command = import_module(f"pfestubs.cli.commands.{name}").command
    assert command.epilog
    for line in command.epilog.splitlines():
        if line.startswith("  "):
            words = line.replace("'", "").split()
            at = words.index("pfestubs")
            assert words[at + 1] == name
            # With the settings of the program: click keeps the help option of the first context.
            command.make_context(name, words[at + 2 :], **main.cli.context_settings)


def test_no_command() -> None:
    """Exit status 2 with every version of click."""
    message = refused(run_cli("kbuild"))
    assert message.startswith("Usage: pfestubs kbuild ")
    assert "error: missing command: install, remove, status; see pfestubs help kbuild\n" in message
    outcome = run_cli()
    assert (outcome.code, outcome.out, outcome.err[:16]) == (2, "", "Usage: pfestubs ")
    listed = re.findall(r"^  (\w+) ", outcome.err.split("Commands:\n")[1].split("\n\n")[0], re.MULTILINE)
    assert listed == list(main.COMMANDS)
    assert listed[:3] == ["check", "explain", "plan"]


def test_help_of_nested_commands() -> None:
    assert call("help").out == call("--help").out
    assert call("help", "kbuild", "install").out == call("kbuild", "install", "--help").out
    for words in (["kbuild", "nothing"], ["check", "install"], ["chek"]):
        refusal("help", *words)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("chek", "no such command 'chek'; did you mean check?"),
        ("genrate", "did you mean generate?"),
        ("gen", "did you mean generate?"),
        ("version", "no such command 'version'; did you mean --version?"),
        ("count-stubs", "did you mean stubs or count?"),
        ("xyzzy", "the commands are check, explain, plan"),
        (str(OBJECT), "is a file, not a command; name a command first: pfestubs check "),
    ],
)
def test_unknown_command(word: str, expected: str) -> None:
    assert expected in refusal(word, "vmlinux")


# -- numbers ---------------------------------------------------------------------------------------------------


COUNTS = {
    "0": 0,
    "17000": 17_000,
    "17,000": 17_000,
    "4,294,967,295": 0xFFFFFFFF,
    "4294967295": 0xFFFFFFFF,
    "32k": 32_768,
    "1M": 1 << 20,
    "0x8000": 0x8000,
    "0XfF": 255,
    "007": 7,
}
NO_COUNTS = (
    *("", "-1", "+1", "1_0", " 1", "0x", "0x100000000", "4294967296", "1e3", "\u0663", "9" * 5000, "0b1"),
    *("17,00", "1,7000", ",000", "17,000,", "1kB", "0x1k", "4g"),
)
SIZES = {
    "0": 0,
    "4096": 4096,
    "0x1000": 4096,
    "6,649,412": 6_649_412,
    "1k": 1 << 10,
    "1K": 1 << 10,
    "3KB": 3 << 10,
    "3kib": 3 << 10,
    "1M": 1 << 20,
    "1MB": 1 << 20,
    "1MiB": 1 << 20,
    "2g": 2 << 30,
    "2GB": 2 << 30,
    "2GIB": 2 << 30,
}
NO_SIZES = (
    *("", "M", "-1", "1 M", "1.5M", "1T", "1B", "1MBB", "0x10K", "0x", "1e6", "\u0661K", "--1", "9" * 21),
    "1,00",
)


@pytest.mark.parametrize(("text", "number"), COUNTS.items())
def test_count(text: str, number: int) -> None:
    assert options.count(text) == options.count_or_auto(text) == number


@pytest.mark.parametrize(("text", "size"), SIZES.items())
def test_size(text: str, size: int) -> None:
    assert options.size(text) == size
    assert options.signed_size(f"-{text}") == -size


@pytest.mark.parametrize(
    ("kind", "texts", "problem"),
    [
        (options.count, NO_COUNTS, "0 to 4,294,967,295, decimal or 0x.*, or with K, M, G"),
        (options.count_or_auto, NO_COUNTS, "0 to 4,294,967,295, decimal or 0x.*, or with K, M, G"),
        (options.size, NO_SIZES, "decimal or 0x.*KiB, MiB, GiB"),
    ],
)
def test_not_a_number(kind: Any, texts: tuple[str, ...], problem: str) -> None:
    for text in texts:
        with pytest.raises(click.BadParameter, match=problem):
            kind(text)


def test_hexadecimal_on_the_command_line() -> None:
    plain = OBJECTS / "plain-ppc32-gnu.o"
    decimal = call("generate", "--layout", "ool", "--reserve", "5", "--spare", "16", plain)
    assert decimal.code == 0
    assert call("generate", "--layout", "ool", "--reserve", "0x5", "--spare", "0x10", plain) == decimal


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["check"], "missing argument 'VMLINUX...'; see pfestubs help check"),
        (["stubs"], "missing argument 'VMLINUX'; see pfestubs help stubs"),
        (
            ["plan", "--reserve", "a", "x"],
            "number from 0 to 4,294,967,295, decimal or 0x..., or with K, M, G; see pfestubs help plan",
        ),
        (["kbuild", "install"], "missing argument 'SRCTREE'; see pfestubs help kbuild install"),
        (["kbuild", "instal", "x"], "ee pfestubs help kbuild"),
        (["check", "--formt", "x"], " See pfestubs help check"),
        (["help", "check", "install"], "check has no command 'install'; see pfestubs help check"),
    ],
)
def test_a_mistake_names_the_help(words: list[str], problem: str) -> None:
    assert refusal(*words).endswith(f"{problem}\n")


def test_help_after_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("plan", "help") == call("plan", "--help")
    (tmp_path / "help").touch()  # then it is the kernel
    assert call("plan", "help").code == 2


def test_a_page_is_html(vmlinux: Path, tmp_path: Path) -> None:
    assert refusal("report", vmlinux, "-o", tmp_path / "r.PDF").endswith(
        "is not the name of a page; the report is HTML: name it *.html\n"
    )
    assert not list(tmp_path.iterdir())


def test_size_on_the_command_line(vmlinux: Path) -> None:
    assert call("check", "--min-headroom", "1MB", vmlinux).code == 0
    assert "2,147,483,647" in printed("check", "--min-headroom", "0x7fffffff", vmlinux, code=1)


# -- input files -----------------------------------------------------------------------------------------------


STANDARD_INPUT = {
    "count -": "VMLINUX_O",
    "generate -": "VMLINUX_O",
    "hook - a.o": "VMLINUX_O",
    "check -": "VMLINUX",
    **{f"check {option} - x": option for option in ("--system-map", "--prelink", "--baseline")},
    "stubs - f": "VMLINUX",
    "verify x -": "DUMP",
}


@pytest.mark.parametrize(("words", "label"), STANDARD_INPUT.items())
def test_standard_input_is_refused(words: str, label: str) -> None:
    sentence = "cannot be standard input: save it to a file and give its name"
    assert refusal(*words.split()) == f"{label}: error: {sentence}\n"


@pytest.mark.parametrize(
    "words", ["gen-ftrace-pfe-stubs - a.o", "ftrace-gen-ool-stubs 5 y objdump - a.S", "ftrace-check nm -"]
)
def test_standard_input_is_refused_by_the_drop_ins(words: str, tmp_path: Path) -> None:
    executable, *others = words.split()
    message = refused(run_cli(*others, executable=executable, cwd=tmp_path))
    assert "cannot be standard input" in message
    assert not list(tmp_path.iterdir())


MAP_64 = "c000000000000000 T _text\nc000000000000000 T _stext\n"
MAP_32 = "c0000000 t _stext\n"


@pytest.mark.parametrize("text", [MAP_64, MAP_32])
def test_system_map_in_place_of_a_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "System.map"
    path.write_text(text)
    assert refusal("check", path) == (
        f"{path}: error: is a System.map, not an ELF file; give vmlinux (and this file with --system-map) or vmlinux.o\n"
    )
    assert call("count", path) == call("check", path)


def test_text_that_is_not_a_system_map(tmp_path: Path) -> None:
    path = tmp_path / "sums"
    path.write_text("d41d8cd98f00b204e9800998ecf8427e  vmlinux\n")
    assert "System.map" not in call("check", path).err


@pytest.mark.parametrize("command", ["count", "generate", "check", "stubs"])
def test_module_in_place_of_a_kernel(command: str, tmp_path: Path) -> None:
    path = KernelObject({".text": [8], ".gnu.linkonce.this_module": []}).save(tmp_path / "some-module.ko")
    packed = tmp_path / "some-module.ko.xz"
    packed.write_bytes(lzma.compress(path.read_bytes()))
    for file in (path, packed):
        sentence = "is a kernel module, not the kernel; pfestubs modules shows the stubs that modules need"
        assert refusal(command, file) == f"{file}: error: {sentence}\n"


# -- stubs -----------------------------------------------------------------------------------------------------


def test_swapped_arguments(vmlinux: Path) -> None:
    assert refusal("stubs", "vfs_read", vmlinux, "vfs_write") == (
        f"vfs_read: error: is not an ELF file, but {vmlinux} is: the kernel comes first; pfestubs stubs {vmlinux}"
        " vfs_read vfs_write\n"
    )


def test_stubs_into_a_file(vmlinux: Path, tmp_path: Path) -> None:
    assert call("stubs", "-o", tmp_path / "list", vmlinux).out == ""
    assert (tmp_path / "list").read_text() == call("stubs", vmlinux).out
    assert "is an input" in call("stubs", "-o", vmlinux, vmlinux).err


def test_nearest_functions(vmlinux: Path) -> None:
    name = json_of("stubs", vmlinux)["stubs"][0]["function"].split("+")[0]
    problem = rf"{name}x is not a symbol of this kernel; did you mean .*\b{name}\b.*\?\n"
    assert re.search(problem, refusal("stubs", vmlinux, f"{name}x"))
    assert call("stubs", vmlinux, "no_such_thing_at_all").err.endswith("is not a symbol of this kernel\n")


def test_function_without_a_stub(kernels: Kernels) -> None:
    """The sentence of `check`, figures and remedy included, and exit status 1."""
    trap = kernels("pseries-7.2.13-trap/vmlinux")
    first = call("check", trap).out.splitlines()[0].split(": area-exhausted: ")[1]
    assert printed("stubs", trap, "dev_create", code=1) == f"no stub: {first}\n\n"
    assert "14,885 functions get no stub" in first


# -- messages --------------------------------------------------------------------------------------------------

UNSAFE = "\n::error title=x::y\x1b[31m\r\u2028\u202e##[error]z"


@pytest.mark.parametrize(
    "words",
    [
        ["count", UNSAFE],
        ["generate", "::error::x"],
        ["check", "  ::error::x"],
        ["check", OBJECT, "--system-map", UNSAFE],
        ["check", "x", "--prelink", UNSAFE],
        ["generate", OBJECT, "-o", f"missing/{UNSAFE}"],
        ["generate", "--layout", UNSAFE, OBJECT],
        ["generate", "--spare", UNSAFE, OBJECT],
        ["check", "--min-headroom", UNSAFE, "x"],
        [UNSAFE],
        ["::error::x"],
        ["help", UNSAFE],
        [f"--{UNSAFE}"],
        ["hook", OBJECT, f"{UNSAFE}.S"],
        ["stubs", UNSAFE, OBJECT],
    ],
)
def test_messages_are_single_lines(words: list[str | Path]) -> None:
    outcome = run_cli(*words)
    assert (outcome.code, outcome.out) == (2, "")
    lines = outcome.err.removesuffix("\n").split("\n")
    assert lines[-1]
    assert all(line.isprintable() for line in lines)
    assert not [line for line in lines if line.lstrip().startswith("::") or "##[" in line]
    assert len([line for line in lines if not line.startswith(("Usage: ", "Try "))]) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["ftrace-check", "nm", UNSAFE],
        ["ftrace-gen-ool-stubs", UNSAFE, "y", "objdump", OBJECT, "x.S"],
        ["ftrace-gen-ool-stubs", "5", UNSAFE, "objdump", UNSAFE, "x.S"],
        ["gen-ftrace-pfe-stubs", UNSAFE, "a.o"],
    ],
)
def test_messages_of_the_drop_ins_are_single_lines(words: list[str], tmp_path: Path) -> None:
    message = refused(run_cli(*words[1:], executable=words[0], cwd=tmp_path))
    assert message.rstrip("\n").isprintable()
    assert "##[" not in message


@pytest.mark.parametrize("text", ["::error::x", " \t::warning::y", "a ##[error]b", "x\n::error::z"])
def test_escape_line(text: str) -> None:
    line = escape_line(text)
    assert line.isprintable()
    assert not line.lstrip().startswith("::")
    assert "##[" not in line
    assert escape_line(line) == line


def test_plain_text_is_not_changed() -> None:
    for text in ("vmlinux: error: x", "a::b", "C:\\x", "naïve"):
        assert escape_line(text) == text


def test_low_headroom_has_a_remedy(vmlinux: Path) -> None:
    document = json_of("check", "--min-headroom", "40M", vmlinux, code=1)
    missing = (40 << 20) - document["headroom"]["bytes"]
    (finding,) = [f for f in document["findings"] if f["rule"] == "low-headroom"]
    assert finding["remedy"] == {"action": "shrink-text", "value": missing}
    assert f"make the kernel's text smaller by {missing:,} bytes" in finding["message"]
