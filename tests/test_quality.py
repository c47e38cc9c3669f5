# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts that must not go stale."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pfestubs.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_of_the_help_explains_itself(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pfestubs", command, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: pfestubs {command} ")
    assert f"pfestubs {command}" in (ROOT / "README.md").read_text(), "the README does not name it"
