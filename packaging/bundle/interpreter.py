"""A Python interpreter that needs nothing from its host: Debian's, with its own loader and libraries.

Law: every library that it loads lies beside it. The loader's path is written into the program, so that starting it is one exec,
and no shell, variable or cache of the host has a say.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from debian import Base

VERSION = "3.13"
STDLIB = f"lib/python{VERSION}"
# Libraries of the interpreter, its modules and our packages. Modules of the standard library that need others are left out.
LIBRARIES = """libc.so.6 libm.so.6 libz.so.1 libzstd.so.1 libexpat.so.1 libgcc_s.so.1 libssl.so.3 libcrypto.so.3 libffi.so.8
    libpthread.so.0 libdl.so.2""".split()  # fmt: skip
# Parts of the library that our programs do not use: half of it.
LEFT_OUT = """_pyrepl curses dbm ensurepip idlelib lib2to3 multiprocessing pydoc_data sqlite3 tkinter turtledemo unittest venv
    xmlrpc test pydoc.py doctest.py pdb.py turtle.py __phello__ config-* site-packages""".split()  # fmt: skip
WHEELS = {"amd64": "x86_64", "arm64": "aarch64"}  # as PyPI calls an architecture
GLIBC = range(17, 42)  # manylinux_2_17 to that of the base


def program(home: Path) -> Path:
    """The interpreter in a tree made by `assemble`."""
    return home / "bin" / f"python{VERSION}"


def command(base: Base) -> list[str]:
    """Return how to run the interpreter of `base` where it was unpacked, on a machine of its architecture."""
    return [
        str(base.loader.resolve()),
        "--library-path",
        str(base.libraries.resolve()),
        str(program(base.root / "usr").resolve()),
        "-ISB",
    ]


def assemble(base: Base, home: Path, inside: Path, compiler: list[str]) -> None:
    """Make the interpreter at `home`, to be called as one at `inside`."""
    libraries = home / "lib"
    (home / "bin").mkdir(parents=True)
    shutil.copytree(
        base.root / "usr" / STDLIB, home / STDLIB, ignore=shutil.ignore_patterns("__pycache__", "sitecustomize.py")
    )
    for found in (found for name in LEFT_OUT for found in sorted((home / STDLIB).rglob(name))):
        shutil.rmtree(found) if found.is_dir() else found.unlink()
    for library in (*LIBRARIES, base.loader.name):
        shutil.copy(base.libraries / library, libraries / library)
    for module in (home / STDLIB / "lib-dynload").iterdir():
        if not needed_by(module) <= {*LIBRARIES, base.loader.name}:
            module.unlink()
    compile_all(compiler, home / STDLIB, inside / STDLIB)
    shutil.copy(program(base.root / "usr"), program(home))
    for words in (
        ["--force-rpath", "--set-rpath", f"{inside}/lib"],
        ["--set-interpreter", f"{inside}/lib/{base.loader.name}"],
    ):
        subprocess.run(["patchelf", *words, str(program(home))], check=True)


def needed_by(file: Path) -> set[str]:
    """Return the libraries that a program or library needs directly."""
    said = subprocess.run(["patchelf", "--print-needed", file], check=True, capture_output=True, text=True)
    return set(said.stdout.split())


def compile_all(compiler: list[str], folder: Path, inside: Path) -> None:
    """Compile everything in `folder`, which will be at `inside`; byte code is not checked against its source later."""
    words = [
        "-m",
        "compileall",
        "-q",
        "--invalidation-mode=unchecked-hash",
        "-s",
        str(folder),
        "-p",
        str(inside),
        str(folder),
    ]
    subprocess.run([*compiler, *words], check=True)


def wheels(base: Base, lock: Path, place: Path) -> Path:
    """Unpack the packages in `lock`, checked by hash, for the architecture of `base`, at `place`."""
    platforms = [f"--platform=manylinux_2_{minor}_{WHEELS[base.arch]}" for minor in GLIBC]
    shutil.rmtree(place, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--no-compile", "--target", str(place)]
    pip += ["--only-binary=:all:", "--implementation=cp", f"--python-version={VERSION}", *platforms]
    subprocess.run([*pip, "--require-hashes", "-r", str(lock)], check=True)
    shutil.rmtree(place / "bin", ignore_errors=True)
    return place
