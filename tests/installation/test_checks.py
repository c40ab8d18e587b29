"""What each fact of a node means, and that whatever is not a pass says what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from oci_systemd.host.limits import INSTANCES, Limit
from oci_systemd.installation import checks
from oci_systemd.installation.checks import (
    CHECKS,
    FAIL,
    PASS,
    WARN,
    Facts,
    Finding,
    Found,
    Launcher,
    Machine,
    Way,
    numbers,
)

GOOD = Machine(
    kernel="6.12.38+deb13-amd64",
    cgroup_v2=True,
    nsdelegate=True,
    controllers=frozenset({"cpu", "memory", "pids", "io"}),
    selinux="",
    selinux_init=True,
    manage_cgroup=False,
)
LAUNCHER = Launcher("/usr/bin/oci-systemd-runtime", True, (), "/usr/sbin/runc", "runc", "1.3.6")
OURS = {"systemd": "/usr/bin/oci-systemd-runtime"}
CONTAINERD = Found(
    "containerd",
    "containerd",
    "2.1.9",
    written=OURS,
    handlers=OURS,
    drivers={"runc": True, "systemd": True},
    passed={"runc": (), "systemd": tuple(checks.CRUCIAL)},
    nri=True,
    restart="systemctl restart containerd",
)


def statuses(findings: list[Finding], subject: str) -> list[str]:
    return [finding.status for finding in findings if finding.subject == subject]


def machine(**facts: Any) -> list[Finding]:
    """What the checks of a machine find."""
    given = Facts(replace(GOOD, **facts))
    return [finding for name in MACHINE for finding in CHECKS[name](given)]


def launchers(*found: Launcher, plugin: bool = False, way: Way | None = None) -> list[Finding]:
    return list(CHECKS["wrapper"](Facts(GOOD, found, plugin=plugin, way=way or Way())))


def engines(*found: Found, plugin: bool = False) -> list[Finding]:
    return list(CHECKS["engines"](Facts(GOOD, engines=found, plugin=plugin)))


def hooks(*files: str) -> list[Finding]:
    return list(CHECKS["hooks"](Facts(GOOD, hooks=files)))


def test_a_good_node_passes() -> None:
    findings = checks.findings(Facts(GOOD, [LAUNCHER], [CONTAINERD]))
    assert {finding.status for finding in findings} == {PASS}
    assert {finding.subject for finding in findings} >= {
        "cgroup",
        "kernel",
        "settings",
        "wrapper",
        "runc",
        "containerd",
    }


MACHINE = ("cgroup", "nsdelegate", "controllers", "kernel", "limits", "SELinux", "settings")
MACHINES: dict[str, tuple[dict[str, Any], str, str]] = {
    "cgroup v1": ({"cgroup_v2": False}, "cgroup", FAIL),
    "no nsdelegate": ({"nsdelegate": False}, "nsdelegate", FAIL),
    "no nsdelegate, as set": ({"nsdelegate": False, "require_nsdelegate": False}, "nsdelegate", WARN),
    "no memory": ({"controllers": frozenset({"cpu", "pids"})}, "controllers", WARN),
    "kernel that cannot cap": ({"kernel": "4.9.0-19-amd64"}, "kernel", FAIL),
    "old kernel": ({"kernel": "5.3.18"}, "kernel", WARN),
    "SELinux without the type": ({"selinux": "enforcing", "selinux_init": False}, "SELinux", FAIL),
    "the same, permissive": ({"selinux": "permissive", "selinux_init": False}, "SELinux", PASS),
    "the same, with the boolean": (
        {"selinux": "enforcing", "selinux_init": False, "manage_cgroup": True},
        "SELinux",
        PASS,
    ),
    "SELinux": ({"selinux": "enforcing"}, "SELinux", PASS),
    "few inotify instances": ({"limits": (Limit(INSTANCES, 128, 18),)}, "limits", WARN),
    "broken settings": ({"settings": ("settings file /x, line 1: no",)}, "settings", FAIL),
}


@pytest.mark.parametrize(("facts", "subject", "status"), MACHINES.values(), ids=MACHINES)
def test_machine(facts: dict[str, Any], subject: str, status: str) -> None:
    assert statuses(machine(**facts), subject) == [status]


def test_without_cgroup_v2_nothing_else_is_said_of_it() -> None:
    subjects = {finding.subject for finding in machine(cgroup_v2=False)}
    assert not subjects & {"nsdelegate", "controllers"}


LAUNCHERS: dict[str, tuple[dict[str, Any], str, str]] = {
    "not executable": ({"executable": False}, "wrapper", FAIL),
    "a path that is gone": ({"missing": ("/usr/lib/oci-systemd",)}, "wrapper", FAIL),
    "another Python": ({"frozen": False}, "wrapper", WARN),
    "no runtime": ({"version": "", "name": ""}, "runtime", FAIL),
    "runc 1.0": ({"version": "1.0.0-rc95"}, "runc", WARN),
    "runc 0.1": ({"version": "0.1.1"}, "runc", FAIL),
    "runc that lets out": ({"version": "1.1.11"}, "runc", WARN),
    "runc 1.1.12": ({"version": "1.1.12"}, "runc", PASS),
    "runc 1.4.0": ({"version": "1.4.0"}, "runc", WARN),
    "runc 1.4.1": ({"version": "1.4.1"}, "runc", PASS),
    "crun": ({"name": "crun", "version": "1.21"}, "crun", PASS),
    "another one": ({"name": "youki", "version": "0.5"}, "youki", PASS),
}


@pytest.mark.parametrize(("facts", "subject", "status"), LAUNCHERS.values(), ids=LAUNCHERS)
def test_launcher(facts: dict[str, Any], subject: str, status: str) -> None:
    assert statuses(launchers(replace(LAUNCHER, **facts)), subject) == [status]


def test_no_launcher_at_all_fails() -> None:
    assert statuses(launchers(), "wrapper") == [FAIL]


CRUN_ALONE = replace(LAUNCHER, runtime="/usr/bin/runc", name="", version="", instead="/usr/bin/crun", is_called=False)


def test_a_package_with_crun_alone_passes() -> None:
    (found,) = launchers(CRUN_ALONE)
    assert (found.status, "/usr/bin/runc is not installed: handlers call /usr/bin/crun" in found.said) == (PASS, True)
    assert FAIL in {each.status for each in launchers(replace(CRUN_ALONE, is_called=True))}


BROKEN: list[dict[str, Any]] = [
    {"executable": False},
    {"missing": ("/x",)},
    {"frozen": False},
    {"version": "", "name": ""},
]


@pytest.mark.parametrize("facts", BROKEN, ids=str)
def test_remedy_is_of_the_way_it_was_installed(facts: dict[str, Any]) -> None:
    way = Way("apt-get install oci-systemd", "apt-get install --reinstall oci-systemd")
    remedies = [each.remedy for each in launchers(replace(LAUNCHER, **facts), way=way) if each.status != PASS]
    assert remedies
    assert all("apt-get install --reinstall oci-systemd" in each for each in remedies)
    assert [each.remedy for each in launchers(way=way)] == ["apt-get install oci-systemd"]


ENGINES: dict[str, tuple[dict[str, Any], str, str]] = {
    "handler that is not in effect": ({"handlers": {}}, FAIL, "not in effect"),
    "no handler": ({"handlers": {}, "written": {}}, WARN, "no engine calls the wrapper"),
    "a handler that the running engine has dropped": (
        {"engine": "crio", "is_running": True, "served": ("crun",)},
        FAIL,
        "runs without handler systemd",
    ),
    "a stopped engine": (
        {"is_running": False, "restart": "systemctl restart x"},
        WARN,
        "is not running; its files have handler systemd",
    ),
    "the default's driver, not any other's": (
        {"drivers": {"runc": True, "gpu": False, "systemd": True}, "default": "gpu"},
        FAIL,
        "different cgroup drivers",
    ),
    "different cgroup drivers": ({"drivers": {"runc": True, "systemd": False}}, FAIL, "different cgroup drivers"),
    "no driver said": ({"drivers": {"runc": True}}, FAIL, "different cgroup drivers"),
    "annotations that stop": ({"passed": {"systemd": ["io.systemd.*"]}}, WARN, "does not pass on all our annotations"),
    "older process": ({"stale": True}, WARN, "has changed since it started"),
    "files that cannot be read": ({"problem": "/etc/x: invalid TOML"}, FAIL, "invalid TOML"),
}


@pytest.mark.parametrize(("facts", "status", "said"), ENGINES.values(), ids=ENGINES)
def test_engine(facts: dict[str, Any], status: str, said: str) -> None:
    findings = engines(replace(CONTAINERD, **facts))
    assert [finding.status for finding in findings if said in finding.said] == [status]


PLUGIN = {
    "NRI on": ({"nri": True, "handlers": {}, "written": {}}, PASS),
    "NRI not known": ({"nri": None, "handlers": {}, "written": {}}, PASS),
    "NRI off": ({"nri": False, "handlers": {}, "written": {}}, PASS),
    "an engine without NRI": ({"engine": "docker", "nri": None, "handlers": {}, "written": {}}, PASS),
}


@pytest.mark.parametrize(("facts", "status"), PLUGIN.values(), ids=PLUGIN)
def test_engine_with_the_plugin_needs_no_handler(facts: dict[str, Any], status: str) -> None:
    findings = engines(replace(CONTAINERD, **facts), plugin=True)
    assert max(finding.status for finding in findings) == status
    has_nri = facts["nri"] is not False and facts.get("engine") != "docker"
    assert ("our plugin is connected" in findings[0].said) == has_nri


def test_no_launcher_is_needed_where_the_plugin_is() -> None:
    assert launchers(plugin=True) == []


def test_no_engine_is_a_warning() -> None:
    assert statuses(engines(), "engines") == [WARN]


UNUSED = Found("podman", "podman", "5.4.2")


def test_engine_that_is_not_set_up_is_no_warning_beside_one_that_is() -> None:
    assert {finding.status for finding in engines(CONTAINERD, UNUSED)} == {PASS}
    assert [(each.subject, each.remedy) for each in engines(UNUSED) if each.status == WARN] == [
        ("engines", "oci-systemd install podman")
    ]


SOURCES: dict[str, tuple[dict[str, Any], str]] = {
    "as it runs": ({"is_running": True, "served": ("runc", "systemd")}, "the running engine was asked"),
    "its program on its files": ({"source": "asked: containerd config dump"}, "asked: containerd config dump"),
    "we": ({}, "its files were read"),
}


@pytest.mark.parametrize(("facts", "said"), SOURCES.values(), ids=SOURCES)
def test_each_engine_s_line_tells_who_says_so(facts: dict[str, Any], said: str) -> None:
    assert f"has handler systemd in effect ({said})" in engines(replace(CONTAINERD, **facts))[0].said


def test_hook_where_crio_reads_fails() -> None:
    assert statuses(hooks("/etc/containers/oci/hooks.d/x.json"), "hooks") == [FAIL]


def test_whatever_is_no_pass_says_what_to_do() -> None:
    cases = [machine(**facts) for facts, *_ in MACHINES.values()]
    cases += [launchers(replace(LAUNCHER, **facts)) for facts, *_ in LAUNCHERS.values()]
    cases += [engines(replace(CONTAINERD, **facts)) for facts, *_ in ENGINES.values()]
    findings = [finding for found in cases for finding in found]
    assert all(bool(finding.remedy) == (finding.status != PASS) for finding in findings)


NUMBERS = {"1.1.12": (1, 1, 12), "v1.4.0-rc.1": (1, 4, 0), "6.12.38+deb13": (6, 12, 38), "": (), "x": (), "1": (1,)}


@pytest.mark.parametrize(("text", "expected"), NUMBERS.items())
def test_numbers(text: str, expected: tuple[int, ...]) -> None:
    assert numbers(text) == expected
