"""Facts about this machine from /proc and /sys: its cgroup hierarchy, AppArmor and SELinux policy."""

from __future__ import annotations

import posix
from errno import EINVAL

from oci_systemd.core.cgroups import BESIDE
from oci_systemd.core.errors import Problem, Shortage
from oci_systemd.core.host import Host
from oci_systemd.core.paths import clean
from oci_systemd.host.files import read_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_systemd.core.adjust import Questions
    from oci_systemd.core.host import Root

APPARMOR = "/sys/module/apparmor/parameters/enabled"
CGROUP, MOUNTINFO = "/sys/fs/cgroup", "/proc/self/mountinfo"
LIMIT = 16 << 20
INIT_CONTEXT = b"system_u:system_r:container_init_t:s0"


def this_host() -> Host:
    """Return the Host for this machine."""
    v2, nsdelegate = cgroup(_text(MOUNTINFO))
    apparmor = _text(APPARMOR).startswith("Y")
    return Host(cgroup_v2=v2, nsdelegate=nsdelegate, apparmor=apparmor, selinux_init=_has_selinux_init())


def seen(host: Host, root: Root | None, asked: Questions, bundle: str) -> Host:
    """Return `host`, this machine, with the root file system `root` and the answers to `asked` for a container of `bundle`."""
    occupied = [each for each in asked.cgroups if _is_occupied(each)]
    sources = {each: known for each in asked.sources if (known := _is_cgroup(each, bundle)) is not None}
    return host.seen(root, occupied, sources)


def _is_occupied(cgroup: str) -> bool:
    """Return whether a process is in the cgroup or below it (cgroup-v2.rst, cgroup.events); False if it does not exist."""
    place = clean(f"{_own_cgroup()}/../{cgroup}") if cgroup.startswith(BESIDE) else cgroup
    return "populated 1" in _text(f"{CGROUP}{place}/cgroup.events")


def _own_cgroup() -> str:
    """Return this process's cgroup v2, which is also the runtime's (cgroups(7), /proc/pid/cgroup)."""
    line = next((line for line in _text("/proc/self/cgroup").splitlines() if line.startswith("0::")), "0::/")
    return line[3:]


def _is_cgroup(source: str, bundle: str) -> bool | None:
    """Return whether a mount's source is on a cgroup file system, by its device; None if unknown."""
    path = source if source.startswith("/") else f"{bundle}/{source}"
    try:
        device = posix.stat(path).st_dev
    except (OSError, ValueError):
        return None
    number = f" {posix.major(device)}:{posix.minor(device)} "
    return any(
        number in line and line.partition(" - ")[2].startswith("cgroup") for line in _text(MOUNTINFO).splitlines()
    )


def cgroup(mountinfo: str) -> tuple[bool, bool]:
    """Return whether /sys/fs/cgroup is cgroup v2, and whether it has nsdelegate, from the last mount there (proc(5), mountinfo)."""
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
    """Return whether the policy has container_init_t: selinuxfs checks a context written to it (security_check_context).

    True if unknown, also without SELinux: containers have no label then.
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
    except Shortage:
        raise
    except Problem:
        return ""
