# SPDX-License-Identifier: GPL-2.0-or-later
"""Edit the two kernel makefiles that call the ftrace scripts, so that they call pfestubs instead.

Text in, text out. The rules of the known generations are recognised by their lines. Everything is written as
marked blocks between the tree's own lines. A block contains a digest of itself and the lines it replaces, so
that any version of pfestubs can remove it bit for bit, whatever else the makefile contains, and can detect
that it was edited by hand. A makefile with such a block, or whose rules differ, is refused (`InputError`).
"""

import difflib
import hashlib
import re
from typing import Final, NamedTuple

from pfestubs.errors import InputError
from pfestubs.formats.text import plural

TOOLS_MAKEFILE: Final = "arch/powerpc/tools/Makefile"
POSTLINK_MAKEFILE: Final = "arch/powerpc/Makefile.postlink"

MINIMUM_VERSION: Final = "0.1.0"
"""The oldest pfestubs with the command lines that the blocks contain."""

_MARK: Final = "# pfestubs kbuild: "
_BEGIN: Final = re.compile(re.escape(_MARK) + r"begin ([0-9a-f]{16})\b.*")
_END: Final = _MARK + "end"
_WAS: Final = _MARK + "was: "
_END_OF_CHOICE: Final = "endif\n"

VENDORED: Final = "arch/powerpc/tools/pfestubs.pyz"
"""Where `install --vendor` puts the zip application."""

_CALLS_VENDORED: Final = f"PFESTUBS ?= $(PYTHON3) $(srctree)/{VENDORED}\n"


class HookRule(NamedTuple):
    """A rule in `arch/powerpc/tools/Makefile` that runs the script, and the template of what replaces it."""

    generation: str
    line: str
    template: str


HOOK_RULES: Final = (
    HookRule(
        "mainline",
        "$(obj)/vmlinux.arch.S: $(src)/ftrace-gen-ool-stubs.sh vmlinux.o FORCE",
        "kbuild-mainline.mk.j2",
    ),
    *(
        HookRule(
            "RFC",
            f".arch.vmlinux.o: $(srctree)/arch/powerpc/tools/{script} $(objtree)/vmlinux.o FORCE",
            "kbuild-rfc.mk.j2",
        )
        for script in ("gen-ftrace-pfe-stubs.sh", "ftrace-gen-ool-stubs.sh")
    ),
)
_KERNEL_RULES: Final = ("vmlinux", "vmlinux vmlinux.unstripped", "vmlinux.unstripped vmlinux")
"""Targets of the rule in `arch/powerpc/Makefile.postlink`; its only prerequisite is FORCE."""

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
_CHECK_DEFINITION: Final = re.compile(r"^[ \t]*cmd_ftrace_check *=(?:[^\n]*\\\n)*[^\n]*\n", re.MULTILINE)
_CHECK_ASSIGNMENT: Final = re.compile(r"^[^\n#]*\bcmd_ftrace_check[ \t]*[:?+!]*=", re.MULTILINE)
_RECIPE: Final = re.compile(r"(?:\t(?:[^\n]*\\\n)*[^\n]*\n|(?:ifn?def|ifn?eq|else|endif)\b[^\n]*\n)*")
_BLANK: Final = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n)*")
_CONDITIONAL: Final = re.compile(r"^[ \t]*(ifn?def|ifn?eq|endif)\b", re.MULTILINE)
_OTHER_SYNTAX: Final = re.compile(r"^[ \t]*(?:define\b|\.RECIPEPREFIX\b)", re.MULTILINE)
_LEFT_OVER: Final = re.compile(r"^#.*pfestubs.?kbuild|\$\(PFESTUBS\)", re.MULTILINE | re.IGNORECASE)
_ADVICE: Final = "make the change by hand: pfestubs kbuild install --print prints it for an unchanged tree"


def strip(file: str, text: str) -> str:
    """Return the makefile as it was before anything was installed."""
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
    stripped = "".join(lines)
    left = _LEFT_OVER.search(stripped)
    if left:
        raise InputError(
            file,
            f"has {left[0]!r} outside the blocks that pfestubs writes",
            "if a marker was edited by hand, undo that; else remove what is left of the block, or the call",
        )
    is_undefined = _CHECK_CALL in stripped and not _CHECK_ASSIGNMENT.search(stripped)
    if stripped != text and (is_undefined or not _is_balanced(stripped)):
        raise InputError(
            file,
            "has a part of a block that pfestubs wrote, without its markers",
            "undo the edit of the block, or remove what is left of it by hand",
        )
    return stripped


def _edited(file: str, number: int) -> InputError:
    return InputError(
        file,
        f"line {number}: the pfestubs block that begins here was edited by hand",
        "undo the edit, or remove the block by hand",
    )


def _is_balanced(text: str) -> bool:
    """Return whether each conditional of `text` is closed in it, and no other."""
    depth = 0
    for match in _CONDITIONAL.finditer(text):
        depth += -1 if match[1] == "endif" else 1
        if depth < 0:
            return False
    return depth == 0


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def split_lines(text: str) -> list[str]:
    """Return the lines with their ends, as make and diff count them: at newlines only."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _block(body: str, was: str = "") -> str:
    """Return `body` between markers; `was` are the lines that it replaces."""
    body = "".join(_WAS + line for line in split_lines(was)) + body
    return f'{_MARK}begin {_digest(body)} ("pfestubs kbuild remove" removes this block)\n{body}{_END}\n'


class RulePlace(NamedTuple):
    """A rule as positions in a makefile: of its line, of its recipe, and where that ends."""

    start: int
    recipe: int
    end: int


def _find_rule(file: str, text: str, rule: str, target: str) -> RulePlace | None:
    """Return the rule with exactly this line in a stripped makefile, None without one.

    Another rule for a target that matches the pattern `target` is refused, and a recipe that is not one piece
    right after its rule.
    """
    pattern = r"[ \t]+".join(map(re.escape, rule.split(" ")))
    found = list(re.finditer(rf"^{pattern}[ \t]*\n", text, re.MULTILINE))
    if not found:
        return None
    _require_plain(file, text)
    rules = re.findall(rf"^(?:[^\t#\n=:][^\n=:]*[ \t])?{target}(?:[ \t][^\n=:]*)?:(?!=)", text, re.MULTILINE)
    if len(rules) != 1:
        raise InputError(file, f"has {len(rules)} rules for the targets of {rule!r}, not one", _ADVICE)
    start, recipe = found[0].span()
    match = _RECIPE.match(text, recipe)
    end = match.end() if match else recipe
    after = _BLANK.match(text, end)
    if "\t" not in {line[0] for line in split_lines(text[recipe:end])}:
        raise InputError(file, f"line {_line(text, start)}: the rule has no recipe after it", _ADVICE)
    if not _is_balanced(text[recipe:end]) or (after and text.startswith("\t", after.end())):
        raise InputError(
            file,
            f"line {_line(text, end)}: the recipe of the rule in line {_line(text, start)} is interrupted",
            f"put the whole recipe directly after its rule, each conditional with its endif; or {_ADVICE}",
        )
    return RulePlace(start, recipe, end)


def _require_plain(file: str, text: str) -> None:
    if not text.endswith("\n"):
        raise InputError(file, "does not end with a newline", "is the file complete?")
    if "\r" in text:
        raise InputError(file, "has carriage returns", "convert its line endings to plain newlines")
    other = _OTHER_SYNTAX.search(text)
    if other:
        raise InputError(file, f"uses {other[0].strip()}, which pfestubs does not read", _ADVICE)


def find_hook(tools: str) -> tuple[HookRule, RulePlace]:
    """Return the rule of a stripped `arch/powerpc/tools/Makefile` that runs the script, and where it is."""
    targets = "|".join({re.escape(rule.line.partition(":")[0]) for rule in HOOK_RULES})
    for rule in HOOK_RULES:
        place = _find_rule(TOOLS_MAKEFILE, tools, rule.line, f"(?:{targets})")
        if place:
            return rule, place
    raise InputError(
        TOOLS_MAKEFILE,
        "has neither mainline's rule for $(obj)/vmlinux.arch.S (6.13 and newer) nor the RFC patch's for"
        " .arch.vmlinux.o",
        _ADVICE,
    )


def edit_tools(tools: str, hook: str) -> str:
    """Return a stripped `arch/powerpc/tools/Makefile` with `hook` in place of the rule.

    `hook` is the rendered template of the rule; it ends with an open `else`.
    """
    _, rule = find_hook(tools)
    own = tools[rule.start : rule.end]
    return f"{tools[: rule.start]}{_block(hook)}{own}{_block(_END_OF_CHOICE)}{tools[rule.end :]}"


def edit_postlink(postlink: str, check: str) -> str:
    """Return a stripped `arch/powerpc/Makefile.postlink` that checks the kernel under both of its names.

    `check` is the rendered definition of `cmd_ftrace_check`.
    """
    targets, rule = _postlink_rule(postlink)
    recipe = postlink[rule.recipe : rule.end]
    is_called = f"{_CHECK_CALL}\n" in recipe
    definition = _CHECK_DEFINITION.search(postlink)
    number = len(_CHECK_ASSIGNMENT.findall(postlink))
    at = definition.end() if definition else rule.start
    if (number, is_called) != ((1, True) if definition else (0, False)) or at > rule.start:
        raise InputError(
            POSTLINK_MAKEFILE,
            f"has {plural(number, 'definition')} of cmd_ftrace_check and {'a' if is_called else 'no'} call;"
            " expected one definition before the rule with the call, or neither",
            _ADVICE,
        )
    before, named = postlink[at : rule.start], postlink[rule.start : rule.recipe]
    if "vmlinux.unstripped" not in targets:
        named = _block("vmlinux vmlinux.unstripped: FORCE\n", was=named)
    added = "" if is_called else _block(_CHECK_CALLS)
    return f"{postlink[:at]}{_block(check)}{before}{named}{recipe}{added}{postlink[rule.end :]}"


def _postlink_rule(postlink: str) -> tuple[str, RulePlace]:
    """Return the targets of the rule for the kernel, and the rule."""
    for targets in _KERNEL_RULES:
        rule = _find_rule(POSTLINK_MAKEFILE, postlink, f"{targets}: FORCE", r"vmlinux(?:\.unstripped)?")
        if rule:
            return targets, rule
    raise InputError(POSTLINK_MAKEFILE, 'has no rule "vmlinux: FORCE"', _ADVICE)


def calls_vendored(text: str) -> bool:
    """Return whether a makefile's blocks call the zip application in the tree."""
    return _CALLS_VENDORED in text


def revives_checks(makefile_vmlinux: str, stripped_postlink: str) -> bool:
    """Return whether a rule for `vmlinux.unstripped` makes the tree's own post-link checks run again.

    They stopped running in 6.18, which links and post-processes `vmlinux.unstripped` on every architecture
    (`scripts/Makefile.vmlinux`), a target for which powerpc's makefile has no rule.
    """
    linked = any(
        line.startswith("vmlinux.unstripped:") and "scripts/link-vmlinux.sh" in line.split()
        for line in makefile_vmlinux.split("\n")
    )
    targets, _ = _postlink_rule(stripped_postlink)
    return linked and "vmlinux.unstripped" not in targets


def release(makefile: str) -> str:
    """Return the kernel's version according to the top-level makefile, such as "7.2", or "" without one."""
    pattern = r"^(VERSION|PATCHLEVEL) {0,8}= {0,8}([0-9]{1,5}) {0,8}$"
    parts = dict(re.findall(pattern, makefile, re.MULTILINE))
    return f"{parts['VERSION']}.{parts['PATCHLEVEL']}" if len(parts) == 2 else ""


def patch(file: str, old: str, new: str) -> str:
    """Return the change of one file as a patch for `git apply` or `patch -p1`, "" if there is none.

    Without git's own header lines: after those, git takes the paths from the top of the repository, which the
    kernel tree may be a directory of.
    """
    return "".join(difflib.unified_diff(split_lines(old), split_lines(new), f"a/{file}", f"b/{file}"))
