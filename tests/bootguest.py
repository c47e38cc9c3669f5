# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot a powerpc64 kernel in QEMU, dump the guest's memory, and let `pfestubs verify` look at it.

As a script: `python tests/bootguest.py VMLINUX`, three boots: idle, with function tracing from the command
line, and with init memory freed. As a module: `boot` makes one dump.

The guest has no disk and no network. Its console is QEMU's standard output; QEMU is told what to do over a
Unix socket in a temporary directory.
"""

import fnmatch
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

QEMU: Final = "qemu-system-ppc64"
MEMORY: Final = "512M"
FILTER: Final = "vfs_*"
_LAST_LINES: Final = 30
_MAX_WEAK_OFFSET: Final = 16
"""A location farther from its symbol belongs to a replaced weak function (FTRACE_MCOUNT_MAX_OFFSET)."""
_ALLOCATING: Final = re.compile(r"ftrace: allocating (\d+) entries")

# What the console shows when a boot has come far enough. Boot has one thread then: a later message proves
# that what was announced is done.
STUBS_WRITTEN: Final = re.compile(r"ftrace: (allocated \d+ pages|failed).*\n.*\n")
TRACING: Final = re.compile(r"Starting tracer '\w+'.*\n.*\n.*\n")
INIT_FREED: Final = re.compile(r"Run /init as init process")


class BootError(Exception):
    """The guest did not come as far as it should; the message ends with its console."""


@dataclass(frozen=True)
class Guest:
    """A paused guest, its memory in a file.

    Attributes:
        console: what it said.
        entries: the number in "ftrace: allocating N entries", None if it never came so far.
        dump: the ELF core.
        seconds: from start to stop.
    """

    console: str
    entries: int | None
    dump: Path
    seconds: float


class _Monitor:
    """QEMU's machine protocol (QMP): one JSON document a line."""

    def __init__(self, path: Path, process: subprocess.Popen[bytes]) -> None:
        self.events: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self._socket.connect(str(path))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if process.poll() is not None:
                    raise BootError(f"{QEMU} ended with {process.returncode} before it began") from None
                time.sleep(0.05)
        self._stream = self._socket.makefile("rw", encoding="utf-8")
        self._read()
        self.ask("qmp_capabilities")

    def _read(self) -> dict[str, Any]:
        line = self._stream.readline()
        if not line:
            raise BootError(f"{QEMU} closed its monitor")
        answer: dict[str, Any] = json.loads(line)
        if "event" in answer:
            self.events.append(answer["event"])
        return answer

    def ask(self, command: str, **arguments: Any) -> Any:
        self._stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._stream.flush()
        while True:
            answer = self._read()
            if "error" in answer:
                raise BootError(f"{QEMU}: {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


@contextmanager
def boot(
    vmlinux: Path,
    append: str = "",
    *,
    until: re.Pattern[str] = STUBS_WRITTEN,
    initramfs: bytes = b"",
    memory: str = MEMORY,
    dump: bool = True,
    timeout: float = 600,
) -> Iterator[Guest]:
    """Boot `vmlinux` until its console shows `until` or it panics, and dump its memory.

    Args:
        vmlinux: the kernel.
        append: words for its command line.
        until: what ends the boot.
        initramfs: its root file system (`cpio`).
        memory: how much it has.
        dump: dump it.
        timeout: seconds for the boot.

    Raises:
        BootError: it ended otherwise.
    """
    if shutil.which(QEMU) is None:
        raise BootError(f"{QEMU} is not installed (Debian: qemu-system-ppc)")
    with tempfile.TemporaryDirectory(prefix="pfestubs-boot-") as directory:
        scratch = Path(directory)
        command = [
            QEMU,
            *("-M", "pseries,cap-htm=off", "-cpu", "POWER9", "-m", memory),
            *("-nodefaults", "-nographic", "-vga", "none", "-serial", "stdio"),
            *("-qmp", f"unix:{scratch}/monitor,server=on,wait=off"),
            *("-action", "panic=pause,shutdown=pause,reboot=shutdown"),
            *("-kernel", str(vmlinux), "-append", f"console=hvc0 {append}".strip()),
        ]
        if initramfs:
            archive = scratch / "initramfs"
            archive.write_bytes(initramfs)
            command += ["-initrd", str(archive)]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            try:
                yield _drive(process, scratch, dump, until, timeout)
            finally:
                process.kill()


def _drive(
    process: subprocess.Popen[bytes], scratch: Path, dump: bool, until: re.Pattern[str], timeout: float
) -> Guest:
    began = time.monotonic()
    heard: list[bytes] = []

    def listen() -> None:
        assert process.stdout is not None
        while chunk := process.stdout.read1(65536):  # type: ignore[attr-defined]
            heard.append(chunk)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()

    def console() -> str:
        return b"".join(heard).decode(errors="replace").replace("\r", "")

    monitor = None
    try:
        monitor = _Monitor(scratch / "monitor", process)
        while monitor.ask("query-status")["running"]:
            if until.search(console()):
                break
            if time.monotonic() - began > timeout:
                raise BootError(f"its console did not show {until.pattern!r} within {timeout:g} seconds")
            time.sleep(0.1)
        monitor.ask("stop")
        seconds = time.monotonic() - began
        core = scratch / "memory.core"
        if dump:
            monitor.ask("dump-guest-memory", paging=False, protocol=f"file:{core}")
        found = _ALLOCATING.search(console())
        return Guest(console(), int(found[1]) if found else None, core, seconds)
    except BootError as e:
        raise BootError("\n".join([str(e), *console().splitlines()[-_LAST_LINES:]])) from e
    finally:
        if monitor is not None:
            with suppress(OSError):
                monitor.close()


def cpio(members: Iterable[tuple[str, int, bytes]]) -> bytes:
    """Return an initramfs (cpio, "newc"): the path, the mode and the content of each member."""
    archive = []
    for inode, (name, mode, content) in enumerate([*members, ("TRAILER!!!", 0, b"")], 1):
        fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name.encode()) + 1, 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        archive += [head, bytes(-len(head) % 4), content, bytes(-len(content) % 4)]
    return b"".join(archive)


NO_PROGRAM: Final = cpio([("init", 0o100755, b"not a program\n")])
"""With it a kernel comes as far as `INIT_FREED`."""


def filtered_locations(vmlinux: Path, pattern: str) -> dict[int, str]:
    """The locations that `ftrace_filter=PATTERN` selects, by address: those of functions of such a name.

    Mirrors `kernel/trace/ftrace.c: ftrace_match_record` and `test_for_valid_rec`.
    """
    from pfestubs.read.vmlinux import open_kernel

    with open_kernel(str(vmlinux)) as kernel:
        wanted = {a: n for n, a in kernel.symbols.code_names() if fnmatch.fnmatchcase(n, pattern)}
        return {
            location: wanted[address]
            for location in kernel.table
            for address in range(location, location - _MAX_WEAK_OFFSET - 1, -4)
            if address in wanted
        }


def main(name: str) -> int:
    """Boot a kernel three times; 0 if memory was as predicted in each, 1 if not, 2 if it did not boot."""
    vmlinux, good = Path(name), True
    traced = filtered_locations(vmlinux, FILTER)
    boots: tuple[tuple[str, Mapping[int, str], dict[str, Any]], ...] = (
        ("", {}, {}),
        (f"ftrace=function ftrace_filter={FILTER}", traced, {"until": TRACING}),
        ("", {}, {"until": INIT_FREED, "initramfs": NO_PROGRAM, "timeout": 200}),
    )
    for append, expected, how in boots:
        print("== init memory freed" if "initramfs" in how else f"== {append or 'idle'}")
        try:
            with boot(vmlinux, append, **how) as guest:
                good &= _compare(vmlinux, guest, expected)
        except BootError as e:
            if "initramfs" not in how:
                print(f"{vmlinux}: error: {e}", file=sys.stderr)
                return 2
            # A kernel with self-tests built in can take minutes to come there.
            print(f"not compared: {str(e).splitlines()[0]}")
    print("ok" if good else "FAILED: memory is not as predicted")
    return 0 if good else 1


def _compare(vmlinux: Path, guest: Guest, expected: Mapping[int, str]) -> bool:
    """Show what `verify` says, and compare with the kernel's own count and with the functions traced."""
    said = "nothing of ftrace" if guest.entries is None else f"{guest.entries:,} ftrace entries"
    print(f"booted in {guest.seconds:.0f} s; the kernel says: {said}", flush=True)
    command = [sys.executable, "-m", "pfestubs", "verify", str(vmlinux), str(guest.dump)]
    subprocess.run(command, stderr=subprocess.STDOUT, check=False)
    done = subprocess.run([*command, "--format", "json"], stdout=subprocess.PIPE, check=False)
    if not done.stdout:
        return False
    document = json.loads(done.stdout)
    in_use = {int(f["location"], 16) for f in document["findings"] if f["state"] == "in use"}
    print(f"in use: {len(in_use):,}, expected: {len(expected):,}", flush=True)
    return done.returncode == 0 and document["stubs"] == guest.entries and in_use == set(expected)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
