"""Docker: add a runtime to daemon.json, for `docker run --runtime`. The file is strict JSON: dockerd refuses comments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oci_systemd.core.errors import Problem
from oci_systemd.engines.launcher import behind, is_ours
from oci_systemd.engines.place import PROGRAMS, Place
from oci_systemd.engines.plan import Edit
from oci_systemd.engines.texts.json import JsonText

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oci_systemd.engines.plan import Tree
    from oci_systemd.engines.texts.text import At
    from oci_systemd.engines.wanted import Wanted

# A reload adds runtimes; they are removed only by a restart (moby, daemon/reload_unix.go).
PLACES: tuple[Place, ...] = (
    Place(
        "docker",
        "/etc/docker/daemon.json",
        ("/etc/docker/daemon.json", *(f"{each}/dockerd" for each in PROGRAMS)),
        "dockerd",
        restart=("systemctl reload docker",),
        removal=("systemctl restart docker",),
        socket="/run/docker.sock",
    ),
)


def runtimes(tree: Tree, main: str) -> tuple[dict[str, Any], str]:
    """Return the runtimes in the file by name, and the name of the default one."""
    text = JsonText(main, tree.read(main) or "")
    given = text.get(("runtimes",))
    return given if isinstance(given, dict) else {}, str(text.get(("default-runtime",)) or "runc")


def _model(tree: Tree, main: str) -> dict[str, Any]:
    """Return the default runtime's table if it has a program rather than a shim."""
    given, default = runtimes(tree, main)
    table = given.get(default)
    return table if isinstance(table, dict) and table.get("path") else {}


def base_runtime(tree: Tree, main: str, version: str = "") -> str:
    """Return the default runtime's program; "" for Docker's own, which is runc on PATH."""
    return behind(tree, str(_model(tree, main).get("path") or ""))


def wrapped(tree: Tree, main: str) -> dict[str, str]:
    """Return the runtimes in the file that are the wrapper, each with its path."""
    return programs(runtimes(tree, main)[0])


def named(tree: Tree, main: str, handler: str) -> list[tuple[str, At]]:
    """Return the places in the file with `handler` as one of ours, or as the default, which are removed with it."""
    _, default = runtimes(tree, main)
    found: list[tuple[str, At]] = [(main, ("runtimes", handler))] if handler in wrapped(tree, main) else []
    return [*found, (main, ("default-runtime",))] if default == handler else found


def relocated(tree: Tree, main: str, folder: str) -> dict[str, str] | None:
    """Return the text that dockerd reads; an empty object if there is no file."""
    return {main: tree.read(main) or "{}"}


def programs(runtimes: Mapping[str, Any]) -> dict[str, str]:
    """Return the runtimes, from daemon.json or `docker info`, that are the wrapper, each with its path."""
    paths = {name: str(each.get("path")) for name, each in runtimes.items() if isinstance(each, dict)}
    return {name: path for name, path in paths.items() if is_ours(path)}


def edits(tree: Tree, main: str, wanted: Wanted, version: str = "") -> list[Edit]:
    """Return the edits for `wanted` in a Docker with its configuration at `main`."""
    there = JsonText(main, tree.read(main) or "").get(("runtimes", wanted.handler))
    if wanted.handler == "runc":
        raise Problem("runtime 'runc': reserved by Docker; choose another name with --handler")
    if isinstance(there, dict) and not is_ours(str(there.get("path"))):
        is_now = there.get("path") or there.get("runtimeType")
        raise Problem(
            f"runtime {wanted.handler!r}: already exists in {main} ({is_now!r}); choose another name with --handler"
        )
    given = _model(tree, main).get("runtimeArgs")
    found = [
        Edit(main, ("runtimes", wanted.handler), {"path": wanted.binary, **({"runtimeArgs": given} if given else {})})
    ]
    return [*found, Edit(main, ("default-runtime",), wanted.handler, firm=True)] if wanted.default else found
