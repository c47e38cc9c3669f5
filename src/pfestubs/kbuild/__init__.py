# SPDX-License-Identifier: GPL-2.0-or-later
"""Recognise and edit the makefiles of a kernel tree."""
