"""podman: a runtime in a containers.conf drop-in, for `podman --runtime`, and with it, if asked for, the folder of our hook.

Law: a folder of hooks is ours alone and named here alone: CRI-O does not start, and buildah stops, where they read a hook of
stage precreate. containers.conf has lists that are replaced as wholes, so that ours hold what was in effect before.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from oci_systemd.core.errors import Problem
from oci_systemd.engines.launcher import is_ours
from oci_systemd.engines.place import PROGRAMS, Place
from oci_systemd.engines.plan import Edit
from oci_systemd.engines.texts import Toml

if TYPE_CHECKING:
    from oci_systemd.engines.plan import Tree
    from oci_systemd.engines.wanted import Wanted

PLACES: tuple[Place, ...] = (
    Place(
        "podman",
        "/etc/containers/containers.conf",
        tuple(f"{each}/podman" for each in PROGRAMS),
        "podman",
    ),
)
VENDOR = "/usr/share/containers/containers.conf"
DROP_IN = "50-oci-systemd.conf"
# What podman has where no file says it (containers-common, pkg/config/default.go). The names of runtimes are looked up in
# these lists, so that ours is put into those which its real runtime is in.
DEFAULTS: dict[str, list[Any]] = {
    "hooks_dir": ["/usr/share/containers/oci/hooks.d"],
    "runtime_supports_json": ["crun", "runc", "kata", "runsc", "youki", "krun"],
    "runtime_supports_nocgroup": ["crun", "krun"],
}


def folder(main: str) -> str:
    return f"{main}.d"


def merged(tree: Tree, main: str) -> dict[str, Any]:
    """`engine` of all files, a later one's keys in the place of an earlier one's."""
    whole: dict[str, Any] = {}
    for path in [VENDOR, main, *tree.glob(f"{folder(main)}/*.conf")]:
        text = tree.read(path)
        given = Toml(path, text).get(("engine",)) if text is not None else None
        if isinstance(given, dict):
            whole |= given | {"runtimes": whole.get("runtimes", {}) | (given.get("runtimes") or {})}
    return whole


def base_runtime(tree: Tree, main: str) -> str:
    """The runtime that podman uses where nothing else is asked for: by its path, else by its name."""
    engine = merged(tree, main)
    name = str(engine.get("runtime") or "")
    places = engine.get("runtimes", {}).get(name) or []
    return next((str(place) for place in places if tree.exists(str(place)) and not is_ours(str(place))), name)


def wrapped(tree: Tree, main: str) -> dict[str, str]:
    """The runtimes in the files that are the wrapper, each with its path."""
    runtimes = merged(tree, main).get("runtimes", {})
    return {name: str(path) for name, paths in runtimes.items() for path in paths[:1] if is_ours(str(path))}


def edits(tree: Tree, main: str, wanted: Wanted, version: str = "") -> list[Edit]:
    """What `wanted` needs of a podman whose configuration is at `main` and below."""
    engine = merged(tree, main)
    there = [str(place) for place in engine.get("runtimes", {}).get(wanted.handler) or []]
    if there and not any(map(is_ours, there)):
        raise Problem(
            f"podman has a runtime {wanted.handler!r} already, {there[0]!r}: choose another name with --handler"
        )
    values: dict[str, Any] = {"runtimes." + wanted.handler: [wanted.binary]}
    real = posixpath.basename(wanted.runtime)
    for name in ("runtime_supports_json", "runtime_supports_nocgroup"):
        known = engine.get(name) or DEFAULTS[name]
        if real in known and wanted.handler not in known:
            values[name] = [*known, wanted.handler]
    if wanted.hooks:
        values["hooks_dir"] = [*(engine.get("hooks_dir") or DEFAULTS["hooks_dir"]), wanted.hooks]
    if wanted.default:
        values["runtime"] = wanted.handler
    drop_in = posixpath.join(folder(main), DROP_IN)
    return [Edit(drop_in, ("engine", *key.split(".")), value, firm=True) for key, value in values.items()]
