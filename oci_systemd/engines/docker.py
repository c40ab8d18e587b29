"""Docker: a runtime in daemon.json, for `docker run --runtime`. Strict JSON: a comment or a stray comma stops the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oci_systemd.core.errors import Problem
from oci_systemd.engines.launcher import is_ours
from oci_systemd.engines.place import PROGRAMS, Place
from oci_systemd.engines.plan import Edit
from oci_systemd.engines.texts.json import JsonText

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oci_systemd.engines.plan import Tree
    from oci_systemd.engines.wanted import Wanted

# A reload takes what is added; what was taken away it forgets only at a restart (moby, daemon/reload_unix.go).
PLACES: tuple[Place, ...] = (
    Place(
        "docker",
        "/etc/docker/daemon.json",
        ("/etc/docker/daemon.json", *(f"{each}/dockerd" for each in PROGRAMS)),
        "dockerd",
        restart=("systemctl reload docker",),
        removal=("systemctl restart docker",),
    ),
)


def base_runtime(tree: Tree, main: str) -> str:
    """Docker's own runtime is runc on PATH."""
    return ""


def wrapped(tree: Tree, main: str) -> dict[str, str]:
    """The runtimes in the file that are the wrapper, each with its path."""
    given = JsonText(main, tree.read(main) or "").get(("runtimes",))
    return programs(given if isinstance(given, dict) else {})


def programs(runtimes: Mapping[str, Any]) -> dict[str, str]:
    """Of runtimes, as daemon.json and `docker info` have them, those that are the wrapper, each with its path."""
    paths = {name: str(each.get("path")) for name, each in runtimes.items() if isinstance(each, dict)}
    return {name: path for name, path in paths.items() if is_ours(path)}


def edits(tree: Tree, main: str, wanted: Wanted, version: str = "") -> list[Edit]:
    """What `wanted` needs of a Docker whose configuration is at `main`."""
    there = JsonText(main, tree.read(main) or "").get(("runtimes", wanted.handler))
    if wanted.handler == "runc":
        raise Problem("Docker keeps the name runc for itself: choose another one with --handler")
    if isinstance(there, dict) and not is_ours(str(there.get("path"))):
        is_now = there.get("path") or there.get("runtimeType")
        raise Problem(
            f"{main} has a runtime {wanted.handler!r} already, {is_now!r}: choose another name with --handler"
        )
    found = [Edit(main, ("runtimes", wanted.handler), {"path": wanted.binary})]
    return [*found, Edit(main, ("default-runtime",), wanted.handler, firm=True)] if wanted.default else found
