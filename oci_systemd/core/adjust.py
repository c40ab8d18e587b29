"""Plan one container's edits: `adjust` turns a container, settings and host facts into an Adjustment, and changes nothing."""

from __future__ import annotations

from oci_systemd.core import annotations as a
from oci_systemd.core.annotations import Annotations
from oci_systemd.core.case import Case
from oci_systemd.core.cgroups import cgroups, is_top
from oci_systemd.core.detect import (
    INITS,
    Verdict,
    asks_for_cgroup,
    command,
    detect,
    located,
    looks_like_systemd,
    strictly,
)
from oci_systemd.core.edits import Edit
from oci_systemd.core.errors import Refused, printable
from oci_systemd.core.host import Host
from oci_systemd.core.paths import LOST
from oci_systemd.core.rules import (
    CGROUP_PLACE,
    CREDENTIALS,
    DBUS_MACHINE_ID,
    ETC_MACHINE_ID,
    NEEDED,
    NEW_CGROUP,
    RULES,
    Kept,
    Warn,
    cgroup,
    is_cgroup,
    is_read_only,
    not_root,
    uncover,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from oci_systemd.core.container import Container
    from oci_systemd.core.rules import Finding
    from oci_systemd.core.settings import Settings

GATED = (a.SELINUX, a.APPARMOR)  # for a wanted container; for any other the cgroup annotation is gated


class Adjustment:
    """The plan for one container: `edits` in order, `kept`, `warnings`, and the `verdict` that led to them."""

    __slots__ = ("edits", "kept", "verdict", "warnings")

    def __init__(self, verdict: Verdict, findings: list[Finding]) -> None:
        self.verdict = verdict
        self.edits = [finding for finding in findings if isinstance(finding, Edit)]
        self.kept = [finding for finding in findings if isinstance(finding, Kept)]
        warnings = (*verdict.warnings, *(finding for finding in findings if isinstance(finding, Warn)))
        self.warnings = [printable(warning) for warning in warnings]


class Questions:
    """What the host must find out for `adjust`. In the root file system: the links on the way to `paths` and `files`, and what
    `files` are. On the host: which `cgroups` hold a process, and which `sources` of bind mounts are cgroup file systems."""

    __slots__ = ("cgroups", "files", "paths", "sources")

    def __init__(
        self,
        paths: Iterable[str] = (),
        files: Iterable[str] = (),
        cgroups: Iterable[str] = (),
        sources: Iterable[str] = (),
    ) -> None:
        self.paths = tuple(dict.fromkeys(paths))
        self.files = tuple(files)
        self.cgroups = tuple(cgroups)
        self.sources = tuple(sources)

    def __bool__(self) -> bool:
        return bool(self.paths)


def questions(container: Container, settings: Settings) -> Questions:
    """Return the Questions for this container; empty if its spec already says that it is left alone."""
    annotations = Annotations(container)
    program = command(container.args)
    path = located(program, container.cwd)
    wanted = bool(looks_like_systemd(program, path, settings)) or annotations.get(a.WANTED) == "true"
    if container.is_sandbox or not (wanted or asks_for_cgroup(annotations)):
        return Questions()
    case = Case(container, annotations, settings, Host(), wanted=wanted)
    mounts = (mount.destination for mount in container.mounts)
    inits = [path] if path in INITS else []
    binds = (mount for mount in container.mounts if mount.destination == CGROUP_PLACE and mount.is_bind)
    return Questions(
        (*mounts, CGROUP_PLACE, CREDENTIALS, *NEEDED, *case.tmpfs_paths()),
        (ETC_MACHINE_ID, DBUS_MACHINE_ID, *inits),
        cgroups(container.cgroups_path),
        (mount.source for mount in binds),
    )


def adjust(container: Container, settings: Settings, host: Host) -> Adjustment:
    """Return the Adjustment for this container. Raise Refused, or the settings' own error, if it must not start."""
    annotations = Annotations(container)
    verdict = detect(container, annotations, settings, host.root)
    asks = asks_for_cgroup(annotations) and not container.is_sandbox
    reports: list[Finding] = [] if container.is_sandbox else [*_reports(annotations, wanted=verdict.wanted)]
    if not verdict.wanted and not asks:
        return Adjustment(verdict, reports)
    if settings.problem:
        raise settings.problem.with_traceback(
            None
        )  # it is raised for many containers, and would collect all their frames
    case = Case(container, annotations, settings, host, wanted=verdict.wanted)
    mistakes = [*_mistakes(case)]
    if mistakes:
        raise Refused(*mistakes)
    uncovered = [*uncover(case)] if verdict.wanted and case.annotations.get(a.CGROUP) != "ro" else []
    obstacle = _obstacle(case)
    if obstacle and (verdict.asked or asks):
        raise Refused(obstacle)
    if strict := _strict(case, obstacle):
        raise Refused(strict)
    if obstacle:
        return Adjustment(verdict.but(obstacle), reports)
    rules = RULES if verdict.wanted else (cgroup,)
    return Adjustment(verdict, [*reports, *uncovered, *(finding for rule in rules for finding in rule(case))])


def _reports(annotations: Annotations, *, wanted: bool) -> Iterator[Finding]:
    """Yield warnings about annotations without effect: invalid ones if the container is not wanted, and unknown ones."""
    if not wanted:
        yield from (Warn(f"{text}; it has no effect here") for text in annotations.mistakes.values())
    yield from (Warn(f"unknown annotation {name}{a.hint(name)}") for name in annotations.unknown)


def _mistakes(case: Case) -> Iterator[str]:
    """Yield every reason to refuse that comes from annotations and settings alone."""
    if case.wanted:
        yield from case.annotations.mistakes.values()
        yield from _forbidden_paths(case)
    allowed = case.settings.list("security.allow")
    for key in GATED if case.wanted else (a.CGROUP,):
        if key in case.annotations.values and key not in allowed:
            name = a.key_for(case.container, key)
            yield f"annotation {name}: not allowed on this node; the node's owner can add {key} to the setting security.allow"


def _strict(case: Case, obstacle: str) -> str:
    """Return why the setting detect.strict refuses this container, in which systemd would exit; "" if it does not."""
    if not (case.wanted and case.settings.flag("detect.strict")):
        return ""
    sentence = obstacle or (not_root(case.container.uid) if case.container.uid else "")
    return strictly(sentence) if sentence else ""


def _forbidden_paths(case: Case) -> Iterator[str]:
    origin = (
        f"annotation {a.key_for(case.container, a.TMPFS)}"
        if a.TMPFS in case.annotations.values
        else "setting tmpfs.paths"
    )
    for path in case.tmpfs_paths():
        place = case.place_of(path)
        if place != path and not a.may_be_tmpfs(place):  # the path itself was checked when it was read
            where = "leads through too many links" if place == LOST else f"leads to {a.quoted(place)}"
            yield f"{origin}: {a.quoted(path)} {where} in the image, where no tmpfs is allowed; choose another path"


def _obstacle(case: Case) -> str:
    """Return why systemd's cgroup cannot be made writable, and what to change; "" if it can, or need not."""
    if case.host.root and case.host.root.lost:
        return (
            f"the container's mounts lead through more than {case.host.root.lost} path components of symbolic links in the image; "
            "use paths with fewer links"
        )
    index = case.mounted_at(CGROUP_PLACE)
    if index is None:
        return f"the container has no mount at {CGROUP_PLACE}; add one of type cgroup"
    mount = case.mounts[index]
    if case.annotations.get(a.CGROUP) == "ro" or not (is_read_only(mount) or mount is NEW_CGROUP):
        return ""
    if not is_cgroup(mount):
        kind = "bind" if mount.is_bind else mount.type
        return (
            f"the mount at {CGROUP_PLACE} is a read-only {kind} mount from the host, which stays read-only; remove it"
        )
    if not case.container.has_private("cgroup"):
        return "the container has no private cgroup namespace: a writable mount would expose the host's cgroups; give it its own"
    if not case.container.own_cgroup:
        return "the container has no cgroup of its own: a writable mount would expose its parent's; do not disable its cgroups"
    path = case.container.cgroups_path
    if is_top(path):
        return f"linux.cgroupsPath {a.quoted(path)} is the top of the hierarchy; give the container its own cgroup"
    if any(each in case.host.occupied for each in cgroups(path)):
        return f"linux.cgroupsPath {a.quoted(path)} is in use: it already holds processes; give the container its own cgroup"
    if not case.host.cgroup_v2:
        return f"the host's {CGROUP_PLACE} is not cgroup v2; boot the host with systemd.unified_cgroup_hierarchy=1"
    if case.settings.flag("cgroup.require_nsdelegate") and not case.host.nsdelegate:
        return (
            f"the host's {CGROUP_PLACE} is not mounted with nsdelegate: root in the container could lift its own limits; "
            "remount it with nsdelegate, or set cgroup.require_nsdelegate = false"
        )
    return ""
