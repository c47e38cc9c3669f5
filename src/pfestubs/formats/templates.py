# SPDX-License-Identifier: GPL-2.0-or-later
"""The Jinja templates that ship with pfestubs: assembly files and makefile blocks."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

import pfestubs
from pfestubs.errors import InstallationError

if TYPE_CHECKING:
    from collections.abc import Mapping


def render_template(name: str, values: Mapping[str, object]) -> str:
    """Return the template `name` filled with `values`; the same values give the same bytes.

    Raises:
        InstallationError: the template is missing from the installed package.
    """
    return _environment().get_template(name).render(values)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(_read_template),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,  # noqa: S701 - assembly and makefiles, filled with numbers only
    )


def _read_template(name: str) -> str:
    """Return the text of a template, from a directory or from a zip archive.

    The package's own loader reads it, which is what `importlib.resources` uses: to import that takes a tenth
    of the time of `generate`.
    """
    loader: Any = pfestubs.__spec__.loader
    try:
        data: bytes = loader.get_data(os.path.join(pfestubs.__path__[0], "templates", name))  # noqa: PTH118
    except OSError as e:
        raise InstallationError(f"template {name}") from e
    return data.decode()
