# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m pfestubs`."""

from pfestubs.cli.entry import main

if __name__ == "__main__":
    main()
