# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs verify` on cores made by hand: a small kernel's memory as its boot would leave it.

The memory is written by `naive_boot`, from the kernel's rules alone; nothing of pfestubs is in it.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fuzz.seeds import map_of
from support import Outcome, call, executable_path, naive_boot, on_terminal, refusal, validator
from support.elfwriter import EM_PPC64, EM_X86_64, ET_CORE, PT_LOAD, PT_NOTE, Segment, note, write_elf
from support.kernelwriter import BASE, LinkedKernel

EXTRA = BASE + 0x800
BANNER = b"Linux version 7.2.0-mini (me@here) (cc 14) #1 SMP Mon Nov  2 12:00:00 UTC 2026\n\0"
OTHER = b"Linux version 7.2.1-other (me@here) (cc 14) #7 SMP Tue Nov  3 12:00:00 UTC 2026\n\0"
BUILD_ID = bytes(range(20))
NOTES, TRAMPS, DISABLED, EXTRA_SIZE = 0x200, 0x300, 0x310, 0x400
NOP = 0x60000000
KINDS = [("<", "ool"), (">", "ool"), ("<", "pfe"), (">", "pfe")]


@dataclass
class Mini:
    """A kernel of 16 functions with what `verify` reads in addition to the stubs: banner, notes, ftrace_tramps."""

    kernel: LinkedKernel
    vmlinux: Path
    linked: bytes

    @property
    def order(self) -> str:
        return self.kernel.order

    @property
    def symbols(self) -> dict[str, int]:
        places = {name: value for name, value in self.kernel.places.items() if value is not None}
        return places | self.kernel.function_names()

    def booted(self) -> Guest:
        """Its memory after boot."""
        guest = Guest(self, bytearray(self.linked))
        guest.stubs = naive_boot.boot(self.kernel.machine()).locations
        for stub in guest.stubs:
            guest.put(stub["insn0"], *naive_boot.stub_words(stub["ip"], stub["insn0"], stub["target"]))
        guest.put_number(EXTRA + TRAMPS, self.symbols["ftrace_tramp_text"])
        guest.put_number(EXTRA + TRAMPS + 8, self.symbols["ftrace_tramp_init"])
        return guest


@dataclass
class Guest:
    """Memory from `BASE` on, in the kernel's byte order."""

    mini: Mini
    memory: bytearray
    stubs: list[dict[str, Any]] = field(default_factory=list)

    def word(self, address: int) -> int:
        value: int = struct.unpack_from(self.mini.order + "I", self.memory, address - BASE)[0]
        return value

    def number(self, address: int) -> int:
        value: int = struct.unpack_from(self.mini.order + "Q", self.memory, address - BASE)[0]
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

    def move(self, offset: int) -> bytes:
        """Memory with the kernel `offset` bytes up; `ftrace_tramps` holds addresses, which move."""
        moved = Guest(self.mini, bytearray(self.memory))
        for slot in (EXTRA + TRAMPS, EXTRA + TRAMPS + 8):
            if self.number(slot):
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
    extra = bytearray(EXTRA_SIZE)
    extra[: len(BANNER)] = BANNER
    build_id = note(b"GNU", 3, BUILD_ID, order)
    extra[NOTES : NOTES + len(build_id)] = build_id
    kernel = LinkedKernel(
        text=[0x1000 + 16 * i for i in range(functions)],
        inittext=[16 * i for i in range(4)],
        layout=layout,
        order=order,
        stub_size=24 if layout == "ool" else 16,
        reserve=5,
        **changes,
    )
    words = struct.unpack(f"{order}{EXTRA_SIZE // 4}I", extra)
    kernel.words |= {EXTRA + 4 * i: word for i, word in enumerate(words) if word}
    places = {
        "linux_banner": 0,
        "__start_notes": NOTES,
        "__stop_notes": NOTES + len(build_id),
        "ftrace_tramps": TRAMPS,
        "ftrace_disabled": DISABLED,
    }
    kernel.places |= {name: EXTRA + at for name, at in places.items() if name != without}
    end = kernel.init_base + kernel.init_size
    image = bytearray(end - BASE)
    for address, word in {**dict.fromkeys(kernel.locations, NOP), **kernel.words}.items():
        struct.pack_into(order + "I", image, address - BASE, word)
    return Mini(kernel, kernel.save(directory / "vmlinux"), bytes(image))


def qemu(memory: bytes | bytearray, order: str, notes: bytes = b"") -> bytes:
    """As QEMU writes it: physical addresses only; `order` is that of the headers."""
    segments = [Segment(PT_NOTE, data=notes, align=4), Segment(PT_LOAD, 0, 0, data=bytes(memory))]
    return write_elf((), None, type_=ET_CORE, machine=EM_PPC64, order=order, segments=segments)


def kdump(pieces: Sequence[tuple[int, bytes]], order: str, notes: bytes = b"") -> bytes:
    """As kdump and kcore have it: virtual addresses."""
    loads = [Segment(PT_LOAD, BASE + at, at, data=data) for at, data in pieces]
    segments = [Segment(PT_NOTE, data=notes, align=4), *loads]
    return write_elf((), None, type_=ET_CORE, machine=EM_PPC64, order=order, segments=segments)


def vmcoreinfo(order: str, *lines: str) -> bytes:
    return note(b"VMCOREINFO", 0, "".join(f"{line}\n" for line in lines).encode(), order)


class Verify:
    """Run `verify` on a core's bytes."""

    def __init__(self, directory: Path) -> None:
        self._call = call
        self._core = directory / "core"

    def text(self, vmlinux: Path, core: bytes, *options: str) -> Outcome:
        self._core.write_bytes(core)
        return self._call("verify", *options, vmlinux, self._core)

    def json(self, vmlinux: Path, core: bytes, *options: str) -> Any:
        outcome = self.text(vmlinux, core, "--format", "json", *options)
        assert outcome.code in {0, 1}, outcome.err
        document = json.loads(outcome.out)
        validator("verify").validate(document)
        assert document["ok"] == (outcome.code == 0)
        states = ("as_predicted", "in_use", "freed", "different")
        assert sum(document[state] for state in states) == document["stubs"]
        return document

    def refused(self, vmlinux: Path, core: bytes) -> str:
        outcome = self.text(vmlinux, core)
        assert (outcome.code, outcome.out) == (2, ""), outcome
        assert outcome.err.count("\n") == 1
        return outcome.err


@pytest.fixture
def run(tmp_path: Path) -> Verify:
    return Verify(tmp_path)


# -- as predicted ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", ["<", ">"])
def test_qemu_dump(mini: Mini, run: Verify, headers: str) -> None:
    """QEMU's header can name the wrong byte order."""
    outcome = run.text(mini.vmlinux, qemu(mini.booted().memory, headers))
    assert outcome.code == 0, outcome
    assert outcome.out == f"{mini.vmlinux}: ok: 16 of 16 stubs as predicted\n"
    assert outcome.err == ""


def test_kdump_with_the_first_pages_apart(mini: Mini, run: Verify) -> None:
    """kexec-tools puts the first 64 KiB into a segment of their own; here the border is amid stubs."""
    memory = bytes(mini.booted().memory)
    stub = mini.booted().stubs[6]
    cut = stub["insn0"] + 4 - BASE
    document = run.json(mini.vmlinux, kdump([(0, memory[:cut]), (cut, memory[cut:])], mini.order))
    assert (document["as_predicted"], document["offset"], document["findings"]) == (16, "0x0", [])
    assert (document["layout"], document["ftrace_disabled"]) == (mini.kernel.layout, False)


def test_segments_that_continue_or_hide_one_another(little: Mini, run: Verify) -> None:
    """Borders amid the banner and amid a word; a small segment inside the large one; the file's order is free."""
    memory = little.booted().move(0x400000)
    banner, word = 0x400000 + EXTRA - BASE + 20, 0x400000 + little.booted().stubs[6]["insn0"] - BASE + 2
    cuts = sorted((0, banner, word, len(memory)))
    pieces = [(start, memory[start:stop]) for start, stop in pairwise(cuts)]
    inside = (0x401000, memory[0x401000:0x401010])
    for segments in (pieces, pieces[::-1], [(0, memory), inside], [inside, (0, memory)]):
        document = run.json(little.vmlinux, kdump(segments, "<"))
        assert (document["as_predicted"], document["offset"]) == (16, "0x400000")


def test_all_lists_every_stub_in_boot_order(mini: Mini, run: Verify) -> None:
    guest = mini.booted()
    document = run.json(mini.vmlinux, qemu(guest.memory, mini.order), "--all")
    assert [int(f["location"], 16) for f in document["findings"]] == [s["ip"] for s in guest.stubs]
    for found, stub in zip(document["findings"], guest.stubs, strict=True):
        words = naive_boot.stub_words(stub["ip"], stub["insn0"], stub["target"])
        assert found["expected"] == found["found"] == [f"{w:#010x}" for w in words]
        assert (found["area"], found["index"]) == (stub["area"], stub["index"])
        assert int(found["address"], 16) == stub["insn0"] - (8 if mini.kernel.layout == "ool" else 0)
    text = run.text(mini.vmlinux, qemu(guest.memory, mini.order), "--all").out
    assert text.count("as predicted: ") == 16


def test_a_moved_kernel_is_found(mini: Mini, run: Verify) -> None:
    offset = 0x400000
    document = run.json(mini.vmlinux, qemu(mini.booted().move(offset), mini.order))
    assert (document["as_predicted"], document["offset"]) == (16, f"{offset:#x}")
    assert (
        "relocated by +0x400000" in run.text(mini.vmlinux, qemu(mini.booted().move(offset), mini.order)).out
    )


def test_a_search_shows_its_progress_on_a_terminal(little: Mini, tmp_path: Path) -> None:
    core = tmp_path / "core"
    core.write_bytes(qemu(little.booted().move(0x400000), "<"))
    words = [executable_path("pfestubs"), "verify", little.vmlinux, core]
    done, shown = on_terminal(words, {"TERM": "xterm", "COLUMNS": "80"}, subprocess.PIPE)
    assert done.code == 0
    assert "searching the dump" in shown
    assert "searching" not in done.out


def test_of_two_copies_the_running_one_is_taken(little: Mini, run: Verify) -> None:
    """A boot loader leaves the image where it was loaded: its `ftrace_tramps` is empty."""
    memory = bytearray(little.booted().move(0x400000))
    for stale in (0, 0x200000):
        memory[stale : stale + len(little.linked)] = little.linked
    document = run.json(little.vmlinux, qemu(bytes(memory), "<"))
    assert (document["as_predicted"], document["offset"]) == (16, "0x400000")


def test_a_copy_at_an_odd_address_is_none(little: Mini, run: Verify) -> None:
    """Kernels move by whole pages; a file in memory can be anywhere."""
    assert "does not hold the memory of" in run.refused(
        little.vmlinux, qemu(little.booted().move(0x401000), "<")
    )


def test_vmcoreinfo_tells_where_the_kernel_is(
    little: Mini, run: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a live machine's /proc/kcore, which is never searched."""
    offset = 0x2000000
    pieces = [(offset, little.booted().move(offset)[offset:])]
    notes = vmcoreinfo("<", "OSRELEASE=7.2.0-mini", f"SYMBOL(_stext)={little.symbols['_stext'] + offset:x}")
    unmappable(monkeypatch)
    document = run.json(little.vmlinux, kdump(pieces, "<", notes))
    assert (document["as_predicted"], document["offset"]) == (16, f"{offset:#x}")
    assert "does not hold" in run.refused(little.vmlinux, kdump(pieces, "<"))
    notes = vmcoreinfo("<", "OSRELEASE=7.2.1-other")
    assert "'7.2.1-other'" in run.refused(little.vmlinux, kdump(pieces, "<", notes))


def unmappable(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(19, os.strerror(19))

    monkeypatch.setattr("pfestubs.read.dump.mmap", SimpleNamespace(mmap=refuse, ACCESS_READ=1))


def test_kcore(mini: Mini, run: Verify, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be mapped, and claims more memory than there is."""
    memory = bytes(mini.booted().memory)
    core = bytearray(kdump([(0, memory), (0x8000000000000, b"vmalloc")], mini.order))
    struct.pack_into(mini.order + "Q", core, 64 + 2 * 56 + 32, 1 << 46)  # p_filesz
    assert "is cut short" in run.refused(mini.vmlinux, bytes(core))
    unmappable(monkeypatch)
    assert run.json(mini.vmlinux, bytes(core))["as_predicted"] == 16


# -- in use ----------------------------------------------------------------------------------------------------


def test_traced_functions_are_in_use(mini: Mini, run: Verify) -> None:
    guest = mini.booted()
    guest.trace("fn1")
    stub = guest.trace("fn2", "ftrace_regs_caller")
    if mini.kernel.layout == "ool":
        guest.put_number(stub["insn0"] - 8, EXTRA + DISABLED)  # the ops pointer is anybody's
    document = run.json(mini.vmlinux, qemu(guest.memory, mini.order))
    assert (document["as_predicted"], document["in_use"]) == (14, 2)
    assert [(f["state"], f["function"], f["target_symbol"]) for f in document["findings"]] == [
        ("in use", symbolic(guest, "fn1"), "ftrace_caller"),
        ("in use", symbolic(guest, "fn2"), "ftrace_regs_caller"),
    ]
    text = run.text(mini.vmlinux, qemu(guest.memory, mini.order)).out.splitlines()
    assert "in use: fn1" in text[0]
    assert text[1].endswith("calls ftrace_regs_caller")
    assert text[2] == f"{mini.vmlinux}: ok: 14 of 16 stubs as predicted, 2 in use"


def symbolic(guest: Guest, name: str) -> str:
    offset = guest.stub(name)["ip"] - guest.mini.symbols[name]
    return f"{name}+{offset:#x}" if offset else name


# -- freed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [0xCCCCCCCC, 0, 0x12345678])
def test_init_memory_given_back(mini: Mini, run: Verify, content: int) -> None:
    guest = mini.booted()
    guest.put_number(EXTRA + TRAMPS + 8, 0)
    guest.fill_init(content)
    outcome = run.text(mini.vmlinux, qemu(guest.memory, mini.order))
    assert outcome.code == 0
    assert outcome.out.endswith("ok: 12 of 16 stubs as predicted, 4 freed with init memory\n")


def test_poison_alone_does_not_excuse(mini: Mini, run: Verify) -> None:
    """As long as `ftrace_tramps` has the init trampoline, init memory is in use."""
    guest = mini.booted()
    guest.fill_init(0xCCCCCCCC)
    assert run.json(mini.vmlinux, qemu(guest.memory, mini.order))["different"] == 4


def test_poison_counts_where_ftrace_tramps_is_not_known(run: Verify, tmp_path: Path) -> None:
    unknown = make_mini(tmp_path, without="ftrace_tramps")
    guest = unknown.booted()
    guest.fill_init(0xCCCCCCCC)
    assert run.json(unknown.vmlinux, qemu(guest.memory, "<"))["freed"] == 4
    guest.fill_init(0x12345678)
    assert run.json(unknown.vmlinux, qemu(guest.memory, "<"))["different"] == 4


@pytest.mark.parametrize("where", ["location", "stub", "a word of the stub"])
def test_poison_in_one_place_is_no_freed_memory(run: Verify, where: str, tmp_path: Path) -> None:
    unknown = make_mini(tmp_path, without="ftrace_tramps")
    guest = unknown.booted()
    stub = guest.stub("init1")
    if where == "location":
        guest.put(stub["ip"], 0xCCCCCCCC)
    else:
        guest.put(stub["insn0"], *[0xCCCCCCCC] * (4 if where == "stub" else 1))
    document = run.json(unknown.vmlinux, qemu(guest.memory, "<"))
    assert (document["different"], document["freed"]) == (1, 0)
    assert document["findings"][0]["function"] == "init1"


def test_freed_pages_may_be_left_out(little: Mini, run: Verify) -> None:
    """makedumpfile leaves out free pages."""
    guest = little.booted()
    start, stop = (little.symbols[name] - BASE for name in ("_sinittext", "_einittext"))

    def without_init() -> bytes:
        return kdump([(0, bytes(guest.memory[:start])), (stop, bytes(guest.memory[stop:]))], "<")

    assert "lacks memory of 4 of 16 functions or their stubs" in run.refused(little.vmlinux, without_init())
    guest.put_number(EXTRA + TRAMPS + 8, 0)
    assert run.json(little.vmlinux, without_init())["freed"] == 4


# -- different -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", range(4))
@pytest.mark.parametrize("traced", [False, True])
def test_one_altered_word_is_found_and_named(mini: Mini, run: Verify, word: int, traced: bool) -> None:
    guest = mini.booted()
    stub = guest.trace("fn3") if traced else guest.stub("fn3")
    at = stub["insn0"] + 4 * word
    before = guest.word(at)
    guest.put(at, before ^ 0x04000000)  # another opcode
    outcome = run.text(mini.vmlinux, qemu(guest.memory, mini.order))
    assert outcome.code == 1
    first, last = outcome.out.splitlines()
    assert f"error: stub-different: {symbolic(guest, 'fn3')} at {stub['ip']:#x}, stub " in first
    assert f"has {before ^ 0x04000000:#010x} at {at:#x}, expected {before:#010x}" in first
    assert last == f"{mini.vmlinux}: failed: 15 of 16 stubs as predicted, 1 different"
    (finding,) = run.json(mini.vmlinux, qemu(guest.memory, mini.order))["findings"]
    assert [i for i in range(4) if finding["expected"][i] != finding["found"][i]] == [word]


@pytest.mark.parametrize("what", ["zero", "to another stub", "bl to its stub"])
def test_a_location_that_is_neither_nop_nor_branch_to_its_stub(little: Mini, run: Verify, what: str) -> None:
    guest = little.booted()
    stub, other = guest.stub("fn4"), guest.stub("fn5")
    word = {
        "zero": 0,
        "to another stub": branch(other["insn0"] - stub["ip"]),
        "bl to its stub": branch(stub["insn0"] - stub["ip"]) | 1,
    }[what]
    guest.put(stub["ip"], word)
    (finding,) = run.json(little.vmlinux, qemu(guest.memory, "<"))["findings"]
    assert (finding["state"], finding["function"]) == ("different", symbolic(guest, "fn4"))
    assert finding["location_word"] == f"{word:#010x}"
    assert f"it holds {word:#010x}, expected nop 0x60000000 or a branch to its stub" in finding["problem"]


def test_an_idle_stub_calls_whom_the_boot_said(little: Mini, run: Verify) -> None:
    """ftrace puts the first call back when tracing ends."""
    guest = little.booted()
    stub = guest.trace("fn1", "ftrace_regs_caller")
    guest.put(stub["ip"], NOP)
    (finding,) = run.json(little.vmlinux, qemu(guest.memory, "<"))["findings"]
    assert (finding["state"], finding["target_symbol"]) == ("different", "ftrace_regs_caller")


def test_a_dump_from_before_ftrace_was_set_up(little: Mini, run: Verify) -> None:
    document = run.json(little.vmlinux, qemu(little.linked, "<"))
    assert (document["different"], document["freed"]) == (16, 0)
    assert document["findings"][0]["problem"].endswith(" is empty")
    text = run.text(little.vmlinux, qemu(little.linked, "<")).out
    assert text.count("is empty") == 16


def test_ftrace_switched_off_is_said(little: Mini, run: Verify) -> None:
    guest = little.booted()
    guest.put(EXTRA + DISABLED, 1)
    assert run.json(little.vmlinux, qemu(guest.memory, "<"))["ftrace_disabled"] is True
    assert "the kernel has disabled ftrace" in run.text(little.vmlinux, qemu(guest.memory, "<")).out


def test_only_twenty_are_shown_unless_all_are_asked_for(run: Verify, tmp_path: Path) -> None:
    many = make_mini(tmp_path, functions=42)
    core = qemu(many.linked, "<")
    outcome = run.text(many.vmlinux, core)
    assert outcome.out.count("stub-different") == 20
    assert f"{many.vmlinux}: 26 more different (--all shows all)\n" in outcome.out
    assert run.text(many.vmlinux, core, "--all").out.count("stub-different") == 46
    assert len(run.json(many.vmlinux, core)["findings"]) == 46


def test_a_boot_that_gives_up(run: Verify, tmp_path: Path) -> None:
    """A location that is not a nop: the kernel stops there, and what follows stays as linked."""
    broken = make_mini(tmp_path, words={BASE + 0x1060: 0})
    core = qemu(broken.linked, "<")
    document = run.json(broken.vmlinux, core)
    assert document["stops_at"] == "fn6"
    finding = next(f for f in document["findings"] if f["function"] == document["stops_at"])
    assert (finding["area"], finding["problem"]) == (None, "the boot has no stub for it")
    assert (
        f"ftrace disables itself at boot, at {document['stops_at']} (see pfestubs check)"
        in run.text(broken.vmlinux, core).out
    )


def test_output_goes_to_a_file(little: Mini, tmp_path: Path) -> None:
    guest = little.booted()
    guest.put(guest.stub("fn1")["ip"], 0)
    core, target = tmp_path / "core", tmp_path / "out.json"
    core.write_bytes(qemu(guest.memory, "<"))
    outcome = call("verify", little.vmlinux, core, "--format", "json", "-o", target)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == f"{little.vmlinux}: failed: 15 of 16 stubs as predicted, 1 different\n"
    assert json.loads(target.read_text())["different"] == 1


def test_with_a_system_map(little: Mini, tmp_path: Path) -> None:
    system_map, core = tmp_path / "System.map", tmp_path / "core"
    system_map.write_bytes(map_of(little.kernel))
    core.write_bytes(qemu(little.booted().memory, "<"))
    outcome = call("verify", little.vmlinux, core, "--system-map", system_map)
    assert (outcome.code, outcome.out, outcome.err) == (
        0,
        f"{little.vmlinux}: ok: 16 of 16 stubs as predicted\n",
        "",
    )


def test_a_table_that_lost_its_entries_predicts_nothing(run: Verify, tmp_path: Path) -> None:
    """The areas were sized for 16 entries; nothing to compare is not "as predicted"."""
    whole = make_mini(tmp_path)
    core = qemu(whole.booted().memory, "<")
    for table in ([0] * 16, [*whole.kernel.locations[:1], *[0] * 15]):
        lost = make_mini(tmp_path, table=table)
        assert "table-damaged" in run.refused(lost.vmlinux, core)


# -- what does not belong, and what is not a dump -----------------------------------------------------------------


def test_another_kernel(mini: Mini, run: Verify) -> None:
    guest = mini.booted()
    weak = OTHER.replace(b"#7", b"#")  # is in every kernel, before the true one
    guest.memory[EXTRA - BASE : EXTRA - BASE + len(OTHER)] = OTHER
    guest.memory[EXTRA - BASE - 0x200 : EXTRA - BASE - 0x200 + len(weak)] = weak
    message = run.refused(mini.vmlinux, qemu(guest.memory, mini.order))
    assert "is of another kernel: '7.2.1-other #7 SMP Tue Nov  3" in message
    assert "'7.2.0-mini #1 SMP Mon Nov  2" in message


def test_another_build_of_the_same_name(mini: Mini, run: Verify) -> None:
    guest = mini.booted()
    guest.memory[EXTRA + NOTES - BASE + 16] ^= 0xFF
    message = run.refused(mini.vmlinux, qemu(guest.memory, mini.order))
    assert f"its build id is ff{BUILD_ID.hex()[2:]}, that of" in message
    info = vmcoreinfo(mini.order, "BUILD-ID=" + "ab" * 20)
    assert "ab" * 20 in run.refused(mini.vmlinux, qemu(mini.booted().memory, mini.order, notes=info))
    info = vmcoreinfo(mini.order, "BUILD-ID=" + BUILD_ID.hex())
    assert run.json(mini.vmlinux, qemu(mini.booted().memory, mini.order, notes=info))["as_predicted"] == 16


def test_a_kernel_without_banner_cannot_be_told(little: Mini, run: Verify, tmp_path: Path) -> None:
    plain = LinkedKernel().save(tmp_path / "plain")
    assert "no linux_banner" in run.refused(plain, qemu(little.booted().memory, "<"))


def test_a_kernel_without_stubs(little: Mini, run: Verify, tmp_path: Path) -> None:
    inline = LinkedKernel(layout=None).save(tmp_path / "inline")
    assert "traces without stubs" in run.refused(inline, qemu(little.booted().memory, "<"))


@pytest.mark.parametrize("keep", [1, 20, 63, 64, 100, 180, 0x1000, -1])
def test_cut_short(little: Mini, run: Verify, keep: int) -> None:
    core = kdump([(0, bytes(little.booted().memory))], "<", vmcoreinfo("<", "A=B"))
    message = run.refused(little.vmlinux, core[:keep])
    if keep != 1:  # one byte is not an ELF file
        assert "is cut short" in message


def test_core_of_a_program(little: Mini, run: Verify) -> None:
    segments = [
        Segment(PT_NOTE, data=note(b"CORE", 1, bytes(504)), align=4),
        Segment(PT_LOAD, 0x10000000, 0, data=bytes(0x1000)),
        Segment(PT_LOAD, 0x7FFFE0000000, 0, data=bytes(0x1000)),
    ]
    core = write_elf((), None, type_=ET_CORE, machine=EM_PPC64, segments=segments)
    assert "is the core of a program, not of a kernel" in run.refused(little.vmlinux, core)
    core = write_elf((), None, type_=ET_CORE, machine=EM_X86_64, segments=segments)
    assert "is for machine x86-64, not for powerpc" in run.refused(little.vmlinux, core)
    core = write_elf((), None, type_=ET_CORE, machine=EM_PPC64, segments=segments[:1])
    assert "without any memory" in run.refused(little.vmlinux, core)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            b"KDUMP   " + bytes(4096),
            "is a compressed kdump; makedumpfile cannot turn it back; save an ELF core instead: makedumpfile -E",
        ),
        (
            b"makedumpfile\0\0\0\0" + bytes(4096),
            "is a flattened dump; restore it: makedumpfile -R CORE < DUMP",
        ),
        (b"", "is empty"),
        (b"\x1f\x8b\x08" + bytes(100), "is compressed (gzip)"),
        (b"#!/bin/sh\n", "is not an ELF file"),
    ],
)
def test_other_files(little: Mini, run: Verify, content: bytes, sentence: str) -> None:
    assert sentence in run.refused(little.vmlinux, content)


def test_files_that_are_no_dump_at_all(little: Mini, tmp_path: Path) -> None:
    pipe, core = tmp_path / "pipe", tmp_path / "core"
    os.mkfifo(pipe)
    core.write_bytes(qemu(little.booted().memory, "<"))
    for words, sentence in (
        ((little.vmlinux, little.vmlinux), "is a linked file, not a dump of memory"),
        ((core, little.vmlinux), "is a core dump, not a linked kernel; this command reads the linked kernel"),
        ((little.vmlinux, tmp_path), "Is a directory"),
        ((little.vmlinux, tmp_path / "none"), "No such file"),
        ((little.vmlinux, pipe), "is a pipe"),
    ):
        assert sentence in refusal("verify", *words)


def test_damaged_headers_end_in_a_sentence(little: Mini, run: Verify) -> None:
    core = kdump([(0, bytes(little.booted().memory))], "<", vmcoreinfo("<", "SYMBOL(_stext)=" + "f" * 40))
    for at in range(4, 64 + 2 * 56):
        for value in (0, 0x7F, 0xFF):
            damaged = bytearray(core)
            damaged[at] = value
            outcome = run.text(little.vmlinux, bytes(damaged))
            assert outcome.code in {0, 2}, (at, value, outcome)
            assert "internal error" not in outcome.err, (at, value, outcome)
            assert (outcome.err == "") == (outcome.code == 0)
