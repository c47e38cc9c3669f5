# SPDX-License-Identifier: GPL-2.0-or-later
"""What the boot of a kernel depends on, from the kernel as read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfestubs.errors import UnsuitableError
from pfestubs.rules.boot import Setting, StubArea
from pfestubs.rules.integrity import stub_size

if TYPE_CHECKING:
    from pfestubs.layouts import Layout
    from pfestubs.read.vmlinux import Kernel


def setting_of(kernel: Kernel) -> Setting:
    """The setting of `kernel`'s boot; the stub size, in bytes, is what the areas say."""
    return Setting(
        bits=kernel.bits,
        layout=kernel.layout,
        table=kernel.table,
        text=kernel.text,
        inittext=kernel.inittext,
        areas=[StubArea(area.name, area.address, area.count) for area in kernel.areas],
        stub_size=stub_size(kernel),
        tracers=kernel.tracers,
        trampolines=kernel.trampolines,
        word_at=kernel.memory.word,
    )


def layout_of(kernel: Kernel) -> Layout:
    """The layout of a kernel that has stubs.

    Raises:
        UnsuitableError: the kernel traces without stubs.
    """
    if kernel.layout is None:
        raise UnsuitableError(
            kernel.file,
            "traces without stubs (it has no ftrace_ool_stub_* or ftrace_pfe_stub_* symbols)",
            "there is nothing to show or compare",
        )
    return kernel.layout
