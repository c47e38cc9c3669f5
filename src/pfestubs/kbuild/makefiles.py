# SPDX-License-Identifier: GPL-2.0-or-later
"""Which makefiles of a kernel tree call the ftrace scripts, and the same makefiles calling pfestubs.

Text in, text out. What is written stands in marked blocks between the tree's own lines. A block carries a
digest of itself and the lines it stands in for, so that it can be taken out bit for bit, by any version of
pfestubs and whatever else the file carries, and so that an edit made by hand is seen.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from pfestubs.errors import UnsuitableError

if TYPE_CHECKING:
    from collections.abc import Sequence

TOOLS_MAKEFILE: Final = "arch/powerpc/tools/Makefile"
POSTLINK_MAKEFILE: Final = "arch/powerpc/Makefile.postlink"

MINIMUM_VERSION: Final = "0.1.0"
"""The oldest pfestubs with the command lines that the blocks contain."""

_MARK: Final = "# pfestubs kbuild: "
_BEGIN: Final = re.compile(re.escape(_MARK) + r"begin ([0-9a-f]{16})\b.*")
_END: Final = _MARK + "end"
_WAS: Final = _MARK + "was: "

State = Literal["absent", "current", "other"]
"""Of one makefile: no block, the blocks that this version writes, the blocks of another version."""


@dataclass(frozen=True)
class Kind:
    """One generation of the hook: the rule in `arch/powerpc/tools/Makefile` that runs the script.

    `template` is the name of the block that replaces the rule.
    """

    name: str
    rule: re.Pattern[str]
    template: str


KINDS: Final = (
    Kind(
        "mainline",
        re.compile(r"\$\(obj\)/vmlinux\.arch\.S:.*/ftrace-gen-ool-stubs\.sh\s.*\bFORCE"),
        "kbuild-mainline.mk.j2",
    ),
    Kind(
        "RFC",
        re.compile(r"\.arch\.vmlinux\.o:.*/(?:gen-ftrace-pfe-stubs|ftrace-gen-ool-stubs)\.sh\s.*\bFORCE"),
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
_CONDITIONAL: Final = re.compile(r"(?:ifdef|ifndef|ifeq|ifneq|else|endif)\b")
_POSTLINK_RULE: Final = re.compile(
    r"(vmlinux(?:\.unstripped)?(?:\s+vmlinux(?:\.unstripped)?)*)\s*:\s*FORCE\s*"
)


def strip(file: str, text: str) -> str:
    """The makefile as it was before anything was installed.

    Raises:
        UnsuitableError: a block is not as it was written.
    """
    lines: list[str] = []
    block: list[str] | None = None
    digest, start = "", 0
    for number, line in enumerate(_lines(text), 1):
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
        f"line {number}: the block of pfestubs that begins here was edited by hand",
        "undo the edit, or take the blocks out by hand",
    )


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _block(body: str, was: Sequence[str] = ()) -> list[str]:
    """`body` between markers, as lines; `was` are the lines that it stands in for."""
    body = "".join(_WAS + line for line in was) + body
    begin = f'{_MARK}begin {_digest(body)} ("pfestubs kbuild remove" takes this block out)\n'
    return [begin, *_lines(body), _END + "\n"]


def _lines(text: str) -> list[str]:
    """The lines with their ends, as make and diff count them: at newlines only."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def recognise(tools: str) -> Kind:
    """The generation of a stripped `arch/powerpc/tools/Makefile`.

    Raises:
        UnsuitableError: it has no rule of a known generation, or more than one.
    """
    _refuse_strange(TOOLS_MAKEFILE, tools)
    lines = tools.split("\n")
    found = [kind for kind in KINDS for line in lines if kind.rule.fullmatch(line)]
    if not found:
        raise UnsuitableError(
            TOOLS_MAKEFILE,
            "has neither mainline's rule for $(obj)/vmlinux.arch.S (6.13 to 7.2) nor the RFC patch's for"
            " .arch.vmlinux.o",
        )
    if len(found) > 1:
        raise UnsuitableError(TOOLS_MAKEFILE, f"has {len(found)} rules that run the script, one was expected")
    return found[0]


def edit_tools(tools: str, kind: Kind, hook: str) -> str:
    """A stripped `arch/powerpc/tools/Makefile` with `hook` in place of the rule.

    Args:
        tools: the stripped text.
        kind: what `recognise` said of it.
        hook: the rendered template of the kind; it ends with an open `else`.
    """
    lines = _lines(tools)
    start = next(i for i, line in enumerate(lines) if kind.rule.fullmatch(line.rstrip("\n")))
    end = start + 1
    while end < len(lines) and lines[end].startswith("\t"):
        end += 1
    return "".join([*lines[:start], *_block(hook), *lines[start:end], *_block("endif\n"), *lines[end:]])


def edit_postlink(postlink: str, check: str) -> str:
    """A stripped `arch/powerpc/Makefile.postlink` that runs `check` for both names of the kernel.

    Args:
        postlink: the stripped text.
        check: the rendered definition of `cmd_ftrace_check`.

    Raises:
        UnsuitableError: the makefile is not built as expected.
    """
    _refuse_strange(POSTLINK_MAKEFILE, postlink)
    lines = _lines(postlink)
    rule, targets = _postlink_rule(lines)
    end = _end_of_recipe(lines, rule)
    defined = [i for i, line in enumerate(lines) if re.match(r"\s*cmd_ftrace_check\s*=", line)]
    called = any(line.rstrip() == _CHECK_CALL for line in lines[rule:end])
    if len(defined) > 1 or bool(defined) != called:
        raise UnsuitableError(
            POSTLINK_MAKEFILE,
            f"defines cmd_ftrace_check {len(defined)} times and {'calls' if called else 'does not call'} it;"
            " expected was once and a call, or neither",
        )
    calls = [] if called else _block(_CHECK_CALLS)
    named = [lines[rule]]
    if "vmlinux.unstripped" not in targets:
        named = _block("vmlinux vmlinux.unstripped: FORCE\n", was=named)
    definition = defined[0] + 1 if defined else rule
    while defined and lines[definition - 1].endswith("\\\n"):
        definition += 1
    if definition > rule:
        raise UnsuitableError(POSTLINK_MAKEFILE, "defines cmd_ftrace_check after the rule that calls it")
    return "".join(
        [
            *lines[:definition],
            *_block(check),
            *lines[definition:rule],
            *named,
            *lines[rule + 1 : end],
            *calls,
            *lines[end:],
        ]
    )


def _postlink_rule(lines: Sequence[str]) -> tuple[int, list[str]]:
    found = [(i, m[1].split()) for i, line in enumerate(lines) if (m := _POSTLINK_RULE.fullmatch(line))]
    if len(found) != 1 or "vmlinux" not in found[0][1]:
        raise UnsuitableError(
            POSTLINK_MAKEFILE, f'has {len(found) or "no"} rule "vmlinux: FORCE", one was expected'
        )
    return found[0]


def _end_of_recipe(lines: Sequence[str], rule: int) -> int:
    """The line after the last of a rule that has conditionals in its recipe, none of them left open."""
    end, depth = rule + 1, 0
    for number, line in enumerate(lines[rule + 1 :], rule + 1):
        conditional = _CONDITIONAL.match(line)
        if not conditional and not line.startswith("\t"):
            break
        depth += {"endif": -1, "else": 0}.get(conditional[0], 1) if conditional else 0
        if depth < 0:
            break
        if not depth:
            end = number + 1
    return end


def _refuse_strange(file: str, text: str) -> None:
    if not text.endswith("\n"):
        raise UnsuitableError(file, "does not end with a newline", "is it whole?")
    if "\r" in text:
        raise UnsuitableError(file, "has carriage returns", "give it the line ends of the kernel's own files")
    if "$(PFESTUBS)" in text:
        raise UnsuitableError(
            file,
            "calls $(PFESTUBS) outside of the blocks that pfestubs writes",
            "take that out by hand first",
        )


def state_of(text: str, stripped: str, edited: str) -> State:
    """What a makefile holds, from its text, the stripped text and that edited by this version."""
    if text == stripped:
        return "absent"
    return "current" if text == edited else "other"


def revives_checks(makefile_vmlinux: str, stripped_postlink: str) -> bool:
    """Whether naming `vmlinux.unstripped` makes the tree's own post-link checks run again.

    They stopped with 6.18, which links and post-processes `vmlinux.unstripped` on every architecture
    (`scripts/Makefile.vmlinux`), a target that powerpc's makefile does not name.
    """
    linked = re.search(r"^vmlinux\.unstripped:.*\bscripts/link-vmlinux\.sh\b", makefile_vmlinux, re.MULTILINE)
    _, targets = _postlink_rule(_lines(stripped_postlink))
    return linked is not None and "vmlinux.unstripped" not in targets


def release(makefile: str) -> str:
    """The kernel's version as the top-level makefile says it, such as "7.2", or "" if it does not."""
    parts = dict(re.findall(r"^(VERSION|PATCHLEVEL) *= *([0-9]+) *$", makefile, re.MULTILINE))
    return f"{parts['VERSION']}.{parts['PATCHLEVEL']}" if len(parts) == 2 else ""


def patch(file: str, old: str, new: str) -> str:
    """The change of one file as `git apply` takes it, "" if there is none."""
    lines = list(difflib.unified_diff(_lines(old), _lines(new), f"a/{file}", f"b/{file}"))
    return "".join([f"diff --git a/{file} b/{file}\n", *lines]) if lines else ""
