# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual pages and completion files in the repository are those of the commands as they are now."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from pfestubs.cli.main import COMMANDS
from support import ROOT, call


@pytest.fixture(scope="module")
def generator() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "tools" / "man.py"))


def files(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_the_pages_are_up_to_date(generator: dict[str, Any]) -> None:
    """If not: `make man`."""
    assert files(ROOT / "man") == generator["pages"]()


def test_sections_are_there_once() -> None:
    for name, page in files(ROOT / "man").items():
        sections = [line for line in page.splitlines() if line.startswith(".SH ")]
        assert len(sections) == len(set(sections)), name
        assert "success, no problems found; 1" not in page, name
        assert (".SH EXAMPLES" in sections) == (name.count("-") > 0 and name.startswith("pfestubs-")), name
        assert sections[-1] == ".SH SEE ALSO"


def test_there_is_a_completion_file_per_shell(generator: dict[str, Any]) -> None:
    """Their text is click's, which differs between its versions; what they ask pfestubs for does not."""
    found = files(ROOT / "completions")
    assert found.keys() == generator["completions"]().keys()
    for name, shell in (("pfestubs.bash", "bash"), ("_pfestubs", "zsh"), ("pfestubs.fish", "fish")):
        assert f"_PFESTUBS_COMPLETE={shell}_complete" in found[name]


def test_every_option_of_the_help_is_in_its_page(generator: dict[str, Any]) -> None:
    for words, command in generator["commands"]():
        page = (ROOT / "man" / f"{'-'.join(words)}.1").read_text().replace("\\-", "-")
        assert call(*words[1:], "--help").code == 0
        for option in (name for parameter in command.params for name in parameter.opts):
            assert option.startswith("-") <= (option in page), option


def test_every_executable_has_a_page() -> None:
    import tomllib

    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert {f"{name}.1" for name in scripts} <= files(ROOT / "man").keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readme_names_every_command(name: str) -> None:
    assert call(name, "--help").out.startswith(f"Usage: pfestubs {name} ")
    assert f"pfestubs {name}" in (ROOT / "README.md").read_text()
