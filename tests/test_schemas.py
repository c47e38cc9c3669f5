# SPDX-License-Identifier: GPL-2.0-or-later
"""The shipped schemas: valid, absolute identifiers, and the layouts that the code knows."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pfestubs.formats import FORMATS
from pfestubs.layouts import LAYOUTS
from support import SCHEMAS

FILES = sorted(SCHEMAS.glob("*.json"))


def layout_enums(node: Any) -> Iterator[list[str | None]]:
    """Every `enum` of a property named layout."""
    if isinstance(node, dict):
        layout = node.get("layout")
        if isinstance(layout, dict) and "enum" in layout:
            yield layout["enum"]
        for value in node.values():
            yield from layout_enums(value)
    elif isinstance(node, list):
        for value in node:
            yield from layout_enums(value)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_schema_is_valid_and_has_an_absolute_identifier(path: Path) -> None:
    schema = json.loads(path.read_text())
    Draft202012Validator.check_schema(schema)
    name, number = path.stem.rsplit("-", 1)
    assert schema["$id"] == f"urn:pfestubs:{name}:{number}"
    assert schema["properties"]["schema"] == {"const": f"pfestubs/{name}/{number}"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_schema_knows_every_layout(path: Path) -> None:
    """A new row of LAYOUTS must be added here too."""
    for names in layout_enums(json.loads(path.read_text())):
        assert set(names) - {"inline", None} == set(LAYOUTS)


def test_every_document_has_a_schema() -> None:
    names = {f"pfestubs/{command}/1" for command, formats in FORMATS.items() if "json" in formats}
    assert names == {f"pfestubs/{path.stem.replace('-', '/')}" for path in FILES}
