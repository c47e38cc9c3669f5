# SPDX-License-Identifier: GPL-2.0-or-later
"""The words and phrases that the project does not use: archaic turns, metaphors, sentences of old messages.

Readers are kernel developers in a hurry, many of them not native speakers: plain technical English, as in a man
page. CONTRIBUTING.md has the rules; here is what must not come back.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

import pytest

from support import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORDS: Final = {
    r"\banew\b": "again",
    r"\bas well\b": "also, too",
    r"\bbehind\b": "after",
    r"\bbeside\b": "next to",
    r"\bbreaks? the build": "fails the build",
    r"\bcures?\b": "remedy, fix",
    r"\bexit codes?\b": "exit status",
    r"\bfolders?\b": "directory",
    r"\b(in|out of|within) reach\b": "in range, out of range",
    r"(?<!there )\bis no (?!longer\b)[a-z]": "is not a",
    r"\bjudge[sd]?\b|\bjudg(e)?ment": "check, decide",
    r"\bmend(s|ed)?\b": "fix",
    r"\bNASTY\b": "UNSAFE_NAME",
    r"\bnoise\b": "ignored",
    r"\bPatient\b": "MutableKernel",
    r"(?<!new )\bpromis(e[sd]?|ing)\b": "expect, guarantee",  # JavaScript has `new Promise`
    r"\bso many\b": "this many, N",
    r"\bstands?\b": "is",
    r"\bwhom\b": "whose, of what",
    r"\ball is well\b": "ok, success",
    r"\babsurd": "unrealistically large",
}
"""A regular expression that matches no line of the project, and what to write instead."""

PHRASES: Final = (
    "a command a ",
    "all tracing would end",
    "an object without any entry is no error",
    "as the rule goes",
    "at hand",
    "at the end of the world",
    "bytes in, no judgement",
    "changed are arch/",
    "could not look",
    "decides what is known",
    "ended well but",
    "every one is asked for",
    "fail if there are so many",
    "gives tracing up",
    "growth since when",
    "has nothing for layout",
    "is it cut or stripped",
    "let go of",
    "locations served",
    "looked, and found",
    "looked, nothing found",
    "names the symbols of two layouts",
    "no kernel is made like that",
    "nothing can be said about",
    "one finding a location",
    "one module a command",
    "one test case a rule",
    "only for who asks",
    "pfestubs-unlooked",
    "put it back where",
    "says of itself",
    "shows every one",
    "so that another version generates",
    "something is wrong with the kernel",
    "speaks of two",
    "stay without a stub",
    "ten a step",
    "that a map tells of",
    "the figure to go by",
    "the kernel runs 0x",
    "the sum first",
    "the words tell it",
    "times less",
    "to open it again would",
    "what mends",
    "what stands behind",
    "without a word",
    "words for people",
)
"""Phrases of old messages, help and docstrings, in lower case."""

TREES: Final = ("src", "tests", "templates", "docs", "fixtures", "man", "tools", "completions")
SUFFIXES: Final = (".py", ".md", ".sh", ".j2", ".json", ".S", ".h", ".1", ".toml", ".mk", "")
NOT_OURS: Final = (
    "tests/schemas/",  # published schemas
    "fixtures/logs/",  # real logs
    "fixtures/linked/",
    "fixtures/objects/",
    "fixtures/cases/",
    "fixtures/trees/installed-by-",  # what old versions wrote
    "tests/test_wording.py",
)


def our_files() -> Iterator[Path]:
    yield from (ROOT / name for name in ("Makefile", "pyproject.toml"))
    yield from ROOT.glob("*.md")
    for tree in TREES:
        for path in sorted((ROOT / tree).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            ours = name.endswith("README.md") or not name.startswith(NOT_OURS)
            if path.is_file() and ours and path.suffix in SUFFIXES and "__pycache__" not in path.parts:
                yield path


def numbered_lines() -> list[tuple[str, str]]:
    return [
        (f"{path.relative_to(ROOT)}:{number}", line)
        for path in our_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
    ]


@pytest.fixture(scope="module")
def lines() -> list[tuple[str, str]]:
    found = numbered_lines()
    assert len(found) > 10_000
    return found


@pytest.mark.parametrize("pattern", WORDS)
def test_word_is_not_used(pattern: str, lines: list[tuple[str, str]]) -> None:
    word = re.compile(pattern, re.IGNORECASE)
    found = [f"{where}: {line.strip()}" for where, line in lines if word.search(line)]
    assert not found, f"write {WORDS[pattern]!r}:\n" + "\n".join(found)


def test_no_old_phrase(lines: list[tuple[str, str]]) -> None:
    found = [
        f"{where}: {line.strip()}" for where, line in lines for phrase in PHRASES if phrase in line.lower()
    ]
    assert not found, "\n".join(found)


def test_no_english_sentence_in_the_rules() -> None:
    """Rules return data: a string of several words, outside a docstring or a ValueError, is a sentence."""
    for path in sorted((ROOT / "src" / "pfestubs" / "rules").glob("*.py")):
        tree = ast.parse(path.read_text())
        exempt = {
            id(part)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr | ast.Raise)
            for part in ast.walk(node)
            if isinstance(node, ast.Raise) or part is node.value
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in exempt:
                assert len(node.value.split()) < 3, f"{path.name}:{node.lineno}: {node.value!r}"
