"""Where an engine lies on a machine. A Kubernetes distribution brings its own containerd, with its own paths."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from oci_systemd.core.errors import Problem

if TYPE_CHECKING:
    from oci_systemd.engines.plan import Tree

PROGRAMS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


@dataclass(frozen=True, slots=True)
class Place:
    """One engine as it lies on a machine.

    `main`: its configuration file. `signs`: any of these paths tells that it is there. `program`: what tells its version.
    `restart`: the commands of which the first whose unit is there makes it read its configuration, none if it sees that
    by itself; `removal`: the same after something was taken away. `bins`: where it finds runtimes before PATH. `socket`: where
    it is asked by its CRI, or Docker by its API; "" for an engine that has none.
    """

    title: str
    main: str
    signs: tuple[str, ...]
    program: str
    restart: tuple[str, ...] = ()
    removal: tuple[str, ...] = ()
    bins: tuple[str, ...] = ()
    socket: str = ""


def _tail(path: str) -> list[str]:
    """How a path ends, whatever data directory it lies in: `agent/etc/containerd/config.toml` for one."""
    return path.split("/")[-4:]


def find(tree: Tree, engine: str, places: tuple[Place, ...], config: str) -> Place:
    """The engine that the tree has, or the one whose configuration is named by `config`."""
    if config:
        same = [place for place in places if place.main == config]
        alike = same or [place for place in places if _tail(place.main) == _tail(config)] or [places[-1]]
        restart, bins = (
            tuple(each for place in alike for each in getattr(place, name)) for name in ("restart", "bins")
        )
        return replace(alike[0], main=config, restart=restart, bins=bins)
    found = [place for place in places if any(tree.exists(sign) for sign in place.signs)]
    if not found:
        raise Problem(f"{engine} is not here: install it first, or name its configuration file with --config")
    if len(found) > 1:
        listed = " or ".join(f"--config {place.main} ({place.title})" for place in found)
        raise Problem(f"there is more than one {engine} here: say which with {listed}")
    return found[0]
