# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults at random moments against the commands that write files: `make torture N=1000`.

Signals (HUP, INT, TERM, KILL), inputs that are cut short while they are read, full disks, several writers at
once. After each run every output must be the old one or the new one, whole; but for SIGKILL nothing else may
be left; the exit status and the messages must be those of the contract. The exit status is 1 if anything was
against it.
"""

import argparse
import os
import pkgutil
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Final

from support import FIXTURES, OBJECTS
from support.kernelwriter import LinkedKernel

SIGNALS: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
OLD: Final = b"old\n"
OBJECT: Final = OBJECTS / "ool-ppc64le-gnu.o"
_TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
_MAKEFILES: Final = ("arch/powerpc/tools/Makefile", "arch/powerpc/Makefile.postlink")

# A compiler that takes a while and starts a process of its own.
_COMPILER: Final = """\
#!/bin/sh
echo $$ >> {pids}
while [ "$1" != -o ]; do shift; done
sleep 0.03 & echo $! >> {pids}
wait
cp {object} "$2"
"""


@dataclass
class Ended:
    """How a run ended: `status` as subprocess gives it, negative for a signal."""

    status: int
    err: str


@dataclass
class Report:
    """What was counted, and what was against the contract."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def problem(self, text: str) -> None:
        """Record and show a violation."""
        self.problems.append(text)
        print(f"problem: {text}", file=sys.stderr, flush=True)


class Scenario:
    """A command that writes `outputs` (paths below its directory), and the directory in its old state."""

    def __init__(self, name: str, directory: Path, words: Sequence[object], outputs: Sequence[str]) -> None:
        self.name = name
        self.directory = directory
        self.words = [str(word) for word in words]
        self.outputs = outputs
        self.environment: dict[str, str] = {}
        self.pids = directory.parent / f"{name}.pids"
        self.normal = 0
        self.old: dict[str, bytes] = {}
        self.new: dict[str, bytes] = {}

    def prepare(self) -> None:
        """Learn the old and the new state, and how long a run takes."""
        self.old = self.contents()
        for _ in range(2):  # the first run fills caches
            self.reset()
            started = time.monotonic()
            ended = self.run(None)
            self.seconds = time.monotonic() - started
        self.normal = ended.status
        self.new = self.contents()
        assert self.normal in {0, 1}, ended
        assert all(self.new[name] != self.old.get(name) for name in self.outputs), self.name
        # A compiler that fails, or is ended, leaves the new assembly file next to the old object.
        self.early = {name for name in self.outputs if name == "a.S"}

    def reset(self) -> None:
        """Put the old state back."""
        for path in list(self.directory.rglob("*")):
            if path.is_file() and str(path.relative_to(self.directory)) not in self.old:
                path.unlink()
        for name, data in self.old.items():
            (self.directory / name).write_bytes(data)
        self.pids.unlink(missing_ok=True)

    def contents(self) -> dict[str, bytes]:
        """Return every file below the directory."""
        return {
            str(path.relative_to(self.directory)): path.read_bytes()
            for path in sorted(self.directory.rglob("*"))
            if path.is_file()
        }

    def run(self, fault: Callable[[int], None] | None) -> Ended:
        """Run the command; `fault` gets its process while it runs."""
        with tempfile.TemporaryFile() as err:
            process = self.fork(err.fileno())
            if fault is not None:
                fault(process)
            _, status = os.waitpid(process, 0)
            err.seek(0)
            return Ended(os.waitstatus_to_exitcode(status), err.read().decode("utf-8", "replace"))

    def fork(self, err: int) -> int:
        """Start the command in a copy of this process; `err` is its standard error."""
        # What arrives while Python itself is being copied is not the program's to handle.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS[:3])
        process = os.fork()
        if process:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            return process
        status = 99
        try:
            for number in SIGNALS[:3]:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(err, 2)
            os.environ.update(self.environment)
            sys.argv = ["pfestubs", *self.words]
            from pfestubs.cli import entry

            entry.main()
        except SystemExit as e:
            status = e.code if isinstance(e.code, int) else 98
        finally:
            with suppress(Exception):
                sys.stderr.flush()
            os._exit(status)


def scenarios(directory: Path) -> list[Scenario]:
    """Return the commands under torture, each in a directory of its own."""
    kernel = LinkedKernel().save(directory / "vmlinux")
    found = []

    def place(name: str) -> Path:
        path = directory / name
        path.mkdir()
        return path

    here = place("generate")
    (here / "out.S").write_bytes(OLD)
    found.append(Scenario("generate -o", here, ["generate", "-o", here / "out.S", OBJECT], ["out.S"]))
    here = place("check")
    (here / "out.json").write_bytes(OLD)
    words = ["check", "--format", "json", "-o", here / "out.json", kernel]
    found.append(Scenario("check -o", here, words, ["out.json"]))
    here = place("hook")
    for name in ("a.S", "a.o"):
        (here / name).write_bytes(OLD)
    hook = Scenario("hook", here, ["hook", OBJECT, here / "a.o"], ["a.S", "a.o"])
    compiler = directory / "cc"
    compiler.write_text(_COMPILER.format(object=OBJECT, pids=hook.pids))
    compiler.chmod(0o755)
    hook.environment = {"CC": str(compiler)}
    found.append(hook)
    tree = directory / "tree"
    shutil.copytree(FIXTURES / "trees" / "mainline-7.2", tree)
    found.append(Scenario("kbuild install", tree, ["kbuild", "install", tree], _MAKEFILES))
    for scenario in found:
        scenario.pids = directory / "pids"
        scenario.prepare()
    return found


# -- signals -------------------------------------------------------------------------------------------------


def torture_with_signals(scenario: Scenario, draw: random.Random, report: Report) -> None:
    """Send one signal, or two, at a random moment of one run; check the outcome."""
    scenario.reset()
    number = draw.choice(SIGNALS)
    delay = draw.uniform(0, 1.1 * scenario.seconds)
    twice = draw.randrange(4) == 0

    def fault(process: int) -> None:
        time.sleep(delay)
        for _ in range(2 if twice else 1):
            with suppress(ProcessLookupError):
                os.kill(process, number)

    ended = scenario.run(fault)
    report.counts["signals"] += 1
    report.counts[number.name] += 1
    judge_signal(scenario, number, ended, report)


def judge_signal(scenario: Scenario, number: signal.Signals, ended: Ended, report: Report) -> None:
    """Hold a run that got a signal against the contract."""
    what = f"{scenario.name}, {number.name}"
    is_kill, is_complete = number == signal.SIGKILL, ended.status == scenario.normal
    # A process that has not begun the program yet is ended by the signal itself.
    killed = {-int(number)} if is_kill else {128 + number, -int(number)}
    if ended.status not in {scenario.normal} | killed or "Traceback" in ended.err or "internal" in ended.err:
        report.problem(f"{what}: exit status {ended.status}: {ended.err[-300:]}")
    report.counts["completed" if is_complete else "ended by the signal"] += 1
    _wait_for_tools(scenario, what, report, must_be_gone=not is_kill and not is_complete)
    found = scenario.contents()
    strays = sorted(set(found) - set(scenario.old) - set(scenario.new))
    if is_kill:
        strays = [name for name in strays if not _TEMPORARY.search(name)]
        report.counts["temporary files after KILL"] += len(found) > len(scenario.new)
    if strays:
        report.problem(f"{what}: left {strays}")
    states = {}
    for name in scenario.outputs:
        states[name] = {scenario.old.get(name): "old", scenario.new[name]: "new"}.get(
            found.get(name), "broken"
        )
    if "broken" in states.values() or (is_complete and set(states.values()) != {"new"}):
        report.problem(f"{what}: status {ended.status}, the outputs are {states}")
    if not is_kill and len({states[name] for name in scenario.outputs if name not in scenario.early}) > 1:
        report.problem(f"{what}: one output is old, the other new")
    if is_kill:
        ended = scenario.run(None)
        found = {name: data for name, data in scenario.contents().items() if not _TEMPORARY.search(name)}
        if ended.status != scenario.normal or found != scenario.new:
            report.problem(f"{what}: the next run ended with {ended.status}: {ended.err[:300]}")


def _wait_for_tools(scenario: Scenario, what: str, report: Report, *, must_be_gone: bool) -> None:
    """Wait for the compiler and what it started; after a signal that can be handled, they are gone."""
    if not scenario.pids.exists():
        return
    running = [int(word) for word in scenario.pids.read_text().split() if _is_alive(int(word))]
    if running and must_be_gone:
        report.problem(f"{what}: processes of the compiler still run")
    limit = time.monotonic() + 10
    while any(map(_is_alive, running)) and time.monotonic() < limit:
        time.sleep(0.005)


def _is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


# -- other faults --------------------------------------------------------------------------------------------


def torture_with_truncation(directory: Path, runs: int, draw: random.Random, report: Report) -> None:
    """Rewrite an input in place, as linkers and cp do, while commands read it."""
    path = directory / "input"
    commands: tuple[tuple[Path, list[str]], ...] = (
        (OBJECT, ["count", str(path)]),
        (directory / "vmlinux", ["check", str(path)]),
        (directory / "vmlinux", ["stubs", str(path)]),
    )
    for _ in range(runs):
        source, words = draw.choice(commands)
        data = source.read_bytes()
        path.write_bytes(data)
        scenario = Scenario("truncation", directory, words, [])
        length = draw.randrange(len(data))
        delay = draw.uniform(0, 0.03)

        def fault(_process: int, delay: float = delay, length: int = length, data: bytes = data) -> None:
            time.sleep(delay)
            os.truncate(path, length)
            path.write_bytes(data)

        ended = scenario.run(fault)
        report.counts["inputs cut short"] += 1
        if ended.status not in {0, 1, 2} or "internal error" in ended.err or "Traceback" in ended.err:
            report.problem(f"{words[0]} on a file being rewritten: {ended.status}: {ended.err[:300]}")


def torture_with_full_disk(directory: Path, runs: int, draw: random.Random, report: Report) -> None:
    """Give the outputs a file system that is nearly full."""
    for _ in range(runs):
        with _small_disk(directory, 256 << 10) as disk:
            if disk is None:
                report.counts["full disks (not tested: needs root)"] = 1
                return
            for scenario in scenarios(Path(tempfile.mkdtemp(dir=disk))):
                scenario.reset()
                _fill(disk, draw.choice((0, 0, 4096, 8192)))
                before = scenario.contents()
                ended = scenario.run(None)
                after = scenario.contents()
                report.counts["full disks"] += 1
                done = ended.status == scenario.normal and after == scenario.new
                changed = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
                accepted = ["a.S"] if scenario.name == "hook" else []  # written first
                refused = ended.status == 2 and ended.err and changed in ([], accepted)
                if not done and not refused:
                    report.problem(
                        f"{scenario.name} on a full disk: {ended.status}, changed {changed}: {ended.err[:300]}"
                    )
                (disk / "filler").unlink(missing_ok=True)


@contextmanager
def _small_disk(directory: Path, size: int) -> Iterator[Path | None]:
    disk = directory / "disk"
    disk.mkdir(exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def _fill(disk: Path, left: int) -> None:
    """Leave that number of bytes free."""
    status = os.statvfs(disk)
    with suppress(OSError), (disk / "filler").open("wb") as file:
        file.write(bytes(max(0, status.f_bavail * status.f_frsize - left)))


def torture_with_writers(scenario: Scenario, runs: int, report: Report) -> None:
    """Start several runs at once that write the same outputs."""
    for _ in range(runs):
        scenario.reset()
        with Path(os.devnull).open("wb") as null:
            processes = [scenario.fork(null.fileno()) for _ in range(4)]
            statuses = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
        report.counts["concurrent writers"] += len(processes)
        if set(statuses) != {scenario.normal}:
            report.problem(f"{scenario.name}, four at once: exit statuses {statuses}")
        found = scenario.contents()
        if found != scenario.new:
            changed = sorted(
                n for n in found.keys() | scenario.new.keys() if found.get(n) != scenario.new.get(n)
            )
            report.problem(f"{scenario.name}, four at once: {changed} differ")


def _import_everything() -> None:
    """Import what the commands import when they run: their copies then spend their time on files."""
    import jinja2  # noqa: F401

    import pfestubs

    for module in pkgutil.walk_packages(pfestubs.__path__, "pfestubs."):
        if not module.name.endswith("__main__"):
            import_module(module.name)


def _torture(options: argparse.Namespace, report: Report) -> None:
    draw = random.Random(options.seed)
    other = max(1, options.signals // 20)

    def wanted(name: str) -> bool:
        return options.only in {None, name}

    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=base) as name:
        directory = Path(name)
        _import_everything()
        found = scenarios(directory)
        for number in range(options.signals if wanted("signals") else 0):
            torture_with_signals(found[number % len(found)], draw, report)
        if wanted("truncation"):
            torture_with_truncation(directory, other, draw, report)
        if wanted("disk"):
            torture_with_full_disk(directory, max(1, other // 4), draw, report)
        for scenario in found if wanted("writers") else ():
            torture_with_writers(scenario, max(1, other // 8), report)


def main() -> int:
    """Run everything; return 1 if there was a violation."""
    parser = argparse.ArgumentParser(prog="torture")
    parser.add_argument("signals", type=int, nargs="?", default=1000, help="how many are sent")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=("signals", "truncation", "disk", "writers"))
    options = parser.parse_args()
    report = Report()
    with suppress(KeyboardInterrupt):  # what was done so far is reported
        _torture(options, report)
    for name, count in report.counts.items():
        print(f"{name:40}{count:>9,}")
    print(f"{'violations':40}{len(report.problems):>9,}")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
