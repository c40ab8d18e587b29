"""CRI-O: one more runtime handler, in a drop-in. It has its own systemd mode; ours adds the machine-id and the stop signal.

Law: the handler is what the node's default handler is, but for the program. Nothing of ours is ever put into its
`allowed_annotations` (a name that is not CRI-O's own makes it drop the handler; a pod's other annotations all reach the
runtime), and nothing where it looks for hooks: with a stage that it does not know it does not start.
"""

from __future__ import annotations

import copy
import posixpath
from typing import TYPE_CHECKING, Any

from oci_systemd.core.errors import Problem
from oci_systemd.engines.launcher import is_ours
from oci_systemd.engines.place import PROGRAMS, Place
from oci_systemd.engines.plan import Edit
from oci_systemd.engines.texts import Toml

if TYPE_CHECKING:
    from oci_systemd.engines.plan import Tree
    from oci_systemd.engines.texts import Value
    from oci_systemd.engines.wanted import Wanted

# `systemctl reload crio` shows a new handler without serving it (cri-o#10202).
PLACES: tuple[Place, ...] = (
    Place(
        "CRI-O",
        "/etc/crio/crio.conf",
        ("/etc/crio", *(f"{each}/crio" for each in PROGRAMS)),
        "crio",
        ("systemctl restart crio",),
        bins=("/usr/libexec/crio",),
    ),
)
DROP_IN = "50-oci-systemd.conf"
CRUN_FIRST = (1, 31)  # the version from which the default runtime is crun


def folder(main: str) -> str:
    return f"{main}.d"


def merged(tree: Tree, main: str) -> dict[str, Any]:
    """`crio.runtime` of all files: a later one's keys win, its runtime tables replace those of the same name."""
    whole: dict[str, Any] = {}
    for path in [main, *tree.glob(f"{folder(main)}/*")]:
        text = tree.read(path)
        given = Toml(path, text).get(("crio", "runtime")) if text is not None else None
        if isinstance(given, dict):
            runtimes = whole.get("runtimes", {}) | (given.get("runtimes") or {})
            whole |= given | {"runtimes": runtimes}
    return whole


def model(runtime: dict[str, Any]) -> dict[str, Any]:
    """The handler that ours is made after: the default one, else crun or runc."""
    runtimes: dict[str, Any] = runtime.get("runtimes", {})
    names = [runtime.get("default_runtime"), "crun", "runc"]
    ours = {name for name, each in runtimes.items() if is_ours(str(each.get("runtime_path")))}
    name = next((name for name in names if name in runtimes and name not in ours), None)
    return {"name": name, **runtimes[name]} if name else {}


def base_runtime(tree: Tree, main: str) -> str:
    """The program of the node's default handler; where it gives no path, the handler's name."""
    like = model(merged(tree, main))
    return str(like.get("runtime_path") or like.get("name") or "")


def wrapped(tree: Tree, main: str) -> dict[str, str]:
    """The handlers in the files that call the wrapper, each with the program it calls."""
    paths = {name: str(each.get("runtime_path")) for name, each in merged(tree, main).get("runtimes", {}).items()}
    return {name: path for name, path in paths.items() if is_ours(path)}


def edits(tree: Tree, main: str, wanted: Wanted, version: str = "") -> list[Edit]:
    """What `wanted` needs of a CRI-O whose configuration is at `main` and below."""
    runtime = merged(tree, main)
    there = runtime.get("runtimes", {}).get(wanted.handler)
    if there and not is_ours(str(there.get("runtime_path"))):
        raise Problem(f"CRI-O has a handler {wanted.handler!r} already: choose another name with --handler")
    like = model(runtime)
    drop_in = posixpath.join(folder(main), DROP_IN)
    table: dict[str, Value] = {
        "runtime_path": wanted.binary,
        "runtime_type": "oci",
        # CRI-O's default is that of its own default runtime, whatever ours is.
        "runtime_root": like.get("runtime_root") or f"/run/{posixpath.basename(wanted.runtime)}",
        **{key: copy.deepcopy(value) for key, value in like.items() if value and key not in OWN},
    }
    found = [Edit(drop_in, ("crio", "runtime", "runtimes", wanted.handler), table)]
    default = Edit(drop_in, ("crio", "runtime", "default_runtime"), wanted.handler, firm=True)
    return [*found, default] if wanted.default else found


OWN = ("name", "runtime_path", "runtime_type", "runtime_root", "inherit_default_runtime")
