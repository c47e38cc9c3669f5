# SPDX-License-Identifier: GPL-2.0-or-later
"""The outside: commands, files, the assembler, kernel trees."""
