# SPDX-License-Identifier: GPL-2.0-or-later
"""Input files that are not what a reader expects of a file: special ones, ones that change, ones made to cost."""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import threading
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from pfestubs.errors import UnreadableError
from pfestubs.model import ByteOrder
from pfestubs.read import dump, headers, names
from pfestubs.read.elf import Elf, open_elf
from pfestubs.read.source import Source, open_source, read_document
from pfestubs.read.symbols import ElfSymbols
from pfestubs.read.vmlinux import open_kernel
from pfestubs.read.vmlinux_o import read_vmlinux_o
from support import FIXTURES, OBJECTS, clean_environment, executable_path
from support.elfwriter import (
    AX,
    ET_CORE,
    ET_EXEC,
    PT_LOAD,
    PT_NOTE,
    SHT_REL,
    KernelObject,
    Section,
    Segment,
    Symbol,
    note,
    save_elf,
    write_elf,
)

if TYPE_CHECKING:
    from pathlib import Path

    from support import Call, MiniKernel

OBJECT = OBJECTS / "ool-ppc64le-gnu.o"
CASES = FIXTURES / "cases"


# -- what is not a file ---------------------------------------------------------------------------------------


def commands(path: Path, kernel: Path) -> list[list[str | Path]]:
    """Each option and argument that names an input."""
    return [
        ["count", path],
        ["generate", path],
        ["check", path],
        ["stubs", path],
        ["check", kernel, "--system-map", path],
        ["check", kernel, "--prelink", path],
        ["check", kernel, "--baseline", path, "--max-growth", "1"],
        ["verify", kernel, path],
    ]


@pytest.mark.parametrize("kind", ["fifo", "directory", "device", "empty"])
def test_special_files(kind: str, call: Call, tmp_path: Path, mini_kernel: MiniKernel) -> None:
    """A FIFO without a writer would wait for ever, a device would never end."""
    path = tmp_path / "input"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.touch()
    words = {"fifo": "is a pipe", "directory": "Is a directory", "device": "is a device", "empty": ""}
    for command in commands(path, mini_kernel() / "vmlinux"):
        outcome = call(*command)
        assert (outcome.code, outcome.out) == (2, ""), command
        assert outcome.err.startswith(f"{path}: error: "), command
        assert outcome.err.count("\n") == 1, command
        assert words[kind] in outcome.err, command


@pytest.mark.parametrize("command", ["check", "count", "stubs"])
def test_a_link_to_nothing(command: str, call: Call, tmp_path: Path) -> None:
    """As Debian's debug packages have one, for whoever unpacks a part of them."""
    link = tmp_path / "vmlinux"
    link.symlink_to("../../../boot/vmlinux-6.12")
    outcome = call(command, link)
    wanted = f"{link}: error: is a symbolic link to ../../../boot/vmlinux-6.12, which does not exist\n"
    assert (outcome.code, outcome.err) == (2, wanted)
    missing = call(command, tmp_path / "missing")
    assert missing.err == f"{tmp_path}/missing: error: cannot be read: No such file or directory\n"


def test_a_fifo_with_a_writer_is_refused_too(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "input"
    os.mkfifo(path)
    handle = os.open(path, os.O_RDWR)
    try:
        os.write(handle, b"\x7fELF")
        assert "is a pipe" in call("check", path).err
    finally:
        os.close(handle)


def test_an_endless_pipe(tmp_path: Path) -> None:
    """Refused at once: nothing of it is read."""
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as endless:
        done = subprocess.run(
            [executable_path("pfestubs"), "count", "/dev/stdin"],
            stdin=endless.stdout,
            env=clean_environment(),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        endless.kill()
    assert done.returncode == 2
    assert "save its content to a file" in done.stderr


def test_a_redirected_file(tmp_path: Path) -> None:
    """`/dev/stdin` is the file itself then."""
    with OBJECT.open("rb") as file:
        done = subprocess.run(
            [executable_path("pfestubs"), "count", "/dev/stdin"],
            stdin=file,
            env=clean_environment(),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
    assert "entries: 16" in done.stdout


def test_a_name_with_a_zero_byte() -> None:
    with pytest.raises(UnreadableError, match="null"), open_source("a\0b"):
        pass


def test_a_document_without_a_size() -> None:
    """Files of /proc have none."""
    assert os.stat("/proc/self/maps").st_size == 0
    assert b"[stack]" in read_document("/proc/self/maps")


def test_a_document_beyond_all_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pfestubs.read.source.DOCUMENT_MAX", 1 << 20)
    path = tmp_path / "System.map"
    with path.open("wb") as file:
        file.truncate(3 << 20)
    with pytest.raises(UnreadableError, match="more than 1,048,576 bytes"):
        read_document(str(path))


# -- what changes while it is read ----------------------------------------------------------------------------


def test_a_file_truncated_between_two_reads(tmp_path: Path) -> None:
    """Linkers and `cp` rewrite kernels in place; a mapped file would end the process (SIGBUS)."""
    path = tmp_path / "vmlinux"
    path.write_bytes(bytes(1 << 20))
    with open_source(str(path)) as source:
        assert source.read(0, 64) == bytes(64)
        os.truncate(path, 4096)
        with pytest.raises(UnreadableError, match="is the file truncated"):
            source.read(1 << 19, 64)


def test_truncation_in_a_process(tmp_path: Path, mini_kernel: MiniKernel) -> None:
    """Sentences and exit status 2 (or a verdict reached before), whenever it happens."""
    whole = (mini_kernel() / "vmlinux").read_bytes()
    path = tmp_path / "vmlinux"
    stop = threading.Event()

    def rewrite() -> None:
        while not stop.is_set():
            path.write_bytes(whole[: len(whole) // 3])
            path.write_bytes(whole)

    path.write_bytes(whole)
    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(12):
            done = subprocess.run(
                [executable_path("pfestubs"), "check", path],
                env=clean_environment(),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode in {0, 1, 2}, done
            assert "Traceback" not in done.stderr
            assert "internal error" not in done.stderr
    finally:
        stop.set()
        writer.join()


# -- what is made to cost much --------------------------------------------------------------------------------


def test_a_table_shared_by_many_relocation_sections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SHT_REL: the table's words, which are the addends, are decoded once for all of its sections."""
    obj = KernelObject(rel=True)
    text = obj.text(".text", [])
    table = obj.table(text, range(0, 4000, 4))
    symtab = len(obj.sections) + 503
    for _ in range(500):
        obj.sections.append(Section(".rel", type=SHT_REL, align=8, entsize=16, info=table, link=symtab))
    path = obj.save(tmp_path / "vmlinux.o")
    decoded = []
    words = Elf.words

    def counted(self: Elf, data: bytes, size: int) -> object:
        decoded.append(len(data))
        return words(self, data, size)

    monkeypatch.setattr(Elf, "words", counted)
    with contextlib.suppress(UnreadableError):
        read_vmlinux_o(str(path))
    assert sum(decoded) < 2 * path.stat().st_size


def overlapping(type_: int, count: int, size: int) -> list[Segment]:
    """Many segments over the same bytes of the file."""
    return [Segment(type_, 0xC000_0000_0000_0000 + i * size, align=1) for i in range(count)]


def test_notes_that_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments that claim more than the file has are refused before any is decoded."""
    notes = note(b"GNU", 3, bytes(20)) * 100
    data = bytearray(
        write_elf(
            symbols=None,
            type_=ET_CORE,
            segments=[Segment(PT_NOTE, data=notes), *overlapping(PT_NOTE, 999, 1)],
        )
    )
    offset, size = struct.unpack_from("<Q", data, 64 + 8)[0], len(notes)
    for i in range(1000):
        struct.pack_into("<Q", data, 64 + 56 * i + 8, offset)
        struct.pack_into("<Q", data, 64 + 56 * i + 32, size)
    monkeypatch.setattr(headers, "iter_notes", lambda *_: pytest.fail("decoded"))
    with pytest.raises(UnreadableError, match="its notes claim"):
        list(Elf(Source("core", BytesIO(data), len(data))).notes())


def test_memory_that_overlaps_is_searched_once(
    tmp_path: Path, mini_kernel: MiniKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,000 segments over the same megabyte: the search for the kernel reads it once."""
    size, count = 1 << 20, 1000
    first = Segment(PT_LOAD, 0xC000_0000_0000_0000, data=bytes(size), align=1)
    data = bytearray(
        write_elf(
            symbols=None,
            type_=ET_CORE,
            segments=[first, *overlapping(PT_LOAD, count - 1, size)],
        )
    )
    offset = struct.unpack_from("<Q", data, 64 + 8)[0]
    for i in range(count):
        struct.pack_into("<Q", data, 64 + 56 * i + 8, offset)
        struct.pack_into("<Q", data, 64 + 56 * i + 32, size)
    path = tmp_path / "core"
    path.write_bytes(data)
    read, read_up_to = [], Source.read_up_to

    def counted(source: Source, at: int, length: int) -> bytes:
        content = read_up_to(source, at, length)
        read.append(len(content))
        return content

    with open_kernel(str(mini_kernel() / "vmlinux")) as kernel, open_source(str(path), raw=True) as source:
        monkeypatch.setattr(Source, "read_up_to", counted)
        assert not list(dump._Dump(source, kernel).banners(iter))
    assert sum(read) < 3 * len(data)


def test_names_that_are_not_text_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of locations in one function with a long name of no encoding."""
    text = Section(".text", size=0x10000, flags=AX, addr=0x1000)
    function = Symbol("A" * 900, 0x1000, text, 16, 2)
    path = save_elf(tmp_path / "vmlinux", [text], [function], type_=ET_EXEC)
    path.write_bytes(path.read_bytes().replace(b"A" * 900, b"\xff" * 900))
    decoded: list[bytes] = []
    decode = names.decode_name

    def counted(name: bytes) -> str:
        decoded.append(name)
        return decode(name)

    monkeypatch.setattr("pfestubs.read.symbols.decode_name", counted)
    with open_elf(str(path)) as elf:
        symbols = ElfSymbols(elf)
        (first, *rest) = {symbols.locate(0x1004 + i)[0] for i in range(5000)}
        assert first.startswith(r"\xff" * 100)
        assert all(name.startswith(r"\xff" * 100) for name in rest)
    assert len(decoded) < 10


def test_labels_are_visited_once(tmp_path: Path) -> None:
    """200,000 labels between a function and 2,000 locations; looking each up again would take minutes."""
    text = Section(".text", size=0x1000000, flags=AX, addr=0x1000)
    labels = [Symbol("f", 0x1000, text, 16, 2)] + [Symbol(".L", 0x2000 + i, text) for i in range(200_000)]
    path = save_elf(tmp_path / "vmlinux", [text], labels, type_=ET_EXEC)
    with open_elf(str(path)) as elf:
        symbols = ElfSymbols(elf)
        after = 0x2000 + 200_000
        assert {symbols.locate(after + i) for i in range(2000)} == {
            ("f", after - 0x1000 + i) for i in range(2000)
        }
        assert symbols.locate(0x1800) == ("f", 0x800)
        assert symbols.locate(0x800) == ("0x800", 0)


@pytest.mark.parametrize("order", list(ByteOrder))
@pytest.mark.parametrize("bits", [64, 32])
def test_a_search_names_what_the_index_names(bits: int, order: ByteOrder, tmp_path: Path) -> None:
    """The first names are searched for in the table's bytes, the rest come from an index: the same."""
    text = Section(".text", size=0x40000, flags=AX, addr=0xC0000000)
    symbols = [Symbol("local", 0xC0000100, text, bind=0, type=2)]
    symbols += [Symbol("data", 0xC0000180, text, type=1), Symbol("weak", 0xC0000100, text, bind=2, type=2)]
    symbols += [Symbol("global", 0xC0000100, text, type=2), Symbol(".L1", 0xC0000200, text)]
    symbols += [Symbol("far", 0xC0010000, text, type=2), Symbol("again", 0xC0010000, text, type=2)]
    path = save_elf(
        tmp_path / "vmlinux",
        [text],
        symbols,
        type_=ET_EXEC,
        bits=bits,
        order=order.struct,
        machine=21 if bits == 64 else 20,
    )
    addresses = [
        0xC0000000,
        0xC0000100,
        0xC0000104,
        0xC00001F0,
        0xC0000204,
        0xC000FFFC,
        0xC0010000,
        0xC0030000,
    ]
    with open_elf(str(path)) as elf:
        searched = [ElfSymbols(elf).locate(address) for address in addresses]
        indexed = ElfSymbols(elf)
        for _ in range(20):
            indexed.locate(0)
        assert [indexed.locate(address) for address in addresses] == searched
    assert searched[:3] == [("0xc0000000", 0), ("global", 0), ("global", 4)]
    assert searched[4:] == [("global", 0x104), ("global", 0xFEFC), ("far", 0), ("far", 0x20000)]


# -- the formats people hand over by mistake -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [("vmlinux.lz4", ["compressed (lz4)", "lz4 -d"]), ("image.itb", ["FIT image", "dumpimage"])],
)
def test_other_formats(name: str, words: list[str], call: Call) -> None:
    for command in ("check", "count"):
        outcome = call(command, CASES / name)
        assert (outcome.code, outcome.out) == (2, "")
        assert all(word in outcome.err for word in words), outcome.err
