# SPDX-License-Identifier: GPL-2.0-or-later
"""The Python packages that pfestubs needs, for a system that lacks one; in the syntax of old versions."""

from __future__ import annotations

import sys

# What a package is called where it is imported, where it is installed with pip, and in Debian.
_PACKAGES = {
    "click": ("click", "python3-click"),
    "elftools": ("pyelftools", "python3-pyelftools"),
    "jinja2": ("jinja2", "python3-jinja2"),
    "rich": ("rich", "python3-rich"),
}


def missing_package(error: ImportError) -> str:
    """Return one sentence about a module that cannot be imported, with the command that installs it."""
    module = (error.name or "").split(".")[0]
    if module not in _PACKAGES and not isinstance(error, ModuleNotFoundError):
        return f"cannot import: {error}"
    package, debian = _PACKAGES.get(module, (module, ""))
    problem = "is missing" if isinstance(error, ModuleNotFoundError) else f"is too old or damaged ({error})"
    install = f"{sys.executable or 'python3'} -m pip install --upgrade {package}"
    return (
        f"the Python package {package} {problem}; install it with: {install}"
        f"{f' (Debian: apt-get install {debian})' if debian else ''}"
    )
