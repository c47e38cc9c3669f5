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
from dataclasses import dataclass
from pathlib import Path

from bootguest import MEMORY, boot
from support import unpack
from support.kernelwriter import LinkedKernel

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
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
    pid = os.posix_spawnp(
        command[0],
        command,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)],
    )
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


def release(kernel: str) -> str:
    """The release of a linked kernel."""
    words = [str(BIN / "pfestubs"), "check", "--format", "json", kernel]
    done = subprocess.run(words, capture_output=True, check=True)
    return str(json.loads(done.stdout)["kernel"]["release"])


def source_version(source: Path) -> str:
    """The version of a kernel tree, from its Makefile."""
    found = re.findall(
        r"^(?:VERSION|PATCHLEVEL|SUBLEVEL) = (\d+)$", (source / "Makefile").read_text(), re.MULTILINE
    )
    return ".".join(found)


def verified(kernels: Path, directory: Path) -> list[str]:
    """Rows of `verify`, each of a kernel booted in QEMU."""
    rows = []
    for packed in sorted(kernels.glob("debian*/vmlinux.xz")):
        kernel = directory / f"{packed.parent.name}-{packed.stem}"
        with boot(kernel) as guest:
            words = [str(BIN / "pfestubs"), "verify", str(kernel), str(guest.dump)]
            name = f"`verify`, {packed.parent.name}/vmlinux, a dump of {MEMORY}iB"
            rows.append(measure(Work(name, words)))
    return rows


def many_sections(directory: Path) -> Path:
    """20,000 functions, each with a section and an entries section of its own: over 65,279 sections."""
    subprocess.run(
        [
            "sh",
            ROOT / "fixtures/mini/build.sh",
            "objects",
            f"OUT={directory}",
            "TOOLCHAIN=llvm-ppc64le",
            "MORE=20000",
            "FUNCTION_SECTIONS=1",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return directory / "vmlinux.o"


def works(kernels: Path, source: Path | None, directory: Path) -> list[Work]:
    pfestubs = str(BIN / "pfestubs")
    tools = source / "arch/powerpc/tools" if source else None
    generate = str(tools / "ftrace-gen-ool-stubs.sh") if tools else None
    check = str(tools / "ftrace_check.sh") if tools else None
    objdump, nm = "powerpc64le-linux-gnu-objdump", "powerpc64le-linux-gnu-nm"
    out = str(directory / "out.S")
    listed = []
    for packed in sorted(kernels.glob("*/vmlinux.o.xz")):
        obj = str(unpack(packed, directory / f"{packed.parent.name}-{packed.stem}"))
        slow = packed.parent.name.endswith("-dce")
        theirs = ["sh", generate, "32768", "y", objdump, obj, out] if generate and not slow else None
        listed.append(
            Work(
                f"`generate`, {packed.parent.name}/vmlinux.o",
                [pfestubs, "generate", obj, "-o", out],
                "ftrace-gen-ool-stubs.sh: many minutes, see below" if slow else "ftrace-gen-ool-stubs.sh",
                theirs,
            )
        )
    checked = [
        (
            f"`check`, {packed.parent.name}/vmlinux",
            str(unpack(packed, directory / f"{packed.parent.name}-{packed.stem}")),
        )
        for packed in sorted(kernels.glob("*/vmlinux.xz"))
        if not packed.parent.name.endswith(("-trap", "-grown"))  # the exit status is 1
    ]
    debug = os.environ.get("DEBUG_VMLINUX")
    if debug:
        size = Path(debug).stat().st_size / 1e6
        checked.append((f"`check`, {release(debug)} with debug information ({size:.0f} MB)", debug))
    for name, kernel in checked:
        theirs = ["bash", check, nm, kernel] if check else None
        listed.append(Work(name, [pfestubs, "check", kernel], "ftrace_check.sh", theirs))
    many = directory / "many"
    many.mkdir()
    listed.append(
        Work(
            "`generate`, 20,000 entries sections, LLD",
            [pfestubs, "generate", str(many_sections(many)), "-o", out],
            "the script does not finish in ten minutes",
        )
    )
    for packed in sorted(kernels.glob("debian*/vmlinux.xz")):
        kernel = str(directory / f"{packed.parent.name}-{packed.stem}")
        listed.append(
            Work(
                f"`stubs --format json`, {packed.parent.name}/vmlinux",
                [pfestubs, "stubs", "--format", "json", kernel],
            )
        )
    return listed


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
        for work in works(Path(kernels), Path(source) if source else None, Path(directory)):
            lines.append(measure(work))
            print(lines[-1], flush=True)
        lines += verified(Path(kernels), Path(directory))
        print(lines[-1], flush=True)
        for count, kernel in growing_kernels(Path(directory)):
            took, peak = min(run([str(BIN / "pfestubs"), "check", str(kernel)]) for _ in range(3))
            growth.append(f"| {count:,} | {took:.2f} s | {peak} MiB | {1e6 * took / count:.1f} µs |")
            print(growth[-1], flush=True)
    binutils = subprocess.run(
        ["powerpc64le-linux-gnu-objdump", "--version"], capture_output=True, text=True, check=True
    ).stdout.splitlines()[0]
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
        f"Python {platform.python_version()}, {binutils}, {os.cpu_count()} processors, {PAIRS} pairs."
        + (f" Scripts of Linux {source_version(Path(source))}." if source else ""),
        "",
    ]
    document = ROOT / "docs/benchmarks.md"
    kept = document.read_text().partition(KEPT)[2]
    document.write_text("\n".join([*text, KEPT + kept]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
