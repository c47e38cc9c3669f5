# SPDX-License-Identifier: GPL-2.0-or-later
"""Build the zip application: pfestubs and what it uses of its packages, in one file for any `python3`.

The sources run on every Python from 3.11 on. Next to them is the bytecode for the Python that builds the
archive: a zip archive has no `__pycache__`, so each run would compile what it imports, and take two to three
times as long. The same sources, built by the same Python, give the same bytes: members are sorted, their time
is `SOURCE_DATE_EPOCH`, or 1980, and the bytecode depends on its source only.
"""

from __future__ import annotations

import ast
import marshal
import os
import re
import sys
import time
from contextlib import suppress
from importlib.util import MAGIC_NUMBER, find_spec, source_hash
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any, Final

from pfestubs.errors import InstallationError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zipfile import ZipFile

_SHEBANG: Final = b"#!/usr/bin/env python3\n"
_MAIN: Final = """\
import sys

if sys.version_info < (3, 7):  # which cannot compile the module that checks the version
    sys.stderr.write("pfestubs: error: needs Python 3.11 or later, %s is %d.%d\\n"
                     % ((sys.executable,) + tuple(sys.version_info[:2])))
    sys.exit(2)

# A symbolic link named like a drop-in is that drop-in.
from pfestubs.cli.entry import run_by_name

run_by_name()
"""
_PACKAGES: Final = {
    "click": "click",
    "jinja2": "jinja2",
    "markupsafe": "markupsafe",
    "elftools": "pyelftools",
    "rich": "rich",
}
"""The packages that are bundled, with the names of their distributions."""

# Modules that are imported inside functions that pfestubs never calls.
_LEFT_OUT: Final = (
    "click._winconsole",
    "click.testing",
    "elftools.dwarf",
    "elftools.ehabi",
    "jinja2.ext",
    "jinja2.nativetypes",
    "jinja2.sandbox",
    "rich._win32_console",
    "rich._windows",
    "rich._windows_renderer",
    "rich.json",
    "rich.layout",
    "rich.markdown",
    "rich.prompt",
    "rich.syntax",
    "rich.traceback",
)
_IS_MAIN: Final = ast.dump(ast.parse("__name__ == '__main__'", mode="eval").body)
_VERSION: Final = re.compile(rb'^__version__ = "([0-9A-Za-z.+-]{1,40})"$', re.MULTILINE)


def zipapp() -> bytes:
    """Return the zip application: a copy of the one that is running, else a new one.

    Raises:
        InstallationError: a package is missing, or has no Python source.
        UsageError: SOURCE_DATE_EPOCH is not a number of seconds.
    """
    archive = getattr(sys.modules["pfestubs"].__loader__, "archive", None)  # of zipimport
    return Path(archive).read_bytes() if archive else build_zipapp()


def build_zipapp() -> bytes:
    """Return a new zip application, from the installed packages; raises as `zipapp`."""
    import io
    from zipfile import ZipFile

    buffer = io.BytesIO()
    buffer.write(_SHEBANG)
    with ZipFile(buffer, "a") as archive:
        date = _date()
        for name, data in sorted(_members()):
            _add(archive, name, data, date)
            if name.endswith(".py") and name != "__main__.py":
                _add(archive, f"{name}c", _bytecode(name, data), date)
    return buffer.getvalue()


def version_of_zipapp(path: Path) -> str:
    """Return the version of pfestubs in the zip application at `path`, "" if it is not one."""
    from zipfile import BadZipFile, ZipFile

    # What zipfile raises for a damaged, encrypted or foreign archive, which is then not a copy of pfestubs.
    with suppress(OSError, BadZipFile, KeyError, NotImplementedError, ValueError, RuntimeError, EOFError):
        if path.is_file():
            with ZipFile(path) as archive, archive.open("pfestubs/__init__.py") as file:
                found = _VERSION.search(file.read(4096))
                return found[1].decode() if found else ""
    return ""


def _date() -> tuple[int, int, int, int, int, int]:
    value = os.environ.get("SOURCE_DATE_EPOCH", "")
    try:
        # A zip archive holds the years 1980 to 2107.
        seconds = min(max(int(value or 0), 315532800), 4354819198)
    except ValueError as e:
        raise UsageError("SOURCE_DATE_EPOCH", f"is {value!r}, not a number of seconds") from e
    return time.gmtime(seconds)[:6]


def _add(archive: ZipFile, name: str, data: bytes, date: tuple[int, int, int, int, int, int]) -> None:
    from zipfile import ZIP_DEFLATED, ZipInfo

    info = ZipInfo(name, date)
    info.compress_type = ZIP_DEFLATED
    info.create_system = 3  # Unix, whatever builds it
    info.external_attr = 0o100644 << 16
    archive.writestr(info, data, compresslevel=9)


def _bytecode(name: str, source: bytes) -> bytes:
    """Return the content of a `.pyc` that is used without looking at its source (PEP 552: unchecked)."""
    tree = ast.parse(source)
    if not name.startswith("pfestubs/"):  # whose docstrings are help texts
        _empty_docstrings(tree)
    code = compile(tree, name, "exec", dont_inherit=True, optimize=0)
    return MAGIC_NUMBER + (1).to_bytes(4, "little") + source_hash(source) + _marshal(code)


def _marshal(code: CodeType) -> bytes:
    """Return the code object in marshal's format 2, and Python 3.14's constant slices as in format 5.

    Later formats have references to earlier objects, which depend on the state of the process that builds.
    Format 2 has none, but no slices either: `marshal.dumps` gets a byte string in place of each.
    """
    slices: list[tuple[bytes, bytes]] = []

    def replace_slices(value: Any) -> Any:
        if isinstance(value, CodeType):
            return value.replace(co_consts=replace_slices(value.co_consts))
        if isinstance(value, tuple):
            return tuple(map(replace_slices, value))
        if not isinstance(value, slice):
            return value
        stand_in = b"\0slice %d of a zip application of pfestubs\0" % len(slices)
        parts = (value.start, value.stop, value.step)
        slices.append((marshal.dumps(stand_in, 2), b":" + b"".join(marshal.dumps(part, 2) for part in parts)))
        return stand_in

    body = marshal.dumps(replace_slices(code), 2)
    for stand_in, written in slices:
        body = body.replace(stand_in, written)
    return body


def _empty_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str()) as docstring), *_]:
                    docstring.value = ""


def _members() -> Iterator[tuple[str, bytes]]:
    yield "__main__.py", _MAIN.encode()
    own = _directory("pfestubs")
    for path in own.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield f"pfestubs/{path.relative_to(own).as_posix()}", path.read_bytes()
    for link in (own / "templates", own / "schemas"):  # in a checkout, templates is a link
        if link.is_symlink():
            for path in link.iterdir():
                yield f"pfestubs/{link.name}/{path.name}", path.read_bytes()
    for name, path in _bundled_modules(own).items():
        yield _member_name(name, path), path.read_bytes()
    yield from _licences()


def _member_name(module: str, path: Path) -> str:
    stem = module.replace(".", "/")
    return f"{stem}/__init__.py" if path.name == "__init__.py" else f"{stem}.py"


def _directory(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        raise InstallationError(f"the source of package {package}")
    return Path(spec.origin).parent


def _bundled_modules(own: Path) -> dict[str, Path]:
    """Return the modules of other packages that pfestubs imports, directly or not, with their files."""
    roots = {name: _directory(name) for name in _PACKAGES}
    found: dict[str, Path] = {}
    waiting = [name for path in sorted(own.rglob("*.py")) for name in _imported("pfestubs", path)]
    waiting.append("markupsafe._native")  # the fallback for its extension module
    waiting += _newest_unicode_table(roots["rich"])
    while waiting:
        name = waiting.pop()
        if name in found or name.split(".")[0] not in roots or _is_left_out(name):
            continue
        path = _module_file(roots, name)
        if path is not None:
            found[name] = path
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            waiting += _imported(package, path)
            waiting.append(name.rpartition(".")[0])
    return found


def _newest_unicode_table(rich: Path) -> list[str]:
    """Return the module that rich (14.3 and newer) imports by name to measure text that is not ASCII."""
    versions = [
        (tuple(map(int, re.findall(r"[0-9]+", path.stem))), path.stem)
        for path in (rich / "_unicode_data").glob("unicode*.py")
    ]
    return [f"rich._unicode_data.{max(versions)[1]}"] if versions else []


def _is_left_out(name: str) -> bool:
    return name in _LEFT_OUT or name.startswith(tuple(f"{module}." for module in _LEFT_OUT))


def _module_file(roots: dict[str, Path], name: str) -> Path | None:
    package, *rest = name.split(".")
    path = roots[package].joinpath(*rest)
    for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
        if file.is_file():
            return file
    return None  # a name inside a module


def _imported(package: str, path: Path) -> Iterator[str]:
    """Yield the names that a module of `package` imports, inside functions too, not for type checkers."""
    waiting: list[ast.AST] = [ast.parse(path.read_bytes())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and ast.dump(node.test) == _IS_MAIN:
            continue
        waiting += ast.iter_child_nodes(node)


def _licences() -> Iterator[tuple[str, bytes]]:
    """Yield the licence texts of what is bundled, as far as they are installed."""
    for name in ("pfestubs", *_PACKAGES.values()):
        for path in _licence_files(name):
            with suppress(OSError):
                yield f"licenses/{name}/{path.name}", path.read_bytes()


def _licence_files(name: str) -> list[Path]:
    """Return the licence files of a distribution: of its metadata, else of the checkout or of Debian."""
    from importlib.metadata import PackageNotFoundError, distribution

    found: list[Path] = []
    with suppress(PackageNotFoundError):
        for file in distribution(name).files or ():
            if re.match(r"(?:LICEN[CS]E|COPYING)", file.name, re.IGNORECASE):
                found.append(Path(file.locate()))
    if name == "pfestubs":
        return found or [_directory(name).parents[1] / "LICENSE"]
    return found or [Path(f"/usr/share/doc/python3-{name}/copyright")]


if __name__ == "__main__":  # `make zipapp`
    Path(sys.argv[1]).write_bytes(build_zipapp())
    Path(sys.argv[1]).chmod(0o755)
