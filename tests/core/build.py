"""Containers for the tables: one that is wanted and has nothing special, with what a test changes."""

from __future__ import annotations

from typing import Any, TypeVar

from oci_systemd.core.adjust import Adjustment, adjust
from oci_systemd.core.argv import Invocation
from oci_systemd.core.container import Container, Mount, identity
from oci_systemd.core.edits import AddMount, Edit, SetEnv
from oci_systemd.core.errors import Problem
from oci_systemd.core.host import ABSENT, BLANK, ELF, Host, Root
from oci_systemd.core.settings import Settings

T = TypeVar("T", bound=Edit)

NAMES = ("name", "pod_uid", "pod_name", "pod_namespace")
ID = "c0ffee" * 10 + "beef"
POD_UID = "5f2d1c3a-8b7e-4d6f-9a01-23456789abcd"
CGROUP = Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("nosuid", "noexec", "nodev", "relatime", "ro"))
SHM = Mount("/dev/shm", "tmpfs", "shm", ("nosuid", "noexec", "nodev", "mode=1777"))
API = (Mount("/proc", "proc", "proc"), Mount("/dev", "tmpfs", "tmpfs"), SHM, Mount("/sys", "sysfs", "sysfs", ("ro",)))
KEY = "io.systemd.container"

# /var/run and /var/lock are links, as on every distribution with systemd; /sbin/init leads to systemd.
DEBIAN = Root(
    {"/var/run": "/run", "/var/lock": "/run/lock", "/sbin": "usr/sbin", "/usr/sbin/init": "../lib/systemd/systemd"},
    {"/etc/machine-id": BLANK, "/usr/lib/systemd/systemd": ELF, "/var/lib/dbus/machine-id": ABSENT},
)


def bind(destination: str, *options: str) -> Mount:
    return Mount(destination, "bind", "/host/somewhere", ("rbind", "rprivate", *options))


def container(*, mounts: tuple[Mount, ...] = (), cgroup: Mount | None = CGROUP, **changes: Any) -> Container:
    """A container that is wanted; `mounts` come after the usual ones."""
    facts: dict[str, Any] = {
        "id": ID,
        "args": ("/sbin/init",),
        "namespaces": {"pid": "", "cgroup": "", "mount": ""},
        "mounts": (*API, *((cgroup,) if cgroup else ()), *mounts),
    }
    annotations, cgroups_path = changes.get("annotations") or {}, changes.get("cgroups_path", "")
    return Container(**{**dict(zip(NAMES, identity(annotations, cgroups_path), strict=True)), **facts, **changes})


def annotated(**values: str) -> dict[str, str]:
    """Annotations of ours: `annotated(cgroup="rw")`; `wanted` is the plain key."""
    return {KEY if name == "wanted" else f"{KEY}.{name.replace('_', '-')}": value for name, value in values.items()}


def adjusted(
    given: Container, settings: Settings | None = None, *, root: Root | None = DEBIAN, **host: Any
) -> Adjustment:
    return adjust(given, settings or Settings(), Host(root=root, **host))


def refused(given: Container, settings: Settings | None = None, *, root: Root | None = DEBIAN, **host: Any) -> str:
    """The sentences that the container is refused with; "" if it is not."""
    try:
        adjusted(given, settings, root=root, **host)
    except Problem as problem:
        return str(problem)
    return ""


def of_kind(adjustment: Adjustment, kind: type[T]) -> list[T]:
    return [edit for edit in adjustment.edits if isinstance(edit, kind)]


def env_set(adjustment: Adjustment) -> dict[str, str]:
    return {edit.name: edit.value for edit in of_kind(adjustment, SetEnv)}


def destinations(given: Container, adjustment: Adjustment) -> list[str]:
    """The destinations of all mounts after the adjustment, in order."""
    found = [mount.destination for mount in given.mounts]
    for edit in of_kind(adjustment, AddMount):
        found.insert(edit.index, edit.mount.destination)
    return found


def described(found: Adjustment | str) -> object:
    """Everything about an adjustment, or the sentences of a refusal."""
    if isinstance(found, str):
        return found
    verdict = found.verdict
    return (
        [(type(edit), str(edit), edit.reason, getattr(edit, "arguments", ())) for edit in found.edits],
        [(kept.what, kept.reason) for kept in found.kept],
        found.warnings,
        (verdict.wanted, verdict.asked, verdict.reason, verdict.warnings),
    )


def warned(adjustment: Adjustment, words: str) -> bool:
    return any(words in warning for warning in adjustment.warnings)


def resent(words: list[str], invocation: Invocation) -> list[str]:
    """The words of a `kill` as the launcher sends them with signal 37 in place of their own."""
    place = invocation.place_of_signal(words) - 1
    return [*words[:place], "37", *words[place + 1 :]]
