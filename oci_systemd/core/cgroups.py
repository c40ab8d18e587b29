"""Where a runtime puts a container's cgroup, from linux.cgroupsPath: only a cgroup of its own may become writable.

Law: the top is nobody's own; whether any other cgroup is in use is the host's to see. Read here: runc 1.1 to 1.4 (specconv,
createCgroupConfig; fs2, defaultDirPath; systemd, unitName), crun 1.8 to 1.21 (cgroup.c, cgroup-systemd.c).
"""

from __future__ import annotations

from oci_systemd.core.paths import clean

TOP = "/"
BESIDE = "./"  # before a path that runc takes from its own cgroup's parent
SLICE, DEFAULT_SLICE, ROOT_SLICE = ".slice", "system.slice", "-.slice"


def cgroups(path: str) -> tuple[str, ...]:
    """The cgroups that a runtime may take `path` for: cleaned paths below the hierarchy, or from BESIDE on, the parent of the
    runtime's own cgroup. None for "": the runtime makes one, named after the container."""
    if not path:
        return ()
    if path.startswith("/"):
        return (clean(path),)
    parts = path.split(":")
    if len(parts) == 3:  # the systemd driver's; the cgroupfs driver takes it for a name
        return (_of_unit(*parts), clean(path), BESIDE + clean(path)[1:])
    cleaned = clean(path)
    return (cleaned, BESIDE + cleaned[1:])


def is_top(path: str) -> bool:
    """Whether the runtime may take `path` for the top of the hierarchy, or for its own cgroup's parent."""
    return any(cgroup in (TOP, BESIDE) for cgroup in cgroups(path))


def scope(path: str) -> bool | None:
    """Return whether the engine that wrote `path` means a scope of systemd's, None where the path is empty. Only the runtime's
    command line proves it: this is for who does not see that. runc refuses any other form with --systemd-cgroup."""
    return path.count(":") == 2 if path else None


def _of_unit(slice: str, prefix: str, name: str) -> str:
    """The cgroup of systemd's unit for `slice:prefix:name`: a scope in the slice, or a slice where the name is one."""
    unit = name if name.endswith(SLICE) else f"{prefix}-{name}.scope"
    place = _of_slice(slice or DEFAULT_SLICE)
    if unit.endswith(SLICE):
        return _of_slice(unit)
    return clean(f"{place}/{unit}")


def _of_slice(name: str) -> str:
    """The path of a slice: `a-b.slice` lies in `a.slice` (systemd.slice(5))."""
    if name == ROOT_SLICE:
        return TOP
    words = name.removesuffix(SLICE).split("-")
    parents = ("-".join(words[: index + 1]) + SLICE for index in range(len(words)))
    return clean("/".join(parents))
