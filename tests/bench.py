# SPDX-License-Identifier: GPL-2.0-or-later
"""Time pfestubs against the scripts it replaces, in pairs in one run, and write the table to docs/benchmarks.md.

Processor time (user and system, children included) of whole processes; medians over pairs. Needs
PFESTUBS_KERNELS (a directory of real kernels) and, for the comparison, KERNEL_SRC (a kernel tree).
"""

from __future__ import annotations

import lzma
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PAIRS = int(os.environ.get("PAIRS", "7"))


@dataclass(frozen=True)
class Work:
    """One line of the table: our command, and what it is measured against (None: nothing to compare with)."""

    name: str
    ours: list[str]
    against: str
    theirs: list[str] | None


def seconds(command: list[str]) -> float:
    """Processor seconds of one run, its children included; the output goes nowhere."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(work: Work) -> str:
    """A row of the table."""
    seconds(work.ours)
    ours, theirs = [], []
    for _ in range(PAIRS):
        ours.append(seconds(work.ours))
        if work.theirs:
            theirs.append(seconds(work.theirs))
    mine = statistics.median(ours)
    if not theirs:
        return f"| {work.name} | {mine:.2f} s | {work.against}: not available | |"
    other = statistics.median(theirs)
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    return f"| {work.name} | {mine:.2f} s | {work.against}: {other:.2f} s | {ratio:.1f} |"


def unpack(packed: Path, directory: Path) -> Path:
    target = directory / f"{packed.parent.name}-{packed.stem}"
    with lzma.open(packed) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
    return target


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
        obj = str(unpack(packed, directory))
        theirs = ["sh", generate, "32768", "y", objdump, obj, out] if generate else None
        listed.append(
            Work(
                f"`generate`, {packed.parent.name}/vmlinux.o",
                [pfestubs, "generate", obj, "-o", out],
                "ftrace-gen-ool-stubs.sh",
                theirs,
            )
        )
    for packed in sorted(kernels.glob("*/vmlinux.xz")):
        if "trap" in packed.parent.name:
            continue
        kernel = str(unpack(packed, directory))
        theirs = ["bash", check, nm, kernel] if check else None
        listed.append(
            Work(
                f"`check`, {packed.parent.name}/vmlinux",
                [pfestubs, "check", kernel],
                "ftrace_check.sh",
                theirs,
            )
        )
    many = directory / "many"
    many.mkdir()
    listed.append(
        Work(
            "`generate`, 20,000 entries sections, LLD",
            [pfestubs, "generate", str(many_sections(many)), "-o", out],
            "the script needs over ten minutes",
            None,
        )
    )
    bare = [sys.executable, "-c", "pass"]
    listed.append(Work("`--version`", [pfestubs, "--version"], "python3 -c pass", bare))
    return listed


def main() -> int:
    kernels = os.environ.get("PFESTUBS_KERNELS")
    if not kernels:
        print("set PFESTUBS_KERNELS to a directory of real kernels (see README.md)", file=sys.stderr)
        return 2
    source = os.environ.get("KERNEL_SRC")
    if not source:
        print("KERNEL_SRC is not set: no script to compare with", file=sys.stderr)
    lines = [
        "| work | pfestubs | against | speed-up |",
        "|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as directory:
        for work in works(Path(kernels), Path(source) if source else None, Path(directory)):
            lines.append(measure(work))
            print(lines[-1], flush=True)
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
        f"Python {platform.python_version()}, {binutils}, {os.cpu_count()} processors, {PAIRS} pairs.",
        "",
    ]
    (ROOT / "docs/benchmarks.md").write_text("\n".join(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
