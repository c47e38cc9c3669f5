# SPDX-License-Identifier: GPL-2.0-or-later
"""Say a result in one format: result in, text out."""
