# SPDX-License-Identifier: GPL-2.0-or-later
"""Tell hatchling the classifiers that are newer than itself: Debian 12's does not know Python 3.13."""

from __future__ import annotations

from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class CustomMetadataHook(MetadataHookInterface):
    """Named by hatchling."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Change nothing."""

    def get_known_classifiers(self) -> list[str]:
        """Return the classifiers of Python versions since that hatchling."""
        return [f"Programming Language :: Python :: 3.{minor}" for minor in (13, 14)]
