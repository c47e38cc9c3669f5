# SPDX-License-Identifier: GPL-2.0-or-later
"""Read a boot log in any form: messages of ftrace, the kernel's identity, addresses with their symbols.

What the kernel prints is found by its own shape, anywhere in a line. What stands before it (stamps, levels,
hosts, quotes, keys of JSON) is learned from where such messages stand in this log, and decides whether the
kernel printed a line or another program. Memory does not depend on the log's length.
"""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pfestubs.errors import UnreadableError, UnsuitableError
from pfestubs.model.boot_log import (
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
from pfestubs.read.log_bytes import CHUNK, clean_chunks, open_log
from pfestubs.read.log_places import (
    BANNER,
    CODE,
    CUT,
    LOST,
    PHASE,
    RELEASE,
    ROWS,
    SIGHTINGS_MAX,
    STAMPED,
    TRACER,
    TRIGGER,
    WHOLE,
    Collector,
    Place,
    code_address,
    decode,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STANDARD_INPUT: Final = "standard input"
BYTES_MAX: Final = 256 << 20
"""Bytes of a log that are read: standard input may never end."""
MESSAGES_MAX: Final = 1000
"""Messages that are kept; a kernel that fails prints fewer than ten."""
_BLOCK_LINES: Final = 40
"""Lines in which the parts of an `ftrace_bug` message are looked for."""


def read_boot_log(path: str | None) -> BootLog:
    """Read the log at `path`, or standard input if it is None or "-".

    Raises:
        UnreadableError: it cannot be read, or is too long.
        UnsuitableError: it is not text, or holds no message of a kernel.
    """
    name = STANDARD_INPUT if path in {None, "-"} else str(path)
    collector = Collector()
    try:
        with open_log(path) as stream:
            for chunk in clean_chunks(stream, name, BYTES_MAX):
                collector.add(chunk)
    except OSError as e:
        raise UnreadableError(name, f"cannot be read: {e.strerror or e}") from e
    log = _build(collector, name)
    if not log.boots:
        problem = "holds no kernel message that pfestubs knows" if collector.size else "is empty"
        raise UnsuitableError(name, problem, "give the output of dmesg, journalctl -k or a serial console")
    return log


def is_boot_log(path: str) -> bool:
    """Return whether a file looks like a boot log, from its beginning."""
    try:
        with open(path, "rb") as stream:
            start = b"".join(clean_chunks(io.BytesIO(stream.read(CHUNK)), path, CHUNK))
    except (OSError, UnsuitableError):
        return False
    return TRIGGER.search(start) is not None or STAMPED.search(start) is not None


def _build(collector: Collector, name: str) -> BootLog:
    """Return the log, once every part is taken."""
    places, times = collector.finish()
    judge = _Judge(places)
    builder = _Builder(collector.omitted, judge.tail)
    for number, place in enumerate(places):
        if judge.is_kernels(place):
            builder.add(place, times.get(number, 1))
        elif judge.is_doubtful(place):
            builder.boots[-1].doubtful = builder.boots[-1].doubtful or place.line
        elif place.name in {PHASE, TRACER} or (
            place.name in ROWS and ROWS[place.name].proof is not Proof.HEALTHY
        ):
            builder.boots[-1].mentioned = builder.boots[-1].mentioned or place.line
    boots = [boot for boot in builder.boots if boot != LoggedBoot()]
    return BootLog(name, collector.lines, boots, builder.omitted, judge.tail)


# -- whose messages they are ---------------------------------------------------------------------------------


class _Judge:
    """Tells the kernel's messages from those that others print, by where the kernel's own stand."""

    def __init__(self, places: Sequence[Place]) -> None:
        votes = Counter(p.decoration for p in places if p.name in WHOLE and not p.continued)
        self._named = any(decoration.by_kernel for decoration in votes)
        enough = max(1, min(max(votes.values(), default=0), 2), votes.total() // 5)
        self._known = {
            decoration.shape
            for decoration, count in votes.items()
            if decoration.plain or (decoration.by_kernel if self._named else count >= enough)
        }
        tails = Counter(
            p.tail.strip() for p in places if p.name in ROWS and ROWS[p.name].proof is Proof.HEALTHY
        )
        self.tail = max(tails, key=tails.__getitem__, default="")
        self._tags = {shape.partition("|")[2] for shape in self._known}
        shapes = {p.decoration.shape for p in places if p.name in WHOLE and p.name != BANNER}
        self._bare = not shapes or "" in shapes
        self._previous = self._has_banner = False

    def is_kernels(self, place: Place) -> bool:
        """Return whether the kernel printed it; places are asked for in the order of the log."""
        shape, plain, _ = place.decoration
        if place.name == LOST:
            return True
        if place.continued and not self._previous:
            return False
        if (
            shape == ""
            and not self._bare
            and not place.continued
            and (place.name != BANNER or self._has_banner)
        ):
            self._previous = False
            return False  # where the kernel's lines have stamps, it is a program's output
        self._previous = (
            plain
            or shape in self._known
            or any(
                shape.endswith(known) and (place.continued or shape.startswith(known))
                for known in self._known
                if known.endswith(("]", ">"))
            )
        )
        self._has_banner |= place.name == BANNER and self._previous
        return self._previous

    def is_doubtful(self, place: Place) -> bool:
        """Return whether a place that is not the kernel's by its form may be a failure nevertheless."""
        row = ROWS.get(place.name)
        shape = place.decoration.shape
        return (
            row is not None
            and row.proof in {Proof.DISABLED, Proof.FAILED, Proof.WARNED}
            and (
                place.name in WHOLE
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

    def add(self, place: Place, times: int) -> None:
        """Take the next message, or part of one."""
        fields = dict(place.fields)
        if fields.get("module") and self._tail.startswith(f"[{decode(fields['module'] or b'')}]"):
            fields["module"] = None  # every line ends so
        boot = self.boots[-1]
        if place.name == BANNER:
            self._start_boot(place, times)
        elif place.name == RELEASE:
            boot.releases.append(decode(fields["release"] or b""))
            boot.sightings += place.sequel[: SIGHTINGS_MAX - len(boot.sightings)]
        elif place.name == LOST:
            boot.lost.append(LostMessages(place.line, place.text.strip(), len(boot.messages)))
        elif place.name in ROWS:
            self._add_message(boot, _message(place, fields))
        elif place.line <= self._bug_until and place.name != CUT:
            self._add_to_bug(boot, place, code_address(fields))
        elif place.name in {PHASE, TRACER}:  # of an ftrace_bug that is not in the log
            boot.doubtful = boot.doubtful or place.line

    def _start_boot(self, place: Place, times: int) -> None:
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

    def _add_to_bug(self, boot: LoggedBoot, place: Place, code: CodeAddress) -> None:
        """Add a part of an `ftrace_bug` message: the function, or what ftrace was doing."""
        bugs = (i for i in reversed(range(len(boot.messages))) if boot.messages[i].kind is MessageKind.BUG)
        position = next(bugs, None)
        if position is None:  # beyond what is kept
            return
        bug = boot.messages[position]
        if place.name == PHASE and bug.phase is None:
            phase = next(phase for phase in BugPhase if place.text.startswith(phase.value))
            boot.messages[position] = replace(bug, phase=phase)
        elif place.name == CODE and bug.code is None:
            boot.messages[position] = replace(bug, code=code)
            boot.sightings.append(code)
        elif place.name == TRACER:
            self._bug_until = 0
            if bug.phase is BugPhase.INIT:  # a call site is made to call ftrace_caller first
                boot.sightings.append(replace(code, symbol="ftrace_caller"))


def _is_header(message: LogMessage) -> bool:
    return message.text.startswith("-") and message.code is None


def _message(place: Place, fields: Mapping[str, bytes | None]) -> LogMessage:
    error, count, caller = (fields.get(key) for key in ("error", "count", "caller"))
    expected, found = (None if v is None else int(v, 16) for v in map(fields.get, ("expected", "found")))
    return LogMessage(
        line=place.line,
        text=place.text.strip(),
        row=ROWS[place.name],
        code=code_address(fields) if fields.get("ip") or fields.get("module") else None,
        caller=None if caller is None else decode(caller),
        count=None if count is None else int(count),
        expected=expected,
        found=found,
        error=None if error is None else BugError(decode(error)),
    )
