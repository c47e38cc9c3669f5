# SPDX-License-Identifier: GPL-2.0-or-later
"""Input files that are not what a reader expects of a file: special ones, ones that change, ones made to cost."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import lzma
import os
import re
import shutil
import struct
import subprocess
import threading
from array import array
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from fuzz.seeds import map_of
from pfestubs.errors import InputError
from pfestubs.model import ByteOrder
from pfestubs.read import dump, headers
from pfestubs.read.elf import NAME_LIMIT, Elf, open_elf, string_at
from pfestubs.read.memory import Extent, Memory
from pfestubs.read.source import Source, open_source, read_document
from pfestubs.read.symbols import ElfSymbols
from pfestubs.read.vmlinux import open_kernel
from pfestubs.read.vmlinux_o import read_vmlinux_o
from support import FIXTURES, OBJECTS, MiniKernel, call, printed, refusal, refused, run_cli, run_program, tool
from support.dumps import with_banner
from support.elfwriter import (
    AX,
    ET_CORE,
    ET_EXEC,
    PT_LOAD,
    PT_NOTE,
    SHF_ALLOC,
    SHT_REL,
    KernelObject,
    Section,
    Segment,
    Symbol,
    note,
    program_headers,
    save_elf,
    section_headers,
    write_elf,
)
from support.kernelwriter import BASE, LinkedKernel

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
        ["diff", kernel, path],
        ["diff", path, kernel],
    ]


@pytest.mark.parametrize("kind", ["fifo", "directory", "device", "empty"])
def test_special_files(kind: str, tmp_path: Path, mini_kernel: MiniKernel) -> None:
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
        assert words[kind] in refusal(*command, about=path), command


@pytest.mark.parametrize("command", ["check", "count", "stubs"])
def test_a_link_to_nothing(command: str, tmp_path: Path) -> None:
    """As Debian's debug packages have one, for whoever unpacks a part of them."""
    link = tmp_path / "vmlinux"
    link.symlink_to("../../../boot/vmlinux-6.12")
    wanted = "is a symbolic link to ../../../boot/vmlinux-6.12, which does not exist"
    assert refusal(command, link) == f"{link}: error: {wanted}\n"
    missing = tmp_path / "missing"
    assert refusal(command, missing) == f"{missing}: error: cannot be read: No such file or directory\n"


def test_an_endless_pipe(tmp_path: Path) -> None:
    """Refused at once: nothing of it is read."""
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as endless:
        done = run_cli("count", "/dev/stdin", cwd=tmp_path, stdin=endless.stdout)
        endless.kill()
    assert "save its content to a file" in refused(done)


def test_a_redirected_file(tmp_path: Path) -> None:
    """`/dev/stdin` is the file itself then."""
    with OBJECT.open("rb") as file:
        assert "entries: 16" in run_cli("count", "/dev/stdin", check=True, cwd=tmp_path, stdin=file).out


def test_a_name_with_a_zero_byte() -> None:
    with pytest.raises(InputError, match="null"), open_source("a\0b"):
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
    with pytest.raises(InputError, match="more than 1 MiB, the limit for a map"):
        read_document(str(path))


# -- what changes while it is read ----------------------------------------------------------------------------


def test_a_file_truncated_between_two_reads(tmp_path: Path) -> None:
    """Linkers and `cp` rewrite kernels in place; a mapped file would end the process (SIGBUS)."""
    path = tmp_path / "vmlinux"
    path.write_bytes(bytes(1 << 20))
    with open_source(str(path)) as source:
        assert source.read(0, 64) == bytes(64)
        os.truncate(path, 4096)
        with pytest.raises(InputError, match="is the file truncated"):
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
            done = run_cli("check", path)
            assert done.code in {0, 1, 2}, done
            assert not re.search("Traceback|internal error", done.err)
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
    with contextlib.suppress(InputError):
        read_vmlinux_o(str(path))
    assert sum(decoded) < 2 * path.stat().st_size


def overlapping(type_: int, content: bytes, stride: int) -> bytes:
    """A dump of 1,000 segments, `stride` bytes apart in memory, over the same bytes of the file."""
    first = Segment(type_, BASE, data=content, align=1)
    others = [Segment(type_, BASE + i * stride, align=1) for i in range(1, 1000)]
    data = bytearray(write_elf(symbols=None, type_=ET_CORE, segments=[first, *others]))
    (offset,) = struct.unpack_from("<Q", data, program_headers(data)[0] + 8)
    for at in program_headers(data):
        struct.pack_into("<Q", data, at + 8, offset)
        struct.pack_into("<Q", data, at + 32, len(content))
    return bytes(data)


def test_notes_that_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments that claim more than the file has are refused before any is decoded."""
    data = overlapping(PT_NOTE, note(b"GNU", 3, bytes(20)) * 100, 1)
    monkeypatch.setattr(headers, "iter_notes", lambda *_: pytest.fail("decoded"))
    with pytest.raises(InputError, match="its notes claim"):
        list(Elf(Source("core", BytesIO(data), len(data))).notes())


def test_memory_that_overlaps_is_searched_once(
    tmp_path: Path, mini_kernel: MiniKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,000 segments over the same megabyte: the search for the kernel reads it once."""
    path = tmp_path / "core"
    path.write_bytes(data := overlapping(PT_LOAD, bytes(1 << 20), 1 << 20))
    read, read_up_to = [], Source.read_up_to

    def counted(source: Source, at: int, length: int) -> bytes:
        content = read_up_to(source, at, length)
        read.append(len(content))
        return content

    with open_kernel(str(mini_kernel() / "vmlinux")) as kernel, open_source(str(path), raw=True) as source:
        monkeypatch.setattr(Source, "read_up_to", counted)
        assert not list(dump._Dump(source, kernel).banners(iter))
    assert sum(read) < 3 * len(data)


def test_labels_are_visited_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """50,000 labels between a function and 2,000 locations; looking each up again would take minutes."""
    text = Section(".text", size=0x1000000, flags=AX, addr=0x1000)
    labels = [Symbol("f", 0x1000, text, 16, 2)] + [Symbol(".L", 0x2000 + i, text) for i in range(50_000)]
    path = save_elf(tmp_path / "vmlinux", [text], labels, type_=ET_EXEC)
    looked_up = itertools.count()
    raw_name = ElfSymbols._raw_name

    def counted(symbols: ElfSymbols, key: int) -> bytes:
        assert next(looked_up) < 10 * 50_000  # the first eight without an index
        return raw_name(symbols, key)

    monkeypatch.setattr(ElfSymbols, "_raw_name", counted)
    with open_elf(str(path)) as elf:
        symbols = ElfSymbols(elf)
        after = range(0x2000 + 50_000, 0x2000 + 52_000)
        assert [symbols.locate(address) for address in after] == [("f", a - 0x1000) for a in after]
        assert symbols.locate(0x1800) == ("f", 0x800)
        assert symbols.locate(0x800) == ("0x800", 0)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [64, 32])
def test_a_search_names_what_the_index_names(bits: int, order: str, tmp_path: Path) -> None:
    """The first names are searched for in the table's bytes, the rest come from an index: the same."""
    text = Section(".text", size=0x40000, flags=AX, addr=0xC0000000)
    symbols = [Symbol("local", 0xC0000100, text, bind=0, type=2)]
    symbols += [Symbol("data", 0xC0000180, text, type=1), Symbol("weak", 0xC0000100, text, bind=2, type=2)]
    symbols += [Symbol("global", 0xC0000100, text, type=2), Symbol(".L1", 0xC0000200, text)]
    symbols += [Symbol("far", 0xC0010000, text, type=2), Symbol("again", 0xC0010000, text, type=2)]
    options = {"bits": bits, "order": order, "machine": 21 if bits == 64 else 20}
    path = save_elf(tmp_path / "vmlinux", [text], symbols, type_=ET_EXEC, **options)
    addresses = [0xC0000000 + offset for offset in (0, 0x100, 0x104, 0x1F0, 0x204, 0xFFFC, 0x10000, 0x30000)]
    with open_elf(str(path)) as elf:
        searched = [ElfSymbols(elf).locate(address) for address in addresses]
        indexed = ElfSymbols(elf)
        for _ in range(20):
            indexed.locate(0)
        assert [indexed.locate(address) for address in addresses] == searched
    assert searched[:3] == [("0xc0000000", 0), ("global", 0), ("global", 4)]
    assert searched[4:] == [("global", 0x104), ("global", 0xFEFC), ("far", 0), ("far", 0x20000)]


# -- packed files, and directories -----------------------------------------------------------------------------


PACKERS: dict[str, Callable[[bytes], bytes]] = {"xz": lzma.compress, "gz": gzip.compress}


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A directory with a kernel, its map and an object."""
    kernel = with_banner(LinkedKernel())
    (tmp_path / "System.map").write_bytes(map_of(kernel))
    shutil.copy(OBJECT, tmp_path / "vmlinux.o")
    return kernel.save(tmp_path / "vmlinux").parent


@pytest.mark.parametrize("packer", sorted(PACKERS))
def test_packed_files_are_read_by_their_content(packer: str, built: Path) -> None:
    """As tuxmake and distributions keep kernels; the name says nothing."""
    call("check", "--format", "json", "-o", built / "check.json", built / "vmlinux")
    plain = {name: built / name for name in ("vmlinux", "vmlinux.o", "System.map", "check.json")}
    packed = {name: built / f"{name}.packed" for name in plain}
    for name, path in packed.items():
        path.write_bytes(PACKERS[packer](plain[name].read_bytes()))
    for words in (
        ["check", "--format", "json", "vmlinux"],
        ["check", "--format", "json", "--system-map", "System.map", "vmlinux"],
        ["stubs", "vmlinux"],
        ["count", "vmlinux.o"],
        ["generate", "vmlinux.o"],
        ["diff", "vmlinux", "vmlinux"],
        ["diff", "check.json", "vmlinux"],
        ["check", "--baseline", "check.json", "vmlinux"],
    ):
        want, found = (call(*(files.get(word, word) for word in words)) for files in (plain, packed))
        assert (found.code, found.err) == (want.code, want.err) == (0, "")
        assert found.out.replace(".packed", "") == want.out
    assert "is a relocatable object, not a linked kernel" in refusal("check", packed["vmlinux.o"])


@pytest.mark.tools
def test_a_kernel_packed_with_zstd(built: Path) -> None:
    run_program(tool("zstd"), "-q", built / "vmlinux", check=True)
    printed("check", built / "vmlinux.zst")
    damaged = built / "damaged"
    damaged.write_bytes((built / "vmlinux.zst").read_bytes()[:-20])
    refusal("check", damaged, about=damaged)


@pytest.mark.parametrize("packer", sorted(PACKERS))
def test_a_packed_kernel_that_is_cut_short_or_not_all_of_the_file(packer: str, built: Path) -> None:
    path, name = built / "packed", packer.replace("gz", "gzip")
    packed = PACKERS[packer]((built / "vmlinux").read_bytes())
    path.write_bytes(packed[:-30])
    assert refusal("check", path).startswith(f"{path}: error: is cut short: its {name} stream")
    for rest in (b"\4", b"more than a header" * 9):
        path.write_bytes(packed + rest)
        assert refusal("check", path) == f"{path}: error: has other data after its {name} stream\n"


def test_a_packed_kernel_leaves_no_file(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = built / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    (built / "packed").write_bytes(lzma.compress((built / "vmlinux").read_bytes()))
    assert call("check", built / "packed").code == 0
    assert list(scratch.iterdir()) == []


def test_a_directory_stands_for_the_file_in_it(built: Path) -> None:
    rows: list[tuple[list[str | Path], str]] = [
        (["check"], "vmlinux"),
        (["stubs"], "vmlinux"),
        (["count"], "vmlinux.o"),
        (["generate"], "vmlinux.o"),
        (["check", built / "vmlinux", "--system-map"], "System.map"),
    ]
    for words, name in rows:
        assert call(*words, built) == call(*words, built / name)
    (built / "vmlinux.xz").write_bytes(lzma.compress((built / "vmlinux").read_bytes()))
    (built / "vmlinux").unlink()
    assert call("check", built) == call("check", built / "vmlinux.xz")
    (built / "vmlinux.xz").unlink()
    assert refusal("check", built) == f"{built}: error: cannot be read: Is a directory; it holds no vmlinux\n"


# -- saved documents that are not as pfestubs writes them --------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: b"\xef\xbb\xbf" + text.encode(), "in UTF-8 without a byte order mark"),
        (lambda text: text.encode("utf-16"), "in UTF-8 without a byte order mark"),
        (lambda text: text.encode("utf-16-le"), "in UTF-8 without a byte order mark"),
        (lambda text: text.replace("{", '{"schema": "x", ', 1).encode(), "has the key 'schema' twice"),
        (lambda text: text.replace('"layout"', '"layout": "pfe", "layout"').encode(), "'layout' twice"),
    ],
)
def test_one_reader_refuses_documents_alike(change: Callable[[str], bytes], words: str, built: Path) -> None:
    vmlinux, check, count = built / "vmlinux", built / "check.json", built / "count.json"
    check.write_bytes(change(call("check", "--format", "json", vmlinux).out))
    count.write_bytes(change(call("count", "--format", "json", built / "vmlinux.o").out))
    commands: list[list[str | Path]] = [
        ["check", vmlinux, "--baseline", check],
        ["diff", check, vmlinux],
        ["diff", vmlinux, check],
        ["check", vmlinux, "--prelink", count],
        ["diff", count, vmlinux],
    ]
    for command in commands:
        document = check if check in command else count
        assert words in refusal(*command, about=document)


# -- what the machine loads and relocates ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "section"), [(8, 0x1100, "text"), (32, 8, "text"), (32, 0x2001, "init.data")]
)
def test_text_that_is_not_what_is_loaded(
    field: int, value: int, section: str, tmp_path: Path, mini_kernel: MiniKernel
) -> None:
    """PT_LOAD of another part of the file than the section, or of less: the machine runs what is loaded."""
    image = bytearray((mini_kernel(TOOLCHAIN="gcc-ppc64le") / "vmlinux").read_bytes())
    for at in program_headers(image):
        if struct.unpack_from("<I", image, at)[0] == PT_LOAD:
            struct.pack_into("<Q", image, at + field, value)
    path = tmp_path / "vmlinux"
    path.write_bytes(image)
    message = refusal("check", path)
    assert re.search(rf"its program headers do not load section \[\d\] \.{section} to 0xc0", message)


def test_compressed_sections(tmp_path: Path) -> None:
    """Of code, and of the table."""
    path = LinkedKernel().save(tmp_path / "vmlinux")
    content = path.read_bytes()
    loaded = [at + 8 for at in section_headers(content) if content[at + 8] & SHF_ALLOC]
    assert len(loaded) > 2
    for flags in loaded:
        image = bytearray(content)
        struct.pack_into("<Q", image, flags, struct.unpack_from("<Q", image, flags)[0] | 0x800)
        path.write_bytes(image)
        assert "SHF_COMPRESSED" in refusal("check", path)


@pytest.mark.parametrize("order", ["little", "big"])
def test_words_at_the_end_of_an_extent(order: ByteOrder) -> None:
    """A word that begins in the last three bytes is known only where the next extent continues."""
    content = bytes(range(1, 33))
    for second, known in ((0x1010, True), (0x1011, False)):
        extents = [Extent(0x1000, 0, 16), Extent(second, 16, 16)]
        memory = Memory(lambda at, size: content[at : at + size], extents, order)
        for address in range(0x100C, 0x1011):
            fits = address == 0x100C or known
            want = int.from_bytes(content[address - 0x1000 :][:4], order) if fits else None
            assert memory.word(address) == want, hex(address)
            assert memory.words_at(array("Q", [0x1000, address]))[1] == want
            assert memory.words_at(array("Q", [address, 0x1000]))[0] == want
        assert memory.read(0x100E, 4) == (content[14:18] if known else None)
        assert memory.word(0x0FFE) is memory.word(second + 14) is None


@pytest.mark.parametrize(
    "extents",
    [
        [Extent(0x1000, 0, 32), Extent(0x1008, 8, 4)],
        [Extent(0x1000, 0, 16), Extent(0x1008, 8, 24)],
        [Extent(0x1000, 0, 4), Extent(0x1000, 0, 32), Extent(0x1010, 16, 8)],
    ],
)
def test_extents_that_overlap_hide_nothing(extents: list[Extent]) -> None:
    content = bytes(range(1, 33))
    memory = Memory(lambda at, size: content[at : at + size], extents, "little")
    assert memory.read(0x1000, 32) == content
    assert memory.runs == [range(0x1000, 0x1020)]
    assert [memory.word(0x1000 + i) for i in range(0, 32, 4)] == list(struct.unpack("<8I", content))


# -- the formats people hand over by mistake -------------------------------------------------------------------


def test_a_long_name_is_cut_and_an_unterminated_one_is_empty() -> None:
    table = b"\0" + b"a" * 5000 + b"\0tail"
    assert string_at(table, 1) == "a" * NAME_LIMIT
    assert string_at(table, 5002) == ""
    assert string_at(table, 4990) == "a" * 11
