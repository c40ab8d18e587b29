"""What makes the wrapper work on a node, or not: each check takes facts, which `oci-systemd doctor` gathers, and gives findings.

Law: a finding is a sentence and, where it is not a pass, what to do. `FAIL` is what keeps systemd from booting or from being
stopped, or the engine from starting; `WARN` is what may surprise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from oci_systemd.engines import containerd

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

PASS, WARN, FAIL = "pass", "warn", "fail"
LIMITED = ("cpu", "memory", "pids")  # controllers without which no container has limits
EACH, ENOUGH = 6, 1024  # inotify instances that a systemd takes (5 to 6 were seen), and those that a node should have
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

    `inotify`: how many instances a user may have; root of all containers without a user namespace is one user.
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
    inotify: int = 8192


@dataclass(frozen=True, slots=True)
class Launcher:
    """A launcher or a stub: `missing` are the paths in it that are not there; `runtime` is the real one, of that `version`."""

    path: str
    executable: bool
    missing: tuple[str, ...]
    runtime: str
    name: str
    version: str
    frozen: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """An engine that is there. `written`: the handlers in its files that call us; `handlers`: those of them in effect.

    For containerd: `drivers`: SystemdCgroup of the handlers in effect, by name; `passed`: the annotations of each; `nri`:
    whether it is on. `stale`: whether its files are newer than its process. `problem`: why its files cannot be read.
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


def machine(facts: Machine) -> Iterator[Finding]:
    """The kernel, its cgroups and SELinux, and our settings."""
    yield _cgroup(facts)
    if facts.cgroup_v2:
        yield _nsdelegate(facts)
        yield _controllers(facts)
    yield _kernel(facts.kernel)
    yield _inotify(facts.inotify)
    yield from _selinux(facts)
    yield _settings(facts)


def _cgroup(facts: Machine) -> Finding:
    if facts.cgroup_v2:
        return Finding("cgroup", PASS, "cgroup v2 is mounted at /sys/fs/cgroup")
    remedy = "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line"
    return Finding("cgroup", FAIL, "/sys/fs/cgroup is not cgroup v2: no container can be served", remedy)


def _nsdelegate(facts: Machine) -> Finding:
    if facts.nsdelegate:
        return Finding("nsdelegate", PASS, "root in a container cannot lift its own limits")
    remedy = "mount -o remount,nsdelegate /sys/fs/cgroup (systemd mounts it so)"
    if facts.require_nsdelegate:
        remedy += ", or set cgroup.require_nsdelegate = false"
        return Finding("nsdelegate", FAIL, "cgroup v2 is mounted without it, and the settings require it", remedy)
    return Finding(
        "nsdelegate", WARN, "cgroup v2 is mounted without it: root in a container can lift its limits", remedy
    )


def _controllers(facts: Machine) -> Finding:
    missing = [name for name in LIMITED if name not in facts.controllers]
    if not missing:
        return Finding("controllers", PASS, f"cgroup v2 has {', '.join(LIMITED)}")
    remedy = "keep cgroup v1 from taking them: boot with cgroup_no_v1=all"
    return Finding("controllers", WARN, f"cgroup v2 has no {', '.join(missing)}: limits do not hold", remedy)


def _kernel(release: str) -> Finding:
    number = numbers(release)
    if number < (4, 14):  # cgroup.max.descendants
        return Finding(
            "kernel", FAIL, f"{release} is too old", "4.14 is the first that can cap cgroups; use 5.4 or later"
        )
    if number < (5, 4):  # systemd 258, README, requirements
        return Finding("kernel", WARN, f"{release} is older than new systemd wants", "use 5.4 or later")
    return Finding("kernel", PASS, release)


def _inotify(instances: int) -> Finding:
    many = instances // EACH
    if instances >= ENOUGH:
        return Finding("inotify", PASS, f"{instances} instances are enough for {many} systemd containers")
    remedy = f"sysctl fs.inotify.max_user_instances={ENOUGH}"
    return Finding("inotify", WARN, f"{instances} instances are enough for some {many} systemd containers", remedy)


def _selinux(facts: Machine) -> Iterator[Finding]:
    if not facts.selinux:
        return
    if facts.selinux_init or facts.manage_cgroup or facts.selinux == "permissive":
        how = "has container_init_t" if facts.selinux_init else "lets containers manage cgroups"
        yield Finding("SELinux", PASS, f"{facts.selinux}; the policy {how}")
        return
    remedy = "install container-selinux, or: setsebool -P container_manage_cgroup true"
    yield Finding("SELinux", FAIL, "enforcing, and containers may not write to cgroups", remedy)


def _settings(facts: Machine) -> Finding:
    if not facts.settings:
        return Finding("settings", PASS, "the settings file is right, or there is none")
    remedy = "correct it: a container that looks like systemd fails until then (oci-systemd config check FILE)"
    return Finding("settings", FAIL, "; ".join(facts.settings), remedy)


# The launchers and what is behind them

# What is known of versions: a runtime, from and before which version, how bad, what, and what helps.
KNOWN: tuple[tuple[str, tuple[int, ...], tuple[int, ...], str, str, str], ...] = (
    ("runc", (0,), (1, 0), FAIL, "does not know cgroup v2", "use runc 1.1.12 or later"),
    ("runc", (1, 0), (1, 1, 12), WARN, "lets containers out (CVE-2024-21626)", "use runc 1.1.12 or later"),
    (
        "runc",
        (1, 4, 0),
        (1, 4, 1),
        WARN,
        "cannot exec into some privileged containers (runc#5089)",
        "use 1.4.1 or later",
    ),
    ("crun", (0,), (1, 0), WARN, "is older than what is tested with", "use crun 1.0 or later"),
)


def launchers(found: Iterable[Launcher], *, plugin: bool = False) -> Iterator[Finding]:
    """Whether each launcher that is installed, or named by an engine, can do its work; none is needed where the plugin is."""
    seen = False
    for each in found:
        seen = True
        yield from _launcher(each)
    if not seen and not plugin:
        yield Finding("wrapper", FAIL, "oci-systemd-runtime is not installed", "make install")


def _launcher(each: Launcher) -> Iterator[Finding]:
    if not each.executable:
        yield Finding(
            "wrapper", FAIL, f"{each.path} is not there or not executable", "make install, or uninstall the handler"
        )
        return
    if each.missing:
        yield Finding("wrapper", FAIL, f"{each.path} names {', '.join(each.missing)}, not there", "make install again")
    elif not each.frozen:
        yield Finding(
            "wrapper",
            WARN,
            f"{each.path}: its frozen modules are damaged or of another Python; calls are slower",
            "make install again",
        )
    else:
        yield Finding("wrapper", PASS, f"{each.path}, in front of {each.runtime}")
    yield _runtime(each)


def _runtime(each: Launcher) -> Finding:
    subject = each.name or "runtime"
    if not each.version:
        return Finding(
            subject, FAIL, f"{each.runtime} does not tell its version", "install runc or crun, and make install again"
        )
    for name, start, end, status, said, remedy in KNOWN:
        if name == each.name and start <= numbers(each.version) < end:
            return Finding(subject, status, f"{each.runtime} {each.version} {said}", remedy)
    return Finding(subject, PASS, f"{each.runtime} {each.version}")


# The engines

NRI = ("containerd", "crio")  # who has it


def engines(found: Iterable[Found], *, plugin: bool = False) -> Iterator[Finding]:
    """Whether each engine calls us, as its configuration is in effect. `plugin`: whether our NRI plugin is connected to one."""
    seen = False
    for each in found:
        seen = True
        yield from _engine(each, plugin=plugin and each.nri is not False and each.engine in NRI)
    if not seen:
        yield Finding("engines", WARN, "no containerd, CRI-O, Docker or podman is found", "install one")


def _engine(each: Found, *, plugin: bool) -> Iterator[Finding]:
    name = f"{each.title} {each.version}".rstrip()
    if each.problem:
        yield Finding(each.title, FAIL, each.problem, "correct it: the engine will not start with it")
        return
    for handler in sorted({*each.written} - {*each.handlers}):
        yield Finding(each.title, FAIL, f"its files have handler {handler}, but it is not in effect", _why(each))
    if plugin:
        yield Finding(each.title, PASS, f"{name} has NRI, and a plugin of ours is connected")
    elif not each.handlers and not each.written:
        yield Finding(each.title, WARN, f"{name} does not know the wrapper", f"oci-systemd install {each.engine}")
    for handler in sorted(each.handlers):
        yield _handler(each, name, handler)
    if each.stale:
        yield Finding(each.title, WARN, "its configuration is newer than its process", each.restart or "restart it")
    if each.nri is not None and not plugin:
        yield Finding(each.title, PASS, f"NRI is {'on' if each.nri else 'off'}; the wrapper needs none")


def _why(each: Found) -> str:
    return {
        "containerd": "see `containerd config dump`: an import that is not followed, or a later file with the plugin's table",
    }.get(each.engine, "a later file has other values: see its configuration")


def _handler(each: Found, name: str, handler: str) -> Finding:
    others = {driver for other, driver in each.drivers.items() if other not in each.handlers}
    driver = each.drivers.get(handler, False)
    if others and driver not in others:
        remedy = f"set SystemdCgroup = {str(not driver).lower()} in its options: oci-systemd install {each.engine} does"
        return Finding(each.title, FAIL, f"handler {handler} has another cgroup driver than the node's others", remedy)
    if each.passed and not set(CRUCIAL) <= set(each.passed.get(handler, ())):
        remedy = f"add {' and '.join(CRUCIAL)} to its pod_annotations: oci-systemd install {each.engine} does"
        return Finding(each.title, WARN, f"handler {handler} does not pass all annotations of ours on", remedy)
    return Finding(each.title, PASS, f"{name} has handler {handler}")


def hooks(files: Iterable[str]) -> Iterator[Finding]:
    """`files`: hook files of stage precreate in the directories that CRI-O and buildah read."""
    for file in files:
        said = f"{file} has the stage precreate: CRI-O does not start with it, and buildah stops"
        yield Finding(
            "hooks", FAIL, said, "remove it; podman reads a directory of its own (oci-systemd install podman --hook)"
        )


def numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: 1.1.12-rc.1+x is (1, 1, 12)."""
    found: list[int] = []
    for part in version.lstrip("v").split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        found.append(int(digits))
        if digits != part:
            break
    return tuple(found)
