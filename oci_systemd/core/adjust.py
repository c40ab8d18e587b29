"""From a container, settings and a host to an Adjustment: the list of edits, with every reason, and nothing done yet."""

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

GATED = (a.SELINUX, a.APPARMOR)  # of a wanted container; the cgroup annotation is gated where it is not wanted


class Adjustment:
    """What is to be done to one container: `edits` in order, `kept` and `warnings` beside, and the `verdict` behind it all."""

    __slots__ = ("edits", "kept", "verdict", "warnings")

    def __init__(self, verdict: Verdict, findings: list[Finding]) -> None:
        self.verdict = verdict
        self.edits = [finding for finding in findings if isinstance(finding, Edit)]
        self.kept = [finding for finding in findings if isinstance(finding, Kept)]
        warnings = (*verdict.warnings, *(finding for finding in findings if isinstance(finding, Warn)))
        self.warnings = [printable(warning) for warning in warnings]


class Questions:
    """What `adjust` wants to know. Of the root file system: the links on the way to `paths` and `files`, and what `files` are.
    Of the host: which of `cgroups` hold a process, and which of `sources`, of bind mounts, are cgroup file systems."""

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
    """The Questions that this container raises: none where it is left alone for what it says itself."""
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
    """The Adjustment that the contract gives this container. Refused, or the settings' own error, where it must not start."""
    annotations = Annotations(container)
    verdict = detect(container, annotations, settings, host.root)
    asks = asks_for_cgroup(annotations) and not container.is_sandbox
    reports: list[Finding] = [] if container.is_sandbox else [*_reports(annotations, wanted=verdict.wanted)]
    if not verdict.wanted and not asks:
        return Adjustment(verdict, reports)
    if settings.problem:
        raise settings.problem.with_traceback(None)  # raised again and again, it would gather every container's frames
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
    """What is told of annotations that change nothing: wrong ones of a container not wanted, and ones that do not exist."""
    if not wanted:
        yield from (Warn(f"{text}; it has no effect here") for text in annotations.mistakes.values())
    yield from (Warn(f"there is no annotation {name}") for name in annotations.unknown)


def _mistakes(case: Case) -> Iterator[str]:
    """Every reason to refuse that lies in annotations and settings alone."""
    if case.wanted:
        yield from case.annotations.mistakes.values()
        yield from _forbidden_paths(case)
    allowed = case.settings.list("security.allow")
    for key in GATED if case.wanted else (a.CGROUP,):
        if key in case.annotations.values and key not in allowed:
            name = a.key_for(case.container, key)
            yield f"annotation {name} is not allowed on this node; its owner may list {key} in the setting security.allow"


def _strict(case: Case, obstacle: str) -> str:
    """Why the setting detect.strict refuses a container in which systemd would exit, "" where it does not."""
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
        if place != path and not a.may_be_tmpfs(place):  # by its own name it was looked at when it was read
            where = "leads through too many links" if place == LOST else f"leads to {a.quoted(place)}"
            yield f"{origin} names {a.quoted(path)}, which {where} in the image: no tmpfs may be mounted there"


def _obstacle(case: Case) -> str:
    """Why systemd's cgroup cannot be made writable, and what to change; "" where it can, or need not."""
    if case.host.root and case.host.root.lost:
        return f"its mounts lead through more than {case.host.root.lost} parts of symbolic links in the image; mount at fewer links"
    index = case.mounted_at(CGROUP_PLACE)
    if index is None:
        return f"it has no mount at {CGROUP_PLACE}; systemd needs one of type cgroup"
    mount = case.mounts[index]
    if case.annotations.get(a.CGROUP) == "ro" or not (is_read_only(mount) or mount is NEW_CGROUP):
        return ""
    if not is_cgroup(mount):
        kind = "bind" if mount.is_bind else mount.type
        return f"its mount at {CGROUP_PLACE} is a read-only {kind} mount of the host's, never made writable; remove it"
    if not case.container.has_private("cgroup"):
        return "it has no private cgroup namespace, so that a writable mount would be the host's cgroup tree; give it its own"
    if not case.container.own_cgroup:
        return (
            "it gets no cgroup of its own, so that a writable mount would be its starter's; do not disable its cgroups"
        )
    path = case.container.cgroups_path
    if is_top(path):
        return f"its linux.cgroupsPath {a.quoted(path)} is the top of the hierarchy; give the container a cgroup of its own"
    if any(each in case.host.occupied for each in cgroups(path)):
        return f"its linux.cgroupsPath {a.quoted(path)} is a cgroup that holds processes already; give the container its own"
    if not case.host.cgroup_v2:
        return f"the host's {CGROUP_PLACE} is not cgroup v2; boot the host with systemd.unified_cgroup_hierarchy=1"
    if case.settings.flag("cgroup.require_nsdelegate") and not case.host.nsdelegate:
        return (
            f"the host's {CGROUP_PLACE} is not mounted with nsdelegate, so that root in the container could lift its own limits; "
            "remount it with nsdelegate, or set cgroup.require_nsdelegate = false"
        )
    return ""
