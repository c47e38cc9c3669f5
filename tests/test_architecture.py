# SPDX-License-Identifier: GPL-2.0-or-later
"""The layers: which package may import which, read from the syntax tree of every module."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "pfestubs"

# Data flows read -> rules -> formats -> cli. A package may import the modules named here, and itself.
PERMITTED: Final[dict[str, set[str]]] = {
    "errors": set(),
    "layouts": {"errors"},
    "model": {"errors", "layouts"},
    "read": {"errors", "layouts", "model"},
    "rules": {"errors", "layouts", "model"},
    "formats": {"errors", "layouts", "model", "rules"},
    "system": {"errors", "formats", "model", "read"},
    "kbuild": {"errors", "formats", "system"},
    "cli": {"errors", "layouts", "model", "read", "rules", "formats", "system", "kbuild"},
    "__main__": {"cli"},
}
# Packages that only some modules may import: the ELF library, the command line, the rest of the machine.
RESTRICTED: Final[dict[str, tuple[str, ...]]] = {
    "elftools": ("read/headers.py",),
    "click": ("cli/",),
    "jinja2": ("formats/",),
    "rich": ("formats/", "cli/"),
    "os": ("read/", "formats/", "system/", "kbuild/", "cli/"),
    "sys": ("read/", "formats/", "system/", "kbuild/", "cli/"),
    "subprocess": ("read/", "system/", "cli/"),
    "io": ("read/", "formats/", "system/", "cli/"),
    "pathlib": ("read/", "formats/", "system/", "kbuild/", "cli/"),
}


def imported(path: Path) -> Iterator[str]:
    """The dotted names of all modules that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def package_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", module_files(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_follow_the_arrow(path: Path) -> None:
    package = package_of(path)
    if package == "__init__":
        return
    for name in imported(path):
        if name.startswith("pfestubs."):
            target = name.split(".")[1]
            if target.startswith("__"):  # the version
                continue
            assert target == package or target in PERMITTED[package], f"{package} imports {name}"
        root = name.split(".")[0]
        where = str(path.relative_to(SOURCE))
        assert where.startswith(RESTRICTED.get(root, ("",))), f"{where} imports {root}"


def test_every_public_type_is_defined_once() -> None:
    seen: dict[str, Path] = {}
    for path in module_files():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                assert node.name not in seen, f"{node.name} is defined in {path} and {seen[node.name]}"
                seen[node.name] = path
