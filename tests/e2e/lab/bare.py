"""Nodes that have next to nothing: no Python, a C library that is not ours or none, and perhaps no shell.

Law: what such a node can do beside its real runtime is said here, file by file.
"""

import shutil
import subprocess
from pathlib import Path

from tests.e2e.lab.rootfs import NODES, RootFS

FOLDERS = "bin sbin usr/bin usr/sbin usr/lib lib lib64 etc root proc sys dev run tmp var opt".split()
TOOLS = ("mount", "umount", "rm")  # what the lab itself calls
SHELL = ("sh", "grep", "cat", "ls")
RUNC = NODES["runc-1.1"]
LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")  # of Debian's runc
HOST_LIBRARIES = ("/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2")
PROGRAM = '#include <stdio.h>\nint main(void) { return puts("hello") < 0; }\n'

# What each has: a shell or none, the compiler whose programs run on it, and its C library.
KINDS: dict[str, tuple[bool, str, tuple[str, ...]]] = {
    "glibc": (True, "cc", HOST_LIBRARIES),
    "musl": (True, "musl-gcc", ("/lib/ld-musl-x86_64.so.1",)),
    "no shell": (False, "", ()),
}


def bare(kind: str) -> RootFS:
    """The root file system of such a node, made anew."""
    has_shell, compiler, libraries = KINDS[kind]
    rootfs = RootFS(f"bare-{kind.replace(' ', '-')}", "", ())
    shutil.rmtree(rootfs.path, ignore_errors=True)
    for folder in FOLDERS:
        (rootfs.path / folder).mkdir(parents=True, exist_ok=True)
    _add_tools(rootfs.path, [*TOOLS, *(SHELL if has_shell else ())])
    _add_runc(rootfs.path)
    for library in libraries:
        (rootfs.path / library.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(library).resolve(), rootfs.path / library.lstrip("/"))
    if compiler:
        hello = ["-x", "c", "-", "-o", str(rootfs.path / "usr/bin/hello")]
        subprocess.run([compiler, *hello], input=PROGRAM, text=True, check=True)
    return rootfs


def _add_tools(root: Path, applets: list[str]) -> None:
    """A static busybox, by the names of these applets alone."""
    shutil.copy(RUNC.path / "usr/bin/busybox", root / "sbin/tools")
    for applet in applets:
        (root / "bin" / applet).symlink_to("/sbin/tools")


def _add_runc(root: Path) -> None:
    """Debian's runc with a loader and libraries of its own: it is the node's, whatever else the node has."""
    own = root / "usr/lib/runc"
    own.mkdir()
    listed = subprocess.run(["chroot", RUNC.path, "ldd", "/usr/sbin/runc"], capture_output=True, text=True, check=True)
    names = {word.rpartition("/")[2] for word in listed.stdout.split() if word.startswith("/")}
    for name in names:
        shutil.copy((RUNC.path / str(LIBRARIES / name).lstrip("/")).resolve(), own / name)
    shutil.copy(RUNC.path / "usr/sbin/runc", root / "usr/bin/runc")
    loader = next(name for name in names if name.startswith("ld-linux"))
    words = ["--set-interpreter", f"/usr/lib/runc/{loader}", "--force-rpath", "--set-rpath", "/usr/lib/runc"]
    subprocess.run(["patchelf", *words, root / "usr/bin/runc"], check=True)
