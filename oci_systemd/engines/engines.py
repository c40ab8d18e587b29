"""The engines that there are, by the names that people type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from oci_systemd.engines import containerd, crio, docker, podman

if TYPE_CHECKING:
    from oci_systemd.engines.place import Place
    from oci_systemd.engines.plan import Edit, Tree
    from oci_systemd.engines.texts.text import At
    from oci_systemd.engines.wanted import Wanted


class Engine(Protocol):
    """What the module of an engine has. `main` is the path of the engine's configuration file."""

    PLACES: tuple[Place, ...]

    def base_runtime(self, tree: Tree, main: str, version: str = "") -> str:
        """The program that the engine's default handler calls; "" where nothing is said."""

    def wrapped(self, tree: Tree, main: str) -> dict[str, str]:
        """The handlers in the files that call the wrapper, each with the program it calls."""

    def named(self, tree: Tree, main: str, handler: str) -> list[tuple[str, At]]:
        """Where the files have `handler` as one of ours, or as the default: the places to remove with it."""

    def edits(self, tree: Tree, main: str, wanted: Wanted, version: str = "") -> list[Edit]:
        """What `wanted` needs of the engine, which is of that version, "" where that is unknown."""


ENGINES: dict[str, Engine] = {"containerd": containerd, "crio": crio, "docker": docker, "podman": podman}
UNITS = tuple(f"{each}/systemd/system" for each in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"))
ENABLED = "/etc/systemd/system/multi-user.target.wants"


def command_of(tree: Tree, commands: tuple[str, ...]) -> str:
    """The first of the commands whose unit is enabled, else is there, else the first; "" where none is needed. Of k3s and rke2 an
    agent's node may have the server's unit as well, which must not be started there."""
    for folders in ((ENABLED,), UNITS):
        for command in commands:
            if any(tree.exists(f"{folder}/{command.split()[-1]}.service") for folder in folders):
                return command
    return next(iter(commands), "")
