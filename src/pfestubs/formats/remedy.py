# SPDX-License-Identifier: GPL-2.0-or-later
"""A remedy as the end of a sentence and as keys of a document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pfestubs.formats.text import bytes_text, size_text
from pfestubs.model.findings import Action

if TYPE_CHECKING:
    from pfestubs.model.findings import Remedy

LITTLE_GROWTH: Final = 1 << 20
"""Bytes of growth that one release of a kernel can use up."""
_SENTENCES: Final = {
    Action.LOWER_RESERVE: "lower the reserve: set {setting} in .config and link again",
    Action.RAISE_RESERVE: "raise the reserve: set {setting} in .config and link again",
    Action.REGENERATE_AREAS: "generate the assembly file again from this kernel's vmlinux.o (or with"
    " --spare), and link again",
    Action.RESTORE_LINK_ORDER: "restore the position of .tramp.ftrace.text and .tramp.ftrace.init in the"
    " linker script",
    Action.REBUILD: "build with -fpatchable-function-entry, and do not patch the kernel afterwards",
    Action.APPLY_RELOCATIONS: "link with relocations, or apply them",
    Action.SHRINK_TEXT: "make the kernel's text smaller, or disable CONFIG_FUNCTION_TRACER",
}


def remedy_sentence(remedy: Remedy, setting: str | None = None) -> str:
    """Return what to do; `setting` replaces the line for `.config`, which is part of it if None."""
    if remedy.action is Action.SHRINK_TEXT and remedy.value is not None:
        return (
            f"make the kernel's text smaller by {bytes_text(remedy.value)}, or disable CONFIG_FUNCTION_TRACER"
        )
    return _SENTENCES[remedy.action].format(setting=setting or setting_line(remedy))


def remedy_details(remedy: Remedy) -> list[str]:
    """Return the command that makes a setting, and why this value; nothing for other remedies."""
    if remedy.config is None or remedy.value is None:
        return []
    lines = [config_command(remedy.config, remedy.value)]
    if remedy.working is not None:
        low, high = remedy.working
        reason = "only this value works" if low == high else f"values from {low:,} to {high:,} work"
        if remedy.growth is not None and low != high:
            reason += (
                f"; {remedy.value:,} leaves the most room for text to grow, the same on both sides:"
                f" {'more than 1 GiB' if remedy.growth > 1 << 30 else size_text(remedy.growth)}"
            )
        if remedy.growth is not None and remedy.growth < LITTLE_GROWTH:
            reason += "; no value leaves more, only less text does"
        lines.append(reason)
    return lines


def config_command(config: str, value: int) -> str:
    """Return the command that makes a setting, in the kernel's tree."""
    return f"scripts/config --set-val {config.removeprefix('CONFIG_')} {value}"


def setting_line(remedy: Remedy) -> str | None:
    """Return the line for `.config`, without thousands separators, None if the remedy is not a setting."""
    return None if remedy.config is None else f"{remedy.config}={remedy.value}"


def remedy_values(remedy: Remedy | None) -> dict[str, Any] | None:
    """Return the keys of a remedy in JSON; config and value only where there are such."""
    if remedy is None:
        return None
    values: dict[str, Any] = {"action": remedy.action.value}
    optional = {"config": remedy.config, "value": remedy.value}
    return values | {key: value for key, value in optional.items() if value is not None}
