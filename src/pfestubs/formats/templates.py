# SPDX-License-Identifier: GPL-2.0-or-later
"""The Jinja templates that ship with pfestubs: assembly files, makefile blocks, a page."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

import pfestubs
from pfestubs.errors import InstallationError
from pfestubs.formats.text import escape_line, hex_address, plural, size_text

if TYPE_CHECKING:
    from collections.abc import Mapping


def render_template(name: str, values: Mapping[str, object]) -> str:
    """Return the template `name` filled with `values`; the same values give the same bytes.

    In a page values are escaped, and numbers are for people.

    Raises:
        InstallationError: the template is missing from the installed package.
    """
    return _environment(page=name.endswith(".html.j2")).get_template(name).render(values)


def page_part(name: str) -> Markup:
    """Return a style sheet or a script that ships with the templates, to be put into a page as it is.

    Raises:
        InstallationError: the file is missing from the installed package.
    """
    return Markup(_read_template(name))  # noqa: S704 - a file of the package


@cache
def _environment(*, page: bool) -> Environment:
    environment = Environment(
        loader=FunctionLoader(_read_template),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=page,
        autoescape=page,  # noqa: S701 - assembly and makefiles are filled with numbers only
        finalize=_printable if page else None,
        optimized=False,  # a template is compiled for each run, and rendered once
    )
    environment.filters |= {
        "number": "{:,}".format,
        "hex": hex_address,
        "size": size_text,
        "plural": plural,
        "printable": escape_line,
    }
    return environment


def _printable(value: object) -> object:
    """Return names of the file without anything unprintable: direction marks would reorder the page."""
    return escape_line(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _read_template(name: str) -> str:
    """Return the text of a template, from a directory or from a zip archive.

    The package's own loader reads it, which is what `importlib.resources` uses: to import that takes a tenth
    of the time of `generate`.
    """
    loader: Any = pfestubs.__spec__.loader
    try:
        data: bytes = loader.get_data(os.path.join(pfestubs.__path__[0], "templates", name))
    except OSError as e:
        raise InstallationError(f"template {name}") from e
    return data.decode()
