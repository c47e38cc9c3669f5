# SPDX-License-Identifier: GPL-2.0-or-later
"""The sentences of findings and of their remedies, made here for all formats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pfestubs.formats.text import bytes_text, keys_of, plural, size_text
from pfestubs.model.findings import Action

if TYPE_CHECKING:
    from pfestubs.model.findings import Finding, Remedy

LITTLE_GROWTH: Final = 1 << 20
"""Bytes of growth that one release of a kernel can use up."""
_REMEDIES: Final = {
    Action.LOWER_RESERVE: "lower the reserve: set {setting} in .config and link again",
    Action.RAISE_RESERVE: "raise the reserve: set {setting} in .config and link again",
    Action.REGENERATE_AREAS: "generate the assembly file again from this kernel's vmlinux.o (--spare"
    " adds stubs to area text_end), and link again",
    Action.RESTORE_LINK_ORDER: "restore the position of .tramp.ftrace.text and .tramp.ftrace.init in the"
    " linker script",
    Action.REBUILD: "build with -fpatchable-function-entry, and do not patch the kernel afterwards",
    Action.APPLY_RELOCATIONS: "link the kernel again, and do not strip its relocations (.rela.dyn)",
    Action.SHRINK_TEXT: "make the kernel's text smaller{by}, or disable CONFIG_FUNCTION_TRACER",
}
"""What to do, with the line of a setting, and by how many bytes."""


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


class Figure(int):
    """A figure in a sentence: also formats with its noun, `{stubs:stub|stubs}` as "1 stub" or "2 stubs"."""

    def __format__(self, spec: str) -> str:
        singular, bar, several = spec.partition("|")
        return plural(self, singular, several) if bar else super().__format__(spec)


SENTENCES: Final[dict[str, str]] = {
    # table-damaged
    "table-length": "the location table at {address:#x} has {bytes:byte|bytes}, not a multiple of {word}",
    "table-empty": "all {entries:,} entries of the location table at {address:#x} are empty: no function can"
    " be traced",
    "no-entries": "the location table at {address:#x} has no entries: no function can be traced",
    "no-locations": "none of the {entries:entry|entries} of the location table at {address:#x} is in kernel"
    " text or init text: no function can be traced",
    "entries-skipped": "{skipped:,} of {entries:,} entries of the location table at {address:#x} are empty,"
    " or outside kernel text and init text: {locations:location|locations} left",
    "table-short": "the location table at {address:#x} has {found:location|locations}, {expected:,} are"
    " expected from {source}: most are missing",
    "areas-unfilled": "the location table at {address:#x} has {found:location|locations}, {expected:,} are"
    " expected from the size of the areas: most are missing",
    "init-area-unfilled": "the location table at {address:#x} has {found:location|locations} in init text,"
    " {expected:,} are expected from the size of the areas: most are missing",
    "functions-unlisted": "the location table at {address:#x} has {found:location|locations} of a text in"
    " which {unlisted:,} more functions begin with the nop for ftrace",
    "table-continues": "the location table continues beyond its symbols, with {address:#x}:"
    " __start_mcount_loc or __stop_mcount_loc is wrong",
    "entry-misaligned": "{where} is not aligned to an instruction",
    "entry-repeated": "{where} is in the location table more than once",
    # area-damaged
    "area-size": "area {area.name} at {stub:#x} has {bytes:byte|bytes}, expected {expected:,}"
    " ({stubs:stub|stubs} of {stub_size})",
    "area-outside-text": "area {area.name} ({stub:#x} to {end:#x}) is outside kernel text ({outer.start:#x}"
    " to {outer.stop:#x})",
    "area-outside-init": "area {area.name} ({stub:#x} to {end:#x}) is outside init text ({outer.start:#x}"
    " to {outer.stop:#x})",
    "area-misaligned": "area {area.name} at {stub:#x} is not aligned to {alignment} bytes",
    "area-overlap": "area {area.name} ends at {end:#x}, after area {other.name} starts ({stub:#x})",
    "area-occupied": "area {area.name} at {stub:#x} is not empty: the boot would overwrite what the file"
    " holds there ({bytes:byte|bytes})",
    "texts-overlap": "kernel text ({text.start:#x} to {text.stop:#x}) and init text ({inittext.start:#x} to"
    " {inittext.stop:#x}) overlap",
    "target-misplaced": "{symbol} at {stub:#x} is in an area, on a traced function, or not in kernel text",
    # count-mismatch
    "area-count": "area {area.name} has {stubs:stub|stubs}, expected {expected:,} from {source}",
    "entry-count": "the location table has {entries:entry|entries}, expected {expected:,} from {source}:"
    " objects were linked that were not counted",
    "nothing-to-count": "the location table has no locations to compare with the {expected:,} entries of"
    " {source}",
    # locations
    "location-not-nop": "{where} holds {word:#010x}, expected what the compiler leaves for ftrace (nop"
    " 0x60000000)",
    "location-unreadable": "{where} holds nothing, expected what the compiler leaves for ftrace (nop"
    " 0x60000000)",
    "area-exhausted": "{where} gets no stub",
    "reserve-trapped": "{where} gets no stub",
    "stub-out-of-range": "{where} is {distance:,} bytes from its stub at {stub:#x} (limit {limit:,})",
    "return-out-of-range": "{where} is {distance:,} bytes from the last branch of its stub at {stub:#x}"
    " (limit {limit:,})",
    "tracer-unreachable": "{caller} is {distance:,} bytes from {tracer} (limit {limit:,}), and no trampoline"
    " is in range",
    "init-trampoline-only": "{caller} is {distance:,} bytes from {tracer} (limit {limit:,}) and reaches only"
    " ftrace_tramp_init, which is freed after boot",
    # thresholds
    "low-headroom": "the headroom is {bytes:byte|bytes} ({branch} branch of {function}), at least {minimum:,}"
    " are required",
    "no-headroom": "there is no headroom to measure, at least {minimum:,} bytes are required",
    "growth": "{locations:,} locations, {grown:,} more than in {source} ({baseline:,}); at most"
    " {allowed:,.0f} more are allowed",
    "growth-in-percent": "{locations:,} locations, {grown:,} more than in {source} ({baseline:,}); at most"
    " {allowed}% more are allowed",
    "nothing-to-compare": "there are no locations to compare with {source} ({baseline:,})",
    # notes
    "location-skipped": "{where} is neither in kernel text nor in init text",
    "entry-empty": "an entry of the location table is empty",
    "area-unused": "{unused:,} of {stubs:,} stubs of area {area.name} are unused",
}
"""What each case of a rule says, from the finding's figures and addresses (`finding_sentence`)."""

_EXHAUSTED: Final = (
    ": area {area.name} has {stubs:stub|stubs}, {needed:function needs|functions need} one:"
    " {missing:function gets|functions get} no stub"
)
CAUSES: Final[dict[str, str]] = {
    "area-exhausted": _EXHAUSTED,
    "reserve-trapped": _EXHAUSTED + "; of the {reserve:,} stubs of the reserve only {usable:is|are} in range",
}
"""What a sentence says in addition where it has the remedy: the cause of all findings of the case."""


def finding_message(finding: Finding) -> str:
    """Return a finding as one sentence, its remedy included."""
    sentence = finding_sentence(finding)
    return f"{sentence}; {remedy_sentence(finding.remedy)}" if finding.remedy else sentence


def finding_sentence(finding: Finding) -> str:
    """Return what is wrong, without the remedy."""
    case = finding.case or finding.rule
    where = f"{finding.function} at {finding.location or 0:#x}"
    template = SENTENCES[case] + (CAUSES.get(case, "") if finding.remedy else "")
    figures = finding.figures
    if "|" in template:
        figures = {
            name: Figure(value) if isinstance(value, int) else value for name, value in figures.items()
        }
    return template.format(
        where=where,
        caller=f"the stub at {finding.stub:#x} of {where}" if finding.stub else where,
        function=finding.function,
        stub=finding.stub or 0,
        distance=abs(finding.distance or 0),
        limit=abs(finding.limit or 0),
        **figures,
    )


# -- remedies ------------------------------------------------------------------------------------------------


def remedy_sentence(remedy: Remedy, setting: str | None = None) -> str:
    """Return what to do; `setting` replaces the line for `.config`, which is part of it if None."""
    by = "" if remedy.value is None else f" by {bytes_text(remedy.value)}"
    return _REMEDIES[remedy.action].format(setting=setting or setting_line(remedy), by=by)


def remedy_details(remedy: Remedy | None) -> list[str]:
    """Return the command that makes a setting, and why this value; nothing for other remedies."""
    if remedy is None or remedy.config is None or remedy.value is None:
        return []
    lines = [config_command(remedy.config, remedy.value)]
    if remedy.working is not None:
        low, high = remedy.working
        reason = "only this value works" if low == high else f"values from {low:,} to {high:,} work"
        if remedy.growth is not None and low != high:
            sides = ", the same on both sides" if low < remedy.value < high else ""
            reason += (
                f"; {remedy.value:,} leaves the most room for text to grow{sides}:"
                f" {'more than 1 GiB' if remedy.growth > 1 << 30 else size_text(remedy.growth)}"
            )
        if remedy.growth is not None and remedy.growth < LITTLE_GROWTH:
            reason += "; no value leaves more, only less text does"
        lines.append(reason)
    return lines


def config_command(config: str, value: int) -> str:
    """Return the command that makes a setting, in the kernel's tree."""
    return f"scripts/config --set-val {config.removeprefix('CONFIG_')} {value}"


def setting_line(remedy: Remedy) -> str | None:
    """Return the line for `.config`, without thousands separators, None if the remedy is not a setting."""
    return None if remedy.config is None else f"{remedy.config}={remedy.value}"


def remedy_values(remedy: Remedy | None) -> dict[str, Any] | None:
    """Return the keys of a remedy in JSON; config and value only where there are such."""
    values = keys_of(remedy, "action config value")
    return remedy and {key: value for key, value in values.items() if value is not None}
