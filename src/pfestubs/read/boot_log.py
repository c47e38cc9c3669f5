# SPDX-License-Identifier: GPL-2.0-or-later
"""Read a boot log: messages of ftrace, the kernel's identity, addresses with their symbols.

Logs come from dmesg, /dev/kmsg, a serial console, the journal, syslog or a mail. A line that is wrapped or
mixed up with another one is lost, nothing else. Memory does not depend on the log's length.
"""

from __future__ import annotations

import errno
import os
import re
import select
import stat
import sys
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Final

from pfestubs.errors import UnreadableError, UnsuitableError
from pfestubs.model.boot_log import (
    BootLog,
    BugError,
    BugPhase,
    CodeAddress,
    LoggedBoot,
    LogMessage,
    MessageKind,
    MessageSource,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

STANDARD_INPUT: Final = "standard input"
BYTES_MAX: Final = 256 << 20
"""Bytes of a log that are read: standard input may never end."""
LINES_MAX: Final = 5_000_000
"""Lines that are read: as many bytes of the shortest lines would take minutes."""
LINE_MAX: Final = 4096
"""Bytes of a line that are looked at; the kernel's own limit is 1,024 plus what loggers prepend."""
MESSAGES_MAX: Final = 1000
"""Messages that are kept; a kernel that fails prints fewer than ten."""
BOOTS_MAX: Final = 1000
SIGHTINGS_MAX: Final = 200
"""Addresses with symbols that are kept per boot."""
_WRITER_WAIT: Final = 1.0
"""Seconds that the writer of a FIFO has to open it: it may have been started in the background."""
_BLOCK_LINES: Final = 40
"""Lines in which the parts of an `ftrace_bug` message are looked for."""
_BANNER_LINES: Final = 4
"""Lines after a banner over which it may be wrapped."""
_PIECE_MAX: Final = 256
"""Characters of such a line that are kept."""

_ARCH: Final = "arch/powerpc/kernel/trace/ftrace.c"
_CORE: Final = "kernel/trace/ftrace.c"
_SYMBOL: Final = r"(?P<symbol>[A-Za-z_.$][\w.$]*)\+0x(?P<offset>[0-9a-f]{1,8})/0x[0-9a-f]{1,8}"
_WARNING: Final = r"WARNING: (?:\[.{1,200}?\] )?(?:CPU: \d+ PID: \d+ at )?(?:\S*/)?"
"""Up to the file: `WARNING: FILE:LINE at FUNCTION` since 6.18, before with CPU and PID and without "at"."""
_WARNED: Final = r":\d+ (?:at )?(?P<caller>{})(?![\w.])"
_ANY_FUNCTION: Final = r"[A-Za-z_][\w.]*"

MESSAGES: Final = tuple(
    (re.compile(pattern), MessageSource(kind, file, functions, since, until))
    for kind, pattern, file, functions, since, until in (
        (
            MessageKind.ALLOCATING,
            r"ftrace: allocating (?P<count>\d{1,12}) entries in \d+ pages",
            _CORE,
            ("ftrace_process_locs", "ftrace_init"),
            "2.6.28",
            "",
        ),
        (
            MessageKind.ALLOCATED,
            r"ftrace: allocated \d+ pages with \d+ groups",
            _CORE,
            ("ftrace_init",),
            "5.6",
            "",
        ),
        (
            MessageKind.NO_FUNCTIONS,
            r"ftrace: No functions to be traced\?",
            _CORE,
            ("ftrace_init",),
            "2.6.28",
            "",
        ),
        (
            MessageKind.NO_MEMORY,
            r"ftrace: (?:FAILED to allocate memory for functions|failed to allocate entries for functions)",
            _CORE,
            ("ftrace_allocate_pages", "ftrace_init"),
            "3.3",
            "",
        ),
        (
            MessageKind.MODULE_SKIPPED,
            r"ftrace: failed to allocate entries for module '(?P<module>[\w-]+)' functions",
            _CORE,
            ("ftrace_module_init",),
            "6.3",
            "",
        ),
        (
            MessageKind.BUG,
            r"-\[ ftrace bug \]-"
            r"|ftrace (?P<error>failed to modify|faulted on (?:modifying|writing|unknown error))"
            r"(?:\s+\[<(?P<ip>[0-9a-f]{8,16})>\](?: " + _SYMBOL + r"(?: \[(?P<module>[\w-]+)\])?)?)?",
            _CORE,
            ("ftrace_bug",),
            "2.6.30",
            "",
        ),
        (
            MessageKind.ARCH_WARNING,
            _WARNING + r"arch/powerpc/kernel/(?:trace/)?ftrace\.c" + _WARNED.format(_ANY_FUNCTION),
            _ARCH,
            ("ftrace_init_nop", "ftrace_init_ool_stub"),
            "6.13",
            "",
        ),
        (
            MessageKind.BUG_WARNING,
            _WARNING + r"kernel/trace/ftrace\.c" + _WARNED.format("ftrace_bug"),
            _CORE,
            ("ftrace_bug",),
            "2.6.30",
            "",
        ),
        (
            MessageKind.CORE_WARNING,
            _WARNING + r"kernel/trace/ftrace\.c" + _WARNED.format(_ANY_FUNCTION),
            _CORE,
            (),
            "2.6.30",
            "",
        ),
        (
            MessageKind.STUB_OUT_OF_RANGE,
            r"ftrace (?:ool|pfe) stub out of range"
            r" \((?:0x)?(?:(?P<ip>[0-9a-f]{8,16})|\S+) -> \S+\)",
            _ARCH,
            ("ftrace_init_ool_stub",),
            "6.13",
            "",
        ),
        (
            MessageKind.NO_TRAMPOLINE,
            r"0x[0-9a-f]{8,16}(?: \(0x(?P<ip>[0-9a-f]{8,16})\))?: No ftrace stubs reachable",
            _ARCH,
            ("ftrace_get_call_inst",),
            "6.6",
            "",
        ),
        (
            MessageKind.WRONG_INSTRUCTION,
            r"0x(?P<ip>[0-9a-f]{8,16}): expected \((?:(?P<expected>[0-9a-f]{8,16})|bl)\)"
            r" != found \((?P<found>[0-9a-f]{8,16})\)",
            _ARCH,
            ("ftrace_validate_inst", "ftrace_init_nop"),
            "6.6",
            "",
        ),
        (
            MessageKind.FETCH_FAILED,
            r"0x(?P<ip>[0-9a-f]{8,16}): fetching instruction failed",
            _ARCH,
            ("ftrace_read_inst",),
            "6.6",
            "",
        ),
        (
            MessageKind.UNEXPECTED_TARGET,
            r"0x[0-9a-f]{8,16}(?: \(0x(?P<ip>[0-9a-f]{8,16})\))?: Unexpected target address"
            r"|Unexpected target address",
            _ARCH,
            ("ftrace_get_call_inst",),
            "6.13",
            "",
        ),
        (
            MessageKind.UNEXPECTED_CALL,
            r"Unexpected call sequence(?: at (?:0x)?(?P<ip>[0-9a-f]{8,16}))?",
            _ARCH,
            ("__ftrace_make_call",),
            "3.14",
            "6.5",
        ),
        (
            MessageKind.TRACER_TOO_FAR,
            r"Address of (?P<caller>\S+) out of range of (?:kernel_toc|pcrel address)",
            _ARCH,
            ("ftrace_dyn_arch_init",),
            "4.20",
            "",
        ),
        (
            MessageKind.NO_MODULE,
            r"(?:No module loaded at addr=|0x(?=[0-9a-f]+: No module provided for non-kernel address))"
            r"(?P<ip>[0-9a-f]{8,16})",
            _ARCH,
            ("ftrace_init_nop", "ftrace_lookup_module_stub"),
            "6.6",
            "",
        ),
    )
)
"""Every message that is explained, by pattern, with where the kernel prints it and since which version."""

_PHASES: Final = {
    "Initializing ftrace call sites": BugPhase.INIT,
    "Setting ftrace call site to NOP": BugPhase.NOP,
    "Setting ftrace call site to call ftrace function": BugPhase.CALL,
    "Updating ftrace call site to call a different ftrace function": BugPhase.UPDATE,
}
_ESCAPES: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()*+][0-9A-Za-z]|[0-~])"
)
_CALLER_ID: Final = r"(?:\[ *[TC]\d+\])?"
# What a logger puts before a message, taken off as often as it matches.
_PREFIXES: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?:> ?)+",  # quoted in a mail
        r"<\d{1,3}>",  # level: dmesg --raw, pstore, a serial console with ignore_loglevel
        rf"\[ *\d+\.\d+(?: <[ \d.]+>)?\]{_CALLER_ID} ?",  # printk.time, dmesg -d
        r"\[ *\+\d+\.\d+\] ?|\[[A-Z][a-z]{2}\d\d \d\d:\d\d\] ?",  # dmesg -e
        r"\[ *[TC]\d+\] ?",
        r"\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\] ?",  # dmesg -T
        r"\d,\d+,\d+,[^;]{1,60};",  # /dev/kmsg
        r"[a-z0-9]+ *:[a-z]+ *: ",  # dmesg -x
    )
)
_STAMP: Final = (
    r"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)?|\d{4}-\d\d-\d\dT[\d:.,]+(?:Z|[+-]\d\d:?\d\d)?"
    r"|[A-Z][a-z]{2} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? [A-Z]{2,5}|\d{10}\.\d+)"
)
_SYSLOG: Final = re.compile(
    rf"{_STAMP} [^\s:]+ (?P<program>[^\s:\[]+)(?:\[\d+\])?:(?: |$)"
    r"|\[ *\d+\.\d+\] [^\s:]+ (?P<kernel>kernel):(?: |$)"  # journalctl -o short-monotonic
)
_ISO_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)? ")
_UNKNOWN_PREFIX: Final = re.compile(rf"[^\[]{{1,200}}(?=\[ *\d+\.\d{{6}}\]{_CALLER_ID})")
_BANNER: Final = re.compile(r"(?P<announced>Preparing to boot )?(?P<banner>Linux version \d\S* .*)")
_BANNER_BUILD: Final = re.compile(r"\) #\d+ ")
_CODE: Final = re.compile(rf"\[<?(?P<ip>[0-9a-f]{{8,16}})>?\] {_SYMBOL}(?: \[(?P<module>[\w-]+)\])?(?!\S)")
_BUG_CODE: Final = re.compile(r"\s*\[<(?P<ip>[0-9a-f]{8,16})>\]")
_BUG_HEADER: Final = "[ ftrace bug ]"
_EXPECTED_TRACER: Final = re.compile(r"expected tramp: ([0-9a-f]{8,16})")
_FIRST_TRACER: Final = "ftrace_caller"
"""What a call site is made to call first."""
_INTERESTING: Final = re.compile(
    rb"ftrace|Linux version|\+0x[0-9a-f]+/0x|\[<|Unexpected |Address of |No module"
)
_KERNEL_LIKE: Final = re.compile(rb"\[ *\+?\d+\.\d|\[[A-Z][a-z]{2}|kernel|<\d{1,3}>|:[a-z]+ *: |^\d,\d+,\d+,")
"""What a line must have to be looked at before the first line that is known to be the kernel's."""
_MAGIC: Final = {
    b"\x7fELF": ("an ELF file", "give the log after the kernel"),
    b"\x1f\x8b": ("compressed with gzip", "pipe it: zcat LOG | pfestubs explain VMLINUX"),
    b"\xfd7zXZ\0": ("compressed with xz", "pipe it: xzcat LOG | pfestubs explain VMLINUX"),
    b"(\xb5/\xfd": ("compressed with zstd", "pipe it: zstdcat LOG | pfestubs explain VMLINUX"),
    b"LPKSHHRH": ("a journal in binary form", "pipe it: journalctl -k --file LOG | pfestubs explain VMLINUX"),
}


def read_boot_log(path: str | None) -> BootLog:
    """Read the log at `path`, or standard input if it is None or "-".

    Raises:
        UnreadableError: it cannot be read, or is too long.
        UnsuitableError: it is not text, or holds no message of a kernel.
    """
    name = STANDARD_INPUT if path in {None, "-"} else str(path)
    collector = _Collector()
    try:
        with _open(path) as stream:
            for number, raw in _lines(stream, name):
                collector.add(number, raw)
    except OSError as e:
        raise UnreadableError(name, f"cannot be read: {e.strerror or e}") from e
    log = collector.log(name)
    if not log.has_kernel_lines:
        problem = "is empty" if not log.lines else "holds no kernel message"
        raise UnsuitableError(name, problem, "give the output of dmesg, journalctl -k or a serial console")
    return log


@contextmanager
def _open(path: str | None) -> Iterator[IO[bytes]]:
    if path is not None and path != "-":
        # Without O_NONBLOCK, a FIFO without a writer waits for one.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(handle, "rb") as stream:
            _require_readable(handle)
            # The writer of a pipe and a serial line may be silent for a while; /dev/kmsg and /proc/kmsg end
            # where a read would wait for the next message.
            if os.isatty(handle) or stat.S_ISFIFO(os.fstat(handle).st_mode):
                os.set_blocking(handle, True)
            yield stream
        return
    if sys.stdin is None:
        raise OSError(9, os.strerror(9))
    yield sys.stdin.buffer


def _require_readable(handle: int) -> None:
    """Refuse a directory, and a FIFO that nobody has opened for writing; a writer gets a moment to do so.

    Raises:
        OSError: it is refused.
    """
    mode = os.fstat(handle).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISFIFO(mode) or select.select([handle], [], [], _WRITER_WAIT)[0]:
        return
    with suppress(BlockingIOError):  # nothing was written yet, but somebody is there to write
        if not os.read(handle, 1):
            raise OSError(errno.ENXIO, "it is a FIFO that nobody writes")


def _lines(stream: IO[bytes], name: str) -> Iterator[tuple[int, bytes]]:
    """Yield each line with its number, cut at `LINE_MAX` bytes."""
    number = size = 0
    continued = False
    while raw := stream.readline(LINE_MAX):
        if not size:
            _require_text(raw, name)
        size += len(raw)
        if size > BYTES_MAX or number > LINES_MAX:
            limit = f"{BYTES_MAX:,} bytes" if size > BYTES_MAX else f"{LINES_MAX:,} lines"
            raise UnreadableError(
                name, f"is longer than {limit}", "give the part with the boot, or journalctl -k -b"
            )
        if not continued:
            number += 1
            yield number, raw
        continued = not raw.endswith(b"\n")


def _require_text(start: bytes, name: str) -> None:
    for magic, (what, advice) in _MAGIC.items():
        if start.startswith(magic):
            raise UnsuitableError(name, f"is {what}, not a log", advice)


def strip_prefix(line: str) -> tuple[str, bool]:
    """Return a line's message without what loggers put before it, and whether it is known to be a kernel's.

    A line of another program than the kernel is "".
    """
    text, known = line, False
    while text:
        syslog = _SYSLOG.match(text)
        if syslog is not None:
            if (syslog["program"] or syslog["kernel"]) != "kernel":
                return "", False
            text, known = text[syslog.end() :], True
            continue
        for pattern in _PREFIXES:
            match = pattern.match(text)
            if match is not None:
                known = known or not match[0].startswith(">")
                text = text[match.end() :]
                break
        else:
            match = _ISO_TIME.match(text) or (None if known else _UNKNOWN_PREFIX.match(text))
            if match is None:
                break
            text = text[match.end() :]
    return text, known


def _is_whole(banner: str) -> bool:
    """Return whether a banner has a builder, a compiler and a build number, in this order."""
    compiler = banner.find(") (")
    return compiler > 0 and _BANNER_BUILD.search(banner, compiler) is not None


class _Boot:
    """A boot under way."""

    def __init__(self, banner: str | None, *, announced: bool = False) -> None:
        self.banner = banner
        self.announced = announced
        self.messages: list[LogMessage] = []
        self.sightings: list[CodeAddress] = []
        self.following: list[str] = []

    def logged(self) -> LoggedBoot:
        complete = self.banner is not None and _is_whole(self.banner)
        return LoggedBoot(self.banner, complete, self.messages, self.sightings, self.following)

    @property
    def is_empty(self) -> bool:
        """Whether nothing but a banner is known of it."""
        return not self.messages and not self.sightings


class _Collector:
    """What has been read of a log."""

    def __init__(self) -> None:
        self._boots = [_Boot(None)]
        self._lines = self._kept = self._omitted = 0
        self._has_kernel_lines = False
        self._bug_until = 0
        self._banner_until = 0

    def add(self, number: int, raw: bytes) -> None:
        """Take one line, which may hold several pieces between carriage returns."""
        self._lines = number
        in_block = number <= max(self._bug_until, self._banner_until)
        wanted = in_block or _INTERESTING.search(raw) is not None
        if not wanted and (self._has_kernel_lines or _KERNEL_LIKE.search(raw) is None):
            return
        text = _ESCAPES.sub("", raw.decode("utf-8", "backslashreplace"))
        for piece in text.strip("\r\n\0").split("\r"):
            self._add_piece(number, piece)

    def _add_piece(self, number: int, piece: str) -> None:
        text, known = strip_prefix(piece)
        banner = _BANNER.match(text)
        if banner is not None:
            self._start_boot(number, banner["banner"].rstrip(), announced=banner["announced"] is not None)
            known = True
        elif number <= self._banner_until:
            self._boots[-1].following.append(text[:_PIECE_MAX])
        known |= self._add_message(number, text)
        self._has_kernel_lines |= known

    def _start_boot(self, number: int, banner: str, *, announced: bool) -> None:
        """Start a boot, or go on with the one that the firmware's console announced (`prom_init`)."""
        last = self._boots[-1]
        if last.announced and last.is_empty and not announced:
            last.announced = False
            if _is_whole(banner) and not (last.banner or "").startswith(banner):
                last.banner = banner
                last.following.clear()
        elif len(self._boots) < BOOTS_MAX:
            self._boots.append(_Boot(banner, announced=announced))
        else:
            self._boots[-1] = _Boot(banner, announced=announced)
        self._banner_until = number + _BANNER_LINES
        self._bug_until = 0

    def _add_message(self, number: int, text: str) -> bool:
        """Look for a message, or for a part of the last one; return whether the line has either."""
        boot = self._boots[-1]
        for pattern, source in MESSAGES:
            match = pattern.search(text)
            if match is None:
                continue
            if source.kind is MessageKind.BUG and number <= self._bug_until and self._is_headed(boot):
                boot.messages.pop()  # the message itself, after the line that announces it (since 5.8)
                self._kept -= 1
            if self._kept >= MESSAGES_MAX:
                self._omitted += 1
                return True
            self._kept += 1
            boot.messages.append(_message(number, text, match, source))
            if source.kind is MessageKind.BUG:
                self._bug_until = number + _BLOCK_LINES
            return True
        if number <= self._bug_until and self._add_to_bug(boot, text):
            return True
        sighting = _CODE.search(text)
        if sighting is not None and len(boot.sightings) < SIGHTINGS_MAX:
            boot.sightings.append(_code(sighting))
        return sighting is not None

    @staticmethod
    def _is_headed(boot: _Boot) -> bool:
        last = boot.messages[-1] if boot.messages else None
        return last is not None and _BUG_HEADER in last.text and last.code is None

    def _add_to_bug(self, boot: _Boot, text: str) -> bool:
        """Add a line of an `ftrace_bug` message: the function, or what ftrace was doing."""
        position = next(
            i for i in reversed(range(len(boot.messages))) if boot.messages[i].kind is MessageKind.BUG
        )
        bug = boot.messages[position]
        phase = _PHASES.get(text.strip())
        tracer = _EXPECTED_TRACER.search(text)
        where = _BUG_CODE.match(text) if bug.code is None else None
        if phase is not None and bug.phase is None:
            boot.messages[position] = replace(bug, phase=phase)
        elif where is not None:
            sighting = _CODE.search(text)
            code = _code(sighting) if sighting is not None else CodeAddress(int(where["ip"], 16))
            boot.messages[position] = replace(bug, code=code)
            if sighting is not None and len(boot.sightings) < SIGHTINGS_MAX:
                boot.sightings.append(code)
        elif tracer is not None:
            self._bug_until = 0
            if bug.phase is BugPhase.INIT and len(boot.sightings) < SIGHTINGS_MAX:
                boot.sightings.append(CodeAddress(int(tracer[1], 16), _FIRST_TRACER))
        else:
            return False
        return True

    def log(self, name: str) -> BootLog:
        """Return the log, once every line is taken."""
        boots = [boot.logged() for boot in self._boots if boot.banner or boot.messages or boot.sightings]
        return BootLog(name, self._lines, self._has_kernel_lines, boots, self._omitted)


def _message(number: int, text: str, match: re.Match[str], source: MessageSource) -> LogMessage:
    groups = match.groupdict()
    found = {key: int(groups[key], 16) for key in ("expected", "found") if groups.get(key)}
    code = None
    if groups.get("ip"):
        code = _code(match)
    elif groups.get("module"):
        code = CodeAddress(None, module=groups["module"])
    return LogMessage(
        line=number,
        text=text.strip(),
        source=source,
        code=code,
        caller=groups.get("caller"),
        count=int(groups["count"]) if groups.get("count") else None,
        expected=found.get("expected"),
        found=found.get("found"),
        error=BugError(groups["error"]) if groups.get("error") else None,
    )


def _code(match: re.Match[str]) -> CodeAddress:
    groups = match.groupdict()
    symbol = groups.get("symbol")
    return CodeAddress(
        int(match["ip"], 16), symbol, int(groups["offset"], 16) if symbol else 0, groups.get("module")
    )
