# SPDX-License-Identifier: GPL-2.0-or-later
"""Validate a saved document by the schema that ships with pfestubs (JSON Schema, as far as those use it).

Not `required` and not `additionalProperties`: an earlier version wrote fewer keys, a later one may write
more. A reader asks for the keys that it needs.
"""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pfestubs.errors import InstallationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LIMIT: Final = 1 << 64
_TYPES: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "object": ("an object", lambda value: isinstance(value, dict)),
    "array": ("a list", lambda value: isinstance(value, list)),
    "string": ("text", lambda value: isinstance(value, str)),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "null": ("null", lambda value: value is None),
    "integer": ("a number of 64 bits", lambda value: type(value) is int and abs(value) < _LIMIT),
}


class Mismatch(NamedTuple):
    """The first value that is not as described: its name, the value (None if missing), what was expected."""

    name: str
    found: object
    expected: str


class Schema:
    """One of the shipped schemas, by the name in a document: "pfestubs/check/1".

    Raises:
        InstallationError: the file is missing.
    """

    def __init__(self, name: str) -> None:
        _, kind, version = name.split("/")
        try:
            text = files("pfestubs").joinpath("schemas", f"{kind}-{version}.json").read_text("utf-8")
        except OSError as error:
            raise InstallationError(f"the schema {name}") from error
        self._root: Mapping[str, Any] = json.loads(text)

    def mismatch(self, document: object) -> Mismatch | None:
        """Return what is wrong with a document, None if nothing is."""
        return self._test(document, self._root, "")

    def _test(self, value: Any, schema: Any, name: str) -> Mismatch | None:
        if schema is False:
            return Mismatch(name, value, "no such key")
        if "$ref" in schema:
            schema = self._root["$defs"][schema["$ref"].rpartition("/")[2]]
        if "type" in schema:
            types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
            if not any(_TYPES[type_][1](value) for type_ in types):
                return Mismatch(name, value, " or ".join(_TYPES[type_][0] for type_ in types))
        return (
            _test_scalar(value, schema, name)
            or (self._test_object(value, schema, name) if isinstance(value, dict) else None)
            or (self._test_list(value, schema, name) if isinstance(value, list) else None)
            or self._test_combined(value, schema, name)
        )

    def _test_object(self, value: Mapping[str, Any], schema: Any, name: str) -> Mismatch | None:
        for key, part in schema.get("properties", {}).items():
            if key in value:
                found = self._test(value[key], part, key)
                if found is not None:  # the whole name is made only now: lists have thousands of items
                    return found._replace(name=f"{name}{name and '.'}{found.name}")
        return None

    def _test_list(self, value: list[Any], schema: Any, name: str) -> Mismatch | None:
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            wanted = schema.get("maxItems", schema.get("minItems"))
            return Mismatch(name, value, f"{wanted} items" if wanted else "no items")
        if "contains" in schema and all(self._test(item, schema["contains"], "") for item in value):
            return Mismatch(name, value, "a list with one of another kind")
        for number, item in enumerate(value) if "items" in schema else ():
            found = self._test(item, schema["items"], "")
            if found is not None:
                return found._replace(name=f"{name}[{number}]{found.name and '.'}{found.name}")
        return None

    def _test_combined(self, value: Any, schema: Any, name: str) -> Mismatch | None:
        for part in schema.get("allOf", ()):
            found = self._test(value, part, name)
            if found is not None:
                return found
        if "anyOf" in schema:
            tests = [self._test(value, part, name) for part in schema["anyOf"]]
            if None not in tests:
                return tests[0]
        if "if" in schema:
            branch = "else" if self._test(value, schema["if"], name) else "then"
            return self._test(value, schema.get(branch, {}), name)
        return None


def _test_scalar(value: Any, schema: Any, name: str) -> Mismatch | None:
    allowed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if allowed is not None and not any(type(value) is type(one) and value == one for one in allowed):
        named = ", ".join("null" if one is None else str(one) for one in allowed)
        return Mismatch(name, value, named if "const" in schema else f"one of {named}")
    if "minimum" in schema and type(value) is int and value < schema["minimum"]:
        return Mismatch(name, value, f"at least {schema['minimum']}")
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        return Mismatch(name, value, f"text such as {schema['pattern']}")
    return None
