# SPDX-License-Identifier: GPL-2.0-or-later
"""The stubs of modules, one module per format."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pfestubs.rules.analyses.modules import total

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pfestubs.errors import PfestubsError
    from pfestubs.rules.analyses.modules import ModuleStubs, ModuleTotals


@dataclass(frozen=True)
class ModuleListing:
    """What to list: the modules that were read, and why others were not."""

    stub_size: int
    modules: Sequence[ModuleStubs]
    unread: Sequence[PfestubsError]

    @cached_property
    def totals(self) -> ModuleTotals:
        """The sums over the modules that were read."""
        return total(self.modules)
