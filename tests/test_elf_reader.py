# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading objects: many sections, both kinds of relocations, what is refused and in which words."""

import bz2
import gzip
import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest
from elftools.elf import enums

from pfestubs.read.vmlinux_o import read_vmlinux_o
from support import (
    OBJECTS,
    MiniKernel,
    clean_environment,
    executable_path,
    json_of,
    printed,
    refusal,
    run_program,
    tool,
)
from support import elfwriter as elf
from support.elfwriter import ENTRIES, KernelObject, Relocation, Section, Segment, Symbol

ADVICE = "vmlinux.o"


def refused(path: Path) -> str:
    """The one sentence with which both commands refuse a file, without the file's name."""
    message = refusal("count", path, about=path)
    assert refusal("generate", path) == message
    assert refusal("count", "--allow-empty", "--format", "json", path) == message
    return message.removeprefix(f"{path}: error: ")


def saved(obj: KernelObject, tmp_path: Path) -> Path:
    return obj.save(tmp_path / "vmlinux.o")


def sentence_about(obj: KernelObject, tmp_path: Path) -> str:
    return refused(saved(obj, tmp_path))


# -- sound objects ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "relocation"), [(64, elf.R_PPC64_UADDR64), (32, elf.R_PPC_UADDR32)])
def test_unaligned_spelling(bits: int, relocation: int, tmp_path: Path) -> None:
    obj = KernelObject({".text": [0, 8], ".init.text": [0]}, bits=bits, relocation=relocation)
    document = json_of("count", saved(obj, tmp_path))
    assert (document["entries"]["text"], document["entries"]["inittext"]) == (2, 1)
    assert document["relocation"] == ("R_PPC64_ADDR64" if bits == 64 else "R_PPC_ADDR32")


def test_two_relocation_sections_for_one_table(tmp_path: Path) -> None:
    """Every section whose sh_info points at the table counts, by whatever name."""
    obj = KernelObject()
    text = obj.text(".text", [])
    table = obj.table(text, [0, 8])
    second = table.relocations.pop()
    assert isinstance(second.symbol, Symbol)
    # By hand: the writer makes one for each section.
    locals_first = [s for s in obj.symbols if s.bind == elf.STB_LOCAL]
    number = locals_first.index(second.symbol) + 1
    data = struct.pack("<QQQ", 8, number << 32 | second.type, 8)
    symtab = len(obj.sections) + 1 + 1 + 1  # after this section and the writer's own
    obj.sections.append(Section(".odd", data, 4, align=8, entsize=24, info=table, link=symtab))
    assert json_of("count", saved(obj, tmp_path))["entries"]["text"] == 2


def test_function_symbols_and_values(tmp_path: Path) -> None:
    """By symbol, the location is the symbol's value plus the addend, in the symbol's section."""
    obj = KernelObject()
    init = obj.text(".init.text", [], size=256)
    function = Symbol("mini_asm_setup", 0x40, init, 16, 2)
    obj.symbols.append(function)
    table = obj.table(init, [0, 4], function)
    table.relocations[1].addend = -8
    path = saved(obj, tmp_path)
    assert json_of("count", path)["entries"]["inittext"] == 2
    (section,) = [s for s in read_vmlinux_o(str(path)).sections if s.locations]
    assert list(section.locations) == [0x40, 0x38]


def test_link_order_is_not_asked(tmp_path: Path) -> None:
    """sh_link of the table may point anywhere: the relocations decide."""
    obj = KernelObject()
    text = obj.text(".text", [])
    init = obj.text(".init.text", [], size=64)
    table = obj.table(init, [0])
    table.link, table.flags = text, table.flags | 0x80
    assert json_of("count", saved(obj, tmp_path))["entries"]["inittext"] == 1


@pytest.mark.parametrize("name", [ENTRIES + "2", "x" + ENTRIES, ".rela.x" + ENTRIES])
def test_names_that_merely_contain_ours(name: str, tmp_path: Path) -> None:
    obj = KernelObject()
    obj.table(obj.text(".text", [0]), [8]).name = name
    assert json_of("count", saved(obj, tmp_path))["entries"]["total"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [64, 32])
def test_one_entries_section_per_function(bits: int, order: str, tmp_path: Path) -> None:
    """20,000 tables and over 65,279 sections; init text lies where only SHT_SYMTAB_SHNDX reaches."""
    obj = KernelObject(bits=bits, order=order, reserve=32768)
    for i in range(20_000):
        obj.text(f".text.function_{i}", [8])
    obj.sections += [Section(f".rodata.{i}", b"x", flags=2) for i in range(26_000)]
    for i in range(1000):
        obj.text(f".init.text.setup_{i}", [0])
    obj.text(".text.exit.late", [0])
    assert len(obj.sections) > 0xFF00
    document = json_of("count", saved(obj, tmp_path))
    assert document["entries"] == {"text": 20_000, "inittext": 1000, "exittext": 1, "total": 21_001}
    assert document["stubs"] == {"text": 32768, "text_end": 0, "inittext": 1000}


def test_section_index_that_looks_reserved(tmp_path: Path) -> None:
    """Sections 0xff00 to 0xffff are real ones where the index is an extended one."""
    obj = KernelObject(layout=None)
    init = [Section(f".init.text.{i}", flags=elf.AX, size=8) for i in range(0x100)]
    obj.sections += [*(Section("", b"") for _ in range(0xFF00 - 1)), *init]
    for section in init:
        obj.table(section, [0])
    entries = json_of("count", saved(obj, tmp_path))["entries"]
    assert entries == {"text": 0, "inittext": 0x100, "exittext": 0, "total": 0x100}


# -- damaged or unfit tables -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "relocation", "name"),
    [
        (64, elf.R_PPC64_ADDR32, "R_PPC64_ADDR32"),
        (64, elf.R_PPC64_REL64, "R_PPC64_REL64"),
        (64, elf.R_PPC_UADDR32, "R_PPC64_UADDR32"),
        (64, 200, "200"),
        # Named since pyelftools 0.30.
        (32, 26, "R_PPC_REL32" if hasattr(enums, "ENUM_RELOC_TYPE_PPC") else "26"),
        (32, 38, "38"),
    ],
)
def test_wrong_relocation_type(bits: int, relocation: int, name: str, tmp_path: Path) -> None:
    obj = KernelObject({".text": [0, 8, 16]}, bits=bits)
    obj.sections[-1].relocations[1].type = relocation
    sentence = sentence_about(obj, tmp_path)
    for words in (name, "R_PPC64_ADDR64" if bits == 64 else "R_PPC_ADDR32", f"{ENTRIES}+{bits // 8:#x}"):
        assert words in sentence


@pytest.mark.parametrize(
    ("section", "word"),
    [(elf.UNDEF, "undefined"), (elf.ABS, "absolute"), (elf.COMMON, "common"), (0xFF05 - 0x10000, "0xff05")],
)
@pytest.mark.parametrize("bits", [64, 32])
def test_target_that_is_no_code(bits: int, section: int, word: str, tmp_path: Path) -> None:
    obj = KernelObject({".text": [0, 8]}, bits=bits)
    stray = Symbol("stray_function", 0, section)
    obj.symbols.append(stray)
    obj.sections[-1].relocations[1].symbol = stray
    sentence = sentence_about(obj, tmp_path)
    for words in (word, "stray_function", f"{ENTRIES}+{bits // 8:#x}"):
        assert words in sentence


def test_target_section_without_code(tmp_path: Path) -> None:
    obj = KernelObject({".text": [0]})
    obj.text(".data.rel.ro", [0], flags=elf.WA)
    sentence = sentence_about(obj, tmp_path)
    for words in (".data.rel.ro", "no code", f"{ENTRIES}+0x0"):
        assert words in sentence


@pytest.mark.parametrize(
    ("symbol", "word"),
    [
        (0, "undefined"),
        (99_999, "99999"),
        (Symbol("stray", 0, 0x1234), str(0x1234)),
        (Symbol("stray", 0, 0xFFFF), "section index"),
    ],
)
def test_symbol_that_leads_nowhere(symbol: Symbol | int, word: str, tmp_path: Path) -> None:
    """Symbol 0, one beyond the table, and ones in a section beyond the table: an index, an extended index."""
    obj = KernelObject({".text": [0, 8]})
    if isinstance(symbol, Symbol):
        obj.symbols.append(symbol)
    obj.sections[-1].relocations[1].symbol = symbol
    assert word in sentence_about(obj, tmp_path).replace(",", "")


def _move(index: int, offset: int) -> Callable[[Section], None]:
    return lambda table: setattr(table.relocations[index], "offset", offset)


def _fewer(table: Section) -> None:
    table.relocations.pop()


def _more(table: Section) -> None:
    last = table.relocations[-1]
    table.relocations.append(Relocation(last.offset + 8, last.symbol, last.type))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_fewer, ["3 entries", "2 relocations"]),
        (_more, ["3 entries", "4 relocations"]),
        (lambda table: table.relocations.clear(), ["3 entries", "0 relocations", ADVICE]),
        (_move(2, 8), ["fills no entry of its own", "+0x8"]),
        (_move(2, 0x7000), ["+0x7000", "24 bytes"]),
        (_move(2, 20), ["+0x14"]),
        (_move(2, 12), ["+0xc"]),
        (_move(2, (1 << 64) - 8), ["+0xfffffffffffffff8"]),
        (lambda table: setattr(table, "data", bytes(27)), ["27 bytes"]),
    ],
)
@pytest.mark.parametrize("rel", [False, True])
def test_slots_and_relocations_disagree(
    damage: Callable[[Section], None], words: list[str], rel: bool, tmp_path: Path
) -> None:
    obj = KernelObject({".text": [0, 8, 16]}, rel=rel)
    damage(obj.sections[-1])
    sentence = sentence_about(obj, tmp_path)
    assert all(word in sentence for word in words) or (rel and "outside" in sentence), sentence
    assert ENTRIES in sentence


def test_a_disagreement_in_one_of_many_tables(tmp_path: Path) -> None:
    """A slot too many here and one too few there do not cancel out."""
    obj = KernelObject({".text.a": [0, 8, 16], ".text.b": [0, 8, 16]})
    first, second = (section for section in obj.sections if section.relocations)
    _fewer(first)
    _more(second)
    assert ENTRIES in sentence_about(obj, tmp_path)


def test_relocations_through_another_symbol_table(tmp_path: Path) -> None:
    path = saved(KernelObject({".text": [0, 8]}), tmp_path)
    data = bytearray(path.read_bytes())
    for at in elf.section_headers(data):
        if data[at + 4] == elf.SHT_RELA:
            struct.pack_into("<I", data, at + 40, 1)
    path.write_bytes(data)
    assert "symbol table" in refused(path)


@pytest.mark.parametrize("how", ["nobits", "absolute", "outside", "size"])
def test_reserve_count_that_is_no_number(how: str, tmp_path: Path) -> None:
    where = Section(".data", bytes(8), flags=elf.WA)
    nowhere = Section(".data", b"", elf.SHT_NOBITS, elf.WA, size=8)
    rows: dict[str, tuple[int, Section | int, int]] = {
        "nobits": (0, nowhere, 4),
        "absolute": (32768, elf.ABS, 4),
        "outside": (6, where, 4),
        "size": (0, where, 8),
    }
    value, section, size = rows[how]
    obj = KernelObject({".text": [0]}, reserve=None)
    obj.sections += [where, nowhere]
    obj.symbols.append(Symbol("ftrace_ool_stub_text_count", value, section, size, 1))
    assert "ftrace_ool_stub_text_count" in sentence_about(obj, tmp_path)


# -- the wrong file --------------------------------------------------------------------------------------------


def _x86() -> bytes:
    sections = [Section(".text", bytes(16), flags=elf.AX), Section(ENTRIES, bytes(8), flags=elf.WA)]
    symbol = Symbol("", section=sections[0], type=elf.STT_SECTION, bind=elf.STB_LOCAL)
    sections[1].relocations = [Relocation(0, symbol, 1)]
    return elf.write_elf(sections, [symbol], machine=elf.EM_X86_64, flags=0)


def _zimage() -> bytes:
    """As arch/powerpc/boot/wrapper makes it: the kernel in a section of a small 32-bit program."""
    sections = [
        Section(".text", bytes(64), flags=elf.AX, addr=0x400000),
        Section(".kernel:vmlinux.strip", gzip.compress(b"a kernel"), flags=elf.WA, addr=0x401000),
    ]
    load = Segment(elf.PT_LOAD, 0x400000, flags=7, sections=sections)
    options = {"type_": elf.ET_EXEC, "machine": elf.EM_PPC, "bits": 32, "order": ">", "flags": 0}
    return elf.write_elf(sections, [], segments=[load], **options)


def _core() -> bytes:
    notes = Segment(elf.PT_NOTE, data=elf.note(b"CORE", 1, bytes(64)), align=4)
    return elf.write_elf(
        symbols=None, type_=elf.ET_CORE, segments=[notes, Segment(elf.PT_LOAD, data=bytes(4096))]
    )


def _by_tool(*words: str) -> Callable[[Path, Path], object]:
    """A file made by a tool of binutils; KERNEL stands for the directory, TO for the file."""

    def make(kernel: Path, to: Path) -> None:
        places = {"KERNEL": f"{kernel}/vmlinux.o", "TO": str(to)}
        done = run_program(tool(f"powerpc64le-linux-gnu-{words[0]}"), *(places.get(w, w) for w in words[1:]))
        assert done.code == 0, done

    return make


WRONG_FILES: dict[str, tuple[Callable[[Path, Path], object], list[str]]] = {
    "linked": (lambda kernel, to: shutil.copy(kernel / "vmlinux", to), ["linked kernel", ADVICE]),
    "stripped": (_by_tool("strip", "-o", "TO", "KERNEL"), ["symbol table", "stripped"]),
    "no relocations": (
        _by_tool("objcopy", f"--remove-relocations={ENTRIES}", "KERNEL", "TO"),
        ["relocations"],
    ),
    "debug only": (_by_tool("objcopy", "--only-keep-debug", "KERNEL", "TO"), ["--only-keep-debug"]),
    "archive": (_by_tool("ar", "rcs", "TO", "KERNEL"), ["archive", "ar"]),
    "thin archive": (_by_tool("ar", "rcsT", "TO", "KERNEL"), ["thin archive"]),
    "x86": (lambda _, to: to.write_bytes(_x86()), ["x86-64", "powerpc"]),
    "zImage": (lambda _, to: to.write_bytes(_zimage()), ["boot image", "zImage", "vmlinux"]),
    "bzip2": (lambda _, to: to.write_bytes(bz2.compress(b"an object")), ["compressed (bzip2)", "bzip2 -d"]),
    "zip": (lambda _, to: ZipFile(to, "w").writestr("vmlinux", ""), ["zip archive", "unzip"]),
    "cpio": (lambda _, to: to.write_bytes(b"070701" + bytes(104)), ["cpio archive"]),
    "rpm": (lambda _, to: to.write_bytes(b"\xed\xab\xee\xdb\x03\0"), ["RPM package", "debug package"]),
    "core": (lambda _, to: to.write_bytes(_core()), ["core"]),
    "empty": (lambda _, to: to.touch(), ["empty"]),
    "half": (lambda kernel, to: to.write_bytes((kernel / "vmlinux.o").read_bytes()[:3000]), ["cut short"]),
    "text": (lambda _, to: to.write_text("#include <linux/ftrace.h>\n"), ["not an ELF file", "23 69 6e 63"]),
    "missing": (lambda _, to: None, ["No such file"]),
    "folder": (lambda _, to: to.mkdir(), ["directory"]),
}


def test_wrong_files(mini_kernel: MiniKernel, tmp_path: Path) -> None:
    sentences = set()
    for name, (make, words) in WRONG_FILES.items():
        make(mini_kernel(), tmp_path / name)
        sentences.add(refused(tmp_path / name))
        assert all(word in refused(tmp_path / name) for word in words), name
    assert len(sentences) == len(WRONG_FILES), "each has its own sentence"


@pytest.mark.parametrize(("machine", "bits"), [(elf.EM_386, 32), (elf.EM_PPC, 64), (elf.EM_PPC64, 32)])
def test_other_machines(machine: int, bits: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(
        elf.write_elf([Section(".text", b"x" * 8, flags=elf.AX)], [], machine=machine, bits=bits)
    )
    assert refused(path)


@pytest.mark.parametrize("name", ["ool-ppc64le-gnu", "traps-ppc64-lld", "plain-ppc32-gnu"])
def test_cut_anywhere(name: str, tmp_path: Path) -> None:
    """Section headers come last: no cut file is read as if it were whole."""
    data = (OBJECTS / f"{name}.o").read_bytes()
    path = tmp_path / "vmlinux.o"
    for length in [*range(128), *range(128, len(data), 37), len(data) - 1]:
        path.write_bytes(data[:length])
        refusal("count", path, about=path)


def test_name_that_is_no_utf8(tmp_path: Path) -> None:
    """A name of any bytes is named in the message."""
    path = tmp_path / "vmlinux\udcff.o"
    path.write_bytes(b"junk")
    refusal("count", path)
    path.write_bytes((OBJECTS / "ool-ppc64-lld.o").read_bytes())
    for format_ in ("text", "json"):
        printed("count", "--format", format_, path)


@pytest.mark.parametrize("order", "<>")
def test_memory_does_not_follow_the_file(order: str, tmp_path: Path) -> None:
    """2 GiB of debug information with relocations of its own cost nothing: they are never touched."""
    obj = KernelObject(order=order)
    obj.text(".text", range(0, 40_000, 4))
    obj.sections += [
        Section(".debug_info", size=2 << 30),
        Section(".rela.debug_info", size=24 << 25, type=4, entsize=24, info=len(obj.sections) + 1),
    ]
    peaks = []
    for path in (OBJECTS / "ool-ppc64le-gnu.o", saved(obj, tmp_path)):
        words: list[str | Path] = [executable_path("pfestubs"), "count", path]
        process = subprocess.Popen(words, env=clean_environment(), stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        peaks.append(usage.ru_maxrss)
    assert peaks[1] < peaks[0] + 32 * 1024  # KiB
