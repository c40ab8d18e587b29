# Build, try, test and install. `make demo` shows what this is for; `make test` runs every test that needs no emulated machine.
# As root both install what they need with apt; else they say what is missing.

PREFIX  = /usr/local
DESTDIR =
# The interpreter that runs the wrapper, 3.11 or later. What is written down is the program itself, never a version manager's shim.
PYTHON  = python3
# The real runtime that the wrapper becomes.
RUNTIME = $(shell PATH="$$PATH:/usr/sbin:/sbin"; command -v runc || command -v crun)
# "no" leaves out what only the command line needs, for a package that brings it another way; the wrapper needs none of it.
DEPENDENCIES = yes
# Then: the directories where the command line finds that, with colons between.
SITE    =
VENV    = .venv
# Of the self-contained tree and the image: amd64, arm64, or both.
ARCH    = $(shell dpkg --print-architecture 2>/dev/null)
BUILD   = build
IMAGE   = ghcr.io/oci-systemd/oci-systemd:$(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' oci_systemd/__init__.py)

PY    = $(eval PY := $$(shell $(PYTHON) -c 'import os, sys; print(os.path.realpath(sys.executable))'))$(PY)
# What runs PY's byte code here, where PY itself cannot be run yet: another of its version.
COMPILER = $(PY)
SH    = /bin/sh
GREP  = $(shell command -v grep || :)
BIN   = $(PREFIX)/bin
# Where others find the programs, by the name that stays.
CALLED = $(BIN)
LIB   = $(PREFIX)/lib/oci-systemd
PARTS = all
FLAT  = no
NAME  =

DIST = /usr/lib/python3/dist-packages
# program or file:package, what a machine may lack
TOOLS_DEMO = unshare:util-linux mmdebstrap:mmdebstrap runc:runc
TOOLS_TEST = $(TOOLS_DEMO) nsenter:util-linux jq:jq busybox:busybox-static tini:tini strace:strace gpg:gpg \
             /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring \
             patchelf:patchelf buildah:buildah \
             musl-gcc:musl-tools qemu-aarch64-static:qemu-user-static man:man-db openssl:openssl $(TOOLS_DEB)
TOOLS_MACHINE = qemu-system-x86_64:qemu-system-x86 ssh:openssh-client mke2fs:e2fsprogs
TOOLS_INSTALL =
TOOLS_LINT =
TOOLS_PRISTINE = unshare:util-linux git:git mmdebstrap:mmdebstrap gpg:gpg \
                 /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring
TOOLS_BUNDLE = mmdebstrap:mmdebstrap patchelf:patchelf gpg:gpg /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring
TOOLS_IMAGE = $(TOOLS_BUNDLE) buildah:buildah netavark:netavark
TOOLS_DEB = dpkg-deb:dpkg $(DIST)/click:python3-click $(DIST)/h2:python3-h2 $(DIST)/tomlkit:python3-tomlkit
TOOLS_BENCH = runc:runc jq:jq cc:build-essential

.PHONY: all demo dev check lint test test-all pristine bench install uninstall bundle image deb lock clean python \
        tools-demo tools-lint tools-test tools-machine tools-pristine tools-bench tools-install tools-bundle tools-image tools-deb
all:
	@echo 'make demo       systemd in a container, before your eyes (as root; else what is changed in a bundle)'
	@echo 'make check      lint, types and the tests that start no container: two minutes'
	@echo 'make test       the same and, as root, the tests that boot containers: ten minutes'
	@echo 'make test-all   the same and, as root, a whole node under QEMU'
	@echo 'make pristine   every target that the documents name, on fresh Debians (as root)'
	@echo 'make bench      what a call costs, each beside its floor'
	@echo 'make dev        what developers need: programs, and Python packages in $(VENV)'
	@echo 'make lock       renew packaging/locks: every package by version and hash'
	@echo 'make install    to $(PREFIX), in front of $(or $(RUNTIME),RUNTIME=…); PREFIX=, DESTDIR=, RUNTIME=, PYTHON='
	@echo 'make uninstall  take it away again'
	@echo 'make bundle     a tree that needs nothing of its host, in build/; ARCH="amd64 arm64"'
	@echo 'make image      the same as a container image, in build/oci-systemd.oci.tar; BASE=, IMAGE='
	@echo 'make deb        a package for Debian 12, 13 and what is made of them, in build/; REVISION='

demo: tools-demo python
	@$(PY) -B packaging/demo

# As many workers as processors; tests/workers.py says which tests stay together.
PYTEST = $(VENV)/bin/python -m pytest -n auto --durations=20
CHECKED = tests/core tests/laws tests/shells tests/engines tests/installation
check: lint
	$(PYTEST) $(CHECKED)

test: tools-test lint
	$(PYTEST) $(CHECKED) tests/nri tests/fuzz tests/packaging tests/e2e

test-all: tools-test tools-machine lint
	$(PYTEST)

lint: tools-lint $(VENV)/dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy packaging/demo tests/cri tests/e2e tests/machine tests/measure tests/bench tests/laws tests/fuzz tests/nri tests/packaging tests/pristine
	$(VENV)/bin/mypy packaging/man
	$(VENV)/bin/mypy packaging/bundle
	$(VENV)/bin/mypy packaging/install

dev: tools-test tools-machine $(VENV)/dev

pristine: tools-pristine python
	@$(PY) -B -m tests.pristine

bench: tools-bench $(VENV)/dev
	$(VENV)/bin/python -m tests.bench --check --svg tests/bench/bench.svg

# `make install` as a program: packaging/install says what is put where. FLAT=yes is for a tree that is a version itself, PARTS=texts
# for a package that makes the version on the node.
install: $(if $(filter no,$(DEPENDENCIES)),,tools-install) python $(if $(filter no,$(DEPENDENCIES)),,$(VENV)/bin/python)
	@$(COMPILER) -B packaging/install --destdir='$(DESTDIR)' --prefix='$(PREFIX)' --bin='$(CALLED)' --python='$(PY)' --runtime='$(RUNTIME)' \
	    --shell='$(SH)' --grep='$(GREP)' --site='$(SITE)' --parts=$(PARTS) $(NAME:%=--name=%) $(if $(filter yes,$(FLAT)),--flat) \
	    $(if $(filter no,$(DEPENDENCIES)),,--pip=$(VENV)/bin/python)

# What is the user's, /etc/oci-systemd, stays. An engine that still names the wrapper could start no container any more.
uninstall:
	@packaging/install/in-use '$(BIN)/oci-systemd-runtime' '$(DESTDIR)'
	@packaging/install/remove '$(LIB)' '$(DESTDIR)'
	@echo 'removed $(LIB), and what came with it'

bundle: tools-bundle $(VENV)/bin/python
	for each in $(ARCH); do $(VENV)/bin/python -B packaging/bundle $$each '$(BUILD)/bundle' || exit; done

image: tools-image bundle
	packaging/image/build.sh '$(IMAGE)' '$(BUILD)/bundle' $(ARCH)

deb: tools-deb
	packaging/deb/build.sh '$(BUILD)'

clean:
	rm -rf $(VENV) build dist *.egg-info .hypothesis
	find . \( -name __pycache__ -o -name '.*_cache' \) -prune -exec rm -rf {} +

# Needs of the targets above

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "'$(PYTHON)' is no Python 3.11 or later: install one, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }

$(VENV)/bin/python: | python
	$(PY) -m venv --clear $(VENV)

$(VENV)/dev: packaging/locks/developers.txt | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install -qq --require-hashes -r packaging/locks/developers.txt
	$(VENV)/bin/python -m pip install -qq --no-deps --no-build-isolation --editable .
	@touch $@

# What is installed, by version and hash: for nodes and images what the project needs, for developers their tools as well.
LOCK = $(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --upgrade --no-header pyproject.toml
lock: $(VENV)/dev
	$(LOCK) --output-file packaging/locks/runtime.txt
	$(LOCK) --group dev --constraint packaging/locks/runtime.txt --output-file packaging/locks/developers.txt

# Root gets what is missing; anybody else is told, and stopped only by what nothing goes on without.
tools-demo: WANTED = $(TOOLS_DEMO)
tools-lint: WANTED = $(TOOLS_LINT)
tools-pristine: WANTED = $(TOOLS_PRISTINE)
tools-test: WANTED = $(TOOLS_TEST)
tools-machine: WANTED = $(TOOLS_MACHINE)
tools-bench: WANTED = $(TOOLS_BENCH)
tools-install: WANTED = $(TOOLS_INSTALL)
tools-bundle: WANTED = $(TOOLS_BUNDLE)
tools-image: WANTED = $(TOOLS_IMAGE)
tools-deb: WANTED = $(TOOLS_DEB)
tools-demo tools-lint tools-test tools-machine tools-pristine tools-bench tools-install tools-bundle tools-image tools-deb:
	@missing=; PATH="$$PATH:/usr/sbin:/sbin"; \
	for each in $(WANTED); do command -v $${each%%:*} >/dev/null || [ -e $${each%%:*} ] || missing="$$missing $${each#*:}"; done; \
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || { missing="$$missing python3 python3-venv"; python=missing; }; \
	[ -n "$$missing" ] || exit 0; \
	install="apt-get install -y --no-install-recommends$$missing"; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing$$missing"; export DEBIAN_FRONTEND=noninteractive; apt-get update -qq && $$install -qq >/dev/null; \
	elif [ -n "$$python" ]; then echo "missing here:$$missing; as root: $$install" >&2; exit 1; \
	else echo "without root no container is booted; missing for that here:$$missing; as root: $$install"; fi
