# SPDX-License-Identifier: GPL-2.0-or-later
"""Build the zip application: pfestubs and the packages that it uses, in one file for any `python3`.

The sources run on every Python from 3.11 on. Next to them is the bytecode for the Python that builds the
archive: a zip archive has no `__pycache__`, so each run would compile what it imports, and take two to three
times as long. The same sources, built by the same Python, give the same bytes.
"""

import io
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

from pfestubs.errors import InstallationError

_SHEBANG: Final = b"#!/usr/bin/env python3\n"
_MAIN: Final = """\
import sys

if sys.version_info < (3, 7):  # which cannot compile the module that checks the version
    sys.stderr.write("pfestubs: error: needs Python 3.11 or later, %s is %d.%d\\n"
                     % ((sys.executable,) + tuple(sys.version_info[:2])))
    sys.exit(2)

# A symbolic link named like a drop-in is that drop-in.
from pfestubs.cli.entry import main

main()
"""
_PACKAGES: Final = {
    "pfestubs": "pfestubs",
    "click": "click",
    "jinja2": "jinja2",
    "markupsafe": "markupsafe",
    "elftools": "pyelftools",
    "rich": "rich",
}
"""The packages in the archive, with the names of their distributions."""
_LEFT_OUT: Final = shutil.ignore_patterns("__pycache__", "*.so", "*.c", "*.pyi", "py.typed")
_VERSION: Final = re.compile(rb'^__version__ = "([0-9A-Za-z.+-]{1,40})"$', re.MULTILINE)


def zipapp() -> bytes:
    """Return the zip application: a copy of the one that is running, else a new one, as `build_zipapp`."""
    archive = getattr(sys.modules["pfestubs"].__loader__, "archive", None)  # of zipimport
    return Path(archive).read_bytes() if archive else build_zipapp()


def build_zipapp() -> bytes:
    """Return a new zip application, from the installed packages.

    Raises:
        InstallationError: a package is missing, or has no Python source.
    """
    buffer = io.BytesIO()
    buffer.write(_SHEBANG)
    with TemporaryDirectory() as name, ZipFile(buffer, "a", ZIP_DEFLATED, compresslevel=9) as archive:
        root = Path(name)
        for package, project in _PACKAGES.items():
            _copy_package(package, root)
            _copy_licences(project, root / "licenses" / project)
        _compile(root)
        (root / "__main__.py").write_text(_MAIN)
        for path in sorted(root.rglob("*")):
            if path.is_file():
                info = ZipInfo(path.relative_to(root).as_posix())  # of 1980
                info.compress_type = ZIP_DEFLATED
                info.create_system = 3  # Unix, whatever builds it
                info.external_attr = 0o100644 << 16
                archive.writestr(info, path.read_bytes())
    return buffer.getvalue()


def version_of_zipapp(path: Path) -> str:
    """Return the version of pfestubs in the zip application at `path`, "" if it is not one."""
    # What zipfile raises for a damaged, encrypted or foreign archive, which is then not a copy of pfestubs.
    with suppress(OSError, BadZipFile, KeyError, NotImplementedError, ValueError, RuntimeError, EOFError):
        if path.is_file():
            with ZipFile(path) as archive, archive.open("pfestubs/__init__.py") as file:
                found = _VERSION.search(file.read(4096))
                return found[1].decode() if found else ""
    return ""


def _copy_package(package: str, root: Path) -> None:
    try:
        with as_file(files(package)) as source:
            shutil.copytree(source, root / package, ignore=_LEFT_OUT)
        (root / package / "__init__.py").stat()
    except (ImportError, OSError) as e:
        raise InstallationError(f"the source of package {package}") from e


def _compile(root: Path) -> None:
    """Write a `.pyc` next to each module, used without a look at its source (PEP 552: unchecked).

    In a process of its own: what marshal writes depends on the objects that the process has.
    """
    options = ["-q", "-b", "--invalidation-mode", "unchecked-hash", "-s", root, root]
    words = [sys.executable, "-S", "-m", "compileall", *map(str, options)]
    subprocess.run(words, env={**os.environ, "PYTHONHASHSEED": "0"}, check=True)


def _copy_licences(project: str, target: Path) -> None:
    """Copy the licence texts of a distribution, as far as they are installed."""
    found: list[Path] = []
    with suppress(PackageNotFoundError):
        listed = distribution(project).files or ()
        named = (file for file in listed if re.match(r"(?:LICEN[CS]E|COPYING)", file.name, re.IGNORECASE))
        found += [Path(str(file.locate())) for file in named]
    if project == "pfestubs":
        found.append(Path(__file__).parents[3] / "LICENSE")  # of the checkout
    found.append(Path(f"/usr/share/doc/python3-{project}/copyright"))  # of Debian's package
    target.mkdir(parents=True)
    for path in filter(Path.is_file, found):
        shutil.copyfile(path, target / path.name)


if __name__ == "__main__":  # `make zipapp`
    Path(sys.argv[1]).write_bytes(build_zipapp())
    Path(sys.argv[1]).chmod(0o755)
