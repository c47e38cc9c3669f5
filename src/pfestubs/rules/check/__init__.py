# SPDX-License-Identifier: GPL-2.0-or-later
"""The check of a linked kernel: findings and remedies."""
