# SPDX-License-Identifier: GPL-2.0-or-later
#
# Everything a developer of pfestubs does. `make help` explains the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OBJECT ?= fixtures/objects/ool-ppc64le-gnu.o

# Debian's packages with what the tests run, and one program of each to see whether it is there.
PACKAGES := gcc gcc-powerpc64le-linux-gnu gcc-powerpc64-linux-gnu gcc-powerpc-linux-gnu clang-19 lld-19 \
	llvm-19 qemu-system-ppc git xz-utils bc
PROGRAMS := gcc powerpc64le-linux-gnu-gcc powerpc64-linux-gnu-gcc powerpc-linux-gnu-gcc clang-19 ld.lld-19 \
	llvm-objdump-19 qemu-system-ppc64 git xz bc

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ---- Set up ------------------------------------------------------------------------------------------------

.PHONY: setup
setup: $(VENV)/.ready ## Make a virtual environment in .venv with pfestubs in it

# Debian splits venv off python3; where root, fetch it.
$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(MAKE) --no-print-directory apt-install \
		PACKAGES="python3 python3-venv"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

.PHONY: tools
tools: ## Install the cross compilers and QEMU that the tests need (Debian, as root)
	@for program in $(PROGRAMS); do \
		command -v $$program >/dev/null || exec $(MAKE) --no-print-directory apt-install; \
	done

.PHONY: apt-install
apt-install:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends $(PACKAGES) >/dev/null; \
	else \
		echo "missing programs; as root: apt-get install $(PACKAGES)" >&2; exit 1; \
	fi

# ---- Run ---------------------------------------------------------------------------------------------------

.PHONY: demo
demo: setup ## Count and generate for a miniature kernel (or OBJECT=vmlinux.o)
	$(BIN)/pfestubs count $(OBJECT)
	$(BIN)/pfestubs generate $(OBJECT)

# ---- Test --------------------------------------------------------------------------------------------------

# The first of xdist's workers to need a real kernel unpacks it; two workers suit any machine.
.PHONY: test
test: $(VENV)/.ready-dev tools ## Run all tests; PFESTUBS_KERNELS=DIR adds those on real kernels
	$(BIN)/pytest -n 2 --dist worksteal -q $(TESTS)

.PHONY: lint
lint: $(VENV)/.ready-dev ## Lint, check the format and the types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

.PHONY: format
format: $(VENV)/.ready-dev ## Put the code into the project's format
	$(BIN)/ruff check --fix --quiet
	$(BIN)/ruff format

.PHONY: fixtures
fixtures: tools ## Rebuild the ready-built objects and show any difference
	fixtures/rebuild.sh

.PHONY: bench
bench: $(VENV)/.ready-dev tools ## Time against the kernel's scripts: PFESTUBS_KERNELS=DIR KERNEL_SRC=TREE
	$(BIN)/python tests/bench.py

.PHONY: kernel-test
kernel-test: setup ## Build and boot kernels with and without pfestubs: KERNEL_SRC=TREE CROSS_COMPILE=PREFIX
	PFESTUBS="$(or $(PFESTUBS),$(abspath $(BIN))/pfestubs)" tests/kernel/kernel-test

.PHONY: boot-test
boot-test: setup tools ## Boot VMLINUX=FILE in QEMU and compare its memory with the prediction
	$(BIN)/python tests/bootguest.py $(VMLINUX)

# ---- Clean -------------------------------------------------------------------------------------------------

.PHONY: clean
clean: ## Remove what was made here
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
