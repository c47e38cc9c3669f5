# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's own rules, to be read beside arch/powerpc/kernel/trace/ftrace.c."""
