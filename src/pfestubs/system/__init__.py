# SPDX-License-Identifier: GPL-2.0-or-later
"""What pfestubs needs of the operating system: output files and the assembler."""
