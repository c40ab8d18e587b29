"""Engines by the name given on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from oci_systemd.engines import containerd, crio, docker, podman

if TYPE_CHECKING:
    from oci_systemd.engines.place import Place
    from oci_systemd.engines.plan import Edit, Tree
    from oci_systemd.engines.texts.text import At
    from oci_systemd.engines.wanted import Wanted


class Engine(Protocol):
    """The interface of an engine's module. `main` is the path of the engine's configuration file."""

    PLACES: tuple[Place, ...]

    def base_runtime(self, tree: Tree, main: str, version: str = "") -> str:
        """Return the program that the engine's default handler calls; "" if unset."""

    def wrapped(self, tree: Tree, main: str) -> dict[str, str]:
        """Return the handlers in the files that call the wrapper, each with its program."""

    def named(self, tree: Tree, main: str, handler: str) -> list[tuple[str, At]]:
        """Return the places in the files with `handler` as one of ours, or as the default, which are removed with it."""

    def edits(self, tree: Tree, main: str, wanted: Wanted, version: str = "") -> list[Edit]:
        """Return the edits for `wanted` in an engine of that version, "" if unknown."""


ENGINES: dict[str, Engine] = {"containerd": containerd, "crio": crio, "docker": docker, "podman": podman}
UNITS = tuple(f"{each}/systemd/system" for each in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"))
ENABLED = "/etc/systemd/system/multi-user.target.wants"


def command_of(tree: Tree, commands: tuple[str, ...]) -> str:
    """Return the first command whose unit is enabled, else exists, else the first; "" if none is needed. An agent node of k3s or
    rke2 may also have the server's unit, which must not be started there."""
    for folders in ((ENABLED,), UNITS):
        for command in commands:
            if any(tree.exists(f"{folder}/{command.split()[-1]}.service") for folder in folders):
                return command
    return next(iter(commands), "")
