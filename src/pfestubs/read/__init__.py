# SPDX-License-Identifier: GPL-2.0-or-later
"""Read files into plain tables: bytes in, no judgement."""
