# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults at random moments against the commands that write files: `make torture N=1000`.

Signals (HUP, INT, TERM, KILL), inputs that are cut short while they are read, full disks, several writers at
once. After each run every output must be the old one or the new one, whole; but for SIGKILL nothing else may
be left; the exit status and the messages must be those of the contract. The exit status is 1 if anything was
against it.
"""

import argparse
import os
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
from pathlib import Path
from typing import Final, NamedTuple

from foreign import import_pfestubs
from support import FIXTURES, OBJECTS, shell_script
from support.kernelwriter import LinkedKernel

SIGNALS: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
OBJECT: Final = OBJECTS / "ool-ppc64le-gnu.o"
_TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
_MAKEFILES: Final = ("arch/powerpc/tools/Makefile", "arch/powerpc/Makefile.postlink")

# A compiler that takes a while and starts a process of its own.
_COMPILER: Final = """
echo $$ >> {pids}
while [ "$1" != -o ]; do shift; done
sleep 0.03 & echo $! >> {pids}
wait
cp {object} "$2"
"""


class Ended(NamedTuple):
    """How a run ended: `status` as subprocess gives it, negative for a signal."""

    status: int
    err: str

    def is_clean(self, *statuses: int) -> bool:
        """Whether it ended with one of these, and with a sentence at most."""
        return self.status in statuses and "Traceback" not in self.err and "internal error" not in self.err


class Report(Counter[str]):
    """What was counted, and how much was against the contract."""

    def problem(self, text: str) -> None:
        """Record and show a violation."""
        self["violations"] += 1
        print(f"problem: {text}", file=sys.stderr, flush=True)


class Scenario:
    """A command that writes `outputs` (paths below its directory), and the directory in its old state."""

    def __init__(
        self, directory: Path, name: str, words: Sequence[object], outputs: Sequence[str], compiler: str = ""
    ) -> None:
        self.directory, self.name, self.outputs = directory, name, outputs
        self.words = [str(word) for word in words]
        self.environment = {"CC": compiler}
        self.pids = directory.parent / "pids"
        self.old: dict[str, bytes] = self.contents()
        self.new: dict[str, bytes] = {}
        self.normal, self.seconds = 0, 0.0

    def prepare(self) -> None:
        """Learn the new state, and how long a run takes."""
        for _ in range(2):  # the first run fills caches
            self.reset()
            started = time.monotonic()
            ended = self.run()
            self.seconds = time.monotonic() - started
        self.normal = ended.status
        self.new = self.contents()
        assert self.normal in {0, 1}, ended
        assert all(self.new[name] != self.old.get(name) for name in self.outputs), self.name

    def reset(self) -> None:
        """Put the old state back."""
        for name in self.contents().keys() - self.old.keys():
            (self.directory / name).unlink()
        for name, data in self.old.items():
            (self.directory / name).write_bytes(data)
        self.pids.unlink(missing_ok=True)

    def contents(self) -> dict[str, bytes]:
        """Return every file below the directory."""
        files = sorted(path for path in self.directory.rglob("*") if path.is_file())
        return {str(path.relative_to(self.directory)): path.read_bytes() for path in files}

    def run(self, fault: Callable[[int], None] = lambda _: None) -> Ended:
        """Run the command; `fault` gets its process while it runs."""
        with tempfile.TemporaryFile() as err:
            process = self.fork(err.fileno())
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
    cc = shell_script(directory / "cc", _COMPILER.format(object=OBJECT, pids=directory / "pids"))
    tree = directory / "tree"
    shutil.copytree(FIXTURES / "trees" / "mainline-7.2", tree)

    def place(name: str, *files: str) -> Path:
        path = directory / name
        path.mkdir()
        for file in files:
            (path / file).write_bytes(b"old\n")
        return path

    objects, checks, hooks = place("generate", "a.S"), place("check", "a.json"), place("hook", "a.S", "a.o")
    check = ["check", "--format", "json", "-o", checks / "a.json", kernel]
    found = [
        Scenario(objects, "generate -o", ["generate", "-o", objects / "a.S", OBJECT], ["a.S"]),
        Scenario(checks, "check -o", check, ["a.json"]),
        Scenario(hooks, "hook", ["hook", OBJECT, hooks / "a.o"], ["a.S", "a.o"], str(cc)),
        Scenario(tree, "kbuild install", ["kbuild", "install", tree], _MAKEFILES),
    ]
    for scenario in found:
        scenario.prepare()
    return found


# -- signals -------------------------------------------------------------------------------------------------


def torture_with_signals(scenario: Scenario, draw: random.Random, report: Report) -> None:
    """Send one signal, or two, at a random moment of one run; hold the outcome against the contract."""
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
    what = f"{scenario.name}, {number.name}"
    is_kill, is_complete = number == signal.SIGKILL, ended.status == scenario.normal
    report.update(["signals", number.name, "completed" if is_complete else "ended by the signal"])
    # A process that has not begun the program yet is ended by the signal itself.
    if not ended.is_clean(scenario.normal, -number, *([] if is_kill else [128 + number])):
        report.problem(f"{what}: exit status {ended.status}: {ended.err[-300:]}")
    if _wait_for_tools(scenario) and not is_kill and not is_complete:
        report.problem(f"{what}: processes of the compiler still run")
    found = {n: data for n, data in scenario.contents().items() if not (is_kill and _TEMPORARY.search(n))}
    if strays := sorted(found.keys() - scenario.old.keys() - scenario.new.keys()):
        report.problem(f"{what}: left {strays}")
    states = set()
    for name in scenario.outputs:
        known = {scenario.old.get(name): "old", scenario.new[name]: "new"}
        states.add(known.get(found.get(name), "broken"))
    # A compiler that is ended leaves the new assembly file next to the old object.
    mixed = is_kill or scenario.name == "hook"
    if "broken" in states or (is_complete and states != {"new"}) or not (mixed or len(states) == 1):
        report.problem(f"{what}: status {ended.status}, the outputs are {states}")
    if is_kill:
        ended = scenario.run()
        found = {name: data for name, data in scenario.contents().items() if not _TEMPORARY.search(name)}
        if ended.status != scenario.normal or found != scenario.new:
            report.problem(f"{what}: the next run ended with {ended.status}: {ended.err[:300]}")


def _wait_for_tools(scenario: Scenario) -> bool:
    """Wait for the compiler and what it started; return whether they still ran."""
    if not scenario.pids.exists():
        return False
    running = [int(word) for word in scenario.pids.read_text().split() if _is_alive(int(word))]
    limit = time.monotonic() + 10
    while any(map(_is_alive, running)) and time.monotonic() < limit:
        time.sleep(0.005)
    return bool(running)


def _is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


# -- other faults --------------------------------------------------------------------------------------------


def torture_with_truncation(directory: Path, draw: random.Random, report: Report) -> None:
    """Rewrite an input in place, as linkers and cp do, while a command reads it."""
    path = directory / "input"
    command = draw.choice(("count", "check", "stubs"))
    data = (OBJECT if command == "count" else directory / "vmlinux").read_bytes()
    path.write_bytes(data)
    length, delay = draw.randrange(len(data)), draw.uniform(0, 0.03)

    def fault(_process: int) -> None:
        time.sleep(delay)
        os.truncate(path, length)
        path.write_bytes(data)

    ended = Scenario(directory, "truncation", [command, path], []).run(fault)
    report["inputs cut short"] += 1
    if not ended.is_clean(0, 1, 2):
        report.problem(f"{command} on a file being rewritten: {ended.status}: {ended.err[:300]}")


def torture_with_full_disk(directory: Path, draw: random.Random, report: Report) -> None:
    """Give the outputs a file system that is nearly full."""
    with _small_disk(directory / "disk", 256 << 10) as disk:
        for scenario in scenarios(Path(tempfile.mkdtemp(dir=disk))) if disk else ():
            scenario.reset()
            _fill(
                scenario.directory, draw.choice((0, 0, 4096, 8192)), filler := directory / "disk" / "filler"
            )
            ended = scenario.run()
            after = scenario.contents()
            report["full disks"] += 1
            changed = _changed(scenario.old, after)
            accepted = ["a.S"] if scenario.name == "hook" else []  # written first
            refused = ended.status == 2 and ended.err and changed in ([], accepted)
            if not refused and (ended.status, after) != (scenario.normal, scenario.new):
                text = f"{ended.status}, changed {changed}: {ended.err[:300]}"
                report.problem(f"{scenario.name} on a full disk: {text}")
            filler.unlink(missing_ok=True)


def _changed(before: dict[str, bytes], after: dict[str, bytes]) -> list[str]:
    return sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))


@contextmanager
def _small_disk(disk: Path, size: int) -> Iterator[Path | None]:
    """Mount a file system of `size` bytes; None where that is not permitted."""
    disk.mkdir(exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def _fill(directory: Path, left: int, filler: Path) -> None:
    """Leave that number of bytes free in the file system of a directory."""
    status = os.statvfs(directory)
    with suppress(OSError), filler.open("wb") as file:
        file.write(bytes(max(0, status.f_bavail * status.f_frsize - left)))


def torture_with_writers(scenario: Scenario, report: Report) -> None:
    """Start several runs at once that write the same outputs."""
    scenario.reset()
    with Path(os.devnull).open("wb") as null:
        processes = [scenario.fork(null.fileno()) for _ in range(4)]
        statuses = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    report["concurrent writers"] += len(processes)
    changed = _changed(scenario.contents(), scenario.new)
    if changed or set(statuses) != {scenario.normal}:
        report.problem(f"{scenario.name}, four at once: exit statuses {statuses}, {changed} differ")


def main() -> int:
    """Run everything; return 1 if there was a violation."""
    parser = argparse.ArgumentParser(prog="torture")
    parser.add_argument("signals", type=int, nargs="?", default=1000, help="how many are sent")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    report, draw = Report(violations=0), random.Random(options.seed)
    import_pfestubs()  # what is forked spends its time on files
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    # What was done so far is reported after Ctrl-C.
    with suppress(KeyboardInterrupt), tempfile.TemporaryDirectory(dir=base) as name:
        directory = Path(name)
        found = scenarios(directory)
        for number in range(options.signals):
            torture_with_signals(found[number % len(found)], draw, report)
        for _ in range(max(1, options.signals // 20)):
            torture_with_truncation(directory, draw, report)
        for _ in range(max(1, options.signals // 80)):
            torture_with_full_disk(directory, draw, report)
        for scenario in found * max(1, options.signals // 160):
            torture_with_writers(scenario, report)
    for name, count in report.items():
        print(f"{name:40}{count:>9,}")
    return 1 if report["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
