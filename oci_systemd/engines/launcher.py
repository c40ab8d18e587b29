"""The launcher, as engines call it: in front of the runtime that `make install` wrote into it, or of another by a stub.

A stub is three lines of sh that name another real runtime and go on with the launcher's own text, so that an upgrade of the
launcher is one of every stub.
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
_SAFE = re.compile(r"/[-+./0-9:=@A-Z_a-z]+")  # as the Makefile has it: what stands in a script as it is


def is_ours(program: str) -> bool:
    """Whether a program that an engine's configuration names is the launcher or a stub of it."""
    return posixpath.basename(program).startswith(NAME)


def programs_in(value: object) -> list[str]:
    """Every launcher or stub that is named anywhere in a configuration's value."""
    if isinstance(value, str):
        return [value] if is_ours(value) else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [program for each in inner for program in programs_in(each)]


def runtime_of(text: str) -> str:
    """The real runtime that a launcher's or a stub's text names; "" where it is neither."""
    line = next((line for line in text.splitlines() if line.startswith("osd_runtime=")), "")
    return line.partition("=")[2].rpartition(":-")[2].rstrip("}")


def behind(tree: Tree, program: str) -> str:
    """The real runtime of a handler that calls `program`: that one, or, where it is a launcher or a stub, the one in its text."""
    return runtime_of(tree.read(program) or "") if is_ours(program) else program


def paths_of(text: str) -> list[str]:
    """The paths that a launcher's or a stub's text names: its runtime, and what it needs itself."""
    found = [runtime_of(text)]
    for pattern in (r"^\. (/\S+)$", r"exec (/\S+) -ISB", r"_exit\(0\)' (/\S+) ", r"LC_ALL=C exec (/\S+) -"):
        found += re.findall(pattern, text, re.MULTILINE)
    return found


def stub(
    launcher: str, runtime: str, engine: str, handler: str, shell: str = "/bin/sh", folder: str = ""
) -> tuple[str, str]:
    """The path and text of the stub by which `engine`'s `handler` has `runtime` behind the launcher; `shell` runs it. It
    lies in `folder`, else beside the launcher."""
    for path in (launcher, runtime, shell):
        if not _SAFE.fullmatch(path):
            raise Problem(f"the path {path!r} stands in a script: letters, digits and -+./:=@_ only, from / on")
    path = f"{folder or posixpath.dirname(launcher)}/{NAME}.{engine}.{handler}"
    return path, STUB.format(shell=shell, engine=engine, handler=handler, runtime=runtime, launcher=launcher)
