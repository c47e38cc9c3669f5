# SPDX-License-Identifier: GPL-2.0-or-later
"""What `pfestubs verify` found: as text and as JSON."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from pfestubs.formats.text import dump_json, escape_line, hex_address, hex_word

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pfestubs.rules.verify import Entry, Verification

SCHEMA: Final = "pfestubs/verify/1"
SHOWN_OF_A_STATE: Final = 20


def verify_json(verification: Verification, *, every: bool = False) -> str:  # noqa: ARG001 - the entries say it
    """The JSON document `pfestubs/verify/1`; it holds every entry there is."""
    counts = verification.counts
    return dump_json(
        {
            "schema": SCHEMA,
            "file": verification.file,
            "dump": verification.dump,
            "layout": verification.layout,
            "offset": _signed(verification.offset),
            "ok": verification.ok,
            "stub_size": verification.stub_size,
            "stubs": verification.stubs,
            "as_predicted": counts["as predicted"],
            "in_use": counts["in use"],
            "freed": counts["freed"],
            "different": counts["different"],
            "stops_at": verification.stops_at,
            "ftrace_disabled": verification.disabled,
            "findings": [_values(entry) for entry in verification.entries],
        }
    )


def _values(entry: Entry) -> dict[str, Any]:
    return {
        "state": entry.state,
        "function": entry.function,
        "location": hex_address(entry.location),
        "location_word": _maybe(hex_word, entry.location_word),
        "area": entry.area,
        "index": entry.index,
        "address": _maybe(hex_address, entry.address),
        "insns_address": _maybe(hex_address, entry.insns_address),
        "expected": None if entry.expected is None else [hex_word(value) for value in entry.expected],
        "found": None if entry.found is None else [_maybe(hex_word, value) for value in entry.found],
        "target": _maybe(hex_address, entry.target),
        "target_symbol": entry.target_name,
        "problem": entry.problem or None,
    }


def _maybe(say: Callable[[int], str], value: int | None) -> str | None:
    return None if value is None else say(value)


def _signed(value: int) -> str:
    return f"-{hex_address(-value)}" if value < 0 else hex_address(value)


def verify_text(verification: Verification, *, every: bool = False) -> str:
    """One line when all is as predicted and idle, else a line for each entry and a last one that sums up."""
    file = escape_line(verification.file)
    lines = []
    seen: Counter[str] = Counter()
    for entry in verification.entries:
        seen[entry.state] += 1
        if every or seen[entry.state] <= SHOWN_OF_A_STATE:
            lines.append(f"{file}: {_sentence(entry)}")
    if not every:
        lines += [
            f"{file}: {count - SHOWN_OF_A_STATE:,} more {state} (--all shows every one)"
            for state, count in seen.items()
            if count > SHOWN_OF_A_STATE
        ]
    lines.append(f"{file}: {_summary(verification)}")
    return "\n".join(lines) + "\n"


def _sentence(entry: Entry) -> str:
    where = f"{escape_line(entry.function)} at {hex_address(entry.location)}"
    stub = "" if entry.area is None else f", stub {entry.index:,} of area {entry.area}"
    if entry.state == "different":
        return f"error: stub-different: {where}{stub}: {escape_line(entry.problem)}"
    if entry.state == "freed":
        return f"freed: {where}{stub}"
    target = "" if entry.target_name is None else f" calls {escape_line(entry.target_name)}"
    return f"{entry.state}: {where}{stub}{target}"


def _summary(verification: Verification) -> str:
    counts = verification.counts
    sentence = (
        f"{'ok' if verification.ok else 'failed'}: {counts['as predicted']:,} of {verification.stubs:,} stubs"
        " as predicted"
    )
    if counts["in use"]:
        sentence += f", {counts['in use']:,} in use"
    if counts["freed"]:
        sentence += f", {counts['freed']:,} freed with init memory"
    if counts["different"]:
        sentence += f", {counts['different']:,} different"
    if verification.offset:
        way = "above" if verification.offset > 0 else "below"
        sentence += f"; the kernel runs {abs(verification.offset):#x} {way} its linked address"
    if verification.stops_at is not None:
        sentence += (
            f"; its boot gives tracing up at {escape_line(verification.stops_at)} (pfestubs check says why)"
        )
    if verification.disabled:
        sentence += "; the kernel has switched ftrace off"
    return sentence


FORMATS: Final[Mapping[str, Callable[..., str]]] = {"text": verify_text, "json": verify_json}
