# SPDX-License-Identifier: GPL-2.0-or-later
"""Time pfestubs against the scripts it replaces, in pairs in one run, and write the table to docs/benchmarks.md.

Processor time (user and system, children included) of whole processes; medians over pairs. Needs
PFESTUBS_KERNELS (a directory of real kernels) and, for the comparison, KERNEL_SRC (a kernel tree).
DEBUG_VMLINUX names one more kernel, with debug information.
"""

import compileall
import json
import multiprocessing
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from bootguest import MEMORY, boot
from support import FIXTURES, ROOT, executable_path, run_cli, run_program, unpack
from support.kernelwriter import LinkedKernel

PFESTUBS = executable_path("pfestubs")
CROSS = "powerpc64le-linux-gnu-"
PAIRS = int(os.environ.get("PAIRS", "7"))
KEPT = "## One entries section per function"
"""What begins with this heading is written by hand."""


@dataclass(frozen=True)
class Work:
    """One line of the table: our command, and what it is measured against (None: nothing to compare with)."""

    name: str
    ours: list[str]
    against: str = "nothing to compare with"
    theirs: list[str] | None = None


def run(command: list[str]) -> tuple[float, int]:
    """Processor seconds and peak MiB of one run, its children included; the output goes nowhere."""
    null = os.open(os.devnull, os.O_WRONLY)
    actions = [(os.POSIX_SPAWN_DUP2, null, number) for number in (1, 2)]
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
    os.close(null)
    _, status, usage = os.wait4(pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), command)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss >> 10


def measure(work: Work) -> str:
    """A row of the table."""
    peak = run(work.ours)[1]
    ours, theirs = [], []
    for _ in range(PAIRS):
        ours.append(run(work.ours)[0])
        if work.theirs:
            theirs.append(run(work.theirs)[0])
    start = f"| {work.name} | {statistics.median(ours):.2f} s | {peak} MiB | {work.against}"
    if not theirs:
        return f"{start} | |"
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    return f"{start}: {statistics.median(theirs):.2f} s | {ratio:.1f} |"


def growing_kernels(directory: Path) -> list[tuple[int, Path]]:
    """Kernels of 10,000 to 1,000,000 functions of 32 bytes, every stub in range."""
    counts = (10_000, 100_000, 1_000_000)
    # In a process of its own: the peak of a child that is spawned is at least that of its parent.
    builder = multiprocessing.get_context("fork").Process(target=_build_kernels, args=(directory, counts))
    builder.start()
    builder.join()
    return [(count, directory / f"functions-{count}") for count in counts]


def _build_kernels(directory: Path, counts: tuple[int, ...]) -> None:
    for count in counts:
        start = 0x40000 + 24 * 32768
        kernel = LinkedKernel(text=range(start, start + 32 * count, 32))
        kernel.counts["text_end"] = count - kernel.reserve
        kernel.save(directory / f"functions-{count}")


def unpacked(packed: Path, directory: Path) -> Path:
    """What an xz file of a kernel holds, in a directory; the same for the same file."""
    target = directory / f"{packed.parent.name}-{packed.stem}"
    return target if target.exists() else unpack(packed, target)


def verified(kernels: Path, directory: Path) -> Iterator[str]:
    """Rows of `verify`, each of a kernel booted in QEMU."""
    for packed in sorted(kernels.glob("debian*/vmlinux.xz")):
        kernel = unpacked(packed, directory)
        with boot(kernel) as guest:
            words = [PFESTUBS, "verify", str(kernel), str(guest.dump)]
            yield measure(Work(f"`verify`, {packed.parent.name}/vmlinux, a dump of {MEMORY}iB", words))


def many_sections(directory: Path) -> str:
    """20,000 functions, each with a section and an entries section of its own: over 65,279 sections."""
    words = f"objects OUT={directory} TOOLCHAIN=llvm-ppc64le MORE=20000 FUNCTION_SECTIONS=1"
    run_program("sh", FIXTURES / "mini/build.sh", *words.split(), check=True, timeout=None)
    return str(directory / "vmlinux.o")


def works(kernels: Path, source: Path | None, directory: Path) -> Iterator[Work]:
    """The lines of the table, but for those of `verify`."""
    tools = source / "arch/powerpc/tools" if source else None
    out = str(directory / "out.S")
    for packed in sorted(kernels.glob("*/vmlinux.o.xz")):
        obj = str(unpacked(packed, directory))
        words = [PFESTUBS, "generate", obj, "-o", out]
        against, theirs = "ftrace-gen-ool-stubs.sh", None
        if packed.parent.name.endswith("-dce"):
            against += ": many minutes, see below"
        elif tools:
            theirs = ["sh", f"{tools}/{against}", "32768", "y", f"{CROSS}objdump", obj, out]
        yield Work(f"`generate`, {packed.parent.name}/vmlinux.o", words, against, theirs)
    checked = {
        f"{packed.parent.name}/vmlinux": str(unpacked(packed, directory))
        for packed in sorted(kernels.glob("*/vmlinux.xz"))
        if not packed.parent.name.endswith(("-trap", "-grown"))  # the exit status is 1
    }
    if debug := os.environ.get("DEBUG_VMLINUX"):
        found = json.loads(run_cli("check", "--format", "json", debug, check=True).out)
        size = Path(debug).stat().st_size / 1e6
        checked[f"{found['kernel']['release']} with debug information ({size:.0f} MB)"] = debug
    for name, kernel in checked.items():
        theirs = ["bash", f"{tools}/ftrace_check.sh", f"{CROSS}nm", kernel] if tools else None
        yield Work(f"`check`, {name}", [PFESTUBS, "check", kernel], "ftrace_check.sh", theirs)
    many = directory / "many"
    many.mkdir()
    words = [PFESTUBS, "generate", many_sections(many), "-o", out]
    yield Work("`generate`, 20,000 entries sections, LLD", words, "the script does not finish in ten minutes")
    for packed in sorted(kernels.glob("debian*/vmlinux.xz")):
        words = [PFESTUBS, "stubs", "--format", "json", str(unpacked(packed, directory))]
        yield Work(f"`stubs --format json`, {packed.parent.name}/vmlinux", words)


def main() -> int:
    kernels = os.environ.get("PFESTUBS_KERNELS")
    if not kernels:
        print("set PFESTUBS_KERNELS to a directory of real kernels (see README.md)", file=sys.stderr)
        return 2
    source = os.environ.get("KERNEL_SRC")
    if not source:
        print("KERNEL_SRC is not set: no script to compare with", file=sys.stderr)
    compileall.compile_dir(ROOT / "src" / "pfestubs", quiet=1)  # as pip does when it installs
    lines = ["| work | pfestubs | peak memory | against | speed-up |", "|---|---|---|---|---|"]
    growth = ["| functions | `check` | peak memory | per function |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as directory:
        rows = map(measure, works(Path(kernels), Path(source) if source else None, Path(directory)))
        for row in chain(rows, verified(Path(kernels), Path(directory))):
            lines.append(row)
            print(row, flush=True)
        for count, kernel in growing_kernels(Path(directory)):
            took, peak = min(run([PFESTUBS, "check", str(kernel)]) for _ in range(3))
            growth.append(f"| {count:,} | {took:.2f} s | {peak} MiB | {1e6 * took / count:.1f} µs |")
            print(growth[-1], flush=True)
    binutils = run_program(f"{CROSS}objdump", "--version", check=True).out.splitlines()[0]
    version = ""
    if source:
        makefile = (Path(source) / "Makefile").read_text()
        numbers = re.findall(r"^(?:VERSION|PATCHLEVEL|SUBLEVEL) = (\d+)$", makefile, re.MULTILINE)
        version = f" Scripts of Linux {'.'.join(numbers)}."
    text = [
        "# Benchmarks",
        "",
        "Processor time of whole processes, medians of paired runs, by `make bench`. Machines differ: the last",
        "column, a median of ratios within one run, is the number to compare.",
        "",
        *lines,
        "",
        "Growth with the number of functions, in generated kernels:",
        "",
        *growth,
        "",
        f"Python {platform.python_version()}, {binutils}, {os.cpu_count()} processors, {PAIRS} pairs.{version}",
        "",
    ]
    document = ROOT / "docs/benchmarks.md"
    kept = document.read_text().partition(KEPT)[2]
    document.write_text("\n".join([*text, KEPT + kept]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
