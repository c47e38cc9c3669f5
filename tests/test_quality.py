# SPDX-License-Identifier: GPL-2.0-or-later
"""The project's own checks: lint, format, types, and texts that must not go stale."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pfestubs.outside.main import _COMMANDS

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("words", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]], ids=" ".join)
def test_code_passes_the_configured_checks(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_do_no_input_or_output() -> None:
    """DESIGN: data flows one way; the rules are pure, and only one module knows ELF."""
    for path in (ROOT / "src/pfestubs").rglob("*.py"):
        text = path.read_text()
        if path.parent.name == "rules":
            for word in (
                "import os",
                "import sys",
                "open(",
                "import click",
                "pfestubs.say",
                "pfestubs.outside",
            ):
                assert word not in text, f"{path.name} has {word!r}"
        if path.parent.name == "read":
            assert "pfestubs.rules" not in text, path
        if path.parent.name in {"read", "rules"}:
            assert "pfestubs.say" not in text, path
            assert "pfestubs.outside" not in text, path
        if path.name != "elf.py":
            assert "elftools" not in text, path
        if path.parent.name not in {"outside", "commands"}:
            assert "import click" not in text, path


@pytest.mark.parametrize("command", sorted(_COMMANDS))
def test_every_command_of_the_help_explains_itself(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pfestubs", command, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: pfestubs {command} ")
    assert f"pfestubs {command}" in (ROOT / "README.md").read_text(), "the README does not name it"
