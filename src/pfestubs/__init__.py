# SPDX-License-Identifier: GPL-2.0-or-later
"""Count, generate and check the out-of-line ftrace stubs of powerpc kernels."""

__version__ = "0.2.0"
