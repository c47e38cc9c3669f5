# SPDX-License-Identifier: GPL-2.0-or-later
"""Decisions read from a recipe: from bytes, so that a fuzzer can mutate them, or drawn from a generator."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

_Item = TypeVar("_Item")
_CORPUS = Path(__file__).with_name("corpus.hex")


def corpus() -> list[bytes]:
    """Return the recipes that are kept, one per line of the file: each reached code that none before it had."""
    return [bytes.fromhex(line) for line in _CORPUS.read_text().split()]


class Choices:
    """A recipe being read; after its end every decision is the first one."""

    def __init__(self, recipe: bytes) -> None:
        self._recipe = recipe
        self._at = 0

    @property
    def exhausted(self) -> bool:
        """Whether the recipe has been read to its end."""
        return self._at >= len(self._recipe)

    def number(self, size: int) -> int:
        """Return an unsigned number of `size` bytes."""
        return int.from_bytes(self.text(size), "little")

    def below(self, limit: int) -> int:
        """Return a number below `limit`; 0 if there is none."""
        if limit < 2:
            return 0
        return self.number((limit - 1).bit_length() + 7 >> 3) % limit

    def of(self, items: Sequence[_Item]) -> _Item:
        """Return one of `items`."""
        return items[self.below(len(items))]

    def text(self, size: int) -> bytes:
        """Return up to `size` bytes of the recipe."""
        piece = self._recipe[self._at : self._at + size]
        self._at += size
        return piece
