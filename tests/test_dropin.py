# SPDX-License-Identifier: GPL-2.0-or-later
"""The executables that take the scripts' places."""

import os
from pathlib import Path

import pytest

from support import OBJECTS, call, hook_environment, refused, run_cli
from support.elfwriter import KernelObject

OOL, PFE = "ftrace-gen-ool-stubs", "gen-ftrace-pfe-stubs"
OBJECT = OBJECTS / "traps-ppc64le-gnu.o"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    target = tmp_path / "vmlinux.arch.S"
    target.write_text("old")
    os.utime(target, (1_000_000_000, 1_000_000_000))
    return target


def untouched(out: Path) -> bool:
    return (
        out.read_text() == "old"
        and int(out.stat().st_mtime) == 1_000_000_000
        and [p.name for p in out.parent.iterdir()] == [out.name]
    )


@pytest.mark.parametrize("objdump", ["objdump", "/nowhere/objdump", "ccache objdump", "llvm-objdump-19"])
def test_mainline(objdump: str, out: Path) -> None:
    outcome = run_cli("5", "y", objdump, OBJECT, out, executable=OOL)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert out.read_text() == call("generate", OBJECT).out


def test_mainline_32_bit(out: Path) -> None:
    """CONFIG_64BIT is empty there."""
    path = OBJECTS / "traps-ppc32-gnu.o"
    outcome = run_cli("5", "", "objdump", path, out, executable=OOL)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert out.read_text() == call("generate", "--layout", "ool", "--reserve", "5", path).out


def test_mainline_reserve_from_the_arguments(tmp_path: Path) -> None:
    path = KernelObject({".text": range(0, 40, 4)}, reserve=None).save(tmp_path / "vmlinux.o")
    assert run_cli("3", "y", "objdump", path, tmp_path / "a.S", executable=OOL).code == 0
    assert ".long 7)" in (tmp_path / "a.S").read_text()


@pytest.mark.parametrize(
    ("words", "path", "message"),
    [
        ("6 y objdump", OBJECT, "is 5; give that, or build again"),
        ("32768 y objdump", OBJECT, "32,768"),
        ("5 y ", OBJECT, "OBJDUMP is empty"),
        *(
            (f"{words} objdump", OBJECT, "pass $(CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE)")
            for words in ("y 5", "-5 y", "5x y", "\u0665 y", "0x5 y")
        ),
        ("5 y objdump", OBJECTS / "pfe-ppc64le-gnu.o", "ftrace_pfe_stub"),
        ("5 y objdump", OBJECTS / "missing.o", "No such file"),
        ("5 y objdump", "", "VMLINUX_O is empty"),
    ],
)
def test_mainline_contradictions(words: str, path: Path | str, message: str, out: Path) -> None:
    assert message in refused(run_cli(*words.split(" "), path, out, executable=OOL))
    assert untouched(out)


def test_mainline_without_a_target() -> None:
    outcome = run_cli("5", "y", "objdump", OBJECT, "", executable=OOL)
    assert "OUT_S is empty" in refused(outcome)


def test_mainline_without_entries(out: Path, tmp_path: Path) -> None:
    path = KernelObject({".text": []}).save(tmp_path / "vmlinux.o")
    assert "no entries" in refused(run_cli("5", "y", "objdump", path, out, executable=OOL))
    assert out.read_text() == "old"


def test_mainline_keeps_an_unchanged_file(out: Path) -> None:
    words = ["5", "y", "objdump", str(OBJECT), str(out)]
    assert run_cli(*words, executable=OOL).code == 0
    os.utime(out, (1_000_000_000, 1_000_000_000))
    assert run_cli(*words, executable=OOL).code == 0
    assert int(out.stat().st_mtime) == 1_000_000_000


@pytest.mark.parametrize(("executable", "takes"), [(OOL, 5), (PFE, 2)])
@pytest.mark.parametrize("given", [0, 1, 3, 4, 6])
def test_number_of_arguments(executable: str, takes: int, given: int, tmp_path: Path) -> None:
    message = refused(run_cli(*["1"] * given, executable=executable, cwd=tmp_path))
    assert f"takes {takes} arguments, not {given}" in message
    assert f"usage: {executable} " in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("executable", [OOL, PFE])
def test_help(executable: str) -> None:
    outcome = run_cli("--help", executable=executable)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"usage: {executable} ")


@pytest.mark.cross
@pytest.mark.parametrize("machine", ["ppc64le", "ppc64"])
def test_rfc(machine: str, tmp_path: Path) -> None:
    source = OBJECTS / f"pfe-{machine}-gnu.o"
    environment = hook_environment(TOOLCHAIN=f"gcc-{machine}", LAYOUT="pfe")
    outcome = run_cli(source, tmp_path / ".arch.vmlinux.o", executable=PFE, env=environment)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert (tmp_path / ".arch.vmlinux.S").read_text() == call("generate", source).out
    assert (tmp_path / ".arch.vmlinux.o").read_bytes().startswith(b"\x7fELF")


@pytest.mark.cross
def test_rfc_hook_and_drop_in_write_the_same(tmp_path: Path) -> None:
    source = OBJECTS / "pfe-ppc64le-gnu.o"
    environment = hook_environment(LAYOUT="pfe")
    taken = []
    for name, words in ((PFE, []), ("pfestubs", ["hook"])):
        directory = tmp_path / name
        directory.mkdir()
        assert run_cli(*words, source, "a.o", executable=name, env=environment, cwd=directory).code == 0
        taken.append([path.read_bytes() for path in sorted(directory.iterdir())])
    assert taken[0] == taken[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([OBJECT, "a.o"], "ftrace_ool_stub"),
        (["", "a.o"], "VMLINUX_O is empty"),
        ([OBJECT, ""], "ARCH_VMLINUX_O is empty"),
        ([OBJECTS / "pfe-ppc64le-gnu.o", "a.S"], "*.o"),
        (["missing.o", "a.o"], "No such file"),
    ],
)
def test_rfc_refusals(words: list[str], message: str, tmp_path: Path) -> None:
    for name in ("a.o", "a.S"):
        (tmp_path / name).write_text("old")
    outcome = run_cli(*words, executable=PFE, env=hook_environment(LAYOUT="pfe"), cwd=tmp_path)
    assert message in refused(outcome)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.o": "old", "a.S": "old"}
