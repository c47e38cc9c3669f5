# SPDX-License-Identifier: GPL-2.0-or-later
"""Parse files into plain data; no checks beyond well-formedness."""
