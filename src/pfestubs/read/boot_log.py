# SPDX-License-Identifier: GPL-2.0-or-later
"""Read a boot log in any form: messages of ftrace, the kernel's identity, addresses with their symbols.

What the kernel prints is found by its own shape, anywhere in a line. What stands before it (stamps, levels,
hosts, quotes, keys of JSON) is learned from where such messages stand in this log, and decides whether the
kernel printed a line or another program. Memory does not depend on the log's length.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import re
import stat
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from pfestubs.errors import UnreadableError, UnsuitableError
from pfestubs.model.boot_log import (
    CODE,
    MESSAGES,
    SYMBOL,
    BootLog,
    BugError,
    BugPhase,
    CodeAddress,
    LoggedBoot,
    LogMessage,
    LostMessages,
    MessageKind,
    Proof,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

STANDARD_INPUT: Final = "standard input"
BYTES_MAX: Final = 256 << 20
"""Bytes of a log that are read: standard input may never end."""
MESSAGES_MAX: Final = 1000
"""Messages that are kept; a kernel that fails prints fewer than ten."""
_PLACES_MAX: Final = 8 * MESSAGES_MAX
"""Places of messages, and of what belongs to them, that are kept."""
_VOTES_MAX: Final = 500
"""Places up to which those are kept that only show where in a line the kernel's messages stand."""
SIGHTINGS_MAX: Final = 200
"""Addresses with symbols that are kept per boot, and register dumps that are read."""
_BLOCK_LINES: Final = 40
"""Lines in which the parts of an `ftrace_bug` message are looked for."""
_CHUNK: Final = 1 << 18
_CONTEXT: Final = 4096
"""Bytes around a message that are looked at; a message has 1,024 at most."""
_TEXT_MAX: Final = 1024
_PREFIX_MAX: Final = 400
"""Bytes before a message that are compared with those before others."""
_BANNER_LINES: Final = 4
"""Lines after a banner over which it may be wrapped."""

_BANNER, _CUT, _CODE, _PHASE, _TRACER, _RELEASE, _LOST = [
    "banner",
    "cut",
    "code",
    "phase",
    "tracer",
    "release",
    "lost",
]
_TRIGGER: Final = re.compile(
    rb"ftrace(?:: (?:alloc|No f|FAIL|fail)| fa[iu]|-powerpc: | (?:ool|pfe) stub|_init_ool_stub: )|WARNING: "
    rb"|Linux version \d|Preparing to boot L|---(?:-{9}\[ (?:ftrace bug|cut here) \]|\[ end trace )"
    rb"|\[<[0-9a-f]{8,16}>\]|0x[0-9a-f]{8,16}(?:: (?:expected|fetching|No |Unexp)| \(0x)"
    rb"|U(?:nexpected [tc]|pdating ftrace call)|Address of |No module l|Initializing ftrace call"
    rb"|Setting ftrace call|expected tramp: |CPU: \d|REGS: |\*\* \d{1,12} printk m|Missed \d"
)
"""The beginning of every message: letters, so that the search is one pass over the bytes."""
_TAINT: Final = r"(?:Not tainted|Tainted: [^\n\r#(]{1,60}?) +\(?(?P<release>\d+\.\d[^\s()]*)"
_STAMPED: Final = re.compile(rb"(?m)^(?:<\d+>)?\[ *\d+\.\d{6}\]")
_FORMS: Final = [
    (name, first.encode(), re.compile(pattern.encode()))
    for name, first, pattern in (
        *((row.kind.name, "fW-0UAN", row.pattern) for row in MESSAGES),
        (_BANNER, "LP", r"(?P<announced>Preparing to boot )?Linux version (?=\d)"),
        (_CUT, "-", r"-{12}\[ cut here \]-{12}|---\[ end trace [0-9a-f]{16} \]---"),
        (_CODE, "[", CODE),
        (_PHASE, "ISU", "|".join(phase.value for phase in BugPhase)),
        (_TRACER, "e", r"expected tramp: (?P<ip>[0-9a-f]{8,16})"),
        (_RELEASE, "C", rf"CPU: \d+ (?:UID: \d+ )?PID: \d+ Comm: [^\n\r]{{1,30}}? {_TAINT}"),
        (_RELEASE, "R", rf"REGS: [0-9a-f]{{8,16}} TRAP: [0-9a-f]{{3,4}} +{_TAINT}"),
        (_LOST, "*M", r"\*\* \d+ printk messages dropped \*\*|Missed \d+ kernel messages"),
    )
]
_BY_FIRST: Final = {
    first: [(name, pattern) for name, firsts, pattern in _FORMS if first in firsts]
    for first in set(b"".join(firsts for _, firsts, _ in _FORMS))
}
_SEEN: Final = re.compile(rf"\[(?P<ip>[0-9a-f]{{8,16}})\] {SYMBOL}".encode())
"""A register or a stack entry, in the lines after REGS."""
_ROWS: Final = {row.kind.name: row for row in MESSAGES}
_WHOLE: Final = frozenset(
    {_BANNER, _CUT, _CODE, _RELEASE}
    | {kind.name for kind in MessageKind if kind.value.endswith(("warning", "allocating", "allocated"))}
)
"""What is so much the kernel's own that it shows where in a line this log has the kernel's messages."""

# -- the form of the bytes -----------------------------------------------------------------------------------

_DRESSED: Final = (b"\x1b", b"\\", b"&", b"#0", b"^[", b"<br")
_DRESS: Final = re.compile(  # the first character outside every group makes the search fast
    rb"[\x1b\\&#^<](?:(?<=\\)\\*(?:(?P<end>[nrf]|01[245]|x0[acdACD]|u000[acdACD])"
    rb"|(?P<colour>(?:u001[bB]|x1[bB]|033|e)\[[0-?]*[ -/]*[@-~])"
    rb"|(?:u(?P<code>[0-9a-fA-F]{4})|x(?P<byte>[0-9a-fA-F]{2}))|(?P<mark>[\"'/])|t)"
    rb"|(?P<control>(?<=\x1b)(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)|[()*+][0-9A-Za-z]"
    rb"|[0-~])"
    rb"|(?:(?<=\^)|(?<=#)033)\[[0-?]*[@-~])"
    rb"|(?P<line>(?<=#)01[25]|(?<=&)#(?:10|13|x[aAdD]);|(?<=<)br ?/?>)"
    rb"|(?<=&)(?P<name>lt|gt|quot|amp|apos|#39);)"
)
_OPEN_ESCAPE: Final = re.compile(rb"(?:[\x1b\\&#^<][^\n]{0,15})?\Z")
_ENTITIES: Final = {
    b"lt": b"<",
    b"gt": b">",
    b"quot": b'"',
    b"amp": b"&",
    b"apos": b"'",
    b"#39": b"'",
}
_BREAKS: Final = bytes.maketrans(b"\0\v\f", b"\r\r\r")
_NUMBERS: Final = re.compile(rb'"MESSAGE" ?: ?\[([\d, \n\t]+)\]')
"""A message of `journalctl -o json` that is not printable."""
_BINARY: Final = re.compile(rb"(?m)^MESSAGE\n.{8}", re.DOTALL)
"""The same in `journalctl -o export`: a length, the text."""
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
            for chunk in _chunks(stream, name):
                collector.add(chunk)
    except OSError as e:
        raise UnreadableError(name, f"cannot be read: {e.strerror or e}") from e
    log = collector.log(name)
    if not log.boots:
        problem = "holds no kernel message that pfestubs knows" if collector.size else "is empty"
        raise UnsuitableError(name, problem, "give the output of dmesg, journalctl -k or a serial console")
    return log


def is_boot_log(path: str) -> bool:
    """Return whether a file looks like a boot log, from its beginning."""
    try:
        with open(path, "rb") as stream:
            start = b"".join(_chunks(io.BytesIO(stream.read(_CHUNK)), path))
    except (OSError, UnsuitableError):
        return False
    return _TRIGGER.search(start) is not None or _STAMPED.search(start) is not None


@contextmanager
def _open(path: str | None) -> Iterator[IO[bytes]]:
    if path is None or path == "-":
        if sys.stdin is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        yield sys.stdin.buffer
        return
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(handle, "rb") as stream:
        # The writer of a pipe and a serial line may be silent for a while; /dev/kmsg and /proc/kmsg end
        # where a read would wait for the next message.
        if os.isatty(handle) or stat.S_ISFIFO(os.fstat(handle).st_mode):
            os.set_blocking(handle, True)
        yield stream


def _chunks(stream: IO[bytes], name: str) -> Iterator[bytes]:
    """Yield the log in UTF-8, one kind of line break beside newlines, escapes resolved; b"" at its end."""
    decoder = None
    size = 0
    rest = b""
    while raw := stream.read(_CHUNK):
        if not size:
            _require_text(raw, name)
            encoding = _wide_encoding(raw)
            decoder = codecs.getincrementaldecoder(encoding)("replace") if encoding else None
            raw = raw.removeprefix(codecs.BOM_UTF8)
        size += len(raw)
        if size > BYTES_MAX:
            advice = "give the part with the boot, or journalctl -k -b"
            raise UnreadableError(name, f"is longer than {BYTES_MAX:,} bytes", advice)
        text = rest + (raw if decoder is None else decoder.decode(raw).encode("utf-8", "replace"))
        cut = text.rfind(b"\n", max(0, len(text) - _CONTEXT)) + 1 or len(text)
        cut -= len(_OPEN_ESCAPE.search(text, max(0, cut - 16), cut)[0])  # type: ignore[index]
        rest = text[cut:]
        if cut:
            yield _undress(text[:cut])
    if rest:
        yield _undress(rest)
    yield b""


def _require_text(start: bytes, name: str) -> None:
    for magic, (what, advice) in _MAGIC.items():
        if start.startswith(magic):
            raise UnsuitableError(name, f"is {what}, not a log", advice)


def _wide_encoding(start: bytes) -> str | None:
    """Return the UTF-16 that a log begins with, with a mark or in Latin letters, None for bytes."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    zeros = start[::2].count(0), start[1::2].count(0)
    if 4 * max(zeros) < len(start) or 8 * min(zeros) > len(start):
        return None
    return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"


def _undress(text: bytes) -> bytes:
    """Return `text` without colours, each escape as what it stands for, an escaped line break as CR."""
    if b'"MESSAGE"' in text:
        text = _NUMBERS.sub(lambda m: b'"MESSAGE":"' + _characters(m[1]) + b'"', text)
    elif b"\nMESSAGE\n" in text:
        text = _BINARY.sub(b"MESSAGE=", text)
    if any(mark in text for mark in _DRESSED):
        text = _DRESS.sub(_resolve, text)
    for quote in (b'"', b"'"):  # items of a list
        text = re.sub(quote + b", ?" + quote, quote + b"\r" + quote, text)
    return text.translate(_BREAKS)


def _characters(numbers: bytes) -> bytes:
    return bytes(int(n) & 0xFF for n in re.findall(rb"\d{1,3}", numbers))


def _resolve(match: re.Match[bytes]) -> bytes:
    kind = match.lastgroup
    if kind == "code":
        return chr(int(match["code"], 16)).encode("utf-8", "replace")
    if kind == "byte":
        return bytes.fromhex(match["byte"].decode())
    if kind == "name":
        return _ENTITIES[match["name"]]
    if kind == "mark":
        return match["mark"]
    return {"end": b"\r", "line": b"\r", None: b" "}.get(kind, b"")


# -- what stands before a message ----------------------------------------------------------------------------

_LEVELS: Final = "emerg|panic|alert|crit|err|error|warn|warning|notice|info|debug"
_STAMPS: Final = re.compile(rf"\[[^\]\[]*\d[^\]\[]*\]|<[^<>]*\d[^<>]*>|\b(?:{_LEVELS})\b|[\W\d_]+")
"""Brackets with a number, levels, whatever has no letters: what nobody types and no program is called."""
_TAG: Final = re.compile(r"([\w./-]*[^\W\d][\w./-]*)(?:\[\d+\])?\s*:\s*$")
"""A program's name, as the last thing before a message."""
_WORD: Final = re.compile(r"(?P<kernel>(?<![\w-])kernel(?![\w-]))|(?P<blank>\s+)|[\w.\x80-\U0010ffff]+")
_KEY: Final = re.compile(
    r"""(?:^|.*[{,\s])["']?(?P<key>[\w@.-]+)["']?\s*[:=]\s*(?:["']|(?<=^MESSAGE=))(?P<inner>[^"']*)$""",
    re.DOTALL,
)
_BY_KERNEL: Final = re.compile(rb"""[:=]\s*["']?kernel["']?\s*(?:[,}\r\n]|$)""")
_DIGITS: Final = bytes.maketrans(b"123456789", b"000000000")


class _Decoration(NamedTuple):
    """The shape of what stands before a message.

    `shape` has words and numbers as one letter each, and the name of the program. `plain`: only stamps.
    """

    shape: str
    plain: bool
    by_kernel: bool


def _decoration(prefix: str, *, by_kernel: bool = False) -> _Decoration:
    prefix = re.sub(r"^[\s,\[\"']+(?=[\"'])", "", prefix)  # of a list
    words = _WORD.sub(lambda m: "kernel" if m["kernel"] else "" if m["blank"] else "w", prefix)
    tag = _TAG.search(prefix)
    if tag is not None and tag[1] != "kernel" and not re.fullmatch(_LEVELS, tag[1]):
        words += "|" + re.sub(r"\d+", "0", tag[1])
    words = f"kernel{words}" if by_kernel else words
    return _Decoration(words, not _STAMPS.sub("", prefix), "kernel" in words)


class _Place(NamedTuple):
    """Something of the kernel's in the log.

    Attributes:
        name: of `_PATTERNS`.
        text: from there to the end of the line.
        tail: the part after the pattern.
        decoration: of what stands before it.
        continued: it is not the first in its line.
        sequel: of a banner, the next lines; of a register dump, its addresses.
    """

    line: int
    name: str
    text: str
    tail: str
    fields: Mapping[str, bytes | None]
    decoration: _Decoration
    continued: bool
    sequel: tuple[Any, ...] = ()

    def until(self, tail: int) -> _Place:
        """Return it with no more than `tail` characters after the pattern: then another message begins."""
        cut = len(self.tail) - tail
        return self._replace(text=self.text[:-cut], tail=self.tail[:tail]) if cut > 0 else self


class _Collector:
    """What has been read of a log."""

    def __init__(self) -> None:
        self._buffer = b""
        self._start = 0
        self.size = self._lines = 0
        self._line = 1
        self._counted = 0
        self._last_end = -1
        self._last_is_kept = self._has_returns = False
        self._dumps = 0
        self._places: list[_Place] = []
        self._boot_start = 0
        self._omitted = 0
        self._boots: dict[int, int] = {}
        self._times: dict[int, int] = {}
        self._decorations: dict[bytes, _Decoration] = {}

    def add(self, chunk: bytes) -> None:
        """Take the next part of the log; b"" is its end."""
        self.size += len(chunk)
        self._lines += chunk.count(b"\n")
        buffer = self._buffer = self._buffer + chunk
        self._has_returns = b"\r" in buffer
        stop = max(self._start, len(buffer) - _CONTEXT) if chunk else len(buffer)
        end = self._start
        for trigger in _TRIGGER.finditer(buffer, self._start):
            start = trigger.start()
            if start >= stop:
                break
            for name, pattern in _BY_FIRST[buffer[start]]:
                match = pattern.match(buffer, start)
                if match is not None and start >= end:
                    end = match.end()
                    self._take(name, match)
                    break
        self._start = max(stop, end)
        keep = max(0, self._start - _CONTEXT)
        if keep > self._counted:
            self._line += buffer.count(b"\n", self._counted, keep)
            self._counted = keep
        self._counted -= keep
        self._buffer = buffer[keep:]
        self._start -= keep
        self._last_end -= keep

    def _take(self, name: str, match: re.Match[bytes]) -> None:
        start, after = match.span()
        buffer, low = self._buffer, max(0, start - _CONTEXT)
        begin = buffer.rfind(b"\n", low, start) + 1
        end = buffer.find(b"\n", after, start + _TEXT_MAX)
        end = end if end >= 0 else min(len(buffer), start + _TEXT_MAX)
        if self._has_returns:
            begin = max(begin, buffer.rfind(b"\r", low, start) + 1)
            end = buffer.find(b"\r", after, end) if buffer.find(b"\r", after, end) >= 0 else end
        continued = begin < self._last_end or begin == 0 < low
        if continued:
            if self._last_is_kept and begin < self._last_end:
                self._places[-1] = self._places[-1].until(start - self._last_end)
            begin = max(begin, low, self._last_end)
        self._last_end = after
        self._last_is_kept = len(self._places) < (_VOTES_MAX if name == _CUT else _PLACES_MAX)
        sequel: tuple[Any, ...] = ()
        if name == _BANNER:
            self._end_boot()
            sequel = tuple(_text(buffer[end : end + _TEXT_MAX]).splitlines()[1 : 1 + _BANNER_LINES])
        elif buffer.startswith(b"REGS", start):
            if self._dumps < SIGHTINGS_MAX:
                self._dumps += 1
                dump = buffer[after : after + _CONTEXT]
                sequel = tuple(_code(seen.groupdict()) for seen in _SEEN.finditer(dump))
        if not self._last_is_kept:
            self._omitted += name in _ROWS
            return
        self._line += buffer.count(b"\n", self._counted, start)
        self._counted = start
        text, decoration = _text(buffer[start:end]), self._decorate(begin, start, after)
        tail = text[after - start :]
        self._places.append(
            _Place(self._line, name, text, tail, match.groupdict(), decoration, continued, sequel)
        )

    def _decorate(self, begin: int, start: int, after: int) -> _Decoration:
        """Return the decoration that stands from `begin` to `start`; keys of documents name the program."""
        buffer = self._buffer
        raw = buffer[max(begin, start - _PREFIX_MAX) : start].translate(_DIGITS)
        if raw in self._decorations:
            return self._decorations[raw]
        prefix = _text(raw)
        key = _KEY.match(prefix)
        if key is not None:
            line = buffer.rfind(b"\n", 0, start) + 1
            if b"{" in buffer[line:start]:
                low, high = line, _first(buffer, (b"\n",), after)
            else:  # one field per line
                low = max(buffer.rfind(mark, 0, start) for mark in (b"\n\n", b"\n{"))
                high = _first(buffer, (b"\n\n", b"\n}"), after)
            by_kernel = _BY_KERNEL.search(buffer, max(0, low), high) is not None
            return _decoration(f"{{{key['key']}: {key['inner']}", by_kernel=by_kernel)
        if len(self._decorations) > _PLACES_MAX:
            self._decorations.clear()
        return self._decorations.setdefault(raw, _decoration(prefix))

    def _end_boot(self) -> None:
        """Keep a boot once that the log has several times: an archive has thousands."""
        boot = self._places[self._boot_start :]
        if boot:
            cut = () if LoggedBoot(boot[0].text).complete else boot[0].sequel  # of a banner
            content = hash((cut, *((p.name, p.text, p.decoration, p.continued) for p in boot)))
            first = self._boots.setdefault(content, self._boot_start)
            self._times[first] = self._times.get(first, 0) + 1
            if first != self._boot_start:
                del self._places[self._boot_start :]
        self._boot_start = len(self._places)

    def log(self, name: str) -> BootLog:
        """Return the log, once every part is taken."""
        self._end_boot()
        judge = _Judge(self._places)
        builder = _Builder(self._omitted, judge.tail)
        for number, place in enumerate(self._places):
            if judge.is_kernels(place):
                builder.add(place, self._times.get(number, 1))
            elif judge.is_doubtful(place):
                builder.boots[-1].doubtful = builder.boots[-1].doubtful or place.line
        boots = [boot for boot in builder.boots if boot != LoggedBoot()]
        lines = self._lines + (not self._buffer.endswith(b"\n"))
        return BootLog(name, lines, boots, builder.omitted, judge.tail)


def _first(buffer: bytes, marks: Iterable[bytes], start: int) -> int:
    """Return the position of the first of `marks`, or of the end of what is looked at."""
    found = (buffer.find(mark, start, start + _CONTEXT) for mark in marks)
    return min((position for position in found if position >= 0), default=min(len(buffer), start + _CONTEXT))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


# -- whose messages they are ---------------------------------------------------------------------------------


class _Judge:
    """Tells the kernel's messages from those that others print, by where the kernel's own stand."""

    def __init__(self, places: Iterable[_Place]) -> None:
        votes = Counter(p.decoration for p in places if p.name in _WHOLE and not p.continued)
        self._named = any(decoration.by_kernel for decoration in votes)
        enough = max(1, min(max(votes.values(), default=0), 2), votes.total() // 5)
        self._known = {
            decoration.shape
            for decoration, count in votes.items()
            if decoration.plain or (decoration.by_kernel if self._named else count >= enough)
        }
        tails = Counter(
            p.tail.strip() for p in places if p.name in _ROWS and _ROWS[p.name].proof is Proof.HEALTHY
        )
        self.tail = max(tails, key=tails.__getitem__, default="")
        self._tags = {shape.partition("|")[2] for shape in self._known}
        self._previous = False

    def is_kernels(self, place: _Place) -> bool:
        """Return whether the kernel printed it; places are asked for in the order of the log."""
        shape, plain, _ = place.decoration
        if place.name == _LOST:
            return True
        if place.continued and not self._previous:
            return False
        self._previous = (
            plain
            or shape in self._known
            or any(
                shape.endswith(known) and (place.continued or shape.startswith(known))
                for known in self._known
                if known.endswith(("]", ">"))
            )
        )
        return self._previous

    def is_doubtful(self, place: _Place) -> bool:
        """Return whether a place that is not the kernel's by its form may be a failure nevertheless."""
        row = _ROWS.get(place.name)
        shape = place.decoration.shape
        return (
            row is not None
            and row.proof in {Proof.DISABLED, Proof.FAILED, Proof.WARNED}
            and (
                place.name in _WHOLE
                or any(value for key, value in place.fields.items() if key != "error")
                or place.text.startswith("-")
            )
            and not self._named
            and shape.partition("|")[2] in self._tags | {""}
        )


# -- boots ---------------------------------------------------------------------------------------------------


class _Builder:
    """Puts the kernel's messages together to boots."""

    def __init__(self, omitted: int, tail: str) -> None:
        self.boots = [LoggedBoot()]
        self.omitted = omitted
        self._tail = tail
        self._kept = 0
        self._bug_until = 0

    def add(self, place: _Place, times: int) -> None:
        """Take the next message, or part of one."""
        fields = dict(place.fields)
        if fields.get("module") and self._tail.startswith(f"[{_text(fields['module'] or b'')}]"):
            fields["module"] = None  # every line ends so
        boot = self.boots[-1]
        if place.name == _BANNER:
            self._start_boot(place, times)
        elif place.name == _RELEASE:
            boot.releases.append(_text(fields["release"] or b""))
            boot.sightings += place.sequel[: SIGHTINGS_MAX - len(boot.sightings)]
        elif place.name == _LOST:
            boot.lost.append(LostMessages(place.line, place.text.strip(), len(boot.messages)))
        elif place.name in _ROWS:
            self._add_message(boot, _message(place, fields))
        elif place.line <= self._bug_until and place.name != _CUT:
            self._add_to_bug(boot, place, _code(fields))

    def _start_boot(self, place: _Place, times: int) -> None:
        """Start a boot, or go on with the one that was announced, by the better of its two banners."""
        announced = bool(place.fields["announced"])
        banner = place.text.removeprefix("Preparing to boot ").rstrip()
        boot, last = LoggedBoot(banner, place.sequel, announced, times), self.boots[-1]
        self._bug_until = 0
        if announced or not last.announced or last.messages:
            self.boots.append(boot)
        elif boot.complete:
            self.boots[-1] = boot
        else:
            last.announced = False

    def _add_message(self, boot: LoggedBoot, message: LogMessage) -> None:
        last = boot.messages[-1] if boot.messages else None
        is_bug = message.kind is MessageKind.BUG
        if is_bug and message.line <= self._bug_until and last is not None and _is_header(last):
            boot.messages.pop()  # the message itself, after the line that announces it (since 5.8)
            self._kept -= 1
        if self._kept >= MESSAGES_MAX:
            self.omitted += 1
            return
        self._kept += 1
        boot.messages.append(message)
        if is_bug:
            self._bug_until = message.line + _BLOCK_LINES

    def _add_to_bug(self, boot: LoggedBoot, place: _Place, code: CodeAddress) -> None:
        """Add a part of an `ftrace_bug` message: the function, or what ftrace was doing."""
        bugs = (i for i in reversed(range(len(boot.messages))) if boot.messages[i].kind is MessageKind.BUG)
        position = next(bugs, None)
        if position is None:  # beyond what is kept
            return
        bug = boot.messages[position]
        if place.name == _PHASE and bug.phase is None:
            phase = next(phase for phase in BugPhase if place.text.startswith(phase.value))
            boot.messages[position] = replace(bug, phase=phase)
        elif place.name == _CODE and bug.code is None:
            boot.messages[position] = replace(bug, code=code)
            boot.sightings.append(code)
        elif place.name == _TRACER:
            self._bug_until = 0
            if bug.phase is BugPhase.INIT:  # a call site is made to call ftrace_caller first
                boot.sightings.append(replace(code, symbol="ftrace_caller"))


def _is_header(message: LogMessage) -> bool:
    return message.text.startswith("-") and message.code is None


def _message(place: _Place, fields: Mapping[str, bytes | None]) -> LogMessage:
    error, count, caller = (fields.get(key) for key in ("error", "count", "caller"))
    expected, found = (None if v is None else int(v, 16) for v in map(fields.get, ("expected", "found")))
    return LogMessage(
        line=place.line,
        text=place.text.strip(),
        row=_ROWS[place.name],
        code=_code(fields) if fields.get("ip") or fields.get("module") else None,
        caller=None if caller is None else _text(caller),
        count=None if count is None else int(count),
        expected=expected,
        found=found,
        error=None if error is None else BugError(_text(error)),
    )


def _code(fields: Mapping[str, bytes | None]) -> CodeAddress:
    ip, symbol, offset, module = (fields.get(key) for key in ("ip", "symbol", "offset", "module"))
    return CodeAddress(
        None if ip is None else int(ip, 16),
        None if symbol is None else _text(symbol),
        0 if offset is None else int(offset, 16),
        None if module is None else _text(module),
    )
