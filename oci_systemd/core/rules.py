"""What systemd needs in its container: RULES has one function for each need, in the order in which they run.

A rule reads a Case and yields edits, Kept for values that it does not change, and Warn for warnings. Whether the container is
wanted is decided in `detect`; obstacles are found in `adjust`.
"""

from __future__ import annotations

from oci_systemd import __version__
from oci_systemd.core import annotations as a
from oci_systemd.core import edits as e
from oci_systemd.core import machine_id
from oci_systemd.core.cgroups import monitor
from oci_systemd.core.container import Mount
from oci_systemd.core.host import ABSENT, CONTENT
from oci_systemd.core.paths import clean, is_at_or_below
from oci_systemd.core.signals import ADJUSTED, STOP_SIGNAL, TERM, is_signal, number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeAlias

    from oci_systemd.core.case import Case

    Finding: TypeAlias = "e.Edit | Kept | Warn"

CGROUP_PLACE = "/sys/fs/cgroup"
CGROUP_TYPES = ("cgroup", "cgroup2")
READ_ONLY = ("ro", "rro")
NEEDED = ("/run", "/dev/shm")
DESCENDANTS = "cgroup.max.descendants"  # kernel, cgroup-v2.rst
OOM_GROUP = "memory.oom.group"  # kernel, cgroup-v2.rst
# A property of the scope that runc and crun create with the host's systemd (runc docs/systemd.md, crun.1).
KILL_SIGNAL = "org.systemd.property.KillSignal"
AFTER = "org.systemd.property.After"

# Debian's modes; elsewhere tmpfiles.d restricts /run/lock at boot. Paths as given, not resolved.
STICKY_PLACES = ("/run/lock", "/var/run/lock", "/var/lock")
TMPFS_OPTIONS = ("rw", "rprivate", "nosuid", "nodev")  # never noexec: units run programs from /run and /tmp

ETC_MACHINE_ID = "/etc/machine-id"
DBUS_MACHINE_ID = "/var/lib/dbus/machine-id"
MACHINE_ID_SOURCES = {
    "container": "the container's ID",
    "pod": "the pod's UID and the container's name",
    "name": "the names of namespace, pod and container",
}
MACHINE_ID_LACKS = {"pod": "pod UID or container name", "name": "namespace, pod name or container name"}
CREDENTIALS = "/run/credentials/@system"  # systemd's own directory for system credentials
BOUNDING = ("CAP_SETPCAP",)
# What fails in systemd 252 to 262 without a capability (measured, docs/capabilities.md).
FAILS_WITHOUT = {
    ("CAP_SETGID", "CAP_SETUID"): "units with User= fail, dbus among them",
    BOUNDING: "journald and logind fail",
    ("CAP_CHOWN", "CAP_FOWNER"): "units with StateDirectory= and User= fail",
    ("CAP_DAC_OVERRIDE",): "systemd-tmpfiles fails",
}
# What engines call the AppArmor profile that they give every container; podman's has its version behind. All deny mount(2).
DEFAULT_PROFILES = ("cri-containerd.apparmor.d", "crio-default", "docker-default", "nerdctl-default")
PODMAN_PROFILE = "containers-default-"
ADMIN = "CAP_SYS_ADMIN"
CONSOLES = frozenset(f"/dev/tty{number}" for number in range(64))  # MAX_NR_CONSOLES


class Kept:
    """A value that is not changed, and why."""

    __slots__ = ("reason", "what")

    def __init__(self, what: str, reason: str) -> None:
        self.what = what
        self.reason = reason


class Warn(str):
    """A sentence for the log and for `explain`."""

    __slots__ = ()


def is_read_only(mount: Mount) -> bool:
    return any(option in READ_ONLY for option in mount.options)


def is_cgroup(mount: Mount) -> bool:
    return mount.type in CGROUP_TYPES and not mount.is_bind


# The engines' mount with rw in place of ro. It replaces an image's volume, as in podman and CRI-O.
NEW_CGROUP = Mount(CGROUP_PLACE, "cgroup", "cgroup", ("nosuid", "noexec", "nodev", "relatime", "rw"))
# Directories where engines keep volumes of images: containerd's CRI, Docker, podman.
IMAGE_VOLUME = ("/io.containerd.grpc.v1.cri/containers/", "/docker/volumes/", "/containers/storage/volumes/")


def is_volume(mount: Mount, sources: Mapping[str, bool]) -> bool | None:
    """Return whether a bind mount is anything but a cgroup file system: by the host's facts on `sources`, else by the directories
    of engines' volumes; None if unknown. The host's own tree is below /sys."""
    source = clean(mount.source)
    if is_at_or_below(source, "/sys"):
        return False
    if mount.source in sources:
        return not sources[mount.source]
    return True if any(part in source + "/" for part in IMAGE_VOLUME) else None


def uncover(case: Case) -> Iterator[Finding]:
    """An image's `VOLUME /sys/fs/cgroup` hides the cgroup mount and has no use: podman and CRI-O remove it too."""
    removed = False
    while (index := case.mounted_at(CGROUP_PLACE)) is not None and case.mounts[index].is_bind:
        mount = case.mounts[index]
        volume = is_volume(mount, case.host.sources)
        if volume is None:
            yield Warn(
                f"{a.quoted(mount.source)} is mounted at {CGROUP_PLACE}: systemd exits unless it is a cgroup file system"
            )
        if not volume:
            return
        removed = True
        case.remove_mount(index)
        yield e.RemoveMount(index, mount.destination, "it is not a cgroup file system and hides the container's cgroup")
        yield Warn(
            f"the volume at {CGROUP_PLACE} is removed: it would hide the container's cgroup; remove it from the image"
        )
    if removed and index is None:
        case.add_mount(case.position_for(CGROUP_PLACE), NEW_CGROUP)


def cgroup(case: Case) -> Iterator[Finding]:
    """systemd makes a cgroup for each unit (Container Interface, "Execution Environment" 6): its subtree must be writable."""
    index = case.mounted_at(CGROUP_PLACE)
    if index is None:
        return
    mount = case.mounts[index]
    if mount is NEW_CGROUP:
        yield e.AddMount(
            index, mount, "the volume took its place; systemd makes a cgroup for each unit in its own subtree"
        )
    elif case.annotations.get(a.CGROUP) == "ro":
        yield Kept(f"mount at {CGROUP_PLACE}", f'annotation {a.CGROUP} is "ro"')
        if is_read_only(mount):
            yield Warn(f'annotation {a.CGROUP} is "ro": systemd will not boot on a read-only cgroup')
            return
    elif is_read_only(mount):
        options = tuple("rw" if option in READ_ONLY else option for option in mount.options)
        yield e.SetMountOptions(
            index, mount.destination, options, "systemd makes a cgroup for each unit in its own subtree"
        )
    else:
        yield Kept(f"mount at {CGROUP_PLACE}", "it is a bind mount" if mount.is_bind else "already writable")
    if _is_own_cgroup(case, mount):
        yield from _cgroup_limit(case)


def _is_own_cgroup(case: Case, mount: Mount) -> bool:
    """Return whether `mount` shows only the container's own cgroup, with cgroup v2."""
    own = case.container.own_cgroup and case.container.has_private("cgroup")
    return is_cgroup(mount) and own and case.host.cgroup_v2


def _cgroup_limit(case: Case) -> Iterator[Finding]:
    """A container without a limit can fill the node's memory with cgroups (KEP-5474: 42,000 of them, 14 GB)."""
    limit = case.settings.count("cgroup.max_descendants")
    if DESCENDANTS in case.container.unified:
        yield Kept(f"cgroup {DESCENDANTS}", "already set")
    elif limit:
        yield e.SetUnified(
            DESCENDANTS, str(limit), "a container without a limit can fill the node's memory with cgroups"
        )
    else:
        yield Kept(f"cgroup {DESCENDANTS}", "setting cgroup.max_descendants is 0: no limit")


def oom_group(case: Case) -> Iterator[Finding]:
    """kubelet sets memory.oom.group on every container (KEP-3570; kubelet's singleProcessOOMKill): the kernel then kills PID 1 and
    every other process when one service runs out of memory."""
    index = case.mounted_at(CGROUP_PLACE)
    if case.container.unified.get(OOM_GROUP, "").strip() != "1" or index is None:
        return
    mount = case.mounts[index]
    stays_read_only = is_read_only(mount) and case.annotations.get(a.CGROUP) == "ro"
    if stays_read_only or not _is_own_cgroup(case, mount):
        return
    if case.settings.flag("cgroup.oom_group"):
        yield Kept(f"cgroup {OOM_GROUP}", "setting cgroup.oom_group is true")
    else:
        yield e.SetUnified(OOM_GROUP, "0", "1 kills the whole container when one service runs out of memory")


def tmpfs(case: Case) -> Iterator[Finding]:
    """/run must be a mount, and /run/lock for Debian's systemd (Container Interface, 4): PID 1 cannot mount them itself."""
    extra = _tmpfs_extra(case)
    for path in case.tmpfs_paths():
        if case.mounted_at(path) is not None:
            yield Kept(f"tmpfs at {path}", "already a mount")
            continue
        yield _add_tmpfs(case, path, extra)
    for path in case.tmpfs_paths():
        if case.mounted_at(path) is None:  # another tmpfs hides the link that led to it, such as /run/lock -> /run
            yield _add_tmpfs(case, path, extra)
    yield from _mounts_missed(case)


def _add_tmpfs(case: Case, path: str, extra: tuple[str, ...]) -> e.AddMount:
    sticky = path in STICKY_PLACES or path.endswith("/tmp")
    mount = Mount(path, "tmpfs", "tmpfs", (*TMPFS_OPTIONS, "mode=1777" if sticky else "mode=755", *extra))
    index = case.position_for(path)
    case.add_mount(index, mount)
    return e.AddMount(index, mount, "systemd needs it writable, and empty at each start")


def _tmpfs_extra(case: Case) -> tuple[str, ...]:
    size = case.settings.text("tmpfs.size")
    return (*((f"size={size}",) if size else ()), *(("tmpcopyup",) if case.settings.flag("tmpfs.copy_up") else ()))


def _mounts_missed(case: Case) -> Iterator[Finding]:
    """PID 1 mounts these itself if they are missing, and exits if it cannot (mount-setup.c)."""
    for path in NEEDED:
        if case.mounted_at(path) is None:
            yield Warn(f"nothing is mounted at {path}: systemd exits unless it can mount it itself (CAP_SYS_ADMIN)")


def user(case: Case) -> Iterator[Finding]:
    if case.container.uid:
        yield Warn(not_root(case.container.uid))


def not_root(uid: int) -> str:
    return f"the user is {uid}, not 0: systemd exits; run the container as root"


def capabilities(case: Case) -> Iterator[Finding]:
    """The engines' default capabilities are enough. `runc spec` grants three, and `drop: [ALL]` none."""
    granted = case.container.capabilities
    if granted is None:
        return
    for needed, what in FAILS_WITHOUT.items():
        missing = [name for name in needed if name not in granted]
        if missing and (granted or needed != BOUNDING):  # without any capability, no unit can drop one
            yield Warn(
                f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing: {what}; add the capability"
            )


def environment(case: Case) -> Iterator[Finding]:
    """$container tells systemd that it is in a container (Container Interface, "Environment Variables" 1)."""
    own = [value for value in case.env("container") if value]
    if own and case.env("container") == own[-1:]:
        yield Kept("environment container", "already set")
    elif own:
        yield e.SetEnv("container", own[-1], "it was set several times; the last value counts")
    else:
        value = case.settings.text("env.container")
        yield e.SetEnv("container", value, "tells systemd that it runs in a container")


def machine(case: Case) -> Iterator[Finding]:
    """$container_uuid becomes /etc/machine-id (Container Interface, "Environment Variables" 2)."""
    own = case.env("container_uuid")
    if own:
        if len(own) > 1:
            yield e.SetEnv("container_uuid", own[-1], "it was set several times; the last value counts")
        else:
            yield Kept("environment container_uuid", "already set")
        if not machine_id.parse(own[-1]):
            yield Warn(
                f"container_uuid is {a.quoted(own[-1])}, not an id128: "
                "systemd makes a new machine-id every time the container starts"
            )
    else:
        yield from _new_machine_id(case)
    yield from _machine_id_kept(case)


def _new_machine_id(case: Case) -> Iterator[Finding]:
    source = case.annotations.get(a.MACHINE_ID) or case.settings.text("machine_id.source")
    id = machine_id.made(case.container, source)
    if source != "container" and not id:
        yield Warn(f"machine-id={source}: {MACHINE_ID_LACKS[source]} unknown; the container's ID is used instead")
        source, id = "container", machine_id.made(case.container, "container")
    if id:
        yield e.SetMachineId(source, id, f"systemd uses it as the machine-id; made from {MACHINE_ID_SOURCES[source]}")
    else:
        yield Warn(
            "the container's ID is unknown and container_uuid is not set: "
            "systemd makes a new machine-id every time the container starts"
        )


def _machine_id_kept(case: Case) -> Iterator[Finding]:
    """systemd prefers the image's own files to $container_uuid (machine-id-setup.c)."""
    etc = _file(case, ETC_MACHINE_ID)
    if etc == CONTENT:
        yield Warn(
            "the image has its own /etc/machine-id: all its containers get the same machine-id; empty the file in the image"
        )
    elif (
        _file(case, DBUS_MACHINE_ID) == CONTENT and DBUS_MACHINE_ID not in case.presence.links
    ):  # a link there does not count
        yield Warn(
            "the image has its own /var/lib/dbus/machine-id, which systemd prefers to container_uuid; remove the file"
        )
    if case.container.readonly_root and etc != CONTENT and not case.covers(ETC_MACHINE_ID):
        lost = "systemd may refuse to boot" if etc == ABSENT else "the file stays empty"
        yield Warn(f"the root file system is read-only: systemd cannot write /etc/machine-id; {lost}")


def _file(case: Case, path: str) -> str:
    """Return the kind of the image's file at `path`; "" if unknown."""
    root = case.host.root
    if root is None or case.covers(path):
        return ""
    return root.files.get(case.place_of(path), "")


def credentials(case: Case) -> Iterator[Finding]:
    """Units read a mounted Secret with LoadCredential= (systemd.io/CREDENTIALS, "Passing credentials")."""
    if case.mounted_at(CREDENTIALS) is None:
        return
    if any(case.env("CREDENTIALS_DIRECTORY")):
        yield Kept("environment CREDENTIALS_DIRECTORY", "already set")
    else:
        yield e.SetEnv("CREDENTIALS_DIRECTORY", CREDENTIALS, "systemd reads its credentials from this mount")


def arguments(case: Case) -> Iterator[Finding]:
    """Few containers ask for this, so the module is loaded only then."""
    if a.CONSOLE in case.annotations.values or a.ENVIRONMENT in case.annotations.values:
        from oci_systemd.core.arguments import arguments as found

        yield from found(case)


def stop_signal(case: Case) -> Iterator[Finding]:
    """SIGTERM makes systemd re-execute itself, SIGRTMIN+3 powers it off (systemd(1), "Signals")."""
    for key, old in _old_signals(case):
        if not is_signal(old):
            yield Warn(f"annotation {key}: {a.quoted(old)} is not a signal; the annotation is ignored")
    value, why = _chosen_signal(case)
    if case.container.annotations.get(STOP_SIGNAL) == value:
        yield Kept(f"annotation {STOP_SIGNAL}", "already set")
    else:
        yield e.SetAnnotation(STOP_SIGNAL, value, why)


def _old_signals(case: Case) -> list[tuple[str, str]]:
    """Return the annotations for other tools, with their values."""
    pairs = ((key, case.container.annotations.get(key, "").strip()) for key in a.OLD_STOP_SIGNALS)
    return [(key, value) for key, value in pairs if value]


def _chosen_signal(case: Case) -> tuple[str, str]:
    """Return the stop signal as it was written, and where."""
    own = case.annotations.get(STOP_SIGNAL)
    if own:
        return own, f"set by annotation {a.key_for(case.container, STOP_SIGNAL)}"
    old = next(((value, f"set by annotation {key}") for key, value in _old_signals(case) if is_signal(value)), None)
    default = "SIGTERM makes systemd re-execute itself; this signal powers it off"
    return old or (case.settings.text("stop.signal"), default)


def host_stop(case: Case) -> Iterator[Finding]:
    """A host that shuts down stops each scope with its KillSignal (systemd.kill(5)): on SIGTERM systemd re-executes itself, and is
    killed 90 s later. podman sets the same property, but to SIGTERM if it does not recognize systemd."""
    signal = number(_chosen_signal(case)[0])
    given = case.container.annotations.get(KILL_SIGNAL, "")
    if signal is None or case.container.scope is False:
        return
    if signal != TERM:
        yield from _before_monitor(case)
    if given and number(given) != TERM:
        yield Kept(f"annotation {KILL_SIGNAL}", "already set")
    elif case.container.scope is None:
        yield Kept(f"annotation {KILL_SIGNAL}", "unknown whether the runtime creates a systemd scope")
    elif signal != TERM:
        yield e.SetAnnotation(KILL_SIGNAL, str(signal), "powers systemd off when the host shuts down")


def _before_monitor(case: Case) -> Iterator[Finding]:
    """conmon passes the SIGTERM that stops its own scope on to the container: systemd re-executes itself amid its shutdown, and
    hangs. What starts after another unit stops before it (systemd.unit(5), Before=)."""
    scope = monitor(case.container.cgroups_path)
    if scope and AFTER in case.container.annotations:
        yield Kept(f"annotation {AFTER}", "already set")
    elif scope:
        yield e.SetAnnotation(AFTER, f"['{scope}']", "stops the container before conmon, which would send it SIGTERM")


def selinux(case: Case) -> Iterator[Finding]:
    """container_init_t may manage cgroups as systemd does; container_t may not (container-selinux)."""
    label = case.container.selinux_label
    named = case.annotations.get(a.SELINUX)
    parts = label.split(":", 3)
    if not label:
        if named:
            yield Warn(f"annotation {a.SELINUX} is {a.quoted(named)}, but the container has no SELinux label to change")
    elif len(parts) < 3:
        yield Warn(f"the SELinux label {a.quoted(label)} has no type; it is unchanged")
    elif named and named != parts[2]:
        yield e.SetSelinuxLabel(_of_type(parts, named), f"set by annotation {a.SELINUX}")
    elif not named and parts[2] == "container_t" and case.settings.flag("security.selinux_init"):
        yield from _selinux_init(case, parts)
    else:
        yield Kept("SELinux label", f"its type is {parts[2]}")


def _selinux_init(case: Case, parts: list[str]) -> Iterator[Finding]:
    if case.host.selinux_init:
        why = "container_t may not manage cgroups, container_init_t may"
        yield e.SetSelinuxLabel(_of_type(parts, "container_init_t"), why)
    else:  # the kernel would refuse the label, and the runtime would fail
        yield Warn(
            "the host's SELinux policy has no type container_init_t; the label is unchanged; update container-selinux"
        )


def _of_type(parts: list[str], type: str) -> str:
    return ":".join((*parts[:2], type, *parts[3:]))


def apparmor(case: Case) -> Iterator[Finding]:
    profile = case.annotations.get(a.APPARMOR)
    if not profile:
        yield from _admin_confined(case)
    elif profile == "unconfined":
        if case.container.apparmor_profile:
            yield e.SetApparmorProfile("", f'annotation {a.APPARMOR} is "unconfined"')
        else:
            yield Kept("AppArmor profile", "the container has none")
    elif not case.host.apparmor:
        yield Warn(
            f"annotation {a.APPARMOR} is {a.quoted(profile)}, but AppArmor is not enabled on this host; no profile is set"
        )
    elif case.container.apparmor_profile != profile:
        yield e.SetApparmorProfile(profile, f"set by annotation {a.APPARMOR}")


def _admin_confined(case: Case) -> Iterator[Finding]:
    """With the capability systemd mounts what it needs itself, and exits without a word where the profile denies that
    (core/main.c, "Failed to remount root directory as MS_SLAVE")."""
    profile = case.container.apparmor_profile
    is_default = profile in DEFAULT_PROFILES or profile.startswith(PODMAN_PROFILE)
    if is_default and ADMIN in (case.container.capabilities or ()):
        yield Warn(
            f"the AppArmor profile {a.quoted(profile)} denies mounts, and with {ADMIN} systemd mounts at its start: it will exit; "
            f"drop {ADMIN}, or run the container unconfined (appArmorProfile: {{type: Unconfined}}, apparmor=unconfined)"
        )


def devices(case: Case) -> Iterator[Finding]:
    """A privileged systemd starts a getty on each console that it finds, including the host's (podman#15878)."""
    for path in dict.fromkeys(case.container.devices):
        if path in CONSOLES:
            yield e.RemoveDevice(path, "systemd would start a login on the host's console")


def record(case: Case) -> Iterator[Finding]:
    """For people, and for `kill`. A container that has it is adjusted all the same."""
    if case.container.annotations.get(ADJUSTED) != __version__:
        yield e.SetAnnotation(ADJUSTED, __version__, "records that the container is adjusted; kill reads it")


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    cgroup,
    oom_group,
    tmpfs,
    user,
    capabilities,
    environment,
    machine,
    credentials,
    arguments,
    stop_signal,
    host_stop,
    selinux,
    apparmor,
    devices,
    record,
)
