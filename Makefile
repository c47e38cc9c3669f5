# SPDX-License-Identifier: GPL-2.0-or-later
#
# Everything a developer of pfestubs does. `make help` explains the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OBJECT ?= fixtures/objects/ool-ppc64le-gnu.o
DEMO := build/demo

# The oldest packages that pyproject.toml allows.
MINIMUM := pyelftools==0.29 click==8.1.3 jinja2==3.1.2 rich==13.3.1
FAST := not slow and not cross and not tools and not qemu

# Debian's packages with what the tests run, and one program of each to see whether it is there.
PACKAGES := gcc gcc-powerpc64le-linux-gnu gcc-powerpc64-linux-gnu gcc-powerpc-linux-gnu clang-19 lld-19 \
	llvm-19 qemu-system-ppc git xz-utils zstd bc chromium
PROGRAMS := gcc powerpc64le-linux-gnu-gcc powerpc64-linux-gnu-gcc powerpc-linux-gnu-gcc clang-19 ld.lld-19 \
	llvm-objdump-19 qemu-system-ppc64 git xz zstd bc chromium

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ---- Set up ------------------------------------------------------------------------------------------------

.PHONY: setup
setup: $(VENV)/.ready ## Make a virtual environment in .venv with pfestubs in it

# Debian splits venv off python3; where root, fetch it. Compiled like any package that pip installs.
$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(MAKE) --no-print-directory apt-install \
		PACKAGES="$$(command -v $(PYTHON) >/dev/null || echo python3) python3-venv" || { $(WITHOUT_PIP); exit 1; }
	@echo "Installing pfestubs and its packages (pyelftools, click, jinja2, rich) into $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable . || { $(WITHOUT_PIP); exit 1; }
	@$(BIN)/python -m compileall -q src/pfestubs
	@touch $@

WITHOUT_PIP = echo >&2 "make: no virtual environment could be made; to run pfestubs without one, with Debian's packages:"; \
	echo >&2 "    apt-get install python3-pyelftools python3-click python3-jinja2 python3-rich"; \
	echo >&2 "    PYTHONPATH=src python3 -m pfestubs check fixtures/linked/healthy-ppc64le"

$(VENV)/.ready-dev: $(VENV)/.ready
	@echo "Installing the test and lint tools (pytest, hypothesis, mypy, ruff, ...) into $(VENV)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

.PHONY: tools
tools: ## Install the cross compilers and QEMU that the tests need (Debian, as root)
	@for program in $(PROGRAMS); do \
		command -v $$program >/dev/null || exec $(MAKE) --no-print-directory apt-install PACKAGES="$(PACKAGES)"; \
	done

.PHONY: apt-install
apt-install:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing with apt-get: $(strip $(PACKAGES))"; \
		apt-get update -qq; \
		apt-get install --print-uris -qq --no-install-recommends $(PACKAGES) | \
			awk '{ bytes += $$3 } END { printf "Downloading %d MB\n", bytes / 1e6 }'; \
		DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends $(PACKAGES) >/dev/null; \
	else \
		echo "make: some packages are missing; as root: apt-get install $(strip $(PACKAGES))" >&2; exit 1; \
	fi

# ---- Run ---------------------------------------------------------------------------------------------------

.PHONY: demo
demo: setup ## Run the commands on miniature kernels: one that passes the check, one that fails it
	@echo '== Before the link: count the entries of a vmlinux.o, and write the assembly file for the stubs'
	$(BIN)/pfestubs count $(OBJECT)
	$(BIN)/pfestubs generate $(OBJECT)
	@echo
	@echo '== After the link: a kernel that boots with tracing'
	$(BIN)/pfestubs check fixtures/linked/healthy-ppc64le
	@mkdir -p $(DEMO)
	@$(BIN)/python -c 'import lzma, sys; sys.stdout.buffer.write(lzma.open(sys.argv[1]).read())' \
		fixtures/linked/trapped-ppc64le.xz > $(DEMO)/trapped-ppc64le
	@echo
	@echo '== The same with 40 MiB of padding, so that no function reaches the reserve (exit status 1, with the remedy)'
	$(BIN)/pfestubs check $(DEMO)/trapped-ppc64le; [ $$? -eq 1 ]

.PHONY: zipapp
zipapp: setup ## Build dist/pfestubs.pyz: one file that runs on any python3 (3.11 or newer)
	@mkdir -p dist
	@$(BIN)/python -m pfestubs.system.zipapp dist/pfestubs.pyz
	@ls -l dist/pfestubs.pyz

.PHONY: man
man: setup ## Write the manual pages and completion files again, from the commands
	$(BIN)/python tools/man.py

# ---- Test --------------------------------------------------------------------------------------------------

# The first of xdist's workers to need a real kernel unpacks it; two workers suit any machine.
.PHONY: test
test: test-announce tools $(VENV)/.ready-dev ## Run all tests; PFESTUBS_KERNELS=DIR adds those on real kernels
	$(BIN)/pytest -n 2 --dist worksteal -q $(TESTS)

.PHONY: test-announce
test-announce:
	@echo "All tests: about 6 minutes on two processors, and as long again with PFESTUBS_KERNELS."
	@echo "Needs (installed by apt-get if run as root on Debian): $(PACKAGES)"
	@[ -e $(VENV)/.ready-dev ] || echo "Downloads about 50 MB of Python packages into $(VENV)."
	@missing=; for program in $(PROGRAMS); do command -v $$program >/dev/null || missing="$$missing $$program"; done; \
		[ -z "$$missing" ] || echo "Downloads about 500 MB of Debian packages, since these are missing:$$missing"
	@echo "\"make test-fast\" takes one minute and needs only git of these."

.PHONY: test-fast
test-fast: $(VENV)/.ready-dev ## Run the tests that need nothing but Python and git, in about a minute
	$(BIN)/pytest -n 2 --dist worksteal -q -m '$(FAST)' $(TESTS)

.PHONY: test-minimum
test-minimum: $(VENV)-minimum/.ready ## Run the fast tests with the oldest packages that are allowed
	$(VENV)-minimum/bin/pytest -n 2 --dist worksteal -q -m '$(FAST)' $(TESTS)

$(VENV)-minimum/.ready: pyproject.toml
	@echo "Installing $(MINIMUM) and the test tools into $(VENV)-minimum"
	@$(PYTHON) -m venv $(VENV)-minimum
	@$(VENV)-minimum/bin/pip install --quiet --disable-pip-version-check --editable '.[dev]' $(MINIMUM)
	@touch $@

.PHONY: test-debian
test-debian: ## Run the fast tests in chroots of Debian 12 and 13, with their packages (as root)
	tools/test-debian $(SUITES)

# A Python of another machine, in which nothing is run to install it. "testing": of each release, or Debian's next.
ROOTS := build/debian
PYTHON_PACKAGES := base-files,python3,python3-pyelftools,python3-click,python3-jinja2,python3-rich
boot-test live-test: PROGRAMS := qemu-system-ppc64
boot-test live-test: PACKAGES := qemu-system-ppc
test-foreign: PROGRAMS := qemu-s390x
test-foreign: PACKAGES := qemu-user

.PHONY: test-foreign
test-foreign: setup tools ## Compare with a big-endian host (s390x) by QEMU, as root; VMLINUX=FILE adds a kernel
	tools/debian-root make $(ROOTS)/s390x testing s390x $(PYTHON_PACKAGES)
	$(BIN)/python tests/foreign.py $(ROOTS)/s390x $(VMLINUX)

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
fixtures: setup tools ## Rebuild the ready-built objects and kernels, and show any difference
	PATH="$(abspath $(BIN)):$$PATH" fixtures/rebuild.sh

.PHONY: bench
bench: $(VENV)/.ready-dev tools ## Time against the kernel's scripts: PFESTUBS_KERNELS=DIR KERNEL_SRC=TREE
	$(BIN)/python tests/bench.py

SECONDS ?= 600
N ?= 1000

.PHONY: fuzz
fuzz: $(VENV)/.ready-dev ## Fuzz every command for SECONDS, then the properties; table to docs/reliability.md
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/pip install --quiet atheris \
		|| echo "atheris cannot be installed: recipes are random"
	PYTHONPATH=tests $(BIN)/python -m fuzz --seconds $(SECONDS) --table docs/reliability.md $(FUZZ_FLAGS)
	PFESTUBS_RANDOM=1 $(BIN)/pytest -q -k 'test_properties or test_plan or test_remedy or test_sizing'

.PHONY: torture
torture: $(VENV)/.ready-dev ## Send N signals to commands that write files; cut inputs short, fill disks
	$(BIN)/python tests/torture.py $(N)

KERNEL_PACKAGES := gcc,libc6-dev,gcc-14-powerpc64le-linux-gnu,gcc-14-powerpc64-linux-gnu,make,flex,bison,bc,xz-utils
KERNEL_PACKAGES := $(KERNEL_PACKAGES),python3,qemu-system-ppc,linux-source/trixie-backports

# Without KERNEL_SRC: Debian's source and compilers, in a chroot.
.PHONY: kernel-test
kernel-test: zipapp ## Build and boot kernels with and without pfestubs: KERNEL_SRC=TREE CROSS_COMPILE=PREFIX KERNEL_VARIANTS
ifneq ($(KERNEL_SRC),)
	PFESTUBS="$(or $(PFESTUBS),$(abspath $(BIN))/pfestubs)" tests/kernel/kernel-test
else
	tools/debian-root make $(ROOTS)/kernel "trixie trixie-backports" "$$(dpkg --print-architecture)" $(KERNEL_PACKAGES)
	tools/debian-root run $(ROOTS)/kernel . sh -c 'cd /usr/src && [ -d linux ] || \
		{ mkdir -p part && tar -xf linux-source-*.tar.xz -C part && mv part/* linux; }'
	tools/debian-root run $(ROOTS)/kernel . env KERNEL_SRC=/usr/src/linux KERNEL_CC=gcc-14 KERNEL_OUT=/var/tmp/out \
		CROSS_COMPILE=powerpc64le-linux-gnu- CROSS_COMPILE_BE=powerpc64-linux-gnu- \
		PFESTUBS="python3 /src/dist/pfestubs.pyz" KERNEL_VARIANTS="$(KERNEL_VARIANTS)" JOBS="$(JOBS)" \
		/src/tests/kernel/kernel-test
endif

.PHONY: boot-test
boot-test: setup tools ## Boot VMLINUX=FILE in QEMU and compare its memory with the prediction
	$(BIN)/python tests/bootguest.py $(VMLINUX)

.PHONY: live-test
live-test: zipapp tools ## Run pfestubs on the live kernel VMLINUX=FILE (ppc64le) in QEMU, as root
	tools/debian-root make $(ROOTS)/ppc64el testing ppc64el $(PYTHON_PACKAGES),busybox-static
	$(BIN)/python tests/liveguest.py $(VMLINUX) $(ROOTS)/ppc64el dist/pfestubs.pyz

# ---- Clean -------------------------------------------------------------------------------------------------

.PHONY: clean
clean: ## Remove what was made here
	rm -rf $(VENV) $(VENV)-minimum build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
