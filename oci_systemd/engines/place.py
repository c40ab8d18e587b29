"""Where an engine is on a machine. Kubernetes distributions have their own containerd, with other paths."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from oci_systemd.core.errors import Problem

if TYPE_CHECKING:
    from oci_systemd.engines.plan import Tree

PROGRAMS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


@dataclass(frozen=True, slots=True)
class Place:
    """One engine on a machine.

    `main`: its configuration file. `signs`: the engine is present if any of these paths exists. `program`: the program that has its
    version. `restart`: commands that make it read its configuration, of which the first with an existing unit is used; none if it
    needs no command; `removal`: the same after a removal. `bins`: where it looks for runtimes before PATH. `socket`: the socket of
    its CRI, or of Docker's API; "" if the engine has none.
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
    """Return the end of a path without the data directory, such as `agent/etc/containerd/config.toml`."""
    return path.split("/")[-4:]


def find(tree: Tree, engine: str, places: tuple[Place, ...], config: str) -> Place:
    """Return the engine in the tree, or the one with the configuration file `config`."""
    if config:
        same = [place for place in places if place.main == config]
        alike = same or [place for place in places if _tail(place.main) == _tail(config)] or [places[-1]]
        restart, bins = (
            tuple(each for place in alike for each in getattr(place, name)) for name in ("restart", "bins")
        )
        return replace(alike[0], main=config, restart=restart, bins=bins)
    found = [place for place in places if any(tree.exists(sign) for sign in place.signs)]
    if not found:
        raise Problem(f"{engine}: not found; install it, or pass --config FILE")
    if len(found) > 1:
        listed = " or ".join(f"--config {place.main} ({place.title})" for place in found)
        raise Problem(f"{engine}: found more than once; choose one with {listed}")
    return found[0]
