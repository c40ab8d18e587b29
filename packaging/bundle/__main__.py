"""Make the self-contained tree: `python packaging/bundle amd64 build/bundle` (`make bundle`), by a Python with pip.

What comes out is a directory for each architecture, OUT/ARCH, with opt/oci-systemd in it, and an archive of the version beside:

    versions/V/python    an interpreter from Debian's packages, with its own loader and libraries
    versions/V/bin       our programs, and a static busybox that is their shell and grep
    versions/V/lib       our package and what it needs
    versions/V/share     settings, hooks, licences, and sbom.spdx.json, which says what all of this is
    current, bin/…       links to the version; engines name bin/oci-systemd-runtime

Law: nothing in it leads out of it, but to the real runtime. V is the same for the same contents.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from hashlib import sha256
from pathlib import Path

import contents
import debian
import interpreter

SOURCE = Path(__file__).parents[2]
HOME = Path("/opt/oci-systemd")
LINKED = ("oci-systemd", "oci-systemd-runtime", "sh")  # as host/versions.py has them
APPLETS = ("sh", "grep")  # what our programs call
# Where most nodes have it; `oci-systemd install` puts another before each handler that needs it.
RUNTIME = "/usr/bin/runc"
# What a version is made of, beside the packages.
OURS = (
    "oci_systemd",
    "hooks.d",
    "packaging/bundle",
    "packaging/install",
    "packaging/launcher",
    "packaging/locks/runtime.txt",
    "packaging/systemd",
    "packaging/config.toml",
    "Makefile",
)


def main(arch: str, out: Path) -> None:
    native = debian.extracted(debian.native(), out)
    base = debian.extracted(arch, out)
    compiler = interpreter.command(native)
    wheels = interpreter.wheels(base, SOURCE / "packaging/locks/runtime.txt", out / f".wheels-{arch}")
    name = f"{version()}-{identity(contents.packages(base.debs), contents.distributions(wheels))}"
    root = out / arch
    shutil.rmtree(root, ignore_errors=True)
    tree = root / HOME.relative_to("/") / "versions" / name
    inside = HOME / "versions" / name
    interpreter.assemble(base, tree / "python", inside / "python", compiler)
    put_busybox(base.root, tree / "bin")
    install(root, inside, interpreter.program(inside / "python"), compiler)
    shutil.copytree(wheels, tree / "lib/oci-systemd", dirs_exist_ok=True)
    interpreter.compile_all(compiler, tree / "lib/oci-systemd", inside / "lib/oci-systemd")
    contents.describe(base, wheels, tree / "share", name)
    link(tree.parents[1], name)
    pack(root, out.parent / f"oci-systemd-{name}-{arch}.tar.gz", f"opt/oci-systemd/versions/{name}")


def version() -> str:
    given: dict[str, str] = {}
    exec((SOURCE / "oci_systemd/__init__.py").read_text(), given)  # noqa: S102  # our own file, which imports nothing
    return given["__version__"]


def identity(*parts: list[contents.Part]) -> str:
    """Return eight digits that identify the contents of a version."""
    digest = sha256(repr(parts).encode())
    for name in OURS:
        place = SOURCE / name
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.is_file() and "__pycache__" not in file.parts and ".ruff_cache" not in file.parts:
                digest.update(f"{file.relative_to(SOURCE)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:8]


def put_busybox(root: Path, bin: Path) -> None:
    bin.mkdir(parents=True)
    shutil.copy(root / "usr/bin/busybox", bin / "busybox")
    for applet in APPLETS:
        (bin / applet).symlink_to("busybox")


def install(root: Path, inside: Path, program: Path, compiler: list[str]) -> None:
    """Run `make install` into the tree, with the tree's own interpreter, shell and grep."""
    values = {
        "DESTDIR": root.resolve(),
        "PREFIX": inside,
        "CALLED": HOME / "bin",
        "PY": program,
        "COMPILER": " ".join(compiler),
        "SH": inside / "bin/sh",
        "GREP": inside / "bin/grep",
        "RUNTIME": RUNTIME,
        "DEPENDENCIES": "no",
        "FLAT": "yes",
    }
    words = [
        "make",
        "-C",
        str(SOURCE),
        "--no-print-directory",
        "install",
        *(f"{key}={value}" for key, value in values.items()),
    ]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def link(home: Path, name: str) -> None:
    """Make `name` the current version, as `oci-systemd install` does on a node (host/versions.py)."""
    (home / "current").symlink_to(f"versions/{name}")
    (home / "bin").mkdir()
    for program in LINKED:
        (home / "bin" / program).symlink_to(f"../current/bin/{program}")


def pack(root: Path, archive: Path, what: str) -> None:
    """Write an archive of only this version: unpacking it beside others changes nothing yet."""
    with tarfile.open(archive, "w:gz", compresslevel=9) as packed:
        packed.add(root / what, what, filter=contents.plain)
    sys.stdout.write(f"{archive} ({archive.stat().st_size >> 20} MB)\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
