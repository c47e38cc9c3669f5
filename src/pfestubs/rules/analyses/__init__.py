# SPDX-License-Identifier: GPL-2.0-or-later
"""What else is asked about a simulated boot."""
