# SPDX-License-Identifier: GPL-2.0-or-later
"""The sentences of findings, made here for all formats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pfestubs.formats.remedy import remedy_sentence
from pfestubs.formats.text import plural
from pfestubs.layouts import AreaRole
from pfestubs.rules.check import findings as f

if TYPE_CHECKING:
    from pfestubs.rules.check.findings import Finding, RuleName

DESCRIPTIONS: Final[dict[RuleName, str]] = {
    "table-damaged": "The location table has a whole number of distinct, aligned entries, and locations.",
    "area-damaged": "Each area is count x stub size, inside its text range, aligned, not overlapping.",
    "count-mismatch": "The areas and the table match the counts of the object.",
    "location-not-nop": "Each location holds what the compiler puts there: a nop.",
    "area-exhausted": "Each function gets a stub.",
    "stub-out-of-range": "Each function reaches its stub.",
    "return-out-of-range": "Each stub reaches back to its function.",
    "tracer-unreachable": "Each stub reaches the tracer or a trampoline.",
    "init-trampoline-only": "No stub of text depends on the trampoline in init memory.",
    "low-headroom": "The headroom is at least what was requested.",
    "growth": "The number of locations has not grown by more than was allowed.",
    "location-skipped": "An entry that the kernel does not take for a location.",
    "area-unused": "An area with stubs that no function uses.",
}
"""What holds on a healthy kernel (for notes: what was noticed), by rule."""

TITLES: Final[dict[RuleName, str]] = {
    "table-damaged": "the location table is damaged",
    "area-damaged": "a stub area is damaged",
    "count-mismatch": "the areas or the table do not match the object's counts",
    "location-not-nop": "a location does not hold a nop",
    "area-exhausted": "a function gets no stub",
    "stub-out-of-range": "a function cannot branch to its stub",
    "return-out-of-range": "a stub cannot branch back to its function",
    "tracer-unreachable": "a stub reaches neither the tracer nor a trampoline",
    "init-trampoline-only": "a stub depends on a trampoline that is freed after boot",
    "low-headroom": "the headroom is less than required",
    "growth": "the number of locations grew by more than is allowed",
    "location-skipped": "an entry of the location table is skipped",
    "area-unused": "stubs are unused",
}
"""What a finding of a rule says, as a clause."""

BACKGROUND: Final[dict[RuleName, str]] = {
    "table-damaged": "At boot ftrace walks the table from __start_mcount_loc to __stop_mcount_loc. Entries"
    " that are misaligned, repeated or cut are locations that it cannot prepare; a table without locations"
    " means that no function can be traced.",
    "area-damaged": "The stubs of an area are found by its address, its count and the size of a stub. An area"
    " of another size, or outside its text range, is written over other code at boot.",
    "count-mismatch": "The areas are sized from vmlinux.o, before the link. If the final kernel holds more"
    " locations, or areas with fewer stubs, the areas run out.",
    "location-not-nop": "ftrace replaces the nop at a function's entry with a branch to its stub, and only if"
    " it finds the nop that the compiler left there. Otherwise ftrace is disabled.",
    "area-exhausted": "ftrace_init_ool_stub hands out one stub per function, in the order of the table: from"
    " the reserve while it is in range, then from the area at the end of text. When that has none left,"
    " ftrace is disabled for the whole kernel. A reserve that functions cannot reach costs as many stubs.",
    "stub-out-of-range": "A branch spans at most 32 MiB in either direction. A function that cannot reach the"
    " stub that it was given disables ftrace at boot.",
    "return-out-of-range": "A stub's last instruction branches back to the function, at most 32 MiB away. If"
    " that is out of range, ftrace is disabled at boot.",
    "tracer-unreachable": "A stub calls ftrace_caller or ftrace_regs_caller with a branch of at most 32 MiB,"
    " or a trampoline (ftrace_tramp_text, ftrace_tramp_init) that jumps there. Without either, ftrace is"
    " disabled at boot.",
    "init-trampoline-only": "ftrace_tramp_init is in init memory. A stub of a function that stays after boot"
    " must not call it: the branch would lead to memory that was freed.",
    "low-headroom": "The headroom is the distance that the tightest branch of all stubs keeps from its limit"
    " of 32 MiB. Text that grows uses it up.",
    "growth": "Each location takes a stub, and space in text. The limit is the one given with --max-growth,"
    " from the kernel saved with --baseline.",
    "location-skipped": "ftrace_process_locs skips entries that are empty, and those outside kernel text and"
    " init text, such as functions of exit text that was discarded.",
    "area-unused": "Unused stubs cost space and nothing else. A reserve larger than the count of functions"
    " has them.",
}
"""What the kernel does, and what follows from a finding, by rule."""

HELP: Final[dict[RuleName, str]] = {
    "table-damaged": "Link the kernel again; check that __start_mcount_loc and __stop_mcount_loc enclose"
    " the table and that its relocations are applied.",
    "area-damaged": "Generate the assembly file again from this kernel's vmlinux.o, and keep its sections"
    " where the linker script has them.",
    "count-mismatch": "Link with the assembly file generated from the same vmlinux.o.",
    "location-not-nop": "Build with -fpatchable-function-entry, and do not patch the kernel after the link.",
    "area-exhausted": "Lower CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE if stubs of the reserve are out of"
    " range, else generate the assembly file again.",
    "stub-out-of-range": "Raise the reserve (CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE), or make the"
    " kernel's text smaller.",
    "return-out-of-range": "Raise the reserve (CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE), or make the"
    " kernel's text smaller.",
    "tracer-unreachable": "Restore the position of the trampolines in the linker script.",
    "init-trampoline-only": "Restore the position of the trampolines in the linker script.",
    "low-headroom": "Set the reserve that pfestubs plan recommends, or make the kernel's text smaller.",
    "growth": "Find out what added functions; save a new baseline if it was intended.",
    "location-skipped": "The kernel skips such an entry: exit text, or an empty slot.",
    "area-unused": "Nothing to do: --spare, or a larger reserve than text needs.",
}
"""What to do about each rule, in general; a finding's remedy is specific."""


def finding_message(finding: Finding) -> str:
    """Return a finding as one sentence, its remedy included."""
    sentence = finding_sentence(finding)
    return f"{sentence}; {remedy_sentence(finding.remedy)}" if finding.remedy else sentence


def finding_sentence(finding: Finding) -> str:  # noqa: C901, PLR0912 - one case per kind of facts
    """Return what is wrong, without the remedy."""
    where = f"{finding.function} at {finding.location or 0:#x}"
    match finding.facts:
        case f.TableLength(address, size, word):
            return f"the location table at {address:#x} has {size:,} bytes, not a multiple of {word}"
        case f.TableEmpty(address, entries):
            return (
                f"all {entries:,} entries of the location table at {address:#x} are empty: no function can be"
                " traced"
            )
        case f.TableWithoutLocations(address, 0):
            return f"the location table at {address:#x} has no entries: no function can be traced"
        case f.TableWithoutLocations(address, entries):
            return (
                f"none of the {plural(entries, 'entry', 'entries')} of the location table at {address:#x} is"
                " in kernel text or init text: no function can be traced"
            )
        case f.EntryMisaligned():
            return f"{where} is not aligned to an instruction"
        case f.EntryRepeated():
            return f"{where} is in the location table more than once"
        case f.AreaSize(area, address, size, count, stub_size):
            return (
                f"area {area.name} at {address:#x} has {size:,} bytes, expected {count * stub_size:,}"
                f" ({plural(count, 'stub')} of {stub_size})"
            )
        case f.AreaOutside(area, span, outer):
            text = "init text" if area.role is AreaRole.INIT else "kernel text"
            return (
                f"area {area.name} ({span.start:#x} to {span.stop:#x}) is outside {text} ({outer.start:#x} to"
                f" {outer.stop:#x})"
            )
        case f.AreaMisaligned(area, address, alignment):
            return f"area {area.name} at {address:#x} is not aligned to {alignment} bytes"
        case f.AreaOverlap(area, end, other, other_address):
            return f"area {area.name} ends at {end:#x}, after area {other.name} starts ({other_address:#x})"
        case f.AreaCountMismatch(area, count, expected, source):
            return f"area {area.name} has {plural(count, 'stub')}, expected {expected:,} from {source}"
        case f.EntryCountMismatch(entries, expected, source) if entries > expected:
            return (
                f"the location table has {entries:,} entries, expected {expected:,} from {source}: objects"
                " were linked that were not counted"
            )
        case f.EntryCountMismatch(entries, expected, source):
            return f"the location table has no locations to compare with the {expected:,} entries of {source}"
        case f.WordFound(word):
            found = "nothing" if word is None else f"{word:#010x}"
            return f"{where} holds {found}, expected what the compiler leaves for ftrace (nop 0x60000000)"
        case f.AreaShortage():
            return f"{where} gets no stub{_shortage(finding.facts) if finding.remedy else ''}"
        case f.StubTooFar():
            branch = "its stub" if finding.rule == "stub-out-of-range" else "the last branch of its stub"
            return f"{where} is {_distance(finding, f'{branch} at {finding.stub or 0:#x}')}"
        case f.TracerTooFar(tracer):
            caller = f"the stub at {finding.stub:#x} of {where}" if finding.stub else where
            sentence = f"{caller} is {_distance(finding, tracer)}"
            if finding.rule == "init-trampoline-only":
                return f"{sentence} and reaches only ftrace_tramp_init, which is freed after boot"
            return f"{sentence}, and no trampoline is in range"
        case f.HeadroomBelow(None, _, minimum):
            return f"there is no headroom to measure, at least {minimum:,} bytes are required"
        case f.HeadroomBelow(size, branch, minimum):
            return (
                f"the headroom is {size:,} bytes ({branch} branch of {finding.function}), at least"
                f" {minimum:,} are required"
            )
        case f.Grown(0, baseline, source, _, _):
            return f"there are no locations to compare with {source} ({baseline:,})"
        case f.Grown(locations, baseline, source, allowed, unit):
            limit = f"{allowed}%" if unit == "percent" else f"{allowed:,.0f}"
            return (
                f"{locations:,} locations, {locations - baseline:,} more than in {source} ({baseline:,}); at"
                f" most {limit} more are allowed"
            )
        case f.EntrySkipped():
            if not finding.location:
                return "an entry of the location table is empty"
            return f"{where} is neither in kernel text nor in init text"
        case f.AreaUnused(area, unused, count):
            return f"{unused:,} of {count:,} stubs of area {area.name} are unused"


def _distance(finding: Finding, target: str) -> str:
    return f"{abs(finding.distance or 0):,} bytes from {target} (limit {abs(finding.limit or 0):,})"


def _shortage(facts: f.AreaShortage) -> str:
    sentence = (
        f": area {facts.area.name} has {facts.stubs:,}, {facts.needed:,} are needed;"
        f" {plural(facts.unserved, 'function gets', 'functions get')} no stub"
    )
    if facts.reserve is not None:
        sentence += (
            f", while only {facts.usable:,} of the {facts.reserve:,} stubs of the reserve are in range"
        )
    return sentence
