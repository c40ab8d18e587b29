"""What the core is told of the node: the settings as they are now, and what this machine is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from oci_systemd.host import settings_file
from oci_systemd.host.machine import this_host

if TYPE_CHECKING:
    from oci_systemd.core.host import Host
    from oci_systemd.core.settings import Settings

SELINUX = Path("/sys/fs/selinux/enforce")
ORIGIN = "command line"


class Node(NamedTuple):
    """`selinux`: whether it labels its containers."""

    settings: Settings
    host: Host
    selinux: bool


def look(file: str, level: str | None) -> Node:
    """The node as it is now, by the settings in `file`; with `level` in place of their log level."""
    settings = settings_file.load_or_default(file)
    settings = settings.but({"log.level": level}, ORIGIN) if level else settings
    return Node(settings, this_host(None), SELINUX.exists())
