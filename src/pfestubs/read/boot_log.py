# SPDX-License-Identifier: GPL-2.0-or-later
"""Read a boot log in any form: messages of ftrace, the kernel's identity, addresses with their symbols.

What the kernel prints is found by its own shape, anywhere in a line. What stands before it (stamps, levels,
hosts, quotes, keys of JSON) is learned from where such messages stand in this log, and decides whether the
kernel printed a line or another program. Memory does not depend on the log's length.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pfestubs.errors import InputError
from pfestubs.model.boot_log import CODE as CODE_PATTERN
from pfestubs.model.boot_log import (
    SYMBOL,
    BootLog,
    BugPhase,
    CodeAddress,
    LoggedBoot,
    LogMessage,
    MessageKind,
    Proof,
)
from pfestubs.read.log_bytes import CHUNK, clean_chunks, open_log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STANDARD_INPUT: Final = "standard input"
BYTES_MAX: Final = 256 << 20
"""Bytes of a log that are read: standard input may never end."""
PLACES_MAX: Final = 8000
"""Messages, and parts of them, that are kept; a kernel that fails prints fewer than twenty."""
_DUMPS_MAX: Final = 200
"""Register dumps that are read."""
_CONTEXT: Final = 4096
"""Bytes around a message that are looked at; a message has 1,024 at most."""
_TEXT_MAX: Final = 1024
_PREFIX_MAX: Final = 400
"""Bytes before a message that are compared with those before others."""
_BLOCK_LINES: Final = 40
"""Lines in which the parts of an `ftrace_bug` message are looked for."""

_BANNER, _CUT, _CODE, _PHASE, _TRACER, _RELEASE, _LOST = range(7)
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
_FIRST: Final = {"WARNING:": "W", "ftrace: ": "f", r"-{12}\[ ": "-f"}
"""Of the rows of messages, the letters that they begin with; the others may have the file's `pr_fmt`."""
_FORMS: Final[Sequence[tuple[MessageKind | int, str, str]]] = [
    *((kind, _FIRST.get(kind.value.pattern[:8], "f0UAN"), kind.value.pattern) for kind in MessageKind),
    (_BANNER, "LP", r"(?P<announced>Preparing to boot )?Linux version (?=\d)"),
    (_CUT, "-", r"-{12}\[ cut here \]-{12}|---\[ end trace [0-9a-f]{16} \]---"),
    (_CODE, "[", CODE_PATTERN),
    (_PHASE, "ISU", "|".join(phase.value for phase in BugPhase)),
    (_TRACER, "e", r"expected tramp: (?P<ip>[0-9a-f]{8,16})"),
    (_RELEASE, "C", rf"CPU: \d+ (?:UID: \d+ )?PID: \d+ Comm: [^\n\r]{{1,30}}? {_TAINT}"),
    (_RELEASE, "R", rf"REGS: [0-9a-f]{{8,16}} TRAP: [0-9a-f]{{3,4}} +{_TAINT}"),
    (_LOST, "*M", r"\*\* \d+ printk messages dropped \*\*|Missed \d+ kernel messages"),
]
_BY_FIRST: Final = {
    ord(first): [(what, re.compile(pattern.encode())) for what, firsts, pattern in _FORMS if first in firsts]
    for first in {first for _, firsts, _ in _FORMS for first in firsts}
}
_SEEN: Final = re.compile(rf"\[(?P<ip>[0-9a-f]{{8,16}})\] {SYMBOL}".encode())
"""A register or a stack entry, in the lines after REGS."""
_NAMED: Final = re.compile(rf"[^\r\n]{{0,200}}[\r\n]+(?P<before>[^\r\n]{{0,400}}?){SYMBOL}".encode())
"""The function of an `ftrace_bug` in the next line, where its address was taken for a stamp and removed."""
_WHOLE: Final = frozenset(
    {_BANNER, _CUT, _CODE, _RELEASE}
    | {kind for kind in MessageKind if kind.value.name.endswith(("warning", "allocating", "allocated"))}
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
_LINE_END: Final = re.compile(rb"[\r\n]")
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
    if tag is not None and tag[1] != "kernel" and not re.fullmatch(f"{_LEVELS}|[A-Z]", tag[1]):
        words += "|" + re.sub(r"\d+", "0", tag[1])
    words = f"kernel{words}" if by_kernel else words
    return _Decoration(words, not _STAMPS.sub("", prefix), "kernel" in words)


class _Place(NamedTuple):
    """Something of the kernel's in the log.

    Attributes:
        what: the kind of message, or one of the numbers above.
        head, tail: what the pattern matches, and the rest of the line.
        decoration: of what stands before it.
        continued: it is not the first in its line.
        sequel: of a banner, the next four lines; of a register dump, its addresses; of an `ftrace_bug`, the
            function in the next line if that has no address.
    """

    line: int
    what: MessageKind | int
    head: str
    tail: str
    fields: Mapping[str, bytes | None]
    decoration: _Decoration
    continued: bool
    sequel: Sequence[Any]

    @property
    def proof(self) -> Proof | None:
        """What the message proves, None for a part of one."""
        return self.what.value.proof if isinstance(self.what, MessageKind) else None


class _Collector:
    """What has been read of a log."""

    def __init__(self) -> None:
        self._buffer = b""
        self._start = self._counted = self._dumps = 0
        self._line = 1
        self._last_end = -1
        self._last_is_kept = False
        self._decorations: dict[bytes, _Decoration] = {}
        self.size = self.lines = self.omitted = 0
        self.places: list[_Place] = []

    def add(self, chunk: bytes) -> None:
        """Take the next part of the log; b"" is its end."""
        self.size += len(chunk)
        buffer = self._buffer = self._buffer + chunk
        self.lines += chunk.count(b"\n") if chunk else not buffer.endswith(b"\n")
        stop = max(self._start, len(buffer) - _CONTEXT) if chunk else len(buffer)
        end = self._start
        for trigger in _TRIGGER.finditer(buffer, self._start):
            start = trigger.start()
            if start >= stop:
                break
            for what, pattern in _BY_FIRST[buffer[start]]:
                match = pattern.match(buffer, start)
                if match is not None and start >= end:
                    end = match.end()
                    self._take(what, match)
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

    def _take(self, what: MessageKind | int, match: re.Match[bytes]) -> None:
        start, after = match.span()
        buffer, low = self._buffer, max(0, start - _CONTEXT)
        begin = max(buffer.rfind(b"\n", low, start), buffer.rfind(b"\r", low, start)) + 1
        line_end = _LINE_END.search(buffer, after, start + _TEXT_MAX)
        end = line_end.start() if line_end else min(len(buffer), start + _TEXT_MAX)
        continued = begin < self._last_end or begin == 0 < low
        if continued:
            if self._last_is_kept and begin < self._last_end:
                last = self.places[-1]
                self.places[-1] = last._replace(tail=last.tail[: start - self._last_end])
            begin = max(begin, low, self._last_end)
        self._last_end = after
        self._last_is_kept = len(self.places) < PLACES_MAX
        if not self._last_is_kept:
            self.omitted += isinstance(what, MessageKind)
            return
        self._line += buffer.count(b"\n", self._counted, start)
        self._counted = start
        decoration = self._decorate(begin, start, after)
        sequel: Sequence[Any] = ()
        if what == _BANNER:
            sequel = _decode(buffer[end : end + _TEXT_MAX]).splitlines()[1:5]
        elif what is MessageKind.BUG:
            named = _NAMED.match(buffer, after)
            if named and self._decorate(*named.span("before"), named.end()) == decoration:
                sequel = [_code_address(named.groupdict())]
        elif self._dumps < _DUMPS_MAX and buffer.startswith(b"REGS", start):
            self._dumps += 1
            dump = buffer[after : after + _CONTEXT]
            sequel = [_code_address(seen.groupdict()) for seen in _SEEN.finditer(dump)]
        head, tail = _decode(match[0]), _decode(buffer[after:end])
        place = _Place(self._line, what, head, tail, match.groupdict(), decoration, continued, sequel)
        self.places.append(place)

    def _decorate(self, begin: int, start: int, after: int) -> _Decoration:
        """Return the decoration that stands from `begin` to `start`; keys of documents name the program."""
        buffer = self._buffer
        raw = buffer[max(begin, start - _PREFIX_MAX) : start].translate(_DIGITS)
        if raw in self._decorations:
            return self._decorations[raw]
        prefix = _decode(raw)
        key = _KEY.match(prefix)
        if key is not None:
            in_line = b"{" in buffer[buffer.rfind(b"\n", 0, start) + 1 : start]
            ends = rb"\n" if in_line else rb"\n[\n{}]"  # or one field per line
            record = re.split(ends, buffer[max(0, start - _CONTEXT) : start])[-1]
            record += re.split(ends, buffer[after : after + _CONTEXT])[0]
            by_kernel = _BY_KERNEL.search(record) is not None
            return _decoration(f"{{{key['key']}: {key['inner']}", by_kernel=by_kernel)
        return self._decorations.setdefault(raw, _decoration(prefix))


def _decode(raw: bytes) -> str:
    """Return bytes as text, whatever they are."""
    return raw.decode("utf-8", "backslashreplace")


def _code_address(fields: Mapping[str, bytes | None]) -> CodeAddress:
    """Return the address, the symbol and the module in the groups of a pattern."""
    ip, symbol, module = (fields.get(key) for key in ("ip", "symbol", "module"))
    return CodeAddress(
        None if ip is None else int(ip, 16),
        None if symbol is None else _decode(symbol),
        int(fields.get("offset") or b"0", 16),
        None if module is None else _decode(module),
    )


# -- whose messages they are ---------------------------------------------------------------------------------


class _Judge:
    """Tells the kernel's messages from those that others print, by where the kernel's own stand."""

    def __init__(self, places: Sequence[_Place]) -> None:
        whole = [p for p in places if p.what in _WHOLE]
        votes = Counter(p.decoration for p in whole if not p.continued)
        self._named = any(decoration.by_kernel for decoration in votes)
        enough = max(min(max(votes.values(), default=0), 2), votes.total() // 5)
        self._known = {
            decoration.shape
            for decoration, count in votes.items()
            if decoration.plain or (decoration.by_kernel if self._named else count >= enough)
        }
        self._tags = {"", *(shape.partition("|")[2] for shape in self._known)}
        shapes = {p.decoration.shape for p in whole if p.what != _BANNER}
        self._bare = not shapes or "" in shapes
        self._previous = self._has_banner = False

    def is_kernels(self, place: _Place) -> bool:
        """Return whether the kernel printed it; places are asked for in the order of the log."""
        shape, plain, _ = place.decoration
        if place.what == _LOST:
            return True
        stamped = (known for known in self._known if known.endswith(("]", ">")))
        alike = (shape.endswith(k) and (place.continued or shape.startswith(k)) for k in stamped)
        own = plain or shape in self._known or any(alike)
        if place.continued:
            own = own and self._previous
        elif shape == "" and not self._bare:  # where the kernel's lines have stamps, it is a program's output
            own = own and place.what == _BANNER and not self._has_banner
        self._previous = own
        self._has_banner |= place.what == _BANNER and self._previous
        return self._previous

    def is_doubtful(self, place: _Place) -> bool:
        """Return whether a place that is not the kernel's by its form may be a failure nevertheless."""
        whole = place.what in _WHOLE or place.head.startswith("-")
        return (
            place.proof in {Proof.DISABLED, Proof.FAILED, Proof.WARNED}
            and (whole or any(value for key, value in place.fields.items() if key != "error"))
            and not self._named
            and place.decoration.shape.partition("|")[2] in self._tags
        )


# -- boots ---------------------------------------------------------------------------------------------------


def read_boot_log(path: str | None) -> BootLog:
    """Read the log at `path`, or standard input if it is None or "-".

    Raises:
        InputError: it is too long, not text, or holds no message of a kernel.
    """
    name = STANDARD_INPUT if path in {None, "-"} else str(path)
    collector = _Collector()
    try:
        with open_log(path) as stream:
            for chunk in clean_chunks(stream, name, BYTES_MAX):
                collector.add(chunk)
    except OSError as e:
        raise InputError(name, f"cannot be read: {e.strerror or e}") from e
    builder = _Builder(collector.places)
    boots = [boot for boot in builder.boots if boot != LoggedBoot()]
    if not boots:
        problem = "holds no kernel message that pfestubs knows" if collector.size else "is empty"
        raise InputError(name, problem, "give the output of dmesg, journalctl -k or a serial console")
    return BootLog(name, collector.lines, boots, collector.omitted)


def is_boot_log(path: str) -> bool:
    """Return whether a file looks like a boot log, from its beginning."""
    try:
        with open(path, "rb") as stream:
            start = b"".join(clean_chunks(io.BytesIO(stream.read(CHUNK)), path, CHUNK))
    except (OSError, InputError):
        return False
    return _TRIGGER.search(start) is not None or _STAMPED.search(start) is not None


class _Builder:
    """Puts the kernel's messages together to boots."""

    def __init__(self, places: Sequence[_Place]) -> None:
        tails = Counter(p.tail.strip() for p in places if p.proof is Proof.HEALTHY)
        self._tail = max(tails, key=tails.__getitem__, default="")
        self.boots = [LoggedBoot()]
        self._bug: LogMessage | None = None
        judge = _Judge(places)
        for place in places:
            boot = self.boots[-1]
            if judge.is_kernels(place):
                self._add(place, boot)
            elif judge.is_doubtful(place):
                boot.doubtful = boot.doubtful or place.line
            elif place.what in {_PHASE, _TRACER} or place.proof not in {None, Proof.HEALTHY}:
                boot.mentioned = boot.mentioned or place.line

    def _add(self, place: _Place, boot: LoggedBoot) -> None:
        """Take the next message, or part of one."""
        fields = dict(place.fields)
        if self._tail.startswith(f"[{_decode(fields.get('module') or b'')}]"):
            fields["module"] = None  # every line ends so
        bug = self._bug if self._bug and place.line <= self._bug.line + _BLOCK_LINES else None
        if place.what == _BANNER:
            self._start_boot(place)
        elif place.what == _RELEASE:
            boot.releases.append(_decode(fields["release"] or b""))
            boot.sightings += place.sequel
        elif place.what == _LOST:
            boot.lost.append((place.line, (place.head + place.tail).strip()))
        elif isinstance(place.what, MessageKind):
            self._add_message(boot, bug, place, place.what, fields)
        elif bug is not None:
            self._add_to_bug(boot, bug, place, _code_address(fields))
        elif place.what in {_PHASE, _TRACER}:  # of an ftrace_bug that is not in the log
            boot.doubtful = boot.doubtful or place.line

    def _start_boot(self, place: _Place) -> None:
        """Start a boot, or go on with the one that was announced, by the better of its two banners."""
        banner = (place.head + place.tail).removeprefix("Preparing to boot ").rstrip()
        banner = banner.removesuffix(self._tail).rstrip()
        boot, last = LoggedBoot(banner, place.sequel, bool(place.fields["announced"])), self.boots[-1]
        self._bug = None
        if boot.announced or not last.announced or last.messages:
            self.boots.append(boot)
        else:
            self.boots[-1] = boot if boot.complete else replace(last, announced=False)

    def _add_message(
        self,
        boot: LoggedBoot,
        bug: LogMessage | None,
        place: _Place,
        kind: MessageKind,
        fields: Mapping[str, bytes | None],
    ) -> None:
        error, count, caller = (fields.get(key) for key in ("error", "count", "caller"))
        has_code = bool(fields.get("ip") or fields.get("module"))
        message = LogMessage(
            line=place.line,
            text=(place.head + place.tail).strip(),
            kind=kind,
            code=_code_address(fields) if has_code else next(iter(place.sequel), None),
            caller=None if caller is None else _decode(caller),
            count=None if count is None else int(count),
            error=None if error is None else _decode(error),
        )
        if kind is MessageKind.BUG:
            if bug is not None and bug is boot.messages[-1] and bug.text.startswith("-"):
                boot.messages.pop()  # the line that announces the message itself (since 5.8)
            self._bug = message
        boot.messages.append(message)

    def _add_to_bug(self, boot: LoggedBoot, bug: LogMessage, place: _Place, code: CodeAddress) -> None:
        """Add a part of an `ftrace_bug` message: the function, or what ftrace was doing."""
        if place.what == _PHASE:
            bug.phase = bug.phase or next(p for p in BugPhase if place.head.startswith(p.value))
        elif place.what == _CODE and (bug.code is None or bug.code.address is None):
            bug.code = code
            boot.sightings.append(code)
        elif place.what == _TRACER:
            self._bug = None
            if bug.phase is BugPhase.INIT:  # a call site is made to call ftrace_caller first
                boot.sightings.append(replace(code, symbol="ftrace_caller"))
