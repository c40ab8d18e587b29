"""Check whether the wrapper works on a node: CHECKS is a table of functions from Facts, which `facts` collects, to Findings.

Invariant: nothing is read here. A finding is a sentence and, unless it is a pass, what to do. `FAIL`: systemd cannot boot or cannot
be stopped, or the engine cannot start. `WARN`: anything else that needs attention.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from oci_systemd.engines import containerd
from oci_systemd.host.limits import FILES, INSTANCES, KEYS, PIDS, WATCHES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from oci_systemd.host.limits import Limit

PASS, WARN, FAIL = "pass", "warn", "fail"
LIMITED = ("cpu", "memory", "pids")  # controllers without which no container has limits
# What a systemd container takes of each limit with its shim, and a node of inotify instances by itself (docs/limits.md, measured).
EACH = {INSTANCES: 8, WATCHES: 30, PIDS: 20, FILES: 150, KEYS: 10}
NODE = 18
ENOUGH = 1024  # inotify instances, for a kubelet's 110 pods
FEW = 20  # systemd containers: room for fewer is told
CRUCIAL = containerd.PASSED[:2]


@dataclass(frozen=True, slots=True)
class Finding:
    subject: str
    status: str
    said: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """`kernel`: its release. `controllers`: those of cgroup v2. `selinux`: "", "permissive" or "enforcing".
    `limits`: those of the node that systemd containers run into.
    """

    kernel: str
    cgroup_v2: bool
    nsdelegate: bool
    controllers: frozenset[str]
    selinux: str
    selinux_init: bool
    manage_cgroup: bool
    require_nsdelegate: bool = True
    settings: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class Launcher:
    """A launcher or a stub: `missing` are paths in it that do not exist; `runtime` is the real one, of that `version`.

    `is_called`: whether an engine's configuration has it. `instead`: another runtime that exists, "" if there is none.
    """

    path: str
    executable: bool
    missing: tuple[str, ...]
    runtime: str
    name: str
    version: str
    frozen: bool = True
    is_called: bool = True
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """An engine on the node. `written`: handlers in its files that call the wrapper; `handlers`: those of them that are in effect,
    according to `source`; `served`: all handlers of the running engine, None if unknown.

    `is_running`: None if unknown. For containerd: `drivers`: SystemdCgroup of the handlers in effect, by name; `default`: the
    node's default handler; `passed`: the annotations of each; `nri`: whether NRI is on. `stale`: whether its files are newer than
    its process. `problem`: why its files cannot be read.
    """

    engine: str
    title: str
    version: str
    written: Mapping[str, str] = field(default_factory=dict)
    handlers: Mapping[str, str] = field(default_factory=dict)
    drivers: Mapping[str, bool] = field(default_factory=dict)
    passed: Mapping[str, Collection[str]] = field(default_factory=dict)
    nri: bool | None = None
    stale: bool = False
    restart: str = ""
    problem: str = ""
    source: str = "its files were read"
    is_running: bool | None = None
    served: Collection[str] | None = None
    default: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """The command that installs this package, and the one that installs it again."""

    first: str = "make install"
    again: str = "make install"


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts about a node. `plugin`: whether our NRI plugin is connected to an engine. `hooks`: hook files of stage precreate in
    the directories that CRI-O and buildah read."""

    machine: Machine
    launchers: Collection[Launcher] = ()
    engines: Collection[Found] = ()
    plugin: bool = False
    hooks: Collection[str] = ()
    way: Way = Way()


# The kernel, its cgroups and SELinux, and our settings


def _cgroup(facts: Facts) -> Iterator[Finding]:
    if facts.machine.cgroup_v2:
        yield Finding("cgroup", PASS, "cgroup v2 is mounted at /sys/fs/cgroup")
        return
    remedy = "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line"
    yield Finding("cgroup", FAIL, "/sys/fs/cgroup is not cgroup v2: no container can be adjusted", remedy)


def _nsdelegate(facts: Facts) -> Iterator[Finding]:
    if not facts.machine.cgroup_v2:
        return
    if facts.machine.nsdelegate:
        yield Finding("nsdelegate", PASS, "root in a container cannot lift its own limits")
        return
    remedy = "mount -o remount,nsdelegate /sys/fs/cgroup (the default of systemd)"
    if facts.machine.require_nsdelegate:
        remedy += ", or set cgroup.require_nsdelegate = false"
        yield Finding("nsdelegate", FAIL, "cgroup v2 is mounted without nsdelegate, which the settings require", remedy)
        return
    said = "cgroup v2 is mounted without nsdelegate: root in a container can lift its own limits"
    yield Finding("nsdelegate", WARN, said, remedy)


def _controllers(facts: Facts) -> Iterator[Finding]:
    missing = [name for name in LIMITED if name not in facts.machine.controllers]
    if not facts.machine.cgroup_v2:
        return
    if not missing:
        yield Finding("controllers", PASS, f"cgroup v2 has {', '.join(LIMITED)}")
        return
    remedy = "cgroup v1 has taken them: boot with cgroup_no_v1=all"
    yield Finding("controllers", WARN, f"cgroup v2 lacks {', '.join(missing)}: limits have no effect", remedy)


def _kernel(facts: Facts) -> Iterator[Finding]:
    release = facts.machine.kernel
    number = numbers(release)
    if number < (4, 14):  # cgroup.max.descendants
        remedy = "use 5.4 or later (4.14 is the first that can limit the number of cgroups)"
        yield Finding("kernel", FAIL, f"{release} is unsupported", remedy)
    elif number < (5, 4):  # systemd 258, README, requirements
        yield Finding("kernel", WARN, f"{release} is too old for recent systemd", "use 5.4 or later")
    else:
        yield Finding("kernel", PASS, release)


def _limits(facts: Facts) -> Iterator[Finding]:
    yield from limits(facts.machine.limits)


def limits(found: Collection[Limit]) -> Iterator[Finding]:
    """How many more systemd containers fit: a finding for each limit that leaves little room, else one for the tightest."""
    room = {each: max(each.value - each.used, 0) // EACH[each.name] for each in found}
    short = [each for each in found if room[each] < FEW]
    for each in short:
        said = (
            f"{each.name} is {each.value}, and {_used(each)} in use: room for some {room[each]} more systemd containers"
        )
        yield Finding("limits", WARN, said, _raise(each))
    if found and not short:
        first = min(found, key=room.__getitem__)
        said = f"room for some {room[first]} more systemd containers, by {first.name} ({first.value}, {_used(first)} in use)"
        yield Finding("limits", PASS, said)


def _used(limit: Limit) -> str:
    return f"about {limit.used} are" if limit.estimated else f"{limit.used} are"


def _raise(limit: Limit) -> str:
    if limit.name != INSTANCES:
        return f"sysctl -w {limit.name}={2 * limit.value}"
    return f"sysctl -w {limit.name}={max(ENOUGH, 2 * limit.value)}; `oci-systemd install ENGINE --sysctl` keeps it over a reboot"


def _selinux(facts: Facts) -> Iterator[Finding]:
    known = facts.machine
    if not known.selinux:
        return
    if known.selinux_init or known.manage_cgroup or known.selinux == "permissive":
        how = "has container_init_t" if known.selinux_init else "lets containers manage cgroups"
        yield Finding("SELinux", PASS, f"{known.selinux}; the policy {how}")
        return
    remedy = "install container-selinux, or: setsebool -P container_manage_cgroup true"
    yield Finding("SELinux", FAIL, "enforcing, and containers may not write to cgroups", remedy)


def _settings(facts: Facts) -> Iterator[Finding]:
    if not facts.machine.settings:
        yield Finding("settings", PASS, "the settings file is valid, or does not exist")
        return
    remedy = "correct it (oci-systemd config check FILE); until then, every container that looks like systemd fails"
    yield Finding("settings", FAIL, "; ".join(facts.machine.settings), remedy)


# The launchers and the runtimes that they call

# Known faults: runtime, first version, first version without the fault, status, fault, remedy.
KNOWN: tuple[tuple[str, tuple[int, ...], tuple[int, ...], str, str, str], ...] = (
    ("runc", (0,), (1, 0), FAIL, "does not support cgroup v2", "use runc 1.1.12 or later"),
    ("runc", (1, 0), (1, 1, 12), WARN, "lets containers escape (CVE-2024-21626)", "use runc 1.1.12 or later"),
    (
        "runc",
        (1, 4, 0),
        (1, 4, 1),
        WARN,
        "cannot exec into some privileged containers (runc#5089)",
        "use 1.4.1 or later",
    ),
    ("crun", (0,), (1, 0), WARN, "is older than any tested version", "use crun 1.0 or later"),
)


def _launchers(facts: Facts) -> Iterator[Finding]:
    """Check each launcher that is installed, or that an engine calls. None is needed if the plugin is connected."""
    for each in facts.launchers:
        yield from _launcher(each, facts.way.again)
    if not facts.launchers and not facts.plugin:
        yield Finding("wrapper", FAIL, "oci-systemd-runtime is not installed", facts.way.first)


def _launcher(each: Launcher, again: str) -> Iterator[Finding]:
    if not each.executable:
        yield Finding(
            "wrapper", FAIL, f"{each.path}: not found or not executable", f"{again}, or uninstall the handler"
        )
        return
    if each.missing:
        yield Finding("wrapper", FAIL, f"{each.path}: {', '.join(each.missing)} not found", again)
    elif not each.frozen:
        yield Finding(
            "wrapper",
            WARN,
            f"{each.path}: its frozen modules are damaged, or from another Python; calls are slower",
            again,
        )
    elif not each.version and each.instead and not each.is_called:
        said = f"{each.path}; {each.runtime} is not installed: handlers call {each.instead}"
        yield Finding("wrapper", PASS, said)
        return
    else:
        yield Finding("wrapper", PASS, f"{each.path}, in front of {each.runtime}")
    yield _runtime(each, again)


def _runtime(each: Launcher, again: str) -> Finding:
    subject = each.name or "runtime"
    if not each.version:
        return Finding(subject, FAIL, f"{each.runtime}: cannot get its version", f"install runc or crun, then: {again}")
    for name, start, end, status, said, remedy in KNOWN:
        if name == each.name and start <= numbers(each.version) < end:
            return Finding(subject, status, f"{each.runtime} {each.version} {said}", remedy)
    return Finding(subject, PASS, f"{each.runtime} {each.version}")


# The engines

NRI = ("containerd", "crio")  # engines that support NRI


def _engines(facts: Facts) -> Iterator[Finding]:
    """Check whether each engine calls the wrapper, by the configuration in effect. One engine that does is enough: the others give
    no warning."""
    for each in facts.engines:
        yield from _engine(each, plugin=facts.plugin and each.nri is not False and each.engine in NRI)
    if not facts.engines:
        yield Finding("engines", WARN, "containerd, CRI-O, Docker and podman: not found", "install one of them")
    elif not any(each.written or each.handlers or each.problem for each in facts.engines) and not facts.plugin:
        names = " or ".join(dict.fromkeys(each.engine for each in facts.engines))
        yield Finding("engines", WARN, "no engine calls the wrapper", f"oci-systemd install {names}")


def _engine(each: Found, *, plugin: bool) -> Iterator[Finding]:
    name = f"{each.title} {each.version}".rstrip()
    if each.problem:
        yield Finding(each.title, FAIL, each.problem, "correct it: the engine cannot start with it")
        return
    for handler in sorted({*each.written} - {*each.handlers}):
        said = f"handler {handler} is in its files, but not in effect ({each.source})"
        yield Finding(each.title, FAIL, said, _why(each))
    if plugin:
        yield Finding(each.title, PASS, f"{name} supports NRI, and our plugin is connected")
    elif not each.handlers and not each.written:
        yield Finding(each.title, PASS, f"{name} does not use the wrapper: no handler calls it ({each.source})")
    for handler in sorted(each.handlers):
        yield _handler(each, name, handler)
    if each.stale:
        yield Finding(each.title, WARN, "its configuration has changed since it started", each.restart or "restart it")
    if each.nri is not None and not plugin:
        yield Finding(each.title, PASS, f"NRI is {'on' if each.nri else 'off'}; the wrapper does not need it")


WHY = {
    "containerd": "see `containerd config dump`: an import that is not followed, or a later file with the plugin's table",
    "crio": "see `crio config` and `journalctl -u crio`: CRI-O drops a handler with an unknown entry in allowed_annotations",
}


def _why(each: Found) -> str:
    return WHY.get(each.engine, "see its configuration: a later file overrides the handler")


def _handler(each: Found, name: str, handler: str) -> Finding:
    driver, others = each.drivers.get(handler, False), _drivers(each)
    if others and driver not in others:
        remedy = f"set SystemdCgroup = {str(not driver).lower()} in its options: oci-systemd install {each.engine} does"
        return Finding(
            each.title, FAIL, f"handler {handler} and the node's default handler have different cgroup drivers", remedy
        )
    if each.passed and not set(CRUCIAL) <= set(each.passed.get(handler, ())):
        remedy = f"add {' and '.join(CRUCIAL)} to its pod_annotations: oci-systemd install {each.engine} does"
        return Finding(each.title, WARN, f"handler {handler} does not pass on all our annotations", remedy)
    if each.is_running is False:
        start = each.restart.replace(" reload ", " start ").replace(" restart ", " start ") or "start it"
        return Finding(
            each.title, WARN, f"{name} is not running; its files have handler {handler} ({each.source})", start
        )
    if each.served is not None and handler not in each.served:
        remedy = f"{each.restart or 'restart it'}; if that does not help, {_why(each)}"
        return Finding(each.title, FAIL, f"{name} runs without handler {handler}, which its files have", remedy)
    source = "the running engine was asked" if each.served is not None else each.source
    return Finding(each.title, PASS, f"{name} has handler {handler} in effect ({source})")


def _drivers(each: Found) -> set[bool]:
    """Return the right cgroup drivers for our handler: that of the node's default handler, else those of the others."""
    if each.default in each.drivers and each.default not in each.handlers:
        return {each.drivers[each.default]}
    return {driver for other, driver in each.drivers.items() if other not in each.handlers}


def _hooks(facts: Facts) -> Iterator[Finding]:
    for file in facts.hooks:
        said = f"{file}: stage precreate: CRI-O does not start with it, and buildah fails"
        yield Finding(
            "hooks", FAIL, said, "remove it; podman has a separate directory (oci-systemd install podman --hook)"
        )


CHECKS: dict[str, Callable[[Facts], Iterator[Finding]]] = {
    "cgroup": _cgroup,
    "nsdelegate": _nsdelegate,
    "controllers": _controllers,
    "kernel": _kernel,
    "limits": _limits,
    "SELinux": _selinux,
    "settings": _settings,
    "wrapper": _launchers,
    "engines": _engines,
    "hooks": _hooks,
}


def findings(facts: Facts) -> list[Finding]:
    """Return all findings, in the order of the table."""
    return [finding for check in CHECKS.values() for finding in check(facts)]


def numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: (1, 1, 12) for 1.1.12-rc.1+x."""
    found: list[int] = []
    for part in version.lstrip("v").split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        found.append(int(digits))
        if digits != part:
            break
    return tuple(found)
