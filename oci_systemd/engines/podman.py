"""podman: add a runtime in a containers.conf drop-in, for `podman --runtime`, and on request the directory of our hook.

Law: the hook has its own directory, and only this drop-in names it: CRI-O does not start, and buildah fails, if they read a hook of
stage precreate. Lists in containers.conf are replaced as a whole, so ours include the values that were in effect before.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from oci_systemd.core.errors import Problem
from oci_systemd.engines.launcher import is_ours
from oci_systemd.engines.place import PROGRAMS, Place
from oci_systemd.engines.plan import Edit
from oci_systemd.engines.texts.toml import Toml

if TYPE_CHECKING:
    from oci_systemd.engines.plan import Tree
    from oci_systemd.engines.texts.text import At
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
# podman's defaults (containers-common, pkg/config/default.go). It looks up names of runtimes in these lists, so ours is added to
# those with its real runtime.
FIRST = ("crun", "runc")  # the first that exists is podman's default runtime
DEFAULTS: dict[str, list[Any]] = {
    "hooks_dir": ["/usr/share/containers/oci/hooks.d"],
    "runtime_supports_json": ["crun", "runc", "kata", "runsc", "youki", "krun"],
    "runtime_supports_nocgroup": ["crun", "krun"],
}


def folder(main: str) -> str:
    return f"{main}.d"


def merged(tree: Tree, main: str) -> dict[str, Any]:
    """Return `engine` from all files; keys in a later file replace those in an earlier one."""
    whole: dict[str, Any] = {}
    runtimes: dict[str, list[Any]] = {}
    for given in _given(tree, main).values():
        there = given.get("runtimes")
        runtimes |= (
            {name: each for name, each in there.items() if isinstance(each, list)} if isinstance(there, dict) else {}
        )
        whole |= given
    return whole | {"runtimes": runtimes}


def _given(tree: Tree, main: str) -> dict[str, dict[str, Any]]:
    """Return `engine` from each file that has it, in the order in which podman reads them."""
    texts = {path: tree.read(path) for path in [VENDOR, main, *tree.glob(f"{folder(main)}/*.conf")]}
    found = {path: Toml(path, text).get(("engine",)) for path, text in texts.items() if text is not None}
    return {path: given for path, given in found.items() if isinstance(given, dict)}


def base_runtime(tree: Tree, main: str, version: str = "") -> str:
    """Return podman's default runtime: its path, else its name."""
    engine = merged(tree, main)
    there = (name for name in FIRST if any(tree.exists(f"{folder}/{name}") for folder in PROGRAMS))
    name = str(engine.get("runtime") or next(there, ""))
    places = [str(place) for place in engine["runtimes"].get(name, [])]
    return next((place for place in places if tree.exists(place) and not is_ours(place)), name)


def wrapped(tree: Tree, main: str) -> dict[str, str]:
    """Return the runtimes in the files that are the wrapper, each with its path."""
    runtimes = merged(tree, main)["runtimes"]
    return {name: str(path) for name, paths in runtimes.items() for path in paths[:1] if is_ours(str(path))}


def named(tree: Tree, main: str, handler: str) -> list[tuple[str, At]]:
    """Return the places in the files with `handler` as one of ours, or as the default, which are removed with it."""
    found: list[tuple[str, At]] = []
    for path, given in _given(tree, main).items():
        runtimes = given.get("runtimes")
        places = runtimes.get(handler) if isinstance(runtimes, dict) else None
        if isinstance(places, list) and any(is_ours(str(place)) for place in places[:1]):
            found.append((path, ("engine", "runtimes", handler)))
        if given.get("runtime") == handler:
            found.append((path, ("engine", "runtime")))
    return found


def edits(tree: Tree, main: str, wanted: Wanted, version: str = "") -> list[Edit]:
    """Return the edits for `wanted` in a podman with its configuration at `main` and below."""
    engine, drop_in = merged(tree, main), posixpath.join(folder(main), DROP_IN)
    there = [str(place) for place in engine["runtimes"].get(wanted.handler, [])]
    if there and not any(map(is_ours, there)):
        raise Problem(
            f"runtime {wanted.handler!r}: already exists in podman ({there[0]!r}); choose another name with --handler"
        )
    values: dict[str, Any] = {"runtimes." + wanted.handler: [wanted.binary]}
    real, ours = posixpath.basename(wanted.runtime), [*wrapped(tree, main), wanted.handler]
    for name in ("runtime_supports_json", "runtime_supports_nocgroup"):
        known = _list(engine, name)
        if real in known:
            values[name] = [*(each for each in known if each not in ours), wanted.handler]
    if wanted.hooks:
        values["hooks_dir"] = [*(each for each in _list(engine, "hooks_dir") if each != wanted.hooks), wanted.hooks]
    if wanted.default:
        values["runtime"] = wanted.handler
    _check_last(tree, main, drop_in, values)
    return [Edit(drop_in, ("engine", *key.split(".")), value, firm=True) for key, value in values.items()]


def _list(engine: dict[str, Any], name: str) -> list[Any]:
    given = engine.get(name)
    return given if given and isinstance(given, list) else DEFAULTS[name]


def _check_last(tree: Tree, main: str, drop_in: str, values: dict[str, Any]) -> None:
    """Raise a Problem if a file that is read after ours sets the same keys, and so overrides them."""
    for path, given in _given(tree, main).items():
        for key in ("runtime", "hooks_dir"):
            if path > drop_in and path.startswith(folder(main)) and key in given and key in values:
                raise Problem(
                    f"{path}: sets {key}, and is read after {drop_in}, which would set it too; remove it there"
                )
