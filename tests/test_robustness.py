# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults with a structure: addresses that wrap, odd documents and maps, special files, costs without bounds.

Each class of fault was found in an earlier version. Costs are measured by memory, sizes and counts of
operations, not by time.
"""

import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fuzz import seeds
from fuzz.seeds import KernelSeed
from pfestubs.formats import FORMATS
from pfestubs.formats.text import dump_json, dump_json_list
from pfestubs.read import boot_log
from pfestubs.read.elf import open_elf
from pfestubs.read.system_map import read_system_map
from pfestubs.rules.kernel import simulation
from support import FIXTURES, call, json_of, printed, refusal, refused, run_cli, run_program
from support.dumps import with_banner
from support.elfwriter import ET_CORE, PT_LOAD, PT_NOTE, Segment, note, write_elf
from support.kernelwriter import BASE, LinkedKernel

TOP = 1 << 64


# -- addresses that wrap ---------------------------------------------------------------------------------------


def kernel_at_the_top(directory: Path, end_area: int) -> Path:
    """A kernel whose text ends with the address space, and whose end area begins at `end_area`."""
    base = TOP - 0x10000000
    kernel = LinkedKernel(base=base)
    path = kernel.save(directory / "vmlinux")
    image = bytearray(path.read_bytes())
    shift = TOP - base - kernel.text_size
    for address in {*kernel.locations[:3], base, *map(kernel.place, ("_stext", "ftrace_caller"))}:
        replace_words(image, address, address + shift)
    for name in ("ftrace_regs_caller", "ftrace_tramp_text"):
        replace_words(image, kernel.place(name), kernel.place(name) + shift)
    replace_words(image, kernel.place("_etext"), TOP - 4)
    replace_words(image, kernel.area_address("text"), end_area + 4)
    replace_words(image, kernel.area_address("text_end"), end_area)
    path.write_bytes(image)
    return path


def replace_words(image: bytearray, old: int, new: int) -> None:
    """Replace an address wherever it is: in the section headers, the symbols and the location table."""
    wanted, at = struct.pack("<Q", old), 0
    while (at := image.find(wanted, at)) >= 0:
        image[at : at + 8] = struct.pack("<Q", new)
        at += 8


@pytest.mark.parametrize("end_area", [TOP - 8, TOP - 16, TOP - 24, TOP - 40])
@pytest.mark.parametrize("command", ["check", "stubs", "diff"])
def test_an_area_that_runs_past_the_end_of_the_address_space(
    end_area: int, command: str, tmp_path: Path
) -> None:
    path = kernel_at_the_top(tmp_path, end_area)
    more = {"check": "-v", "stubs": "*", "diff": str(path)}[command]
    for format_ in ("text", "json"):
        outcome = call(command, "--format", format_, path, more)
        if command == "stubs":
            refused(outcome, path)
        else:
            assert (outcome.code in {0, 1}, outcome.err) == (True, "")
            assert format_ == "text" or json.loads(outcome.out)


def test_verify_where_stubs_wrap(seed: KernelSeed, vmlinux: Path, tmp_path: Path) -> None:
    core = tmp_path / "core"
    image = bytearray(seed.vmlinux)
    replace_words(image, LinkedKernel().area_address("inittext"), TOP - 16)
    vmlinux.write_bytes(image)
    core.write_bytes(seed.cores[0])
    for format_ in ("text", "json"):
        outcome = call("verify", "--all", "--format", format_, vmlinux, core)
        assert outcome.code in {1, 2}
        assert "internal error" not in outcome.err


# -- System.maps -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> KernelSeed:
    return next(seed for seed in seeds.kernels(tmp_path_factory.mktemp("seed")) if seed.name == "ool")


@pytest.fixture
def vmlinux(seed: KernelSeed, tmp_path: Path) -> Path:
    (tmp_path / "vmlinux").write_bytes(seed.vmlinux)
    return tmp_path / "vmlinux"


def test_a_function_whose_name_is_not_utf8(seed: KernelSeed, tmp_path: Path) -> None:
    """A word of the command line that is not UTF-8 has surrogates."""
    vmlinux, system_map = tmp_path / "vmlinux", tmp_path / "System.map"
    vmlinux.write_bytes(seed.vmlinux.replace(b"\0fn1\0", b"\0\xff\xfe1\0"))
    system_map.write_bytes(seed.system_map.replace(b" fn1\n", b" \xff\xfe1\n"))
    with_map: list[str | Path] = ["--system-map", system_map]
    for map_words in ([], with_map):
        assert r"\xff\xfe1" in printed("stubs", vmlinux, *map_words, "\udcff\udcfe1")
        refusal("stubs", vmlinux, *map_words, "\udcff")


# -- saved documents -------------------------------------------------------------------------------------------

ODD_VALUES: list[Any] = [[], {}, None, True, 1.5, -1, "x", TOP, 10**30, [[1]], {"a": []}]
FREE = {
    *("file", "pfestubs", "layout", "kernel", "baseline", "stub_size", "ok"),
    *("stubs", "areas", "findings", "growth"),
}
"""Keys of which some of those values are those of another, sound document."""


@pytest.mark.parametrize("value", ODD_VALUES, ids=repr)
@pytest.mark.parametrize("command", ["count", "check", "stubs"])
def test_an_odd_value_in_a_saved_document(
    command: str, value: Any, seed: KernelSeed, vmlinux: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "saved.json"
    document: Any = json.loads(seed.documents[command])
    uses = {"count": ["--prelink"], "check": ["--baseline"], "stubs": []}[command]
    for key in document:
        saved.write_text(json.dumps({**document, key: value}))
        outcomes = [call("diff", saved, vmlinux)] + [call("check", vmlinux, use, saved) for use in uses]
        for outcome in outcomes:
            assert outcome.code in {0, 1, 2}
            assert "internal error" not in outcome.err, (key, outcome.err)
            if key not in FREE or isinstance(value, float):
                refused(outcome, saved)


@pytest.mark.parametrize("digits", [20, 31, 4200, 4300, 4301, 10_000])
@pytest.mark.parametrize(
    "place", ["locations", "headroom.bytes", "headroom.by_branch.0.bytes", "areas.0.used"]
)
def test_a_huge_number_in_a_baseline(
    digits: int, place: str, seed: KernelSeed, vmlinux: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "saved.json"
    document: Any = json.loads(seed.documents["check"])
    *path, last = place.split(".")
    target = document
    for step in path:
        target = target[int(step) if step.isdigit() else step]
    target[last] = "@"
    saved.write_text(json.dumps(document).replace('"@"', "9" * digits))
    for words in (("check", vmlinux, "--baseline", saved, "--max-growth", "1%"), ("diff", saved, vmlinux)):
        assert len(refusal(*words, about=saved)) < 400


def test_a_key_of_a_later_version_is_accepted(seed: KernelSeed, vmlinux: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved.json"
    document: Any = json.loads(seed.documents["check"])
    document["new"] = document["headroom"]["new"] = [{}]
    saved.write_text(json.dumps(document))
    assert call("check", vmlinux, "--baseline", saved).code == 0


# -- cost in proportion ----------------------------------------------------------------------------------------


def peak_memory(action: Callable[[], object]) -> int:
    """Bytes allocated at once by `action`, after a first run that imports what it needs."""
    action()
    tracemalloc.start(1)
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


FAILING = 4000


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A kernel with stubs for five of its many functions, and a map in which all have one long name."""
    directory = tmp_path_factory.mktemp("failing")
    kernel = with_banner(LinkedKernel(text=[0x1000 + 8 * i for i in range(FAILING)], counts={"text_end": 3}))
    path, system_map = kernel.save(directory / "vmlinux"), directory / "System.map"
    lines = [line for line in seeds.map_of(kernel).splitlines() if b" fn" not in line]
    lines.append(b"%016x T %s" % (kernel.base + 0x1000, b"\xff" * 1000))
    system_map.write_bytes(b"\n".join(sorted(lines)) + b"\n")
    return path, system_map


@pytest.mark.parametrize("format_", sorted(FORMATS["check"]))
def test_a_long_name_times_many_findings(format_: str, failing: tuple[Path, Path]) -> None:
    path, system_map = failing
    words: list[str | Path] = ["check", "--all", "--format", format_, path, "--system-map", system_map]
    assert len(printed(*words, code=1)) < 7000 * FAILING
    assert peak_memory(lambda: call(*words)) < 16_000 * FAILING


@pytest.mark.parametrize("format_", ["json", "text"])
def test_a_long_name_times_many_stubs(format_: str, failing: tuple[Path, Path]) -> None:
    path, system_map = failing
    out = printed("stubs", "--format", format_, path, "--system-map", system_map, code=1)
    assert len(out) < 3000 * FAILING


def test_names_of_their_own_are_never_cut(tmp_path: Path) -> None:
    """As the mangled names of Rust: each function is named a few times."""
    path = tmp_path / "System.map"
    names = [f"_RNv{i:04}{'x' * 300}" for i in range(500)]
    path.write_text("".join(f"{0x1000 + 16 * i:x} T {name}\n" for i, name in enumerate(names)))
    symbols = read_system_map(str(path))
    for _ in range(3):
        assert [symbols.locate(0x1000 + 16 * i)[0] for i in range(500)] == names


def test_why_functions_have_no_stub_is_counted_once(
    failing: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass over all failures for each of them would be quadratic."""
    visited = 0
    original = simulation.boot_kernel

    class Counting(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            nonlocal visited
            visited += len(self)
            return super().__iter__()

    def counted(kernel: Any, **options: Any) -> Any:
        boot = original(kernel, **options)
        object.__setattr__(boot, "failures", Counting(boot.failures))
        return boot

    monkeypatch.setattr("pfestubs.cli.commands.stubs.boot_kernel", counted)
    call("stubs", failing[0])
    assert visited < 20 * FAILING


def test_memory_for_the_lines_of_a_map(tmp_path: Path) -> None:
    path = tmp_path / "System.map"
    path.write_text("c0de T a\n" * 400_000)
    assert peak_memory(lambda: read_system_map(str(path))) < 20 * path.stat().st_size


def test_notes_that_are_not_utf8_are_decoded_fast(vmlinux: Path, tmp_path: Path) -> None:
    """The handler `backslashreplace` makes four characters, an object of its own, of every byte."""
    core, notes = tmp_path / "core", note(b"VMCOREINFO", 0, b"\xff" * (1 << 20))
    segments = [Segment(PT_NOTE, data=notes, align=4), Segment(PT_LOAD, BASE, 0, data=bytes(64))]
    core.write_bytes(write_elf((), None, type_=ET_CORE, segments=segments))
    assert peak_memory(lambda: call("verify", vmlinux, core)) < 8 << 20


@pytest.mark.parametrize("items", [[], [1], [{"b": [1, {}], "a": "x\n"}, None, [[]], {}]])
def test_a_document_written_item_by_item(items: Sequence[object]) -> None:
    values: dict[str, Any] = {"a": 1, "list": [2], "z": {"findings": []}, "findings2": []}
    pieces = dump_json_list({**values, "findings": []}, "findings", items)
    assert "".join(pieces) == dump_json({**values, "findings": items})
    pieces = dump_json_list({"runs": [{"results": []}], "a": {"results": []}}, "results", items, depth=3)
    assert "".join(pieces) == dump_json({"runs": [{"results": items}], "a": {"results": []}})


# -- special files ---------------------------------------------------------------------------------------------


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def test_an_endless_log_ends(fifo: Path, vmlinux: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot_log, "BYTES_MAX", 1 << 20)
    descriptor = os.open(fifo, os.O_RDWR)
    with subprocess.Popen(["yes"], stdout=descriptor, stderr=subprocess.DEVNULL) as endless:
        outcome = call("explain", vmlinux, fifo)
        endless.kill()
    os.close(descriptor)
    assert "is longer than 1 MiB; give one boot" in refused(outcome, fifo)


@pytest.mark.timeout(60)
@pytest.mark.skipif(not os.access("/dev/kmsg", os.R_OK), reason="needs root")
def test_the_kernels_own_log_ends_with_its_last_message(vmlinux: Path) -> None:
    refusal("explain", vmlinux, "/dev/kmsg", about="/dev/kmsg")


# -- streams and the interpreter -------------------------------------------------------------------------------


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["report", "-o", "-"], ["stubs", "--format", "json"]])
def test_an_output_of_which_only_a_part_arrives(words: list[str], unbuffered: str, tmp_path: Path) -> None:
    """A write that takes only a part succeeds; the next one fails."""
    room = 1000
    out = tmp_path / "out"
    with out.open("wb") as stream:
        done = run_cli(
            *(*words, FIXTURES / "linked" / "healthy-ppc64le"),
            env={"PYTHONUNBUFFERED": unbuffered, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=stream,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
        )
    assert refused(done) == "standard output: error: cannot be written: File too large\n"
    assert out.stat().st_size == room


# -- signals between two outputs -------------------------------------------------------------------------------

# Sends a signal to itself when the second of two makefiles is put in place.
INTERRUPTED_INSTALL = """
import os, signal, sys
from pfestubs.cli import entry
from pfestubs.system import files
number, sys.argv = int(sys.argv[1]), ["pfestubs", "kbuild", "install", sys.argv[2]]
signal.signal(number, signal.SIG_DFL)
replace, seen = os.replace, []
def counted(old, new):
    replace(old, new)
    seen.append(new)
    if len(seen) == 1:
        os.kill(os.getpid(), number)
os.replace = counted
entry.main()
"""


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_signal_between_two_makefiles_takes_effect_after_both(
    number: signal.Signals, tmp_path: Path
) -> None:
    tree = tmp_path / "linux"
    shutil.copytree(FIXTURES / "trees" / "mainline-7.2", tree)
    done = run_program(sys.executable, "-c", INTERRUPTED_INSTALL, int(number), tree)
    assert (done.code, done.err) == (128 + number, "")
    assert ": installed (" in call("kbuild", "status", tree).out


@pytest.mark.parametrize(
    "symbols", [{"ftrace_ool_stub_text": 0x1000, "_stext": 0}, {"_stext": 0, "_etext": TOP - 1}]
)
def test_a_plan_over_more_than_half_of_the_address_space(
    symbols: dict[str, int | None], tmp_path: Path
) -> None:
    """`len` of a range has 63 bits."""
    path = LinkedKernel(symbols=symbols).save(tmp_path / "vmlinux")
    for format_ in ("text", "json"):
        for shape in ("early", "even", "late"):
            outcome = call("plan", "--format", format_, "--grow", "1M", "--shape", shape, path)
            assert (outcome.code in {0, 1}, outcome.err) == (True, "")


@pytest.mark.parametrize("count", [(1 << 21) + 1, 0x80000002, 0xFFFFFFFF])
@pytest.mark.parametrize("end_at", [0x3, BASE - 0x1000])
def test_a_plan_for_a_reserve_larger_than_any(count: int, end_at: int, tmp_path: Path) -> None:
    """The count in the file is damaged: the array does not have that many stubs."""
    path = LinkedKernel(symbols={"ftrace_ool_stub_text_end": end_at}).save(tmp_path / "vmlinux")
    image = bytearray(path.read_bytes())
    with open_elf(str(path)) as elf:
        (symbol,) = elf.symbols_named(["ftrace_ool_stub_text_count"])
        section = next(s for s in elf.sections if s.addr <= symbol.value < s.addr + s.size)
    struct.pack_into("<I", image, section.offset + symbol.value - section.addr, count)
    path.write_bytes(image)
    for words in ([], ["--reserve", "3"], ["--grow", "1M"]):
        plan = json_of("plan", *words, path, code=1)
        assert (plan["outcomes"], plan["damage"]["rule"]) == ([], "area-damaged")
