# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: thin commands over the readers, the rules and the formats."""
