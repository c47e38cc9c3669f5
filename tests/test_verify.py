# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs verify` on cores made by hand: a small kernel's memory as its boot would leave it.

The memory is written by `naive_boot`, from the kernel's rules alone; nothing of pfestubs is in it.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fuzz.seeds import map_of
from support import Outcome, call, executable_path, naive_boot, on_terminal, printed, refusal, validator
from support.dumps import core_of, kdump, linked_memory, qemu, vmcoreinfo, with_banner, with_text, write_stubs
from support.elfwriter import EM_X86_64, PT_LOAD, Segment, note
from support.kernelwriter import BASE, LinkedKernel, inline_kernel

OTHER = b"Linux version 7.2.1-other (me@here) (cc 14) #7 SMP Tue Nov  3 12:00:00 UTC 2026\n\0"
BUILD_ID = bytes(range(20))
EXTRA = BASE + 0x800
"""Where the banner is."""
NOTES, TRAMPS, DISABLED = EXTRA + 0x200, EXTRA + 0x300, EXTRA + 0x310
NOP, POISON = 0x60000000, 0xCCCCCCCC
KINDS = [("<", "ool"), (">", "ool"), ("<", "pfe"), (">", "pfe")]


@dataclass
class Mini:
    """A kernel of 16 functions with what `verify` reads in addition to the stubs: banner, notes, ftrace_tramps."""

    kernel: LinkedKernel
    vmlinux: Path

    @property
    def order(self) -> str:
        return self.kernel.order

    @property
    def symbols(self) -> dict[str, int]:
        places = {name: value for name, value in self.kernel.places.items() if value is not None}
        return places | self.kernel.function_names()

    def linked(self) -> Guest:
        """Its memory before boot."""
        return Guest(self, linked_memory(self.kernel))

    def booted(self) -> Guest:
        """Its memory after boot."""
        guest = self.linked()
        guest.stubs = write_stubs(self.kernel, guest.memory)
        guest.put_number(TRAMPS, self.symbols["ftrace_tramp_text"])
        guest.put_number(TRAMPS + 8, self.symbols["ftrace_tramp_init"])
        return guest


@dataclass
class Guest:
    """Memory from `BASE` on, in the kernel's byte order."""

    mini: Mini
    memory: bytearray
    stubs: list[dict[str, Any]] = field(default_factory=list)

    def number(self, address: int, code: str = "Q") -> int:
        value: int = struct.unpack_from(self.mini.order + code, self.memory, address - BASE)[0]
        return value

    def put(self, address: int, *words: int) -> None:
        struct.pack_into(f"{self.mini.order}{len(words)}I", self.memory, address - BASE, *words)

    def put_number(self, address: int, value: int) -> None:
        struct.pack_into(self.mini.order + "Q", self.memory, address - BASE, value)

    def stub(self, name: str) -> dict[str, Any]:
        """The stub of a function: its location is at most 8 bytes after the symbol."""
        return next(s for s in self.stubs if 0 <= s["ip"] - self.mini.symbols[name] <= 8)

    def trace(self, name: str, target: str | None = None) -> dict[str, Any]:
        """Turn tracing on for a function."""
        stub = self.stub(name)
        self.put(stub["ip"], branch(stub["insn0"] - stub["ip"]))
        if target is not None:
            site = stub["insn0"] + 4
            self.put(site, branch(self.mini.symbols[target] - site) | 1)
        return stub

    def fill_init(self, word: int) -> None:
        """What free memory may hold, wherever init text was."""
        start, stop = self.mini.symbols["_sinittext"], self.mini.symbols["_einittext"]
        self.put(start, *[word] * ((stop - start) // 4))

    def dump(self, path: Path) -> Path:
        """Write it as QEMU does."""
        path.write_bytes(qemu(self.memory, self.mini.order))
        return path

    def move(self, offset: int) -> bytes:
        """Memory with the kernel `offset` bytes up; `ftrace_tramps` holds addresses, which move."""
        moved = Guest(self.mini, bytearray(self.memory))
        for slot in (TRAMPS, TRAMPS + 8):
            moved.put_number(slot, self.number(slot) + offset)
        return bytes(offset) + moved.memory


def branch(offset: int) -> int:
    return 0x48000000 | (offset & 0x03FFFFFC)


@pytest.fixture(params=KINDS, ids=lambda kind: f"{'le' if kind[0] == '<' else 'be'}-{kind[1]}")
def mini(request: pytest.FixtureRequest, tmp_path: Path) -> Mini:
    order, layout = request.param
    return make_mini(tmp_path, order, layout)


@pytest.fixture
def little(tmp_path: Path) -> Mini:
    return make_mini(tmp_path)


def make_mini(
    directory: Path,
    order: str = "<",
    layout: str = "ool",
    functions: int = 12,
    without: str = "",
    **changes: Any,
) -> Mini:
    """Write a kernel; `without` is a symbol that it lacks, `changes` are of `LinkedKernel`."""
    values: dict[str, Any] = {"layout": layout, "order": order, "stub_size": 24 if layout == "ool" else 16}
    text, inittext = [0x1000 + 16 * i for i in range(functions)], [16 * i for i in range(4)]
    kernel = with_banner(LinkedKernel(text=text, inittext=inittext, reserve=5, **values, **changes))
    build_id = note(b"GNU", 3, BUILD_ID, order)
    with_text(kernel, NOTES - BASE, build_id)
    kernel.places |= {"__start_notes": NOTES, "__stop_notes": NOTES + len(build_id)}
    kernel.places |= {"ftrace_tramps": TRAMPS, "ftrace_disabled": DISABLED}
    kernel.places.pop(without, None)
    return Mini(kernel, kernel.save(directory / "vmlinux"))


def shown(mini: Mini, dump: bytes | Guest, *options: str) -> Outcome:
    """What `verify` says of a core, or of the dump that QEMU would make of memory."""
    path = mini.vmlinux.with_name("core")
    if isinstance(dump, Guest):
        dump.dump(path)
    else:
        path.write_bytes(dump)
    return call("verify", *options, mini.vmlinux, path)


def document(mini: Mini, dump: bytes | Guest, *options: str) -> Any:
    outcome = shown(mini, dump, "--format", "json", *options)
    assert outcome.code in {0, 1}, outcome.err
    found = json.loads(outcome.out)
    validator("verify").validate(found)
    assert found["ok"] == (outcome.code == 0)
    states = ("as_predicted", "in_use", "freed", "different")
    assert sum(found[state] for state in states) == found["stubs"]
    return found


def refused(mini: Mini, dump: bytes | Guest) -> str:
    outcome = shown(mini, dump)
    assert (outcome.code, outcome.out) == (2, ""), outcome
    assert outcome.err.count("\n") == 1
    return outcome.err


# -- as predicted ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", ["<", ">"])
def test_qemu_dump(mini: Mini, headers: str) -> None:
    """QEMU's header can name the wrong byte order."""
    outcome = shown(mini, qemu(mini.booted().memory, headers))
    assert outcome == Outcome(0, f"{mini.vmlinux}: ok: 16 of 16 stubs as predicted\n", "")


def test_kdump_with_the_first_pages_apart(mini: Mini) -> None:
    """kexec-tools puts the first 64 KiB into a segment of their own; here the border is amid stubs."""
    memory = bytes(mini.booted().memory)
    stub = mini.booted().stubs[6]
    cut = stub["insn0"] + 4 - BASE
    found = document(mini, kdump([(0, memory[:cut]), (cut, memory[cut:])], mini.order))
    assert (found["as_predicted"], found["offset"], found["findings"]) == (16, "0x0", [])
    assert (found["layout"], found["ftrace_disabled"]) == (mini.kernel.layout, False)


def test_segments_that_continue_or_hide_one_another(little: Mini) -> None:
    """Borders amid the banner and amid a word; a small segment inside the large one; the file's order is free."""
    memory = little.booted().move(0x400000)
    banner, word = 0x400000 + EXTRA - BASE + 20, 0x400000 + little.booted().stubs[6]["insn0"] - BASE + 2
    cuts = sorted((0, banner, word, len(memory)))
    pieces = [(start, memory[start:stop]) for start, stop in pairwise(cuts)]
    inside = (0x401000, memory[0x401000:0x401010])
    for segments in (pieces, pieces[::-1], [(0, memory), inside], [inside, (0, memory)]):
        found = document(little, kdump(segments, "<"))
        assert (found["as_predicted"], found["offset"]) == (16, "0x400000")


def test_all_lists_every_stub_in_boot_order(mini: Mini) -> None:
    guest = mini.booted()
    found = document(mini, guest, "--all")
    assert [int(f["location"], 16) for f in found["findings"]] == [s["ip"] for s in guest.stubs]
    for one, stub in zip(found["findings"], guest.stubs, strict=True):
        words = naive_boot.stub_words(stub["ip"], stub["insn0"], stub["target"])
        assert one["expected"] == one["found"] == [f"{w:#010x}" for w in words]
        assert (one["area"], one["index"]) == (stub["area"], stub["index"])
        assert int(one["address"], 16) == stub["insn0"] - (8 if mini.kernel.layout == "ool" else 0)
    assert shown(mini, guest, "--all").out.count("as predicted: ") == 16


def test_a_moved_kernel_is_found(mini: Mini) -> None:
    dump = qemu(mini.booted().move(0x400000), mini.order)
    found = document(mini, dump)
    assert (found["as_predicted"], found["offset"]) == (16, "0x400000")
    assert "relocated by +0x400000" in shown(mini, dump).out


def test_a_search_shows_its_progress_on_a_terminal(little: Mini, tmp_path: Path) -> None:
    core = tmp_path / "core"
    core.write_bytes(qemu(little.booted().move(0x400000), "<"))
    words = [executable_path("pfestubs"), "verify", little.vmlinux, core]
    done, seen = on_terminal(words, {"TERM": "xterm", "COLUMNS": "80"}, subprocess.PIPE)
    assert done.code == 0
    assert "searching the dump" in seen
    assert "searching" not in done.out


def test_of_two_copies_the_running_one_is_taken(little: Mini) -> None:
    """A boot loader leaves the image where it was loaded: its `ftrace_tramps` is empty."""
    memory, linked = bytearray(little.booted().move(0x400000)), little.linked().memory
    for stale in (0, 0x200000):
        memory[stale : stale + len(linked)] = linked
    found = document(little, qemu(memory, "<"))
    assert (found["as_predicted"], found["offset"]) == (16, "0x400000")


def test_a_copy_at_an_odd_address_is_none(little: Mini) -> None:
    """Kernels move by whole pages; a file in memory can be anywhere."""
    assert "does not hold the memory of" in refused(little, qemu(little.booted().move(0x401000), "<"))


def test_vmcoreinfo_tells_where_the_kernel_is(little: Mini, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a live machine's /proc/kcore, which is never searched."""
    offset = 0x2000000
    pieces = [(offset, little.booted().move(offset)[offset:])]
    notes = vmcoreinfo("<", "OSRELEASE=7.2.0-mini", f"SYMBOL(_stext)={little.symbols['_stext'] + offset:x}")
    unmappable(monkeypatch)
    found = document(little, kdump(pieces, "<", notes))
    assert (found["as_predicted"], found["offset"]) == (16, f"{offset:#x}")
    assert "does not hold" in refused(little, kdump(pieces, "<"))
    notes = vmcoreinfo("<", "OSRELEASE=7.2.1-other")
    assert "'7.2.1-other'" in refused(little, kdump(pieces, "<", notes))


def unmappable(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(19, os.strerror(19))

    monkeypatch.setattr("pfestubs.read.dump.mmap", SimpleNamespace(mmap=refuse, ACCESS_READ=1))


def test_kcore(mini: Mini, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be mapped, and claims more memory than there is."""
    memory = bytes(mini.booted().memory)
    core = bytearray(kdump([(0, memory), (0x8000000000000, b"vmalloc")], mini.order))
    struct.pack_into(mini.order + "Q", core, 64 + 2 * 56 + 32, 1 << 46)  # p_filesz
    assert "is cut short" in refused(mini, bytes(core))
    unmappable(monkeypatch)
    assert document(mini, bytes(core))["as_predicted"] == 16


# -- in use ----------------------------------------------------------------------------------------------------


def test_traced_functions_are_in_use(mini: Mini) -> None:
    guest = mini.booted()
    guest.trace("fn1")
    stub = guest.trace("fn2", "ftrace_regs_caller")
    if mini.kernel.layout == "ool":
        guest.put_number(stub["insn0"] - 8, DISABLED)  # the ops pointer is anybody's
    found = document(mini, guest)
    assert (found["as_predicted"], found["in_use"]) == (14, 2)
    assert [(f["state"], f["function"], f["target_symbol"]) for f in found["findings"]] == [
        ("in use", symbolic(guest, "fn1"), "ftrace_caller"),
        ("in use", symbolic(guest, "fn2"), "ftrace_regs_caller"),
    ]
    text = shown(mini, guest).out.splitlines()
    assert "in use: fn1" in text[0]
    assert text[1].endswith("calls ftrace_regs_caller")
    assert text[2] == f"{mini.vmlinux}: ok: 14 of 16 stubs as predicted, 2 in use"


def symbolic(guest: Guest, name: str) -> str:
    offset = guest.stub(name)["ip"] - guest.mini.symbols[name]
    return f"{name}+{offset:#x}" if offset else name


# -- freed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [POISON, 0, 0x12345678])
def test_init_memory_given_back(mini: Mini, content: int) -> None:
    guest = mini.booted()
    guest.put_number(TRAMPS + 8, 0)
    guest.fill_init(content)
    outcome = shown(mini, guest)
    assert outcome.code == 0
    assert outcome.out.endswith("ok: 12 of 16 stubs as predicted, 4 freed with init memory\n")


@pytest.mark.parametrize(
    ("where", "freed", "different"),
    [("init text", 4, 0), ("the location", 0, 1), ("the stub", 0, 1), ("a word of the stub", 0, 1)],
)
def test_poison_counts_where_ftrace_tramps_is_not_known(
    where: str, freed: int, different: int, tmp_path: Path
) -> None:
    """And where it is all over init text; other words are not poison."""
    unknown = make_mini(tmp_path, without="ftrace_tramps")
    guest = unknown.booted()
    stub = guest.stub("init1")
    if where == "init text":
        guest.fill_init(0x12345678)
        assert document(unknown, guest)["different"] == 4
        guest.fill_init(POISON)
    else:
        at = stub["ip"] if where == "the location" else stub["insn0"]
        guest.put(at, *[POISON] * (4 if where == "the stub" else 1))
    found = document(unknown, guest)
    assert (found["freed"], found["different"]) == (freed, different)
    assert [one["function"] for one in found["findings"] if one["state"] == "different"] == [
        "init1"
    ] * different


def test_poison_alone_does_not_excuse(mini: Mini) -> None:
    """As long as `ftrace_tramps` has the init trampoline, init memory is in use."""
    guest = mini.booted()
    guest.fill_init(POISON)
    assert document(mini, guest)["different"] == 4


def test_freed_pages_may_be_left_out(little: Mini) -> None:
    """makedumpfile leaves out free pages."""
    guest = little.booted()
    start, stop = (little.symbols[name] - BASE for name in ("_sinittext", "_einittext"))

    def without_init() -> bytes:
        return kdump([(0, bytes(guest.memory[:start])), (stop, bytes(guest.memory[stop:]))], "<")

    assert "lacks memory of 4 of 16 functions or their stubs" in refused(little, without_init())
    guest.put_number(TRAMPS + 8, 0)
    assert document(little, without_init())["freed"] == 4


# -- different -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", range(4))
@pytest.mark.parametrize("traced", [False, True])
def test_one_altered_word_is_found_and_named(mini: Mini, word: int, traced: bool) -> None:
    guest = mini.booted()
    stub = guest.trace("fn3") if traced else guest.stub("fn3")
    at = stub["insn0"] + 4 * word
    before = guest.number(at, "I")
    guest.put(at, before ^ 0x04000000)  # another opcode
    outcome = shown(mini, guest)
    assert outcome.code == 1
    first, last = outcome.out.splitlines()
    assert f"error: stub-different: {symbolic(guest, 'fn3')} at {stub['ip']:#x}, stub " in first
    assert f"has {before ^ 0x04000000:#010x} at {at:#x}, expected {before:#010x}" in first
    assert last == f"{mini.vmlinux}: failed: 15 of 16 stubs as predicted, 1 different"
    (finding,) = document(mini, guest)["findings"]
    assert [i for i in range(4) if finding["expected"][i] != finding["found"][i]] == [word]


def test_a_location_that_is_neither_nop_nor_branch_to_its_stub(little: Mini) -> None:
    guest = little.booted()
    stub, other = guest.stub("fn4"), guest.stub("fn5")
    distance = stub["insn0"] - stub["ip"]
    for word in (0, branch(other["insn0"] - stub["ip"]), branch(distance) | 1):
        guest.put(stub["ip"], word)
        (finding,) = document(little, guest)["findings"]
        assert (finding["state"], finding["function"]) == ("different", symbolic(guest, "fn4"))
        assert finding["location_word"] == f"{word:#010x}"
        assert f"it holds {word:#010x}, expected nop 0x60000000 or a branch to its" in finding["problem"]


def test_an_idle_stub_calls_whom_the_boot_said(little: Mini) -> None:
    """ftrace puts the first call back when tracing ends."""
    guest = little.booted()
    stub = guest.trace("fn1", "ftrace_regs_caller")
    guest.put(stub["ip"], NOP)
    (finding,) = document(little, guest)["findings"]
    assert (finding["state"], finding["target_symbol"]) == ("different", "ftrace_regs_caller")


def test_a_dump_from_before_ftrace_was_set_up(little: Mini) -> None:
    found = document(little, little.linked())
    assert (found["different"], found["freed"]) == (16, 0)
    assert found["findings"][0]["problem"].endswith(" is empty")
    assert shown(little, little.linked()).out.count("is empty") == 16


def test_ftrace_switched_off_is_said(little: Mini) -> None:
    guest = little.booted()
    guest.put(DISABLED, 1)
    assert document(little, guest)["ftrace_disabled"] is True
    assert "the kernel has disabled ftrace" in shown(little, guest).out


def test_only_twenty_are_shown_unless_all_are_asked_for(tmp_path: Path) -> None:
    many = make_mini(tmp_path, functions=42)
    core = many.linked()
    outcome = shown(many, core)
    assert outcome.out.count("stub-different") == 20
    assert f"{many.vmlinux}: 26 more different (--all shows all)\n" in outcome.out
    assert shown(many, core, "--all").out.count("stub-different") == 46
    assert len(document(many, core)["findings"]) == 46


def test_a_boot_that_gives_up(tmp_path: Path) -> None:
    """A location that is not a nop: the kernel stops there, and what follows stays as linked."""
    broken = make_mini(tmp_path, words={BASE + 0x1060: 0})
    core = broken.linked()
    found = document(broken, core)
    assert found["stops_at"] == "fn6"
    finding = next(f for f in found["findings"] if f["function"] == "fn6")
    assert (finding["area"], finding["problem"]) == (None, "the boot has no stub for it")
    assert "ftrace disables itself at boot, at fn6 (see pfestubs check)" in shown(broken, core).out


def test_output_goes_to_a_file(little: Mini, tmp_path: Path) -> None:
    guest = little.booted()
    guest.put(guest.stub("fn1")["ip"], 0)
    core, target = tmp_path / "core", tmp_path / "out.json"
    guest.dump(core)
    outcome = call("verify", little.vmlinux, core, "--format", "json", "-o", target)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == f"{little.vmlinux}: failed: 15 of 16 stubs as predicted, 1 different\n"
    assert json.loads(target.read_text())["different"] == 1


def test_with_a_system_map(little: Mini, tmp_path: Path) -> None:
    system_map, core = tmp_path / "System.map", tmp_path / "core"
    system_map.write_bytes(map_of(little.kernel))
    little.booted().dump(core)
    out = printed("verify", little.vmlinux, core, "--system-map", system_map)
    assert out == f"{little.vmlinux}: ok: 16 of 16 stubs as predicted\n"


def test_a_table_that_lost_its_entries_predicts_nothing(tmp_path: Path) -> None:
    """The areas were sized for 16 entries; nothing to compare is not "as predicted"."""
    whole = make_mini(tmp_path)
    core = qemu(whole.booted().memory, "<")
    for table in ([0] * 16, [*whole.kernel.locations[:1], *[0] * 15]):
        lost = make_mini(tmp_path, table=table)
        assert "table-damaged" in refused(lost, core)


# -- what does not belong, and what is not a dump -----------------------------------------------------------------


def test_another_kernel(mini: Mini) -> None:
    guest = mini.booted()
    weak = OTHER.replace(b"#7", b"#")  # is in every kernel, before the true one
    guest.memory[EXTRA - BASE : EXTRA - BASE + len(OTHER)] = OTHER
    guest.memory[EXTRA - BASE - 0x200 : EXTRA - BASE - 0x200 + len(weak)] = weak
    message = refused(mini, guest)
    assert "is of another kernel: '7.2.1-other #7 SMP Tue Nov  3" in message
    assert "'7.2.0-mini #1 SMP Mon Nov  2" in message


def test_another_build_of_the_same_name(mini: Mini) -> None:
    guest = mini.booted()
    guest.memory[NOTES - BASE + 16] ^= 0xFF
    message = refused(mini, guest)
    assert f"its build id is ff{BUILD_ID.hex()[2:]}, that of" in message
    info = vmcoreinfo(mini.order, "BUILD-ID=" + "ab" * 20)
    assert "ab" * 20 in refused(mini, qemu(mini.booted().memory, mini.order, notes=info))
    info = vmcoreinfo(mini.order, "BUILD-ID=" + BUILD_ID.hex())
    assert document(mini, qemu(mini.booted().memory, mini.order, notes=info))["as_predicted"] == 16


def test_a_kernel_of_which_no_dump_can_tell(little: Mini, tmp_path: Path) -> None:
    for kernel, sentence in ((LinkedKernel(), "no linux_banner"), (inline_kernel(), "traces without stubs")):
        other = replace(little, vmlinux=kernel.save(tmp_path / "other"))
        assert sentence in refused(other, little.booted())


@pytest.mark.parametrize("keep", [1, 20, 63, 64, 100, 180, 0x1000, -1])
def test_cut_short(little: Mini, keep: int) -> None:
    core = kdump([(0, bytes(little.booted().memory))], "<", vmcoreinfo("<", "A=B"))
    message = refused(little, core[:keep])
    if keep != 1:  # one byte is not an ELF file
        assert "is cut short" in message


def test_core_of_a_program(little: Mini) -> None:
    notes = note(b"CORE", 1, bytes(504))
    loads = [Segment(PT_LOAD, at, 0, data=bytes(0x1000)) for at in (0x10000000, 0x7FFFE0000000)]
    assert "is the core of a program, not of a kernel" in refused(little, core_of(loads, "<", notes))
    foreign = core_of(loads, "<", notes, machine=EM_X86_64)
    assert "is for machine x86-64, not for powerpc" in refused(little, foreign)
    assert "without any memory" in refused(little, core_of([], "<", notes))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"KDUMP   ", "makedumpfile cannot turn it back; save an ELF core instead: makedumpfile -E"),
        (b"makedumpfile\0\0\0\0", "is a flattened dump; restore it: makedumpfile -R CORE < DUMP"),
        (b"", "is empty"),
        (b"\x1f\x8b\x08", "is compressed (gzip)"),
        (b"#!/bin/sh\n", "is not an ELF file"),
    ],
)
def test_other_files(little: Mini, content: bytes, sentence: str) -> None:
    assert sentence in refused(little, content + bytes(4096 if content else 0))


def test_files_that_are_no_dump_at_all(little: Mini, tmp_path: Path) -> None:
    pipe, core = tmp_path / "pipe", tmp_path / "core"
    os.mkfifo(pipe)
    little.booted().dump(core)
    for words, sentence in (
        ((little.vmlinux, little.vmlinux), "is a linked file, not a dump of memory"),
        ((core, little.vmlinux), "is a core dump, not a linked kernel; this command reads the linked kernel"),
        ((little.vmlinux, tmp_path), "Is a directory"),
        ((little.vmlinux, tmp_path / "none"), "No such file"),
        ((little.vmlinux, pipe), "is a pipe"),
    ):
        assert sentence in refusal("verify", *words)


def test_damaged_headers_end_in_a_sentence(little: Mini) -> None:
    core = kdump([(0, bytes(little.booted().memory))], "<", vmcoreinfo("<", "SYMBOL(_stext)=" + "f" * 40))
    for at in range(4, 64 + 2 * 56):
        for value in (0, 0x7F, 0xFF):
            damaged = bytearray(core)
            damaged[at] = value
            outcome = shown(little, bytes(damaged))
            assert outcome.code in {0, 2}, (at, value, outcome)
            assert "internal error" not in outcome.err, (at, value, outcome)
            assert (outcome.err == "") == (outcome.code == 0)
