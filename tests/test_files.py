# SPDX-License-Identifier: GPL-2.0-or-later
"""Files whole or not at all, and standard output."""

import os
import shutil
import stat
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from pfestubs.system.files import write_output
from support import (
    OBJECTS,
    MiniKernel,
    call,
    executable_path,
    printed,
    refusal,
    refused,
    run_cli,
    run_program,
)

OBJECT = OBJECTS / "ool-ppc64le-gnu.o"
OLD = 1_000_000_000


@pytest.fixture(scope="module")
def assembly() -> str:
    return run_cli("generate", OBJECT, check=True).out


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A file of another time."""
    path = tmp_path / "a.S"
    path.write_text("old")
    os.utime(path, (OLD, OLD))
    return path


def generate(target: Path | str) -> None:
    assert printed("generate", OBJECT, "-o", target) == ""


def test_unchanged_content_keeps_its_time(assembly: str, target: Path) -> None:
    target.write_text(assembly)
    os.utime(target, (OLD, OLD))
    inode = target.stat().st_ino
    generate(target)
    assert (int(target.stat().st_mtime), target.stat().st_ino) == (OLD, inode)


@pytest.mark.parametrize("change", ["shorter", "longer", "same length"])
def test_changed_content_is_replaced(change: str, assembly: str, target: Path) -> None:
    old = {"shorter": "", "longer": assembly + "\n", "same length": assembly.replace("7", "8")}[change]
    target.write_text(old)
    os.utime(target, (OLD, OLD))
    generate(target)
    assert target.read_text() == assembly
    assert target.stat().st_mtime > OLD
    assert names(target.parent) == ["a.S"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_mode_is_kept(mode: int, target: Path) -> None:
    target.chmod(mode)
    generate(target)
    assert stat.S_IMODE(target.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_owner_is_kept(target: Path) -> None:
    os.chown(target, 1234, 5678)
    generate(target)
    assert (target.stat().st_uid, target.stat().st_gid) == (1234, 5678)


def test_new_file_follows_the_umask(assembly: str, tmp_path: Path) -> None:
    for umask in (0o022, 0o077):
        target = tmp_path / f"{umask:o}.S"
        run_cli("generate", OBJECT, "-o", target, umask=umask, check=True)
        assert target.read_text() == assembly
        assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("exists", [True, False])
def test_symbolic_link_is_followed(exists: bool, assembly: str, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    if exists:
        (real / "a.S").write_text("old")
    link = tmp_path / "a.S"
    link.symlink_to("real/a.S")
    generate(link)
    assert link.is_symlink()
    assert (real / "a.S").read_text() == assembly
    assert names(real) == ["a.S"]
    assert names(tmp_path) == ["a.S", "real"]


def test_dev_stdout_is_written_directly(assembly: str, tmp_path: Path) -> None:
    outcome = run_cli("generate", OBJECT, "-o", "/dev/stdout")
    assert (outcome.code, outcome.out, outcome.err) == (0, assembly, "")
    assert Path("/dev/stdout").exists()
    link = tmp_path / "link"
    link.symlink_to("/dev/stdout")
    assert run_cli("generate", OBJECT, "-o", link).out == assembly
    assert link.is_symlink()
    log = tmp_path / "log"
    with log.open("wb", buffering=0) as stream:  # what others write before and after stays
        stream.write(b"before\n")
        assert run_cli("generate", OBJECT, "-o", "/dev/stdout", stdout=stream).code == 0
        stream.write(b"after\n")
    assert log.read_text() == f"before\n{assembly}after\n"


def test_fifo_is_written_directly(assembly: str, tmp_path: Path) -> None:
    """By a program that starts before its reader, too."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE, text=True) as reader:
        run_cli("generate", OBJECT, "-o", fifo, check=True)
        assert reader.stdout is not None
        assert reader.stdout.read() == assembly
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert names(tmp_path) == ["fifo"]


def test_inherited_descriptor(assembly: str, tmp_path: Path) -> None:
    """As in `-o >(less)`: bash makes /dev/fd/63 of it."""
    read, write = os.pipe()
    run_cli("generate", OBJECT, "-o", f"/dev/fd/{write}", pass_fds=[write], check=True)
    os.close(write)
    with os.fdopen(read) as stream:
        assert stream.read() == assembly


@pytest.mark.parametrize("length", [244, 250, 255])
@pytest.mark.parametrize("letter", ["x", "\u00e9"])
def test_long_names(letter: str, length: int, assembly: str, tmp_path: Path) -> None:
    name = letter * (length // len(letter.encode()))
    target = tmp_path / name
    for _ in range(2):
        generate(target)
        assert target.read_text() == assembly
        target.write_text("other")
    assert names(tmp_path) == [name]
    assert call("generate", OBJECT, "-o", f"{target}{'n' * (256 - len(name.encode()))}").code == 2


def test_file_that_is_too_large_for_the_disk(target: Path) -> None:
    """The file size limit of a process has the effect of a full disk: nothing is lost, nothing is left."""
    command = [executable_path("pfestubs"), "generate", OBJECT, "-o", target]
    done = run_program("sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *command)
    assert refused(done) == f"{target}: error: cannot be written: File too large\n"
    assert target.read_text() == "old"
    assert names(target.parent) == ["a.S"]


def test_large_documents_are_streamed(tmp_path: Path) -> None:
    """Memory does not grow with the document, whether it is new, changed at its end, or the same."""
    target = tmp_path / "large"
    piece = "x" * (1 << 16)
    pieces = 512

    def document(last: str) -> Iterator[str]:
        for _ in range(pieces):
            yield piece
        yield last

    for last in ("first", "second", "second"):
        tracemalloc.start()
        write_output(str(target), document(last))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 << 20
        assert target.stat().st_size == pieces * len(piece) + len(last)
        assert target.read_bytes()[-len(last) :].decode() == last


def test_error_while_a_document_is_made(target: Path) -> None:
    def document() -> Iterator[str]:
        yield "half"
        raise ValueError

    with pytest.raises(ValueError):
        write_output(str(target), document())
    assert target.read_text() == "old"
    assert names(target.parent) == ["a.S"]


def test_dev_null() -> None:
    generate("/dev/null")
    assert not stat.S_ISREG(Path("/dev/null").stat().st_mode)


@pytest.mark.parametrize(
    "target", ["missing/a.S", "directory", "file/a.S", "/dev/full", "loop", "x" * 300, "/dev/fd/77"]
)
def test_target_that_cannot_be_written(target: str, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_text("old")
    (tmp_path / "loop").symlink_to("loop")
    before = names(tmp_path)
    message = refused(run_cli("generate", OBJECT, "-o", target, cwd=tmp_path))
    assert message.startswith(f"{target}: error: cannot be written: ")
    assert names(tmp_path) == before
    assert names(tmp_path / "directory") == []
    assert (tmp_path / "file").read_text() == "old"


PRINTING = [
    ["generate", OBJECT],
    ["count", OBJECT],
    ["count", "--format", "json", OBJECT],
    ["--version"],
    ["--help"],
]


@pytest.mark.parametrize("words", PRINTING)
@pytest.mark.parametrize("stream", [">&-", ">/dev/full"])
def test_standard_output_that_cannot_be_written(words: list[str | Path], stream: str) -> None:
    done = run_program("sh", "-c", f'"$0" "$@" {stream}', executable_path("pfestubs"), *words)
    assert refused(done).startswith("standard output: error: cannot be written")


@pytest.mark.parametrize("words", PRINTING)
def test_broken_pipe(words: list[str | Path]) -> None:
    """The reader has gone away (`| head -1`): no traceback, and not success."""
    read, write = os.pipe()
    os.close(read)
    try:
        outcome = run_cli(*words, stdout=write)
    finally:
        os.close(write)
    assert (outcome.code, outcome.err) == (2, "")


@pytest.mark.parametrize("command", ["generate", "check"])
def test_an_input_is_never_written_over(tmp_path: Path, mini_kernel: MiniKernel, command: str) -> None:
    source = OBJECT if command == "generate" else mini_kernel(TOOLCHAIN="gcc-ppc64le") / "vmlinux"
    copy = tmp_path / "input"
    shutil.copy(source, copy)
    (tmp_path / "link").symlink_to(copy)
    for name in ("input", "link"):
        assert "is an input of this command" in refusal(command, copy, "-o", tmp_path / name)
        assert copy.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("name", ["", "new/"])
def test_a_name_that_is_not_a_file(tmp_path: Path, name: str) -> None:
    assert not refusal("generate", OBJECT, "-o", f"{tmp_path}/{name}" if name else "").startswith(":")
    assert list(tmp_path.iterdir()) == []
