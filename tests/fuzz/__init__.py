# SPDX-License-Identifier: GPL-2.0-or-later
"""Fuzzing of every command in process: seeds, mutations that know the fields, and the contract of a run.

    make fuzz SECONDS=600

An execution is decided by a few bytes, its recipe: which command, which seeds, which fields, which values.
Atheris mutates recipes, guided by the coverage of pfestubs; without it they are random.
"""
