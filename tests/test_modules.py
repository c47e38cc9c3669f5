# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs modules`: what the module loader reserves, for files of any packing."""

import errno
import gzip
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfestubs.read import source
from support import (
    OBJECTS,
    call,
    executable_path,
    on_terminal,
    printed,
    refusal,
    run_program,
    tool,
    validator,
)
from support import elfwriter as elf
from support.elfwriter import ENTRIES, Relocation, Section, Symbol

MIB = 1 << 20


def module(
    tables: Sequence[int] = (3,),
    *,
    bits: int = 64,
    text: int = 0x100,
    extra: bytes = b"",
    relocated: int | None = None,
    flags: int = elf.WA,
    kind: int = elf.SHT_PROGBITS,
    code: bytes = b"",
    more: Sequence[Section] = (),
    symbols: Sequence[Symbol] = (),
    has_symbols: bool = True,
    abi: int = 2,
    **options: Any,
) -> bytes:
    """A module with that many entries in each section of the name; its code takes no space in the file."""
    word = bits // 8
    start = Symbol("", type=elf.STT_SECTION, bind=elf.STB_LOCAL)
    kind_of_text = elf.SHT_PROGBITS if code else elf.SHT_NOBITS
    start.section = Section(".text", code, kind_of_text, elf.AX, size=None if code else text, align=16)
    sections = [start.section, Section(".rodata", b"something", flags=2), Section(".comment", b"GCC")]
    for number in tables:
        found = range(number if relocated is None else relocated)
        type_of_word = elf.R_PPC64_ADDR64 if bits == 64 else elf.R_PPC_ADDR32
        rows = [Relocation(word * i, start, type_of_word, 16 * i) for i in found] if has_symbols else []
        data, size = bytes(word * number) + extra, word * number + len(extra)
        content = b"" if kind == elf.SHT_NOBITS else data
        sections.append(Section(ENTRIES, content, kind, flags, size=size, align=8, relocations=rows))
    sections += [Section(".init.text", bytes(16), flags=elf.AX), *more]
    options = {"machine": elf.EM_PPC64 if bits == 64 else elf.EM_PPC, **options}
    return elf.write_elf(
        sections, [start, *symbols] if has_symbols else None, bits=bits, flags=abi, **options
    )


def with_comment_of(size: int) -> bytes:
    """A module with that size in the header of .comment, which is not loaded."""
    content = module()
    at = elf.section_headers(content)[3] + 32
    return content[:at] + size.to_bytes(8, "little") + content[at + 8 :]


def save(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def zstd(content: bytes) -> bytes:
    return subprocess.run([tool("zstd"), "-cq"], input=content, capture_output=True, check=True).stdout


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".xz": partial(lzma.compress, preset=0),
    ".gz": gzip.compress,
    ".zst": zstd,
}
PACKED = [".xz", ".gz", pytest.param(".zst", marks=pytest.mark.tools)]


@pytest.fixture
def document() -> Any:
    """The document of `pfestubs modules --format json`, and the exit status and messages."""

    def run(*words: str | Path) -> Any:
        outcome = call("modules", "--format", "json", *words)
        value = json.loads(outcome.out)
        validator("modules").validate(value)
        assert "Traceback" not in outcome.err
        return value, outcome.code, outcome.err

    return run


# -- the loader's figures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "stub_size", "stub_bytes", "stub_entries"),
    [
        (0, 24, 0, 0),
        (1, 24, 24, 1),
        (2, 24, 48, 2),
        (5, 24, 120, 3),
        (6, 24, 144, 4),
        (5, 16, 80, 2),
        (16701, 24, 400824, 10021),  # amdgpu
    ],
)
def test_reserved(
    document: Any, tmp_path: Path, entries: int, stub_size: int, stub_bytes: int, stub_entries: int
) -> None:
    path = save(tmp_path / "a.ko", module([entries]))
    value, code, err = document(path, "--stub-size", hex(stub_size))
    (row,) = value["modules"]
    assert (code, err) == (0, "")
    assert (row["file"], row["flags"], value["stub_size"]) == (str(path), [], stub_size)
    sums = {"locations": entries, "unseen": 0, "stub_bytes": stub_bytes, "stub_entries": stub_entries}
    assert row.items() >= sums.items()
    assert value["totals"] == {"files": 1, "modules": 1, "flags": {}, **sums}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("options", "flag", "seen", "unseen", "stub_bytes", "code"),
    [
        ({}, "", 7, 0, 168, 0),
        ({"bits": 32}, "no-stubs", 7, 0, 0, 0),
        ({"tables": [4, 0, 5]}, "duplicate-section", 4, 5, 96, 1),
        ({"tables": [4, 0]}, "", 4, 0, 96, 0),
        ({"tables": []}, "no-section", 0, 0, 0, 0),
        ({"extra": bytes(5)}, "partial-entry", 7, 0, 168, 1),
        ({"relocated": 0}, "no-relocations", 0, 7, 168, 1),
        ({"relocated": 6}, "no-relocations", 6, 1, 168, 1),
        ({"kind": elf.SHT_NOBITS}, "no-contents", 0, 7, 168, 1),
        ({"flags": 1}, "not-allocated", 0, 7, 168, 1),
        ({"has_symbols": False}, "stripped", 0, 7, 0, 1),
        ({"has_symbols": False, "tables": []}, "stripped", 0, 0, 0, 1),
    ],
)
def test_what_the_loader_sees(
    options: dict[str, Any], flag: str, seen: int, unseen: int, stub_bytes: int, code: int, order: str,
    document: Any, tmp_path: Path,
) -> None:  # fmt: skip
    path = save(tmp_path / "a.ko", module(**{"tables": [7], "order": order, **options}))
    value, status, err = document(path)
    (row,) = value["modules"]
    assert (row["locations"], row["unseen"], row["stub_bytes"], status, err) == (
        seen,
        unseen,
        stub_bytes,
        code,
        "",
    )
    assert (row["byte_order"], row["class"]) == ({"<": "little", ">": "big"}[order], options.get("bits", 64))
    assert row["flags"] == list(filter(None, [flag]))
    assert (value["totals"]["unseen"], value["totals"]["flags"]) == (unseen, dict.fromkeys(row["flags"], 1))


NOP, MFLR = 0x60000000, 0x7C0802A6
GLOBAL_ENTRY = (0x3C4C0000, 0x38420000)
"""The location that clang records; the nops are after it."""


def words(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


@pytest.mark.parametrize(
    ("options", "tracing", "facts"),
    [
        ({"code": words(NOP, MFLR, 0, 0) * 3}, "stubs", {"nops": 1, "abi": 2}),
        ({"code": words(NOP, NOP, MFLR, 0) * 3}, "two-nops", {"nops": 2, "abi": 2}),
        ({"code": words(NOP, NOP, 0, 0) * 2 + words(NOP, MFLR, 0, 0)}, "stubs", {"nops": 1}),
        ({"code": words(NOP, NOP, MFLR, 0) * 2 + words(NOP, NOP, MFLR)}, "two-nops", {"nops": 2}),
        ({"code": words(*GLOBAL_ENTRY, NOP, MFLR) * 3}, "stubs", {"nops": 1}),
        ({"code": words(*GLOBAL_ENTRY, NOP, NOP) * 3}, "two-nops", {"nops": 2}),
        ({"code": words(MFLR, 0, 0, 0) * 3}, "stubs", {"nops": None}),
        ({"order": ">", "abi": 1}, "elf-v1", {"abi": 1}),
        ({"order": ">", "abi": 0}, "elf-v1", {"abi": 1}),
        ({"more": [Section(".opd", bytes(24), flags=elf.WA)]}, "elf-v1", {"abi": 1}),
        ({"abi": 0}, "stubs", {"abi": 2}),
        ({"abi": 3}, "stubs", {"abi": 2}),
        ({"bits": 32, "order": ">"}, "32-bit", {"abi": None}),
        ({"tables": [], "symbols": [Symbol("_mcount")]}, "mcount", {"mcount": True}),
        (
            {"tables": [], "more": [Section("__mcount_loc", bytes(8), flags=elf.WA)]},
            "mcount",
            {"mcount": True},
        ),
        ({"tables": []}, None, {"mcount": False, "vermagic": None}),
        (
            {"more": [Section(".modinfo", b"license=GPL\0vermagic=7.2.13 SMP \0", flags=2)]},
            "stubs",
            {"vermagic": "7.2.13 SMP"},
        ),
    ],
)
def test_what_a_module_is_for(
    options: dict[str, Any], tracing: str | None, facts: dict[str, Any], document: Any, tmp_path: Path
) -> None:
    path = save(tmp_path / "a.ko", module(**options))
    value, status, err = document(path)
    (row,) = value["modules"]
    assert row["tracing"] == tracing
    assert {key: row[key] for key in facts} == facts
    assert (status, err) == (0, "")
    assert (row["stub_bytes"] > 0) == (tracing == "stubs")
    assert ("no-stubs" in row["flags"]) == (tracing not in {None, "stubs"})
    assert ("for another kind of kernel" in call("modules", path).out) == ("no-stubs" in row["flags"])


@pytest.mark.cross
@pytest.mark.parametrize(
    ("compiler", "flags", "tracing"),
    [
        ("powerpc64le-linux-gnu-gcc", "-fpatchable-function-entry=2", "two-nops"),
        ("powerpc64le-linux-gnu-gcc", "-pg -mprofile-kernel", "mcount"),
        ("powerpc64-linux-gnu-gcc", "-mabi=elfv1 -pg", "elf-v1"),
        ("powerpc64-linux-gnu-gcc", "-mabi=elfv1 -fpatchable-function-entry=2", "elf-v1"),
    ],
)
def test_modules_of_kernels_without_stubs(
    compiler: str, flags: str, tracing: str, document: Any, tmp_path: Path
) -> None:
    """As their kernels compile them; two functions."""
    source = save(tmp_path / "a.c", b"int x; void f(void) { x = 1; } int g(int a) { return a * x; }\n")
    path = tmp_path / "a.ko"
    run_program(tool(compiler), "-O2", *flags.split(), "-c", source, "-o", path, check=True)
    value, status, err = document(path)
    (row,) = value["modules"]
    assert (row["tracing"], row["stub_bytes"], row["flags"], status, err) == (tracing, 0, ["no-stubs"], 0, "")


def test_copies_of_a_module_are_one(document: Any, tmp_path: Path) -> None:
    """Packed and not, under another path too; another kernel's module of the same name is another one."""
    for name in ("a.ko", "a.ko.xz", "updates/a.ko.gz", "b.ko"):
        save(tmp_path / name, PACKERS[Path(name).suffix.replace(".ko", "")](module([5])))
    save(tmp_path / "old/a.ko", module([6]))
    value, status, _ = document(tmp_path)
    assert (len(value["modules"]), status) == (5, 0)
    totals = value["totals"]
    assert (totals["files"], totals["modules"], totals["locations"]) == (5, 3, 16)
    assert "3 modules in 5 files: 16 locations" in call("modules", tmp_path).out


@pytest.mark.parametrize(("more", "flags"), [(0, []), (1, ["text-out-of-range"])])
def test_code_beyond_a_branch(document: Any, tmp_path: Path, more: int, flags: list[str]) -> None:
    # Code, 16 bytes of init text and three stubs in two entries.
    path = save(tmp_path / "a.ko", module(text=32 * MIB - 16 - 80 + 16 * more))
    value, code, _ = document(path)
    assert (value["modules"][0]["flags"], code) == (flags, more)
    assert value["modules"][0]["text_bytes"] == 32 * MIB - 80 + 16 * more


# -- packings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", *PACKED])
def test_packed(document: Any, tmp_path: Path, suffix: str) -> None:
    """In one stream or two; the content tells the packing, not the name."""
    content, pack = module([9]), PACKERS[suffix]
    for name, packed in (
        (f"a.ko{suffix}", pack(content)),
        (f"b.ko{suffix}", pack(content[:100]) + pack(content[100:])),
        ("c.ko.gz", pack(content)),
    ):
        value, code, err = document(save(tmp_path / name, packed))
        assert (value["modules"][0]["locations"], code, err) == (9, 0, "")


def reason_of_one(document: Any, bad: Path, locations: int) -> str:
    """Why that file is not read; another one beside it is."""
    value, code, err = document(bad, save(bad.with_name("good.ko"), module([locations])))
    assert (code, value["totals"]["locations"], value["totals"]["modules"]) == (2, locations, 1)
    assert [entry["file"] for entry in value["unread"]] == [str(bad)]
    assert (err.startswith(f"{bad}: error: "), err.count("\n")) == (True, 1)
    return str(err)


@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize("damage", ["cut", "changed", "wrong content"])
def test_damaged_packing(document: Any, tmp_path: Path, suffix: str, damage: str) -> None:
    packed = bytearray(PACKERS[suffix](b"no module" if damage == "wrong content" else module([900])))
    if damage == "cut":
        del packed[-20:]
    elif damage == "changed":
        packed[len(packed) // 2] ^= 0xFF
        packed[-12] ^= 0xFF
    reason_of_one(document, save(tmp_path / f"bad.ko{suffix}", bytes(packed)), 2)


@pytest.mark.parametrize("suffix", PACKED)
def test_a_bomb_is_not_unpacked(
    document: Any, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "UNPACKED_LIMIT", 4 * MIB)
    bomb = save(tmp_path / f"bomb.ko{suffix}", PACKERS[suffix](bytes(64 * MIB)))
    assert "error: unpacks to more than 4 MiB" in reason_of_one(document, bomb, 2)


@pytest.mark.parametrize("suffix", PACKED)
def test_what_a_file_may_unpack_to_depends_on_its_size(document: Any, tmp_path: Path, suffix: str) -> None:
    good = save(tmp_path / f"good.ko{suffix}", PACKERS[suffix](module([3]) + bytes(20 * MIB)))
    bomb = save(tmp_path / f"bomb.ko{suffix}", PACKERS[suffix](bytes(40 * MIB)))
    value, code, err = document(good, bomb)
    assert (code, value["totals"]["locations"]) == (2, 3)
    assert err.startswith(f"{bomb}: error: unpacks to more than 32 MiB")


@pytest.mark.tools
def test_zstd_without_a_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is about the module, not about standard output."""

    def fail(*_words: object, **_more: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setitem(sys.modules, "compression", None)
    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    path = save(tmp_path / "a.ko.zst", zstd(module()))
    assert call("modules", path).err == f"{path}: error: cannot be unpacked: No space left on device\n"


@pytest.mark.tools
def test_zstd_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "compression", None)
    path = save(tmp_path / "a.ko.zst", zstd(module()))
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert re.search("program zstd is not installed.*package zstd", refusal("modules", path))


# -- which files ---------------------------------------------------------------------------------------------


def test_a_directory_is_searched_and_sorted(document: Any, tmp_path: Path) -> None:
    """Links to directories are followed once, but not kbuild's to its trees; what cannot be read is named."""
    tree, elsewhere = tmp_path / "tree", tmp_path / "elsewhere"
    for name in ("net/b.ko", "net/a.ko", "fs/xfs/xfs.ko", "c.ko", "net/a.ko.notes", "net/Module.ko.txt"):
        save(tree / name, module([1]))
    save(elsewhere / "d.ko", module([1]))
    for name, target in {"build": elsewhere, "kernel": elsewhere, "same": elsewhere, "up": tree}.items():
        (tree / name).symlink_to(target, target_is_directory=True)
    value, code, err = document(tree)
    names = [str(tree / name) for name in ("c.ko", "fs/xfs/xfs.ko", "kernel/d.ko", "net/a.ko", "net/b.ko")]
    assert ([row["file"] for row in value["modules"]], code, err) == (names, 0, "")
    os.mkfifo(tree / "fifo.ko")
    value, code, err = document(tree)
    assert ([row["file"] for row in value["modules"]], code) == (names, 2)
    assert [entry["file"] for entry in value["unread"]] == [str(tree / "fifo.ko")]
    assert err.startswith(f"{tree / 'fifo.ko'}: error: is a pipe, not a file")


def test_files_keep_their_order_and_count_once(document: Any, tmp_path: Path) -> None:
    b, a = (save(tmp_path / name, module([1])) for name in ("b.ko", "a.ko"))
    value, _, _ = document(b, a, b, tmp_path)
    assert [row["file"] for row in value["modules"]] == [str(b), str(a)]


def test_an_empty_directory_is_an_error(document: Any, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    wanted = "is a directory without modules; expected files *.ko, *.ko.xz, *.ko.gz, *.ko.zst"
    assert reason_of_one(document, empty, 1) == f"{empty}: error: {wanted}\n"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"text", "ELF file ("),
        (module(type_=elf.ET_EXEC), "is a linked file, not a kernel module"),
        (module(machine=elf.EM_386, bits=32), "not for powerpc"),
        (module()[:-1], "is cut short"),
        (module([9])[:200], "is cut short"),
        (with_comment_of(1 << 20), "is cut short"),
    ],
)
def test_other_files_are_named_and_the_rest_is_counted(
    document: Any, tmp_path: Path, content: bytes, sentence: str
) -> None:
    bad = save(tmp_path / "bad.ko", content)
    good = save(tmp_path / "good.ko", module([2]))
    value, code, err = document(tmp_path, tmp_path / "missing.ko")
    assert (code, [row["file"] for row in value["modules"]]) == (2, [str(good)])
    assert [entry["file"] for entry in value["unread"]] == [str(bad), str(tmp_path / "missing.ko")]
    assert sentence in err
    assert err.count("\n") == 2


def test_the_output_is_not_an_input(tmp_path: Path) -> None:
    path = save(tmp_path / "a.ko", module())
    before = path.read_bytes()
    assert call("modules", path, "-o", path).code == 2
    assert path.read_bytes() == before


def test_no_path_is_a_usage_error() -> None:
    assert call("modules").code == 2
    assert call("modules", "x", "--stub-size", "15").code == 2


# -- text ----------------------------------------------------------------------------------------------------


def test_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    modinfo = Section(".modinfo", b"vermagic=7.2.13 SMP\0", flags=2)
    save(tmp_path / "big.ko", module([16701], more=[modinfo]))
    save(tmp_path / "net/data.ko", module([]))
    save(tmp_path / "net/old.ko", module([3], bits=32, order=">"))
    save(tmp_path / "two.ko", module([4, 5]))
    assert printed("modules", tmp_path, code=1).splitlines() == [
        f"in {tmp_path}:",
        "module       locations  stub bytes  stub entries  flags",
        "big.ko          16,701     400,824        10,021",
        "net/data.ko          0           0             0  no-section",
        "net/old.ko           3           0             0  no-stubs",
        "two.ko               4          96             3  duplicate-section",
        'for vermagic "7.2.13 SMP", ELFv2, out-of-line stubs: 1 file',
        "for an unknown vermagic, no stubs (32 bits): 1 file",
        "for an unknown vermagic, ELFv2, out-of-line stubs: 1 file",
        "1 file is for another kind of kernel, which traces without stubs: nothing is reserved for it",
        "4 modules: 16,708 locations, 400,920 stub bytes, 10,024 stub entries, 5 entries that the loader would"
        " not see; duplicate-section 1, no-section 1, no-stubs 1",
    ]


def test_names_cannot_write_lines(tmp_path: Path) -> None:
    save(tmp_path / "a\nok: \x1b[31m.ko", module([1]))
    save(tmp_path / "b\nok: \x1b[31m.ko", b"x")
    outcome = call("modules", tmp_path)
    assert "\x1b" not in outcome.out + outcome.err
    assert (outcome.out.count("\n"), outcome.err.count("\n")) == (4, 1)


def test_a_bar_on_a_terminal(tmp_path: Path) -> None:
    for i in range(20):
        save(tmp_path / f"{i}.ko", module())
    words = [executable_path("pfestubs"), "modules", tmp_path]
    done, shown = on_terminal(words, {"TERM": "xterm"}, subprocess.PIPE)
    assert (done.code, "20 modules" in done.out, "\x1b" in done.out) == (0, True, False)
    assert re.search(r"modules.*/20", shown, re.DOTALL)


# -- anything at all -----------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(st.data())
def test_any_change_of_a_module(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(module([3, 1], bits=data.draw(st.sampled_from([32, 64]))))
    if data.draw(st.booleans()):
        content = bytearray(PACKERS[data.draw(st.sampled_from([".xz", ".gz"]))](bytes(content)))
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(0, len(content))) :]
    outcome = call("modules", save(tmp_path / "a.ko", bytes(content)))
    assert outcome.code in {0, 1, 2}
    assert "internal error" not in outcome.err
    assert (outcome.code == 2) == bool(outcome.err)


# -- against readelf -----------------------------------------------------------------------------------------

_SECTION = re.compile(rf" {ENTRIES} +\w+ +[0-9a-f]+ +[0-9a-f]+ +([0-9a-f]+) ")


def readelf_tables(path: Path) -> list[int]:
    done = run_program(tool("readelf"), "-SW", path, check=True)
    return [int(size, 16) for size in _SECTION.findall(done.out)]


@pytest.mark.tools
@pytest.mark.parametrize("path", sorted(OBJECTS.glob("*.o")), ids=lambda path: path.stem)
def test_objects_of_the_compilers(document: Any, path: Path) -> None:
    value, _, err = document(path)
    word = 4 if "ppc32" in path.stem else 8
    sizes = readelf_tables(path)
    row = value["modules"][0]
    assert err == ""
    assert row["locations"] + row["unseen"] == sum(sizes) // word
    assert row["locations"] == (sizes[0] if sizes else 0) // word
    assert ("duplicate-section" in row["flags"]) == (len(sizes) > 1)


@pytest.mark.tools
def test_a_distribution(document: Any, tmp_path: Path) -> None:
    root = os.environ.get("PFESTUBS_MODULES")
    if not root:
        pytest.skip("needs a distribution's modules: set PFESTUBS_MODULES to their directory")
    value, code, err = document(root)
    assert (code, err) == (0, "")
    scratch = tmp_path / "a.ko"
    for row in value["modules"]:
        scratch.write_bytes(lzma.decompress(Path(row["file"]).read_bytes()))
        assert row["locations"] == sum(readelf_tables(scratch)) // 8, row["file"]
    assert value["totals"]["locations"] == sum(row["locations"] for row in value["modules"])
