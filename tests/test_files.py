# SPDX-License-Identifier: GPL-2.0-or-later
"""Files whole or not at all, standard output, signals."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conftest import OBJECTS, clean_environment, executable_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conftest import Call, RunCli

OBJECT = OBJECTS / "ool-ppc64le-gnu.o"
OLD = 1_000_000_000


@pytest.fixture(scope="module")
def assembly(run_cli: RunCli) -> str:
    outcome = run_cli("generate", OBJECT)
    assert outcome.code == 0
    return outcome.out


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_unchanged_content_keeps_its_time(call: Call, assembly: str, tmp_path: Path) -> None:
    target = tmp_path / "a.S"
    target.write_text(assembly)
    os.utime(target, (OLD, OLD))
    inode = target.stat().st_ino
    assert call("generate", OBJECT, "-o", target).code == 0
    assert int(target.stat().st_mtime) == OLD
    assert target.stat().st_ino == inode


@pytest.mark.parametrize("change", ["shorter", "longer", "same length"])
def test_changed_content_is_replaced(change: str, call: Call, assembly: str, tmp_path: Path) -> None:
    target = tmp_path / "a.S"
    old = {"shorter": "", "longer": assembly + "\n", "same length": assembly.replace("7", "8")}[change]
    target.write_text(old)
    os.utime(target, (OLD, OLD))
    assert call("generate", OBJECT, "-o", target).code == 0
    assert target.read_text() == assembly
    assert target.stat().st_mtime > OLD
    assert names(tmp_path) == ["a.S"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_mode_is_kept(mode: int, call: Call, tmp_path: Path) -> None:
    target = tmp_path / "a.S"
    target.write_text("old")
    target.chmod(mode)
    assert call("generate", OBJECT, "-o", target).code == 0
    assert stat.S_IMODE(target.stat().st_mode) == mode


def test_new_file_follows_the_umask(assembly: str, tmp_path: Path) -> None:
    for umask in (0o022, 0o077):
        target = tmp_path / f"{umask:o}.S"
        done = subprocess.run(
            [executable_path("pfestubs"), "generate", OBJECT, "-o", target],
            env=clean_environment(),
            umask=umask,
            check=False,
        )
        assert done.returncode == 0
        assert target.read_text() == assembly
        assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("exists", [True, False])
def test_symbolic_link_is_followed(exists: bool, call: Call, assembly: str, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    if exists:
        (real / "a.S").write_text("old")
    link = tmp_path / "a.S"
    link.symlink_to("real/a.S")
    assert call("generate", OBJECT, "-o", link).code == 0
    assert link.is_symlink()
    assert (real / "a.S").read_text() == assembly
    assert names(real) == ["a.S"]
    assert names(tmp_path) == ["a.S", "real"]


def test_dev_stdout_is_written_directly(run_cli: RunCli, assembly: str, tmp_path: Path) -> None:
    outcome = run_cli("generate", OBJECT, "-o", "/dev/stdout")
    assert (outcome.code, outcome.out, outcome.err) == (0, assembly, "")
    assert Path("/dev/stdout").exists()
    link = tmp_path / "link"
    link.symlink_to("/dev/stdout")
    assert run_cli("generate", OBJECT, "-o", link).out == assembly
    assert link.is_symlink()


def test_fifo_is_written_directly(assembly: str, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen(
        [executable_path("pfestubs"), "generate", OBJECT, "-o", fifo], env=clean_environment()
    ) as process:
        assert fifo.read_text() == assembly
        assert process.wait(timeout=60) == 0
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_dev_null(call: Call) -> None:
    assert call("generate", OBJECT, "-o", "/dev/null").code == 0
    assert not stat.S_ISREG(Path("/dev/null").stat().st_mode)


@pytest.mark.parametrize(
    "target", ["missing/a.S", "folder", "file/a.S", "/dev/full", "loop", "x" * 300, "/proc/a.S"]
)
def test_target_that_cannot_be_written(target: str, run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("old")
    (tmp_path / "loop").symlink_to("loop")
    before = names(tmp_path)
    outcome = run_cli("generate", OBJECT, "-o", target, cwd=tmp_path)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"{target}: error: cannot be written: ")
    assert outcome.err.count("\n") == 1
    assert names(tmp_path) == before
    assert names(tmp_path / "folder") == []
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.parametrize(
    "words",
    [
        ["generate", OBJECT],
        ["count", OBJECT],
        ["count", "--format", "json", OBJECT],
        ["--version"],
        ["--help"],
    ],
)
def test_full_standard_output(words: list[str | Path], run_cli: RunCli) -> None:
    with Path("/dev/full").open("w") as full:
        outcome = run_cli(*words, stdout=full)
    assert outcome.code == 2
    assert "error" in outcome.err
    assert "Traceback" not in outcome.err
    assert "Exception ignored" not in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("words", [["generate", OBJECT], ["count", OBJECT], ["--version"], ["--help"]])
def test_broken_pipe(words: list[str | Path], run_cli: RunCli) -> None:
    """The reader has gone away (`| head -1`): no traceback, and not success."""
    read, write = os.pipe()
    os.close(read)
    try:
        outcome = run_cli(*words, stdout=write)
    finally:
        os.close(write)
    assert outcome.code == 2
    assert outcome.err == ""


@pytest.mark.parametrize("words", [["generate", OBJECT], ["count", OBJECT]])
def test_closed_standard_output(words: list[str | Path]) -> None:
    shell = '"$@" >&-'
    done = subprocess.run(
        ["sh", "-c", shell, "sh", executable_path("pfestubs"), *words],
        env=clean_environment(),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("standard output: error: ")


@pytest.mark.parametrize("words", [["count", "/nowhere/a.o"], ["generate", "/nowhere/a.o"]])
def test_closed_standard_error(words: list[str]) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" 2>&-', "sh", executable_path("pfestubs"), *words],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")


# -- signals ---------------------------------------------------------------------------------------------------


def wait_for(path: Path) -> None:
    limit = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < limit, f"{path} never came"
        time.sleep(0.01)


def slow_cc(folder: Path, ending: str = "exec sleep 300") -> Path:
    """A compiler that writes half an object, says so, and stays."""
    script = folder / "slow-cc"
    script.write_text(
        f'#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho half >"$2"\n: >"$0.started"\n{ending}\n'
    )
    script.chmod(0o755)
    return script


def start_hook(words: Sequence[str | Path], cc: Path, out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [executable_path(str(words[0])), *words[1:], OBJECT, out / "vmlinux.arch.o"],
        env=clean_environment({"CC": str(cc)}),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts its background jobs with SIGINT ignored, and whoever runs the tests may be one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )


@pytest.mark.parametrize("with_old", [True, False])
@pytest.mark.parametrize(
    ("number", "code", "group"),
    [
        (signal.SIGTERM, 143, False),
        (signal.SIGINT, 130, False),
        (signal.SIGINT, 130, True),
        (signal.SIGTERM, 143, True),
    ],
)
def test_signal_during_the_hook(
    number: signal.Signals, code: int, group: bool, with_old: bool, tmp_path: Path
) -> None:
    """Old files intact, nothing temporary left, the compiler gone; Ctrl-C reaches the whole group."""
    out = tmp_path / "out"
    out.mkdir()
    before: dict[str, str] = {"vmlinux.arch.S": "old S", "vmlinux.arch.o": "old o"} if with_old else {}
    for name, text in before.items():
        (out / name).write_text(text)
        os.utime(out / name, (OLD, OLD))
    cc = slow_cc(tmp_path)
    with start_hook(["pfestubs", "hook"], cc, out) as process:
        wait_for(tmp_path / "slow-cc.started")
        if group:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        assert process.wait(timeout=60) == code
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert {path.name: path.read_text() for path in out.iterdir()} == before
    assert all(int(path.stat().st_mtime) == OLD for path in out.iterdir())


def test_signal_twice(tmp_path: Path) -> None:
    """An impatient second SIGTERM while the compiler is slow to end does not leave halves."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "vmlinux.arch.S").write_text("old")
    cc = slow_cc(tmp_path, ending='trap ": >$0.asked; sleep 1; exit 1" TERM\nwhile :; do sleep 0.1; done')
    with start_hook(["pfestubs", "hook"], cc, out) as process:
        wait_for(tmp_path / "slow-cc.started")
        process.terminate()
        wait_for(tmp_path / "slow-cc.asked")
        process.terminate()
        assert process.wait(timeout=60) == 143
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert {path.name: path.read_text() for path in out.iterdir()} == {"vmlinux.arch.S": "old"}
