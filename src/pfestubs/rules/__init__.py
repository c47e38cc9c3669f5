# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's rules: pure functions over plain values, no I/O."""
