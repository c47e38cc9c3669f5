# SPDX-License-Identifier: GPL-2.0-or-later
"""Two kernels compared, as the JSON document `pfestubs/diff/1`."""

from __future__ import annotations

from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from pfestubs import __version__
from pfestubs.formats.text import dump_json
from pfestubs.model import DIFF_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pfestubs.formats import RenderOptions
    from pfestubs.model.figures import KernelFigures
    from pfestubs.rules.analyses.diff import DiffResult, FunctionCount


def render(result: DiffResult, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - JSON holds all
    """Yield the document; null for what is unknown."""

    def both(get: Callable[[KernelFigures], Any]) -> dict[str, Any]:
        return _pair(get(result.old), get(result.new))

    yield dump_json(
        {
            "schema": DIFF_SCHEMA,
            "old": result.old.file,
            "new": result.new.file,
            "same": result.same,
            "source": both(lambda side: side.source),
            "kernel": both(lambda side: {"release": side.release, "build_id": side.build_id}),
            "class": both(lambda side: side.bits),
            "byte_order": both(lambda side: None if side.byte_order is None else side.byte_order.value),
            "layout": both(lambda side: side.layout),
            "stub_size": both(lambda side: side.stub_size),
            "locations": {
                **_pair(*result.locations),
                "added": _names(result.added),
                "removed": _names(result.removed),
            },
            "entries": both(lambda side: None if side.entries is None else side.entries._asdict()),
            "areas": [
                {
                    "name": area.name,
                    "reserved": _pair(area.old.reserved, area.new.reserved),
                    "used": _pair(area.old.used, area.new.used),
                }
                for area in result.areas
            ],
            "unserved": both(lambda side: side.unserved),
            "headroom": both(lambda side: side.headroom),
            "growth": both(lambda side: side.growth),
            "pfestubs": __version__,
        }
    )


def _pair(old: Any, new: Any) -> dict[str, Any]:
    return {"old": old, "new": new}


def _names(functions: Sequence[FunctionCount] | None) -> list[str] | None:
    """Return the symbols, each as often as there are locations of it."""
    if functions is None:
        return None
    return list(chain.from_iterable(repeat(function.name, function.number) for function in functions))
