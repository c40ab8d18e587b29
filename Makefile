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
SHARE = $(PREFIX)/share/oci-systemd
UNITS = $(PREFIX)/lib/systemd/system
# Manual pages, and what shells complete by: each is named after the program.
PAGES = $(foreach each,man/man1 man/man5 man/man8 bash-completion/completions zsh/site-functions fish/vendor_completions.d,$(PREFIX)/share/$(each))
TO    = $(DESTDIR)
NEW   = $(TO)$(LIB).new
OLD   = $(TO)$(LIB).old

WRITE = sed -e '1s|/bin/sh|$(SH)|' -e 's|@PYTHON@|$(PY)|g' -e 's|@LIB@|$(LIB)|g' -e 's|@RUNTIME@|$(RUNTIME)|g' -e 's|@GREP@|$(GREP)|g' -e 's|@BIN@|$(CALLED)|g' -e 's|@SITE@|$(SITE)|g'

DIST = /usr/lib/python3/dist-packages
# program or file:package, what a machine may lack
TOOLS_DEMO = unshare:util-linux mmdebstrap:mmdebstrap runc:runc
TOOLS_TEST = $(TOOLS_DEMO) nsenter:util-linux jq:jq busybox:busybox-static tini:tini strace:strace gpg:gpg \
             /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring \
             qemu-system-x86_64:qemu-system-x86 ssh:openssh-client mke2fs:e2fsprogs patchelf:patchelf buildah:buildah \
             musl-gcc:musl-tools qemu-aarch64-static:qemu-user-static man:man-db openssl:openssl $(TOOLS_DEB)
TOOLS_BUNDLE = mmdebstrap:mmdebstrap patchelf:patchelf gpg:gpg /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring
TOOLS_IMAGE = $(TOOLS_BUNDLE) buildah:buildah
TOOLS_DEB = dpkg-deb:dpkg $(DIST)/click:python3-click $(DIST)/h2:python3-h2 $(DIST)/tomlkit:python3-tomlkit
TOOLS_BENCH = runc:runc jq:jq cc:build-essential

.PHONY: all demo check test test-all lint bench install uninstall bundle image deb clean python \
        tools-demo tools-test tools-bench tools-bundle tools-image tools-deb
all:
	@echo 'make demo       systemd in a container, before your eyes (as root; else what is changed in a bundle)'
	@echo 'make check      lint, types and the tests that need no container: two minutes'
	@echo 'make test       the same and, as root, the tests that boot containers: ten minutes'
	@echo 'make test-all   the same and, as root, a whole node under QEMU'
	@echo 'make bench      what a call costs, each beside its floor'
	@echo 'make install    to $(PREFIX), in front of $(or $(RUNTIME),RUNTIME=…); PREFIX=, DESTDIR=, RUNTIME=, PYTHON='
	@echo 'make uninstall  take it away again'
	@echo 'make bundle     a tree that needs nothing of its host, in build/; ARCH="amd64 arm64"'
	@echo 'make image      the same as a container image, in build/oci-systemd.oci.tar; BASE=, IMAGE='
	@echo 'make deb        a package for Debian 12, 13 and what is made of them, in build/; REVISION='

demo: tools-demo python
	@$(PY) -B packaging/demo

# As many workers as processors; tests/workers.py says which tests stay together.
PYTEST = $(VENV)/bin/python -m pytest -n auto --durations=20
CHECKED = tests/core tests/laws tests/shells tests/engines
check: tools-test lint
	$(PYTEST) $(CHECKED)

test: tools-test lint
	$(PYTEST) $(CHECKED) tests/nri tests/fuzz tests/packaging tests/e2e

test-all: tools-test lint
	$(PYTEST)

lint: $(VENV)/dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy packaging/demo tests/cri tests/e2e tests/machine tests/bench tests/laws tests/fuzz tests/nri tests/packaging
	$(VENV)/bin/mypy packaging/man
	$(VENV)/bin/mypy packaging/bundle

bench: tools-bench $(VENV)/dev
	$(VENV)/bin/python -m tests.bench --check --svg tests/bench/bench.svg

# The new tree is made beside the old one and takes its place by renaming: an engine may call the wrapper at any moment.
install: python
	@[ -n '$(TO)' ] || [ -z '$(RUNTIME)' ] || [ -x '$(RUNTIME)' ] || { echo "RUNTIME='$(RUNTIME)' is not there or not executable" >&2; exit 1; }
	@test -n '$(RUNTIME)' || { echo "no container runtime on PATH: install runc or crun, or name one: make install RUNTIME=/path/to/runc" >&2; exit 1; }
	@case '$(PY)$(LIB)$(RUNTIME)$(GREP)$(SITE)' in *[!-+./0-9:=@A-Z_a-z]*) \
	    echo "PREFIX, PYTHON, RUNTIME and SITE stand in a script: letters, digits and -+./:=@_ only" >&2; exit 1 ;; esac
	rm -rf '$(NEW)' '$(TO)$(SHARE)'
	@made=$$(cat '$(TO)$(LIB)/made' 2>/dev/null; for each in '$(BIN)' '$(UNITS)' $(PAGES); do \
	    while [ ! -d "$(TO)$$each" ] && [ "$$each" != / ]; do echo "$$each"; each=$$(dirname "$$each"); done; done); \
	install -d '$(TO)$(BIN)' '$(TO)$(UNITS)' '$(NEW)' '$(TO)$(SHARE)/hooks.d'; echo "$$made" >'$(NEW)/made'
	cp -R oci_systemd '$(NEW)/'
	find '$(NEW)' -name __pycache__ -prune -exec rm -rf {} +
ifneq ($(DEPENDENCIES),no)
	@$(MAKE) --no-print-directory $(VENV)/bin/python
	$(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' >'$(NEW)/requirements.txt'
	$(VENV)/bin/python -m pip --python '$(PY)' install -qq --no-compile --target '$(NEW)' -r '$(NEW)/requirements.txt'
	rm -rf '$(NEW)/bin' '$(NEW)/requirements.txt'
	$(COMPILER) -B packaging/man '$(NEW)' '$(TO)$(PREFIX)/share'
endif
	$(COMPILER) -m compileall -q --invalidation-mode unchecked-hash -s '$(NEW)' -p '$(LIB)' '$(NEW)'
	$(COMPILER) packaging/launcher/freeze.py '$(NEW)'
	for each in $(wildcard hooks.d/*.json*); do $(WRITE) $$each >'$(TO)$(SHARE)/hooks.d'/$$(basename $$each .in) || exit; done
	install -m 644 packaging/config.toml '$(TO)$(SHARE)/'
	$(WRITE) packaging/systemd/oci-systemd-nri.service.in >'$(TO)$(UNITS)/oci-systemd-nri.service'
	chmod 644 '$(TO)$(UNITS)/oci-systemd-nri.service'
	chmod -R u=rwX,go=rX '$(NEW)' '$(TO)$(SHARE)'
	rm -rf '$(OLD)'; [ ! -e '$(TO)$(LIB)' ] || mv '$(TO)$(LIB)' '$(OLD)'; mv '$(NEW)' '$(TO)$(LIB)'; rm -rf '$(OLD)'
	for each in oci-systemd-runtime oci-systemd; do \
	    $(WRITE) packaging/launcher/$$each.in >'$(TO)$(BIN)'/.$$each && chmod 755 '$(TO)$(BIN)'/.$$each && \
	    mv '$(TO)$(BIN)'/.$$each '$(TO)$(BIN)'/$$each || exit; done
	@echo 'installed $(BIN)/oci-systemd-runtime in front of $(RUNTIME); next: oci-systemd install containerd (or crio, docker, podman)'

# What is the user's, /etc/oci-systemd, stays. An engine that still names the wrapper could start no container any more.
uninstall:
	@for each in '$(TO)'/etc/oci-systemd/engines/*.json; do \
	    grep -qs '"$(BIN)/oci-systemd-runtime' "$$each" || continue; each=$${each##*/}; \
	    echo "$${each%.json} still calls the wrapper: oci-systemd uninstall $${each%.json} first" >&2; exit 1; done
	@made=$$(sort -ru '$(TO)$(LIB)/made' 2>/dev/null); set -x; rm -rf '$(TO)$(LIB)' '$(TO)$(SHARE)'; \
	rm -f '$(TO)$(BIN)/oci-systemd-runtime' '$(TO)$(BIN)/oci-systemd' '$(TO)$(UNITS)/oci-systemd-nri.service' $(foreach each,$(PAGES),'$(TO)$(each)'/*oci-systemd*); set +x; \
	for each in $$made; do rmdir "$(TO)$$each" 2>/dev/null || :; done

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

$(VENV)/dev: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install -qq --upgrade pip # --group came with 25.1
	$(VENV)/bin/python -m pip install -qq --group dev --editable .
	@touch $@

# Root gets what is missing; anybody else is told, and stopped only by what nothing goes on without.
tools-demo: WANTED = $(TOOLS_DEMO)
tools-test: WANTED = $(TOOLS_TEST)
tools-bench: WANTED = $(TOOLS_BENCH)
tools-bundle: WANTED = $(TOOLS_BUNDLE)
tools-image: WANTED = $(TOOLS_IMAGE)
tools-deb: WANTED = $(TOOLS_DEB)
tools-demo tools-test tools-bench tools-bundle tools-image tools-deb:
	@missing=; PATH="$$PATH:/usr/sbin:/sbin"; \
	for each in $(WANTED); do command -v $${each%%:*} >/dev/null || [ -e $${each%%:*} ] || missing="$$missing $${each#*:}"; done; \
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || { missing="$$missing python3 python3-venv"; python=missing; }; \
	[ -n "$$missing" ] || exit 0; \
	install="apt-get install -y --no-install-recommends$$missing"; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing$$missing"; export DEBIAN_FRONTEND=noninteractive; apt-get update -qq && $$install -qq >/dev/null; \
	elif [ -n "$$python" ]; then echo "missing here:$$missing; as root: $$install" >&2; exit 1; \
	else echo "without root no container is booted; missing for that here:$$missing; as root: $$install"; fi
