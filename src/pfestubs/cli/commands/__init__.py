# SPDX-License-Identifier: GPL-2.0-or-later
"""One module per command, each with a `command`: parse, call, print, choose the exit status."""
