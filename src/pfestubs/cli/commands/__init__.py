# SPDX-License-Identifier: GPL-2.0-or-later
"""One module a command, each with a `command`: parse, call, print, choose the exit code."""
