"""The commands typed on a fresh machine, and the expected results.

Invariant: each case has a root of its own, so that a target that works only after another one fails here.
"""

from dataclasses import dataclass

CORPUS = "tests/corpus/containerd-2.1/systemd.json"
RUNTIME = ("# apt-get update -qq", "# apt-get install -y --no-install-recommends runc")


@dataclass(frozen=True)
class Case:
    """Lines in the order in which they are typed, each behind its prompt: `#` is root, `$` an ordinary user.

    They run in a fresh clone of whoever types the first `make`. A line that fails, or that prints a traceback, fails the case.
    """

    name: str
    lines: tuple[str, ...]
    leaves_nothing: bool = False
    """Afterwards the root has the files it had before, and those of the packages that are installed then."""

    @property
    def user(self) -> str:
        return "user" if any(line.startswith("$") for line in self.lines) else "root"

    @property
    def targets(self) -> frozenset[str]:
        """The targets of the Makefile that the lines call."""
        words = [line.split() for line in self.lines]
        return frozenset(line[2] for line in words if line[1] == "make")


CASES = (
    Case(
        "demo",
        (
            "# make demo",
            "# test -d /var/cache/oci-systemd/demo-*",  # so it was the demo that boots
        ),
    ),
    Case(
        "demo-user",
        (
            "# apt-get update -qq",
            "$ make demo 2>&1 | tee ~/said",
            "$ grep 'not found:.*; run as root: apt-get install ' ~/said",
            "# $(sed -n 's/.*; run as root: //p' ~user/said)",
            "$ make demo >~/said",
            "$ cat ~/said",
            "$ grep '+ .*container_uuid=' ~/said",  # the line that would be added
        ),
    ),
    Case(
        "install",
        (
            *RUNTIME,
            "# make install PREFIX=/usr",
            "# oci-systemd --version",
            f"# oci-systemd explain {CORPUS}",
            "# oci-systemd doctor || test $? = 1",
            "# oci-systemd-runtime --version",
            "# test -s /usr/share/man/man1/oci-systemd.1",
        ),
    ),
    Case(
        "uninstall",
        (
            *RUNTIME,
            "# make install PREFIX=/usr",
            "# make uninstall PREFIX=/usr",
        ),
        leaves_nothing=True,
    ),
    Case(
        "deb",
        (
            "# make deb",
            "# apt-get install -y ./build/oci-systemd_*_all.deb",
            "# oci-systemd --version",
            f"# oci-systemd explain {CORPUS}",
            "# oci-systemd doctor || test $? = 1",
            "# apt-get purge -y oci-systemd",
        ),
        leaves_nothing=True,
    ),
    Case(
        "bundle",
        (
            "# make bundle",
            "# tar -C / -xzf build/oci-systemd-*.tar.gz",
            "# /opt/oci-systemd/versions/*/bin/oci-systemd --version",
            f"# /opt/oci-systemd/versions/*/bin/oci-systemd explain {CORPUS}",
        ),
    ),
    Case(
        "image",
        (
            "# make image",
            "# tar -xf build/oci-systemd.oci.tar --one-top-level=/tmp/image",
            "# for each in /tmp/image/blobs/sha256/*; do tar -C / -xzf $each opt 2>/dev/null || :; done",  # its layers
            "# /opt/oci-systemd/bin/oci-systemd --version",  # what the image starts
        ),
    ),
    Case("lint", ("# make lint",)),
    Case(
        "dev",
        (
            "# make dev",
            "# .venv/bin/python -m pytest -q tests/core",
        ),
    ),
    Case(
        "pip",
        (
            "# apt-get update -qq",
            "# apt-get install -y python3-venv",
            "# python3 -m venv ~/venv",
            "# ~/venv/bin/pip install .",
            "# ~/venv/bin/oci-systemd --version",
            f"# ~/venv/bin/oci-systemd explain {CORPUS}",
        ),
    ),
)

# Targets of which the documents speak, and that have no case: why.
WITHOUT = {
    "bench": "measures for minutes; .ci/run runs it",
    "check": "is make lint and a part of make test",
    "lock": "changes the source tree",
    "test": "takes ten minutes; make dev sets up all it needs, and .ci/run runs it",
    "test-all": "takes half an hour; make dev sets up all it needs, and .ci/run runs it",
}
