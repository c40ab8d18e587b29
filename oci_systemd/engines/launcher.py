"""The launcher that engines call, in front of the runtime that `make install` wrote into it, or of another one through a stub.

A stub is three lines of sh that set another real runtime and source the launcher, so an upgrade of the launcher also upgrades every
stub.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from oci_systemd.core.errors import Problem

if TYPE_CHECKING:
    from oci_systemd.engines.plan import Tree

NAME = "oci-systemd-runtime"
STUB = """#!{shell}
# oci-systemd-runtime in front of another real runtime, for {engine}'s handler {handler}.
osd_runtime={runtime}
. {launcher}
"""
_SAFE = re.compile(r"/[-+./0-9:=@A-Z_a-z]+")  # the same letters as in the Makefile: they need no quotes in a script


def is_ours(program: str) -> bool:
    """Return whether a program in an engine's configuration is the launcher or a stub of it."""
    return posixpath.basename(program).startswith(NAME)


def programs_in(value: object) -> list[str]:
    """Return every launcher or stub anywhere in a value of a configuration."""
    if isinstance(value, str):
        return [value] if is_ours(value) else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [program for each in inner for program in programs_in(each)]


def runtime_of(text: str) -> str:
    """Return the real runtime in the text of a launcher or a stub; "" if it is neither."""
    line = next((line for line in text.splitlines() if line.startswith("osd_runtime=")), "")
    return line.partition("=")[2].rpartition(":-")[2].rstrip("}")


def behind(tree: Tree, program: str) -> str:
    """Return the real runtime of a handler that calls `program`: the one in its text if it is a launcher or a stub, else itself."""
    return runtime_of(tree.read(program) or "") if is_ours(program) else program


def paths_of(text: str) -> list[str]:
    """Return the paths in the text of a launcher or a stub: its runtime, and the files that it needs."""
    found = [runtime_of(text)]
    for pattern in (r"^\. (/\S+)$", r"exec (/\S+) -ISB", r"_exit\(0\)' (/\S+) ", r"LC_ALL=C exec (/\S+) -"):
        found += re.findall(pattern, text, re.MULTILINE)
    return found


def stub(
    launcher: str, runtime: str, engine: str, handler: str, shell: str = "/bin/sh", folder: str = ""
) -> tuple[str, str]:
    """Return the path and text of a stub: `engine`'s `handler` calls it, and the launcher then calls `runtime`. `shell` runs the
    stub, which is in `folder`, by default beside the launcher."""
    for path in (launcher, runtime, shell):
        if not _SAFE.fullmatch(path):
            raise Problem(
                f"path {path!r}: unsupported in a script; use an absolute path of letters, digits and -+./:=@_"
            )
    path = f"{folder or posixpath.dirname(launcher)}/{NAME}.{engine}.{handler}"
    return path, STUB.format(shell=shell, engine=engine, handler=handler, runtime=runtime, launcher=launcher)
