"""What this machine is: its cgroup hierarchy and its AppArmor, read from /proc and /sys."""

from __future__ import annotations

from oci_systemd.core.errors import Problem
from oci_systemd.core.host import Host
from oci_systemd.host.files import read_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_systemd.core.host import Root

APPARMOR = "/sys/module/apparmor/parameters/enabled"
LIMIT = 16 << 20


def this_host(root: Root | None) -> Host:
    """The Host that this machine is, with the root file system `root`."""
    v2, nsdelegate = cgroup(_text("/proc/self/mountinfo"))
    return Host(cgroup_v2=v2, nsdelegate=nsdelegate, apparmor=_text(APPARMOR).startswith("Y"), root=root)


def cgroup(mountinfo: str) -> tuple[bool, bool]:
    """Whether /sys/fs/cgroup is cgroup v2, and whether with nsdelegate, by the last mount there (proc(5), mountinfo)."""
    v2 = nsdelegate = False
    for line in mountinfo.splitlines():
        mount, _, filesystem = line.partition(" - ")
        fields, (type, *rest) = mount.split(" "), filesystem.split(" ") if filesystem else ("",)
        if len(fields) > 4 and fields[4] == "/sys/fs/cgroup":
            v2 = type == "cgroup2"
            nsdelegate = v2 and bool(rest) and "nsdelegate" in rest[-1].split(",")
    return v2, nsdelegate


def _text(path: str) -> str:
    try:
        return read_regular(path, LIMIT)[0].decode(errors="surrogateescape")
    except Problem:
        return ""
