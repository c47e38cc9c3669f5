# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands under test: each writes its inputs into a directory and returns its command line."""

import os
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from fuzz import seeds
from fuzz.choices import Choices
from fuzz.mutations import mutate_elf, mutate_json, mutate_lines
from fuzz.seeds import KernelSeed
from support.dumps import BANNER

_CHECK_FORMATS = ("json", "text", "junit", "sarif", "github", "markdown")
TARGET_NAMES = (
    *("count", "generate", "check", "check-map", "check-prelink", "check-baseline"),
    *("stubs", "verify", "explain", "diff", "modules", "kbuild", "plan", "report"),
)
_TREE_FILES = ("arch/powerpc/tools/Makefile", "arch/powerpc/Makefile.postlink", "Makefile")


class Targets:
    """The targets by name; `directory` is where their inputs are written."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.by_name: dict[str, Callable[[Choices], list[str]]] = {
            name: getattr(self, f"_{name.replace('-', '_')}") for name in TARGET_NAMES
        }

    @cached_property
    def _kernels(self) -> Sequence[KernelSeed]:
        return seeds.kernels(self._directory)

    def _save(self, name: str, data: bytes) -> str:
        path = self._directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return str(path)

    def _kernel(self, choices: Choices) -> str:
        return self._save("vmlinux", mutate_elf(choices.of(self._kernels).vmlinux, choices))

    def _kernel_with(self, choices: Choices, what: str) -> tuple[KernelSeed, str]:
        """Write a kernel that has `what`; one in four is changed, too."""
        kernel = choices.of([seed for seed in self._kernels if getattr(seed, what)])
        is_changed = choices.below(4) == 1
        data = mutate_elf(kernel.vmlinux, choices) if is_changed else kernel.vmlinux
        return kernel, self._save("vmlinux", data)

    def _count(self, choices: Choices) -> list[str]:
        words = ["count", "--format", choices.of(("json", "text"))]
        words += choices.of(([], [], ["--allow-empty"], ["--reserve", "3"], ["--layout", "pfe"]))
        return [*words, self._save("vmlinux.o", mutate_elf(choices.of(seeds.objects()), choices))]

    def _generate(self, choices: Choices) -> list[str]:
        words = ["generate", *choices.of(([], ["--spare", "auto"], ["--spare", "7"], ["--allow-empty"]))]
        return [*words, self._save("vmlinux.o", mutate_elf(choices.of(seeds.objects()), choices))]

    def _check(self, choices: Choices) -> list[str]:
        words = ["check", "--format", choices.of(_CHECK_FORMATS)]
        words += choices.of(([], ["-v"], ["--all"], ["--min-headroom", "1M"]))
        return [*words, self._kernel(choices)]

    def _check_map(self, choices: Choices) -> list[str]:
        kernel, path = self._kernel_with(choices, "system_map")
        system_map = self._save("System.map", mutate_lines(kernel.system_map, choices))
        command = choices.of((["check", "--format", "json"], ["stubs"], ["check", "--format", "text", "-v"]))
        return [*command, "--system-map", system_map, path]

    def _check_prelink(self, choices: Choices) -> list[str]:
        kernel, path = self._kernel_with(choices, "documents")
        words = ["check", "--format", choices.of(_CHECK_FORMATS), path, "--prelink"]
        if choices.below(2):
            data = mutate_elf(choices.of(seeds.objects()), choices)
            return [*words, self._save("vmlinux.o", data)]
        return [*words, self._save("count.json", mutate_json(kernel.documents["count"], choices))]

    def _check_baseline(self, choices: Choices) -> list[str]:
        kernel, path = self._kernel_with(choices, "documents")
        document = kernel.documents[choices.of(("check", "check", "check", *sorted(kernel.documents)))]
        saved = self._save("saved.json", mutate_json(document, choices))
        growth = choices.of((["--max-growth", "1%"], ["--max-growth", "0"], []))
        return ["check", "--format", choices.of(_CHECK_FORMATS), path, "--baseline", saved, *growth]

    def _stubs(self, choices: Choices) -> list[str]:
        words = ["stubs", "--format", choices.of(("text", "json"))]
        path = self._kernel(choices)
        return [*words, path, *choices.of(((), (), ("fn0",), ("*",), ("c000000000001000",)))]

    def _verify(self, choices: Choices) -> list[str]:
        kernel, path = self._kernel_with(choices, "cores")
        words = ["verify", "--format", choices.of(("json", "text")), *choices.of(([], ["--all"]))]
        return [*words, path, self._save("core", mutate_elf(choices.of(kernel.cores), choices))]

    def _explain(self, choices: Choices) -> list[str]:
        kernel, path = self._kernel_with(choices, "documents")
        words = ["explain", "--format", choices.of(("json", "text"))]
        log = choices.of(seeds.logs())
        if choices.below(2):  # the log of this very kernel
            banner = BANNER if b"linux_banner" in kernel.system_map else b""
            log = _renamed(log, banner)
        return [*words, path, self._save("boot.log", mutate_lines(log, choices))]

    def _diff(self, choices: Choices) -> list[str]:
        words = ["diff", "--format", choices.of(("json", "text", "markdown"))]
        sides = []
        for side in ("old", "new"):
            kernel = choices.of([seed for seed in self._kernels if seed.documents])
            if choices.below(2):
                document = mutate_json(kernel.documents[choices.of(sorted(kernel.documents))], choices)
                sides.append(self._save(f"{side}.json", document))
            else:
                sides.append(self._save(side, mutate_elf(kernel.vmlinux, choices)))
        return [*words, *sides]

    def _modules(self, choices: Choices) -> list[str]:
        name, data = choices.of(seeds.modules())
        data = mutate_elf(data, choices) if name.endswith(".ko") else mutate_lines(data, choices)
        words = ["modules", "--format", choices.of(("json", "text"))]
        return [*words, self._save(f"modules/{name}", data)]

    def _plan(self, choices: Choices) -> list[str]:
        words = ["plan", "--format", choices.of(("json", "text"))]
        words += choices.of(([], ["--reserve", "3"], ["--grow", "1M", "--shape", "late"], ["--grow", "-4K"]))
        return [*words, self._kernel(choices)]

    def _report(self, choices: Choices) -> list[str]:
        return ["report", self._kernel(choices), "-o", "-"]

    def _kbuild(self, choices: Choices) -> list[str]:
        tree, changed = self._directory / "tree", choices.of(_TREE_FILES)
        for name, data in choices.of(seeds.trees()):
            self._save(f"tree/{name}", mutate_lines(data, choices) if name == changed else data)
        actions = (["status"], ["install", "--print"], ["install"], ["remove"])
        return ["kbuild", *choices.of(actions), os.fspath(tree)]


def _renamed(log: bytes, banner: bytes) -> bytes:
    """Return a log with the banner and the release of a written kernel, without the number of functions."""
    if banner:
        release = banner.split()[2]
        log = re.sub(rb"Linux version [^\r\n]*", banner.rstrip(b"\n\0"), log)
        log = re.sub(rb"\b7\.[23]\.[\w.-]+(?= #|\))", release, log)
    return re.sub(rb"ftrace: allocating [^\r\n]*", b"", log)
