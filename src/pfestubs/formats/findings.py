# SPDX-License-Identifier: GPL-2.0-or-later
"""The sentences of findings, made here for all formats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.formats.remedy import remedy_sentence
from pfestubs.formats.text import plural
from pfestubs.layouts import AreaRole
from pfestubs.model import findings as f

if TYPE_CHECKING:
    from pfestubs.model.findings import Finding


class Words(NamedTuple):
    """A rule in words.

    Attributes:
        title: what a finding says, as a clause.
        expected: what holds on a healthy kernel; of a note, what was noticed.
        background: what the kernel does, and what follows from a finding.
        help: what to do in general; a finding's remedy is specific.
    """

    title: str
    expected: str
    background: str
    help: str


WORDS: Final[dict[str, Words]] = {
    "table-damaged": Words(
        "the location table is damaged",
        "The location table has a whole number of distinct, aligned entries, and locations.",
        "At boot ftrace walks the table from __start_mcount_loc to __stop_mcount_loc. Entries that are"
        " misaligned, repeated or cut are locations that it cannot prepare; a table without locations"
        " means that no function can be traced.",
        "Link the kernel again; check that __start_mcount_loc and __stop_mcount_loc enclose the table"
        " and that its relocations are applied.",
    ),
    "area-damaged": Words(
        "a stub area is damaged",
        "Each area is count x stub size, inside its text range, aligned, not overlapping.",
        "The stubs of an area are found by its address, its count and the size of a stub. An area of"
        " another size, or outside its text range, is written over other code at boot.",
        "Generate the assembly file again from this kernel's vmlinux.o, and keep its sections where"
        " the linker script has them.",
    ),
    "count-mismatch": Words(
        "the areas or the table do not match the object's counts",
        "The areas and the table match the counts of the object.",
        "The areas are sized from vmlinux.o, before the link. If the final kernel holds more"
        " locations, or areas with fewer stubs, the areas run out.",
        "Link with the assembly file generated from the same vmlinux.o.",
    ),
    "location-not-nop": Words(
        "a location does not hold a nop",
        "Each location holds what the compiler puts there: a nop.",
        "ftrace replaces the nop at a function's entry with a branch to its stub, and only if it finds"
        " the nop that the compiler left there. Otherwise ftrace is disabled.",
        "Build with -fpatchable-function-entry, and do not patch the kernel after the link.",
    ),
    "area-exhausted": Words(
        "a function gets no stub",
        "Each function gets a stub.",
        "ftrace_init_ool_stub hands out one stub per function, in the order of the table: from the"
        " reserve while it is in range, then from the area at the end of text. When that has none left,"
        " ftrace is disabled for the whole kernel. Each reserve stub that is out of range leaves one"
        " function without a stub.",
        "Lower CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE if stubs of the reserve are out of range,"
        " else generate the assembly file again.",
    ),
    "stub-out-of-range": Words(
        "a function cannot branch to its stub",
        "Each function reaches its stub.",
        "A branch spans at most 32 MiB in either direction. A function that cannot reach the stub that"
        " it was given disables ftrace at boot.",
        "Raise the reserve (CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE), or make the kernel's text smaller.",
    ),
    "return-out-of-range": Words(
        "a stub cannot branch back to its function",
        "Each stub reaches back to its function.",
        "A stub's last instruction branches back to the function, at most 32 MiB away. If that is out"
        " of range, ftrace is disabled at boot.",
        "Raise the reserve (CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE), or make the kernel's text smaller.",
    ),
    "tracer-unreachable": Words(
        "a stub reaches neither the tracer nor a trampoline",
        "Each stub reaches the tracer or a trampoline.",
        "A stub calls ftrace_caller or ftrace_regs_caller with a branch of at most 32 MiB, or a"
        " trampoline (ftrace_tramp_text, ftrace_tramp_init) that jumps there. Without either, ftrace is"
        " disabled at boot.",
        "Restore the position of the trampolines in the linker script.",
    ),
    "init-trampoline-only": Words(
        "a stub depends on a trampoline that is freed after boot",
        "No stub of text depends on the trampoline in init memory.",
        "ftrace_tramp_init is in init memory. A stub of a function that stays after boot must not call"
        " it: the branch would lead to memory that was freed.",
        "Restore the position of the trampolines in the linker script.",
    ),
    "low-headroom": Words(
        "the headroom is less than required",
        "The headroom is at least what was requested.",
        "The headroom is the distance that the tightest branch of all stubs keeps from its limit of 32"
        " MiB. It shrinks as text grows.",
        "Set the reserve that pfestubs plan recommends, or make the kernel's text smaller.",
    ),
    "growth": Words(
        "the number of locations grew by more than is allowed",
        "The number of locations has not grown by more than was allowed.",
        "Each location takes a stub, and space in text. The limit is the one given with --max-growth,"
        " from the kernel saved with --baseline.",
        "Find out what added functions; save a new baseline if it was intended.",
    ),
    "location-skipped": Words(
        "an entry of the location table is skipped",
        "An entry that the kernel does not take for a location.",
        "ftrace_process_locs skips entries that are empty, and those outside kernel text and init"
        " text, such as functions of exit text that was discarded.",
        "The kernel skips such an entry: exit text, or an empty slot.",
    ),
    "area-unused": Words(
        "stubs are unused",
        "An area with stubs that no function uses.",
        "Unused stubs only waste space. A reserve larger than the count of functions has them.",
        "Nothing to do: --spare, or a larger reserve than text needs.",
    ),
}
"""The words of each rule of `check` (`pfestubs.model.findings.RULES`)."""


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
        case f.TableSkipped(address, skipped, locations):
            return (
                f"{skipped:,} of {skipped + locations:,} entries of the location table at {address:#x} are"
                f" empty, or outside kernel text and init text: {plural(locations, 'location')} left"
            )
        case f.TableShort(address, locations, expected, source, in_init):
            where = " in init text" if in_init else ""
            return (
                f"the location table at {address:#x} has {plural(locations, 'location')}{where}, {expected:,}"
                f" are expected from {source or 'the size of the areas'}: nearly all are missing"
            )
        case f.TableContinues(location):
            return (
                f"the location table continues beyond its symbols, with {location:#x}: __start_mcount_loc or"
                " __stop_mcount_loc is wrong"
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
        case f.AreaOccupied(area, address, size):
            return (
                f"area {area.name} at {address:#x} is not empty: the boot would overwrite what the file holds"
                f" there ({size:,} bytes)"
            )
        case f.TextsOverlap(text, inittext):
            return (
                f"kernel text ({text.start:#x} to {text.stop:#x}) and init text ({inittext.start:#x} to"
                f" {inittext.stop:#x}) overlap"
            )
        case f.TargetMisplaced(symbol, address):
            return f"{symbol} at {address:#x} is not at an instruction of kernel text"
        case f.AreaCountMismatch(area, count, expected, source):
            return f"area {area.name} has {plural(count, 'stub')}, expected {expected:,} from {source}"
        case f.EntryCountMismatch(entries, expected, file) if entries <= expected:
            return f"the location table has no locations to compare with the {expected:,} entries of {file}"
        case f.EntryCountMismatch(entries, expected, file):
            return (
                f"the location table has {entries:,} entries, expected {expected:,} from {file}: objects"
                " were linked that were not counted"
            )
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
    missing = facts.needed - facts.stubs
    sentence = (
        f": area {facts.area.name} has {plural(facts.stubs, 'stub')},"
        f" {plural(facts.needed, 'function needs', 'functions need')} one:"
        f" {plural(missing, 'function gets', 'functions get')} no stub"
    )
    if facts.reserve is not None:
        sentence += f"; of the {facts.reserve:,} stubs of the reserve only {facts.usable:,} are in range"
    return sentence
