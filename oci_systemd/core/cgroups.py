"""Find the container's cgroup from linux.cgroupsPath: only a cgroup that no other process uses may become writable.

Law: the top is never a container's own; the host tells whether another cgroup is in use. Sources: runc 1.1 to 1.4 (specconv,
createCgroupConfig; fs2, defaultDirPath; systemd, unitName), crun 1.8 to 1.21 (cgroup.c, cgroup-systemd.c).
"""

from __future__ import annotations

from oci_systemd.core.paths import clean

TOP = "/"
BESIDE = "./"  # prefix of a path that runc reads relative to the parent of its own cgroup
MONITORED = ("libpod", "crio")  # prefixes of the scopes of podman and CRI-O, which monitor each container by conmon
SLICE, DEFAULT_SLICE, ROOT_SLICE = ".slice", "system.slice", "-.slice"


def cgroups(path: str) -> tuple[str, ...]:
    """Return the cgroups that a runtime may mean by `path`: cleaned paths below the hierarchy, or with BESIDE below the parent of
    the runtime's own cgroup. Empty for "": the runtime then creates one, named after the container."""
    if not path:
        return ()
    if path.startswith("/"):
        return (clean(path),)
    parts = path.split(":")
    if len(parts) == 3:  # from the systemd driver; the cgroupfs driver reads it as a name
        return (_of_unit(*parts), clean(path), BESIDE + clean(path)[1:])
    cleaned = clean(path)
    return (cleaned, BESIDE + cleaned[1:])


def is_top(path: str) -> bool:
    """Return whether the runtime may read `path` as the top of the hierarchy, or as the parent of its own cgroup."""
    return any(cgroup in (TOP, BESIDE) for cgroup in cgroups(path))


def made(path: str, *, systemd: bool) -> str:
    """Return the cgroup that the runtime creates for `path` with its driver, systemd or cgroupfs; "" where the runtime chooses."""
    parts = path.split(":")
    if systemd:
        return _of_unit(*parts) if len(parts) == 3 else ""
    return clean(path) if path.startswith("/") else ""


def scope(path: str) -> bool | None:
    """Return whether `path` means a systemd scope, None if it is empty. Only the runtime's command line proves it; this is for
    callers without it. With --systemd-cgroup runc refuses any other form."""
    return path.count(":") == 2 if path else None


def monitor(path: str) -> str:
    """Return the scope of the container's conmon, which podman and CRI-O name after the container's; "" under another engine."""
    parts = path.split(":")
    known = len(parts) == 3 and parts[1] in MONITORED and parts[2].isalnum()
    return f"{parts[1]}-conmon-{parts[2]}.scope" if known else ""


def _of_unit(slice: str, prefix: str, name: str) -> str:
    """Return the cgroup of the systemd unit for `slice:prefix:name`: a scope in the slice, or the slice that is named."""
    unit = name if name.endswith(SLICE) else f"{prefix}-{name}.scope"
    place = _of_slice(slice or DEFAULT_SLICE)
    if unit.endswith(SLICE):
        return _of_slice(unit)
    return clean(f"{place}/{unit}")


def _of_slice(name: str) -> str:
    """Return the path of a slice: `a-b.slice` is in `a.slice` (systemd.slice(5))."""
    if name == ROOT_SLICE:
        return TOP
    words = name.removesuffix(SLICE).split("-")
    parents = ("-".join(words[: index + 1]) + SLICE for index in range(len(words)))
    return clean("/".join(parents))
