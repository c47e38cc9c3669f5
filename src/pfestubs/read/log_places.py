# SPDX-License-Identifier: GPL-2.0-or-later
"""Find what the kernel prints in a boot log, anywhere in a line, and what stands before it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pfestubs.model.boot_log import CODE as CODE_PATTERN
from pfestubs.model.boot_log import MESSAGES, SYMBOL, BugPhase, CodeAddress, LoggedBoot, MessageKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_PLACES_MAX: Final = 8000
"""Places of messages, and of what belongs to them, that are kept."""
_VOTES_MAX: Final = 500
"""Places up to which those are kept that only show where in a line the kernel's messages stand."""
SIGHTINGS_MAX: Final = 200
"""Addresses with symbols that are kept per boot, and register dumps that are read."""
_CONTEXT: Final = 4096
"""Bytes around a message that are looked at; a message has 1,024 at most."""
_TEXT_MAX: Final = 1024
_PREFIX_MAX: Final = 400
"""Bytes before a message that are compared with those before others."""
_BANNER_LINES: Final = 4
"""Lines after a banner over which it may be wrapped."""

BANNER, CUT, CODE, PHASE, TRACER, RELEASE, LOST = [
    "banner",
    "cut",
    "code",
    "phase",
    "tracer",
    "release",
    "lost",
]
TRIGGER: Final = re.compile(
    rb"ftrace(?:: (?:alloc|No f|FAIL|fail)| fa[iu]|-powerpc: | (?:ool|pfe) stub|_init_ool_stub: )|WARNING: "
    rb"|Linux version \d|Preparing to boot L|---(?:-{9}\[ (?:ftrace bug|cut here) \]|\[ end trace )"
    rb"|\[<[0-9a-f]{8,16}>\]|0x[0-9a-f]{8,16}(?:: (?:expected|fetching|No |Unexp)| \(0x)"
    rb"|U(?:nexpected [tc]|pdating ftrace call)|Address of |No module l|Initializing ftrace call"
    rb"|Setting ftrace call|expected tramp: |CPU: \d|REGS: |\*\* \d{1,12} printk m|Missed \d"
)
"""The beginning of every message: letters, so that the search is one pass over the bytes."""
_TAINT: Final = r"(?:Not tainted|Tainted: [^\n\r#(]{1,60}?) +\(?(?P<release>\d+\.\d[^\s()]*)"
STAMPED: Final = re.compile(rb"(?m)^(?:<\d+>)?\[ *\d+\.\d{6}\]")
_FIRST: Final = {"WARNING:": "W", "ftrace: ": "f", r"-{12}\[ ": "-f"}
"""Of the rows of messages, the letters that they begin with; the others may have the file's `pr_fmt`."""
_FORMS: Final = [
    (name, first.encode(), re.compile(pattern.encode()))
    for name, first, pattern in (
        *((row.kind.name, _FIRST.get(row.pattern[:8], "f0UAN"), row.pattern) for row in MESSAGES),
        (BANNER, "LP", r"(?P<announced>Preparing to boot )?Linux version (?=\d)"),
        (CUT, "-", r"-{12}\[ cut here \]-{12}|---\[ end trace [0-9a-f]{16} \]---"),
        (CODE, "[", CODE_PATTERN),
        (PHASE, "ISU", "|".join(phase.value for phase in BugPhase)),
        (TRACER, "e", r"expected tramp: (?P<ip>[0-9a-f]{8,16})"),
        (RELEASE, "C", rf"CPU: \d+ (?:UID: \d+ )?PID: \d+ Comm: [^\n\r]{{1,30}}? {_TAINT}"),
        (RELEASE, "R", rf"REGS: [0-9a-f]{{8,16}} TRAP: [0-9a-f]{{3,4}} +{_TAINT}"),
        (LOST, "*M", r"\*\* \d+ printk messages dropped \*\*|Missed \d+ kernel messages"),
    )
]
_BY_FIRST: Final = {
    first: [(name, pattern) for name, firsts, pattern in _FORMS if first in firsts]
    for first in set(b"".join(firsts for _, firsts, _ in _FORMS))
}
_SEEN: Final = re.compile(rf"\[(?P<ip>[0-9a-f]{{8,16}})\] {SYMBOL}".encode())
"""A register or a stack entry, in the lines after REGS."""
ROWS: Final = {row.kind.name: row for row in MESSAGES}
WHOLE: Final = frozenset(
    {BANNER, CUT, CODE, RELEASE}
    | {kind.name for kind in MessageKind if kind.value.endswith(("warning", "allocating", "allocated"))}
)
"""What is so much the kernel's own that it shows where in a line this log has the kernel's messages."""


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


class Decoration(NamedTuple):
    """The shape of what stands before a message.

    `shape` has words and numbers as one letter each, and the name of the program. `plain`: only stamps.
    """

    shape: str
    plain: bool
    by_kernel: bool


def _decoration(prefix: str, *, by_kernel: bool = False) -> Decoration:
    prefix = re.sub(r"^[\s,\[\"']+(?=[\"'])", "", prefix)  # of a list
    words = _WORD.sub(lambda m: "kernel" if m["kernel"] else "" if m["blank"] else "w", prefix)
    tag = _TAG.search(prefix)
    if tag is not None and tag[1] != "kernel" and not re.fullmatch(f"{_LEVELS}|[A-Z]", tag[1]):
        words += "|" + re.sub(r"\d+", "0", tag[1])
    words = f"kernel{words}" if by_kernel else words
    return Decoration(words, not _STAMPS.sub("", prefix), "kernel" in words)


class Place(NamedTuple):
    """Something of the kernel's in the log.

    Attributes:
        name: of `_FORMS`.
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
    decoration: Decoration
    continued: bool
    sequel: tuple[Any, ...] = ()

    def until(self, tail: int) -> Place:
        """Return it with no more than `tail` characters after the pattern: then another message begins."""
        cut = len(self.tail) - tail
        return self._replace(text=self.text[:-cut], tail=self.tail[:tail]) if cut > 0 else self


class Collector:
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
        self.places: list[Place] = []
        self._boot_start = 0
        self.omitted = 0
        self._boots: dict[int, int] = {}
        self.times: dict[int, int] = {}
        self._decorations: dict[bytes, Decoration] = {}

    def add(self, chunk: bytes) -> None:
        """Take the next part of the log; b"" is its end."""
        self.size += len(chunk)
        self._lines += chunk.count(b"\n")
        buffer = self._buffer = self._buffer + chunk
        self._has_returns = b"\r" in buffer
        stop = max(self._start, len(buffer) - _CONTEXT) if chunk else len(buffer)
        end = self._start
        for trigger in TRIGGER.finditer(buffer, self._start):
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
                self.places[-1] = self.places[-1].until(start - self._last_end)
            begin = max(begin, low, self._last_end)
        self._last_end = after
        self._last_is_kept = len(self.places) < (_VOTES_MAX if name == CUT else _PLACES_MAX)
        sequel: tuple[Any, ...] = ()
        if name == BANNER:
            self._end_boot()
            sequel = tuple(decode(buffer[end : end + _TEXT_MAX]).splitlines()[1 : 1 + _BANNER_LINES])
        elif self._dumps < SIGHTINGS_MAX and buffer.startswith(b"REGS", start):
            self._dumps += 1
            dump = buffer[after : after + _CONTEXT]
            sequel = tuple(code_address(seen.groupdict()) for seen in _SEEN.finditer(dump))
        if not self._last_is_kept:
            self.omitted += name in ROWS
            return
        self._line += buffer.count(b"\n", self._counted, start)
        self._counted = start
        text, decoration = decode(buffer[start:end]), self._decorate(begin, start, after)
        tail = text[after - start :]
        self.places.append(
            Place(self._line, name, text, tail, match.groupdict(), decoration, continued, sequel)
        )

    def _decorate(self, begin: int, start: int, after: int) -> Decoration:
        """Return the decoration that stands from `begin` to `start`; keys of documents name the program."""
        buffer = self._buffer
        raw = buffer[max(begin, start - _PREFIX_MAX) : start].translate(_DIGITS)
        if raw in self._decorations:
            return self._decorations[raw]
        prefix = decode(raw)
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
        boot = self.places[self._boot_start :]
        if boot:
            cut = () if LoggedBoot(boot[0].text).complete else boot[0].sequel  # of a banner
            content = hash((cut, *((p.name, p.text, p.decoration, p.continued) for p in boot)))
            first = self._boots.setdefault(content, self._boot_start)
            self.times[first] = self.times.get(first, 0) + 1
            if first != self._boot_start:
                del self.places[self._boot_start :]
        self._boot_start = len(self.places)

    def finish(self) -> tuple[Sequence[Place], Mapping[int, int]]:
        """Return every place in the order of the log, and how often it has the boot that begins at one."""
        self._end_boot()
        return self.places, self.times

    @property
    def lines(self) -> int:
        """How many lines were taken."""
        return self._lines + (not self._buffer.endswith(b"\n"))


def _first(buffer: bytes, marks: Iterable[bytes], start: int) -> int:
    """Return the position of the first of `marks`, or of the end of what is looked at."""
    found = (buffer.find(mark, start, start + _CONTEXT) for mark in marks)
    return min((position for position in found if position >= 0), default=min(len(buffer), start + _CONTEXT))


def decode(raw: bytes) -> str:
    """Return bytes as text, whatever they are."""
    return raw.decode("utf-8", "backslashreplace")


def code_address(fields: Mapping[str, bytes | None]) -> CodeAddress:
    """Return the address, the symbol and the module in the groups of a pattern."""
    ip, symbol, offset, module = (fields.get(key) for key in ("ip", "symbol", "offset", "module"))
    return CodeAddress(
        None if ip is None else int(ip, 16),
        None if symbol is None else decode(symbol),
        0 if offset is None else int(offset, 16),
        None if module is None else decode(module),
    )
