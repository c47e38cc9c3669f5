# SPDX-License-Identifier: GPL-2.0-or-later
"""The result of `report`: a page, its tables and its pictures."""
