# SPDX-License-Identifier: GPL-2.0-or-later
"""Edit the two kernel makefiles that call the ftrace scripts, so that they call pfestubs instead.

Text in, text out. Everything is written as marked blocks between the tree's own lines. A block contains a
digest of itself and the lines that it replaces, so that any version of pfestubs can remove it bit for bit,
whatever else the makefile contains, and can detect that it was edited by hand.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from pfestubs.errors import UnsuitableError
from pfestubs.kbuild.syntax import SplitRecipeError, end_of_recipe, parse, rule_words, split_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pfestubs.kbuild.syntax import Statement

TOOLS_MAKEFILE: Final = "arch/powerpc/tools/Makefile"
POSTLINK_MAKEFILE: Final = "arch/powerpc/Makefile.postlink"

MINIMUM_VERSION: Final = "0.1.0"
"""The oldest pfestubs with the command lines that the blocks contain."""

_MARK: Final = "# pfestubs kbuild: "
_BEGIN: Final = re.compile(re.escape(_MARK) + r"begin ([0-9a-f]{16})\b.*")
_END: Final = _MARK + "end"
_WAS: Final = _MARK + "was: "

BlockState = Literal["absent", "current", "other"]
"""Of one makefile: no block, the blocks that this version writes, the blocks of another version."""

VENDORED: Final = "arch/powerpc/tools/pfestubs.pyz"
"""Where `install --vendor` puts the zip application."""

_CALLS_VENDORED: Final = f"PFESTUBS ?= $(PYTHON3) $(srctree)/{VENDORED}\n"


@dataclass(frozen=True)
class HookVariant:
    """One generation of the hook: the rule in `arch/powerpc/tools/Makefile` that runs the script.

    `template` is the name of the block that replaces the rule.
    """

    name: str
    target: str
    scripts: tuple[str, ...]
    template: str


HOOK_VARIANTS: Final = (
    HookVariant("mainline", "$(obj)/vmlinux.arch.S", ("ftrace-gen-ool-stubs.sh",), "kbuild-mainline.mk.j2"),
    HookVariant(
        "RFC",
        ".arch.vmlinux.o",
        ("gen-ftrace-pfe-stubs.sh", "ftrace-gen-ool-stubs.sh"),
        "kbuild-rfc.mk.j2",
    ),
)

CHECK_TEMPLATE: Final = "kbuild-check.mk.j2"

_CHECK_CALL: Final = "\t$(call cmd,ftrace_check)"
# The conditions under which mainline calls its check.
_CHECK_CALLS: Final = f"""\
ifdef CONFIG_FUNCTION_TRACER
ifndef CONFIG_PPC64_ELF_ABI_V1
{_CHECK_CALL}
endif
endif
"""
_CHECK_DEFINITION: Final = re.compile(r"(?:override\s+)?cmd_ftrace_check\s*[:?+!]*=")
_KERNEL_NAMES: Final = ("vmlinux", "vmlinux.unstripped")


def strip(file: str, text: str) -> str:
    """Return the makefile as it was before anything was installed.

    Raises:
        UnsuitableError: a block was edited by hand.
    """
    lines: list[str] = []
    block: list[str] | None = None
    digest, start = "", 0
    for number, line in enumerate(split_lines(text), 1):
        begin = _BEGIN.fullmatch(line.rstrip("\n"))
        if block is None and begin:
            block, digest, start = [], begin[1], number
        elif block is not None and line.rstrip("\n") == _END:
            if _digest("".join(block)) != digest:
                raise _edited(file, start)
            lines += [was.removeprefix(_WAS) for was in block if was.startswith(_WAS)]
            block = None
        elif begin or (block is None and line.startswith(_MARK)):
            raise _edited(file, start if block is not None else number)
        else:
            (lines if block is None else block).append(line)
    if block is not None:
        raise _edited(file, start)
    return "".join(lines)


def _edited(file: str, number: int) -> UnsuitableError:
    return UnsuitableError(
        file,
        f"line {number}: the pfestubs block that begins here was edited by hand",
        "undo the edit, or remove the block by hand",
    )


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _block(body: str, was: Sequence[str] = ()) -> list[str]:
    """Return `body` between markers, as lines; `was` are the lines that it replaces."""
    body = "".join(_WAS + line for line in was) + body
    begin = f'{_MARK}begin {_digest(body)} ("pfestubs kbuild remove" removes this block)\n'
    return [begin, *split_lines(body), _END + "\n"]


def recognise(tools: str) -> HookVariant:
    """Return the generation of a stripped `arch/powerpc/tools/Makefile`.

    Raises:
        UnsuitableError: it has no rule of a known generation, or more than one.
    """
    return _find_hook(parse(split_lines(tools)), tools)[0]


def _find_hook(statements: Sequence[Statement], tools: str) -> tuple[HookVariant, int]:
    _require_plain(TOOLS_MAKEFILE, tools)
    found: list[tuple[HookVariant, int]] = []
    rules = 0
    for index, statement in enumerate(statements):
        targets, prerequisites = rule_words(statement)
        for variant in HOOK_VARIANTS:
            if variant.target not in targets:
                continue
            rules += 1
            scripts = {word.rsplit("/", 1)[-1] for word in prerequisites if "/" in word}
            if (
                targets == [variant.target]
                and prerequisites[-1:] == ["FORCE"]
                and scripts & {*variant.scripts}
            ):
                found.append((variant, index))
    if not found:
        raise UnsuitableError(
            TOOLS_MAKEFILE,
            "has neither mainline's rule for $(obj)/vmlinux.arch.S (6.13 and newer) nor the RFC patch's for"
            " .arch.vmlinux.o",
        )
    if rules > 1:
        raise UnsuitableError(
            TOOLS_MAKEFILE, f"has {rules} rules for the targets that the script makes, expected one"
        )
    return found[0]


def edit_tools(tools: str, hook: str) -> str:
    """Return a stripped `arch/powerpc/tools/Makefile` with `hook` in place of the rule.

    Args:
        tools: the stripped text.
        hook: the rendered template of the variant; it ends with an open `else`.

    Raises:
        UnsuitableError: as `recognise`, or the rule's recipe is not one piece directly after it.
    """
    lines = split_lines(tools)
    statements = parse(lines)
    _, rule = _find_hook(statements, tools)
    start, end = statements[rule].start, _end_of_recipe(TOOLS_MAKEFILE, statements, rule)
    if end == statements[rule].end:
        raise UnsuitableError(
            TOOLS_MAKEFILE, f"line {start + 1}: the rule that runs the script has no recipe"
        )
    return "".join([*lines[:start], *_block(hook), *lines[start:end], *_block("endif\n"), *lines[end:]])


def edit_postlink(postlink: str, check: str) -> str:
    """Return a stripped `arch/powerpc/Makefile.postlink` that runs `check` for both names of the kernel.

    Args:
        postlink: the stripped text.
        check: the rendered definition of `cmd_ftrace_check`.

    Raises:
        UnsuitableError: the makefile does not have the expected form.
    """
    _require_plain(POSTLINK_MAKEFILE, postlink)
    lines = split_lines(postlink)
    statements = parse(lines)
    rule, targets = _postlink_rule(statements)
    start, end = statements[rule].start, _end_of_recipe(POSTLINK_MAKEFILE, statements, rule)
    definitions = [s for s in statements if _CHECK_DEFINITION.match(s.text)]
    called = any(line.rstrip() == _CHECK_CALL for line in lines[start:end])
    if len(definitions) > 1 or bool(definitions) != called:
        raise UnsuitableError(
            POSTLINK_MAKEFILE,
            f"defines cmd_ftrace_check {len(definitions)} times and"
            f" {'calls' if called else 'does not call'} it; expected one definition and a call, or neither",
        )
    definition = definitions[0].end if definitions else start
    if definition > start:
        raise UnsuitableError(POSTLINK_MAKEFILE, "defines cmd_ftrace_check after the rule that calls it")
    body = statements[rule].end
    named = lines[start:body]
    if "vmlinux.unstripped" not in targets:
        named = _block("vmlinux vmlinux.unstripped: FORCE\n", was=named)
    return "".join(
        [
            *lines[:definition],
            *_block(check),
            *lines[definition:start],
            *named,
            *lines[body:end],
            *([] if called else _block(_CHECK_CALLS)),
            *lines[end:],
        ]
    )


def _postlink_rule(statements: Sequence[Statement]) -> tuple[int, list[str]]:
    """Return the index of the rule for the kernel, and its targets."""
    rules = [(i, *rule_words(s)) for i, s in enumerate(statements)]
    rules = [rule for rule in rules if not {*rule[1]}.isdisjoint(_KERNEL_NAMES)]
    found = [
        (i, targets) for i, targets, needed in rules if {*targets} <= {*_KERNEL_NAMES} and needed == ["FORCE"]
    ]
    if len(rules) != 1 or not found or "vmlinux" not in found[0][1]:
        raise UnsuitableError(
            POSTLINK_MAKEFILE,
            f'has {len(found) or "no"} rule "vmlinux: FORCE" among {len(rules)} for the kernel,'
            " expected only that one",
        )
    return found[0]


def _end_of_recipe(file: str, statements: Sequence[Statement], rule: int) -> int:
    try:
        return end_of_recipe(statements, rule)
    except SplitRecipeError as e:
        raise UnsuitableError(
            file,
            f"line {e.line}: the recipe of the rule in line {statements[rule].start + 1} is interrupted here",
            "put the whole recipe directly after its rule, each conditional with its endif",
        ) from e


def calls_vendored(text: str) -> bool:
    """Return whether a makefile's blocks call the zip application in the tree."""
    return _CALLS_VENDORED in text


def _require_plain(file: str, text: str) -> None:
    if not text.endswith("\n"):
        raise UnsuitableError(file, "does not end with a newline", "is the file complete?")
    if "\r" in text:
        raise UnsuitableError(file, "has carriage returns", "convert its line endings to plain newlines")
    if ".RECIPEPREFIX" in text:
        raise UnsuitableError(file, "sets .RECIPEPREFIX; pfestubs edits recipes that start with a tab only")
    if "$(PFESTUBS)" in text:
        raise UnsuitableError(
            file, "calls $(PFESTUBS) outside the blocks that pfestubs writes", "remove that call first"
        )


def state_of(text: str, stripped: str, edited: str) -> BlockState:
    """Return what a makefile contains, given its text, the stripped text and the text this version writes."""
    if text == stripped:
        return "absent"
    return "current" if text == edited else "other"


def revives_checks(makefile_vmlinux: str, stripped_postlink: str) -> bool:
    """Return whether a rule for `vmlinux.unstripped` makes the tree's own post-link checks run again.

    They stopped running in 6.18, which links and post-processes `vmlinux.unstripped` on every architecture
    (`scripts/Makefile.vmlinux`), a target for which powerpc's makefile has no rule.
    """
    linked = any(
        line.startswith("vmlinux.unstripped:") and "scripts/link-vmlinux.sh" in line.split()
        for line in makefile_vmlinux.split("\n")
    )
    _, targets = _postlink_rule(parse(split_lines(stripped_postlink)))
    return linked and "vmlinux.unstripped" not in targets


def release(makefile: str) -> str:
    """Return the kernel's version according to the top-level makefile, such as "7.2", or "" without one."""
    pattern = r"^(VERSION|PATCHLEVEL) {0,8}= {0,8}([0-9]{1,5}) {0,8}$"
    parts = dict(re.findall(pattern, makefile, re.MULTILINE))
    return f"{parts['VERSION']}.{parts['PATCHLEVEL']}" if len(parts) == 2 else ""


def patch(file: str, old: str, new: str) -> str:
    """Return the change of one file as a patch for `git apply`, "" if there is none."""
    lines = list(difflib.unified_diff(split_lines(old), split_lines(new), f"a/{file}", f"b/{file}"))
    return "".join([f"diff --git a/{file} b/{file}\n", *lines]) if lines else ""
