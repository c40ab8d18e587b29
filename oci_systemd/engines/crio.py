"""CRI-O: add a runtime handler in a drop-in. CRI-O has its own systemd mode; ours adds the machine-id and the stop signal.

Law: the handler is a copy of the node's default handler, except for the program. Our annotations are never added to
`allowed_annotations`: CRI-O drops a handler with an unknown name there, and passes all other annotations of a pod to the runtime
anyway. No hook is installed where CRI-O reads hooks: it does not start with an unknown stage.
"""

from __future__ import annotations

import copy
import posixpath
from typing import TYPE_CHECKING, Any

from oci_systemd.core.errors import Problem
from oci_systemd.engines.launcher import behind, is_ours
from oci_systemd.engines.place import PROGRAMS, Place
from oci_systemd.engines.plan import Edit
from oci_systemd.engines.texts.toml import Toml, loads

if TYPE_CHECKING:
    from oci_systemd.engines.plan import Tree
    from oci_systemd.engines.texts.text import At, Value
    from oci_systemd.engines.wanted import Wanted

# After `systemctl reload crio` a new handler is listed, but does not work (cri-o#10202).
PLACES: tuple[Place, ...] = (
    Place(
        "CRI-O",
        "/etc/crio/crio.conf",
        ("/etc/crio", *(f"{each}/crio" for each in PROGRAMS)),
        "crio",
        ("systemctl restart crio",),
        bins=("/usr/libexec/crio",),
        socket="/run/crio/crio.sock",
    ),
)
DROP_IN = "50-oci-systemd.conf"
FIRST, DEFAULT, CRUN_SINCE = "runc", "crun", (1, 31)
TYPES = (None, "", "oci", "pod")  # pod: with conmon-rs as the monitor, as in CRI-O's packages


def folder(main: str) -> str:
    return f"{main}.d"


def merged(tree: Tree, main: str) -> dict[str, Any]:
    """Return `crio.runtime` from all files: keys and runtime tables in a later file replace those in an earlier one."""
    whole: dict[str, Any] = {}
    runtimes: dict[str, Any] = {}
    for given in _given(tree, main).values():
        there = given.get("runtimes")
        runtimes |= (
            {name: each for name, each in there.items() if isinstance(each, dict)} if isinstance(there, dict) else {}
        )
        whole |= given
    return whole | {"runtimes": runtimes}


def _given(tree: Tree, main: str) -> dict[str, dict[str, Any]]:
    """Return `crio.runtime` from each file that has it, in the order in which CRI-O reads them."""
    texts = {path: tree.read(path) for path in [main, *tree.below(folder(main))]}
    found = {path: Toml(path, text).get(("crio", "runtime")) for path, text in texts.items() if text is not None}
    return {path: given for path, given in found.items() if isinstance(given, dict)}


def model(runtime: dict[str, Any], version: str = "") -> dict[str, Any]:
    """Return the handler that ours is a copy of: the default one, else crun or runc, never one for virtual machines. CRI-O's
    built-in one has only a name: crun, and runc before 1.31 (CRI-O, pkg/config/config.go)."""
    runtimes: dict[str, Any] = runtime.get("runtimes", {})
    default = str(runtime.get("default_runtime") or (FIRST if _is_before(version) else DEFAULT))
    if default not in runtimes:
        return {"name": default}
    names = [
        default,
        *(name for name in ("crun", "runc") if not is_ours(str(runtimes.get(name, {}).get("runtime_path")))),
    ]
    name = next((name for name in names if name in runtimes and runtimes[name].get("runtime_type") in TYPES), None)
    return {"name": name, **runtimes[name]} if name else {}


def base_runtime(tree: Tree, main: str, version: str = "") -> str:
    """Return the program of the node's default handler; if it has no path, the handler's name."""
    like = model(merged(tree, main), version)
    return behind(tree, str(like.get("runtime_path") or like.get("name") or ""))


def _is_before(version: str) -> bool:
    return bool(version) and tuple(map(int, version.split(".")[:2])) < CRUN_SINCE


def named(tree: Tree, main: str, handler: str) -> list[tuple[str, At]]:
    """Return the places in the files with `handler` as one of ours, or as the default, which are removed with it."""
    found: list[tuple[str, At]] = []
    for path, given in _given(tree, main).items():
        runtimes = given.get("runtimes")
        table = runtimes.get(handler) if isinstance(runtimes, dict) else None
        if isinstance(table, dict) and is_ours(str(table.get("runtime_path"))):
            found.append((path, ("crio", "runtime", "runtimes", handler)))
        if given.get("default_runtime") == handler:
            found.append((path, ("crio", "runtime", "default_runtime")))
    return found


# For questions to CRI-O itself


def relocated(tree: Tree, main: str, folder: str) -> dict[str, str] | None:
    """Return the texts that CRI-O reads from `main` and the directory beside it."""
    return {path: tree.read(path) or "" for path in [main, *tree.below(f"{main}.d")]}


def printed(text: str) -> dict[str, Any]:
    """Return `crio.runtime` from the output of `crio config`, in which defaults are comments."""
    runtime = loads(text).get("crio", {}).get("runtime", {})
    return runtime if isinstance(runtime, dict) else {}


def wrapped(tree: Tree, main: str) -> dict[str, str]:
    """Return the handlers in the files that call the wrapper, each with its program."""
    paths = {name: str(each.get("runtime_path")) for name, each in merged(tree, main)["runtimes"].items()}
    return {name: path for name, path in paths.items() if is_ours(path)}


def edits(tree: Tree, main: str, wanted: Wanted, version: str = "") -> list[Edit]:
    """Return the edits for `wanted` in a CRI-O with its configuration at `main` and below."""
    runtime, drop_in = merged(tree, main), posixpath.join(folder(main), DROP_IN)
    there = runtime["runtimes"].get(wanted.handler)
    if there and not is_ours(str(there.get("runtime_path"))):
        raise Problem(f"handler {wanted.handler!r}: already exists in CRI-O; choose another name with --handler")
    for path, given in _given(tree, main).items() if wanted.default else ():
        if path > drop_in and given.get("default_runtime"):
            raise Problem(
                f"{path}: sets the default runtime to {given['default_runtime']!r}, and is read after the file that --default "
                "writes; remove it there, or leave out --default"
            )
    like = model(runtime, version)
    table: dict[str, Value] = {
        "runtime_path": wanted.binary,
        "runtime_type": like.get("runtime_type") or "oci",
        # CRI-O's default is the root of its own default runtime, whatever runtime ours calls.
        "runtime_root": like.get("runtime_root") or f"/run/{posixpath.basename(wanted.runtime)}",
        **{key: copy.deepcopy(value) for key, value in like.items() if value and key not in OWN},
    }
    found = [Edit(drop_in, ("crio", "runtime", "runtimes", wanted.handler), table)]
    default = Edit(drop_in, ("crio", "runtime", "default_runtime"), wanted.handler, firm=True)
    return [*found, default] if wanted.default else found


# Keys that are not copied from the other handler.
OWN = ("name", "runtime_path", "runtime_type", "runtime_root", "inherit_default_runtime")
