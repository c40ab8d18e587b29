"""What this machine is: its cgroup hierarchy, its AppArmor and its SELinux policy, by /proc and /sys."""

from __future__ import annotations

import posix
from errno import EINVAL

from oci_systemd.core.errors import Problem
from oci_systemd.core.host import Host
from oci_systemd.host.files import read_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_systemd.core.host import Root

APPARMOR = "/sys/module/apparmor/parameters/enabled"
LIMIT = 16 << 20
INIT_CONTEXT = b"system_u:system_r:container_init_t:s0"


def this_host(root: Root | None) -> Host:
    """The Host that this machine is, with the root file system `root`."""
    v2, nsdelegate = cgroup(_text("/proc/self/mountinfo"))
    apparmor = _text(APPARMOR).startswith("Y")
    return Host(cgroup_v2=v2, nsdelegate=nsdelegate, apparmor=apparmor, selinux_init=_has_selinux_init(), root=root)


def cgroup(mountinfo: str) -> tuple[bool, bool]:
    """Whether /sys/fs/cgroup is cgroup v2, and whether with nsdelegate, by the last mount there (proc(5), mountinfo)."""
    v2 = nsdelegate = False
    for line in mountinfo.splitlines():
        if " /sys/fs/cgroup " not in line:  # a node has hundreds of mounts
            continue
        mount, _, filesystem = line.partition(" - ")
        fields, (type, *rest) = mount.split(" "), filesystem.split(" ") if filesystem else ("",)
        if len(fields) > 4 and fields[4] == "/sys/fs/cgroup":
            v2 = type == "cgroup2"
            nsdelegate = v2 and bool(rest) and "nsdelegate" in rest[-1].split(",")
    return v2, nsdelegate


def _has_selinux_init() -> bool:
    """Whether the policy knows container_init_t: selinuxfs checks the context that is written to it (security_check_context).

    True in every doubt, so also without SELinux: a container has no label there.
    """
    try:
        fd = posix.open("/sys/fs/selinux/context", posix.O_RDWR | posix.O_CLOEXEC)
    except OSError:
        return True
    try:
        posix.write(fd, INIT_CONTEXT)
    except OSError as error:
        return error.errno != EINVAL
    finally:
        posix.close(fd)
    return True


def _text(path: str) -> str:
    try:
        return read_regular(path, LIMIT)[0].decode(errors="surrogateescape")
    except Problem:
        return ""
