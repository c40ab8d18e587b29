# Build, try, test and install. `make demo` shows the purpose; `make test` runs every test that needs no emulated machine.
# As root both install the tools that they need with apt; otherwise they list the missing ones.

PREFIX  = /usr/local
DESTDIR =
# The interpreter that runs the wrapper, 3.11 or later. The installed scripts have its real path, not a version manager's shim.
PYTHON  = python3
# The real runtime.
RUNTIME = $(shell PATH="$$PATH:/usr/sbin:/sbin"; command -v runc || command -v crun)
# "no" leaves out the packages that only the command line needs, for a distribution that provides them; the wrapper needs none.
DEPENDENCIES = yes
# With "no": the directories with these packages, separated by colons.
SITE    =
VENV    = .venv
# Architectures of the self-contained tree and the image: amd64, arm64, or both.
ARCH    = $(shell dpkg --print-architecture 2>/dev/null)
BUILD   = build
IMAGE   = ghcr.io/oci-systemd/oci-systemd:$(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' oci_systemd/__init__.py)

PY    = $(eval PY := $$(shell $(PYTHON) -c 'import os, sys; print(os.path.realpath(sys.executable))'))$(PY)
# Compiles byte code for PY if PY cannot run here: another interpreter of the same version.
COMPILER = $(PY)
SH    = /bin/sh
GREP  = $(shell command -v grep || :)
BIN   = $(PREFIX)/bin
# The directory of the programs for users and engines.
CALLED = $(BIN)
LIB   = $(PREFIX)/lib/oci-systemd
PARTS = all
FLAT  = no
NAME  =

DIST = /usr/lib/python3/dist-packages
# program or file:package that a machine may lack
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
	@echo 'make demo       boot systemd in a container (as root; otherwise show the changes to a bundle)'
	@echo 'make check      run lint, type checks and the tests that start no container: three minutes'
	@echo 'make test       also run, as root, the tests that boot containers: 15 to 20 minutes'
	@echo 'make test-all   also run, as root, the tests on a whole node under QEMU'
	@echo 'make pristine   run every documented target on fresh Debian systems (as root)'
	@echo 'make bench      measure the cost of each kind of call'
	@echo 'make dev        install the tools for developers, and Python packages in $(VENV)'
	@echo 'make lock       update packaging/locks: every package with version and hash'
	@echo 'make install    install to $(PREFIX), with the runtime $(or $(RUNTIME),RUNTIME=…); PREFIX=, DESTDIR=, RUNTIME=, PYTHON='
	@echo 'make uninstall  remove the installation'
	@echo 'make bundle     build a self-contained tree, which needs nothing from its host, in build/; ARCH="amd64 arm64"'
	@echo 'make image      build a container image in build/oci-systemd.oci.tar; BASE=, IMAGE='
	@echo 'make deb        build a package for Debian 12, 13 and their derivatives in build/; REVISION='

demo: tools-demo python
	@$(PY) -B packaging/demo

# One worker for each processor; tests/workers.py keeps some tests together.
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

# packaging/install does the work. FLAT=yes is for a tree with only one version, PARTS=texts for a package that makes the version on
# the node.
install: $(if $(filter no,$(DEPENDENCIES)),,tools-install) python $(if $(filter no,$(DEPENDENCIES)),,$(VENV)/bin/python)
	@$(COMPILER) -B packaging/install --destdir='$(DESTDIR)' --prefix='$(PREFIX)' --bin='$(CALLED)' --python='$(PY)' --runtime='$(RUNTIME)' \
	    --shell='$(SH)' --grep='$(GREP)' --site='$(SITE)' --parts=$(PARTS) $(NAME:%=--name=%) $(if $(filter yes,$(FLAT)),--flat) \
	    $(if $(filter no,$(DEPENDENCIES)),,--pip=$(VENV)/bin/python)

# /etc/oci-systemd is kept. An engine that still uses the wrapper could not start containers any more.
uninstall:
	@packaging/install/in-use '$(BIN)/oci-systemd-runtime' '$(DESTDIR)'
	@packaging/install/remove '$(LIB)' '$(DESTDIR)'
	@echo 'removed $(LIB) and its files'

bundle: tools-bundle $(VENV)/bin/python
	for each in $(ARCH); do $(VENV)/bin/python -B packaging/bundle $$each '$(BUILD)/bundle' || exit; done

image: tools-image bundle
	packaging/image/build.sh '$(IMAGE)' '$(BUILD)/bundle' $(ARCH)

deb: tools-deb
	packaging/deb/build.sh '$(BUILD)'

clean:
	rm -rf $(VENV) build dist *.egg-info .hypothesis
	find . \( -name __pycache__ -o -name '.*_cache' \) -prune -exec rm -rf {} +

# Requirements of the targets above

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "$(PYTHON): not Python 3.11 or later; install it, or run: make PYTHON=/path/to/python3" >&2; exit 1; }

$(VENV)/bin/python: | python
	$(PY) -m venv --clear $(VENV)

$(VENV)/dev: packaging/locks/developers.txt | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install -qq --require-hashes -r packaging/locks/developers.txt
	$(VENV)/bin/python -m pip install -qq --no-deps --no-build-isolation --editable .
	@touch $@

# Locked versions and hashes: runtime.txt for nodes and images, developers.txt with the developers' tools.
LOCK = $(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --upgrade --no-header pyproject.toml
lock: $(VENV)/dev
	$(LOCK) --output-file packaging/locks/runtime.txt
	$(LOCK) --group dev --constraint packaging/locks/runtime.txt --output-file packaging/locks/developers.txt

# Root installs the missing tools; other users get a list, and stop only without Python.
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
	elif [ -n "$$python" ]; then echo "not found:$$missing; run as root: $$install" >&2; exit 1; \
	else echo "no container is booted without root and:$$missing; run as root: $$install"; fi
