# SPDX-License-Identifier: GPL-2.0-or-later
"""Split a makefile into statements, and find where a rule's recipe ends, as GNU make reads them.

Enough of make's syntax to decide whether lines belong to a rule. Nothing is expanded. Every step is linear in
the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

StatementKind = Literal["blank", "if", "else", "endif", "rule", "other"]
"""Of a statement: nothing or a comment, the three kinds of conditional lines, a rule, everything else."""

_CONDITIONALS: Final[dict[str, StatementKind]] = {
    "ifdef": "if",
    "ifndef": "if",
    "ifeq": "if",
    "ifneq": "if",
    "else": "else",
    "endif": "endif",
}
_MODIFIERS: Final = ("export", "override", "private", "unexport")
_COMMENT: Final = re.compile(r"(?<!\\)#")


@dataclass(frozen=True, slots=True)
class Statement:
    """One logical line of a makefile, or a whole define."""

    start: int
    """Index of its first line, from 0."""
    end: int
    """Index after its last line."""
    kind: StatementKind
    """How make reads it where no rule is open."""
    tabbed: bool
    """Starts with a tab: a line of the recipe where a rule is open."""
    text: str
    """Without comments and continuations."""


class SplitRecipeError(ValueError):
    """Lines that may belong to a rule do not follow it directly; `line` is the first one, from 1."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def split_lines(text: str) -> list[str]:
    """Return the lines with their ends, as make and diff count them: at newlines only."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def parse(lines: Sequence[str]) -> list[Statement]:
    """Return the statements of a makefile, given as lines."""
    return list(_statements(lines))


def _statements(lines: Sequence[str]) -> Iterator[Statement]:
    start = 0
    while start < len(lines):
        end = _logical_end(lines, start)
        joined = " ".join(line.rstrip("\n").removesuffix("\\") for line in lines[start:end])
        text = _COMMENT.split(joined, maxsplit=1)[0].strip()
        words = text.split(maxsplit=2)
        while words and words[0] in _MODIFIERS:
            words = words[1:]
        if words[:1] == ["define"]:
            end, text = _end_of_define(lines, end), ""
        yield Statement(start, end, _kind(text), lines[start].startswith("\t"), text)
        start = end


def _logical_end(lines: Sequence[str], start: int) -> int:
    end = start + 1
    while end < len(lines) and _continues(lines[end - 1]):
        end += 1
    return end


def _continues(line: str) -> bool:
    line = line.rstrip("\n")
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _end_of_define(lines: Sequence[str], start: int) -> int:
    depth = 1
    for number in range(start, len(lines)):
        word = lines[number].split(maxsplit=1)[:1]
        depth += {"define": 1, "endef": -1}.get(word[0], 0) if word else 0
        if not depth:
            return number + 1
    return len(lines)


def _kind(text: str) -> StatementKind:
    if not text:
        return "blank"
    word = text.split(maxsplit=1)[0]
    return _CONDITIONALS.get(word) or ("rule" if _colon(text) is not None else "other")


def _colon(text: str) -> int | None:
    """Return where a rule's colon is, None if this is not a rule (an assignment, say)."""
    depth = 0
    for index, character in enumerate(text):
        if character in "({":
            depth += 1
        elif character in ")}":
            depth -= 1
        elif depth > 0:
            continue
        elif character == "=":
            return None
        elif character == ":":
            return None if text[index:].lstrip(":").startswith("=") else index
    return None


def rule_words(statement: Statement) -> tuple[list[str], list[str]]:
    """Return the targets and the prerequisites of a rule, two empty lists for another statement."""
    colon = _colon(statement.text) if statement.kind == "rule" else None
    if colon is None:
        return [], []
    return statement.text[:colon].split(), statement.text[colon + 1 :].lstrip(":").split()


def end_of_recipe(statements: Sequence[Statement], rule: int) -> int:
    """Return the line after the last one of a rule's recipe; right after the rule if it has none.

    A recipe continues after blank lines, comments and conditionals, and ends at the next statement of another
    kind (`eval` in make's read.c). Conditionals that the recipe contains are closed in it.

    Args:
        statements: of the makefile.
        rule: the index of the rule among them.

    Raises:
        SplitRecipeError: the recipe is not one piece: part of it is after the end of a conditional that was
            open before the rule, or in a conditional together with other statements.
    """
    walk = _RecipeWalk(statements[rule].end)
    for statement in statements[rule + 1 :]:
        walk.step(statement)
        if walk.is_over:
            break
    return walk.end


@dataclass(slots=True)
class _Branches:
    """An open conditional: whether the rule was open before it, and at the end of an earlier branch."""

    before: bool
    earlier: bool = False
    has_else: bool = False


class _RecipeWalk:
    """Follow all paths through the conditionals after a rule, for as long as the rule may be open on one."""

    def __init__(self, end: int) -> None:
        self.end = end
        self._open = True
        self._inside: list[_Branches] = []
        self._pending = False  # a recipe line in a conditional that is not closed yet
        self._apart = False  # past another statement, or past the end of a conditional around the rule
        self._excluded = 0  # depth in a branch that excludes the rule

    @property
    def is_over(self) -> bool:
        return not (self._open or self._inside)

    def step(self, statement: Statement) -> None:
        if self._excluded:
            self._excluded += {"if": 1, "endif": -1}.get(statement.kind, 0)
        elif statement.tabbed and self._open:
            self._recipe_line(statement)
        elif statement.kind == "if":
            self._inside.append(_Branches(self._open))
        elif statement.kind == "else":
            self._else(statement)
        elif statement.kind == "endif":
            self._endif(statement)
        elif statement.kind != "blank" and not statement.tabbed:
            if self._pending:
                raise SplitRecipeError(statement.start + 1)
            self._open, self._apart = False, True

    def _recipe_line(self, statement: Statement) -> None:
        if self._apart:
            if statement.kind == "blank":
                return
            raise SplitRecipeError(statement.start + 1)
        if self._inside:
            self._pending = True
        else:
            self.end = statement.end

    def _else(self, statement: Statement) -> None:
        if not self._inside:
            self._excluded, self._apart = 1, True
            return
        branches = self._inside[-1]
        branches.earlier |= self._open
        branches.has_else |= statement.text == "else"
        self._open = branches.before

    def _endif(self, statement: Statement) -> None:
        if not self._inside:
            self._apart = True
            return
        branches = self._inside.pop()
        self._open |= branches.earlier or (branches.before and not branches.has_else)
        if self._pending and not self._inside:
            self.end, self._pending = statement.end, False
