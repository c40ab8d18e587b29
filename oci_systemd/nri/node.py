"""The node's facts for the core: the current settings, and this machine."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from oci_systemd.core.errors import SettingsError
from oci_systemd.core.settings import Settings
from oci_systemd.host import settings_file
from oci_systemd.host.machine import this_host

if TYPE_CHECKING:
    from oci_systemd.core.host import Host

SELINUX = Path("/sys/fs/selinux/enforce")
OWN_LABEL = Path("/proc/self/attr/current")
LABEL = re.compile(rb"[^:\s]+:[^:\s]+:[^:\s]+(:|\0|$)")  # user:role:type; AppArmor has the name of a profile there
ORIGIN = "command line"


class Node(NamedTuple):
    """`selinux`: whether the node labels its containers."""

    settings: Settings
    host: Host
    selinux: bool

    def is_like(self, other: Node) -> bool:
        """Return whether every container gets the same adjustment on this node as on `other`."""
        return _facts(self) == _facts(other)


def _facts(node: Node) -> tuple[object, ...]:
    host = tuple(getattr(node.host, name) for name in node.host.__slots__)
    return node.settings.values, str(node.settings.problem), host, node.selinux


def look(file: str, level: str | None) -> Node:
    """Return the node's current facts, with the settings in `file` and `level` as log level, if given. Raise a Shortage if this
    process has no descriptor or memory left."""
    try:
        settings = settings_file.load(file)
    except SettingsError as problem:
        settings = Settings(problem=problem)
    settings = settings.but({"log.level": level}, ORIGIN) if level else settings
    return Node(settings, this_host(), has_selinux())


def has_selinux() -> bool:
    """Return whether SELinux labels this machine's processes, even if selinuxfs is not visible, as in a pod."""
    with suppress(OSError):  # attr/current: EINVAL without a security module
        return SELINUX.exists() or bool(LABEL.match(OWN_LABEL.read_bytes()))
    return False
