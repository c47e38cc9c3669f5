# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m pfestubs`."""

from pfestubs.cli.entry import run_by_name

if __name__ == "__main__":
    run_by_name()
