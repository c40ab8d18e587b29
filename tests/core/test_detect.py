"""Which containers are wanted, and why."""

from __future__ import annotations

import pytest

from oci_systemd.core.host import CONTENT, ELF, Root
from oci_systemd.core.settings import Settings
from tests.core.build import adjusted, annotated, container, refused, warned

COMMANDS = {
    "sbin init": (("/sbin/init",), True),
    "usr sbin init": (("/usr/sbin/init",), True),
    "local init": (("/usr/local/sbin/init",), True),
    "usr bin init": (("/usr/bin/init",), True),
    "bin init": (("/bin/init",), True),
    "systemd": (("/lib/systemd/systemd", "--system"), True),
    "usr systemd": (("/usr/lib/systemd/systemd",), True),
    "systemd elsewhere": (("/nix/store/x/bin/systemd",), True),
    "bare systemd": (("systemd",), True),
    "unclean": (("/sbin/./../sbin//init/",), True),
    "shell": (("/bin/sh", "-c", "/sbin/init"), True),
    "shell exec": (("bash", "-c", "  exec /sbin/init --log-level=debug"), True),
    "shell quoted": (("/bin/dash", "-c", 'exec "/lib/systemd/systemd" --system'), True),
    "shell and more": (("/bin/sh", "-c", "/sbin/init; sleep 1"), True),
    "shell with another first": (("/bin/sh", "-c", "echo /sbin/init"), False),
    "shell without -c": (("/bin/sh", "/sbin/init"), False),
    "other shell": (("/bin/fish", "-c", "/sbin/init"), False),
    "bare init": (("init",), False),
    "s6 init": (("/init",), False),
    "tini": (("/sbin/tini", "--", "/sbin/init"), False),
    "docker-init": (("/sbin/docker-init", "--", "/sbin/init"), False),
    "systemd's tools": (("/usr/bin/systemd-nspawn",), False),
    "argument only": (("sleep", "systemd"), False),
    "nothing": ((), False),
    "empty": (("",), False),
}


@pytest.mark.parametrize(("args", "wanted"), COMMANDS.values(), ids=COMMANDS)
def test_command_decides(args: tuple[str, ...], wanted: bool) -> None:
    assert adjusted(container(args=args)).verdict.wanted is wanted


@pytest.mark.parametrize(
    "key",
    [
        "io.kubernetes.cri.container-type=sandbox",
        "io.kubernetes.cri-o.ContainerType=sandbox",
        "io.kubernetes.docker.type=podsandbox",
    ],
)
def test_sandbox_is_never_wanted_whatever_else_it_says(key: str) -> None:
    name, value = key.split("=")
    for ours in ("true", "nonsense"):
        given = container(annotations={name: value, **annotated(wanted=ours, cgroup="rw", tmpfs="bad")})
        adjustment = adjusted(given)
        assert (adjustment.verdict.wanted, adjustment.edits, adjustment.warnings) == (False, [], [])


ANNOTATIONS = {
    "true": ("sleep", {"io.systemd.container": "true"}, True),
    "false": ("/sbin/init", {"io.systemd.container": "false"}, False),
    "auto on": ("/sbin/init", {"io.systemd.container": "auto"}, True),
    "auto off": ("sleep", {"io.systemd.container": "auto"}, False),
    "own true over false": ("sleep", {"io.systemd.container": "false", "io.systemd.container/main": "true"}, True),
    "own false over true": (
        "/sbin/init",
        {"io.systemd.container": "true", "io.systemd.container/main": "false"},
        False,
    ),
    "another's": ("sleep", {"io.systemd.container/other": "true"}, False),
}


NAMED_MAIN = {
    "containerd": {"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.container-name": "main"},
    "CRI-O": {"io.kubernetes.cri-o.ContainerType": "container", "io.kubernetes.container.name": "main"},
    "another engine": {"io.kubernetes.container.name": "main"},
}


@pytest.mark.parametrize("named", NAMED_MAIN.values(), ids=NAMED_MAIN)
@pytest.mark.parametrize(("program", "ours", "wanted"), ANNOTATIONS.values(), ids=ANNOTATIONS)
def test_annotation_opts_in_and_out(program: str, ours: dict[str, str], wanted: bool, named: dict[str, str]) -> None:
    given = container(args=(program,), annotations={**named, **ours})
    assert adjusted(given).verdict.wanted is wanted


def test_wrong_annotation_value_is_refused_and_names_the_three() -> None:
    said = refused(container(args=("sleep",), annotations=annotated(wanted="yes")))
    assert all(word in said for word in ("'yes'", '"true"', '"false"', '"auto"'))


@pytest.mark.parametrize("value", [" true", "true\n", "\u2003true", "True", ""])
def test_nearly_right_annotation_value_is_wrong(value: str) -> None:
    assert "invalid value" in refused(container(annotations=annotated(wanted=value)))


def test_every_wrong_annotation_is_told_at_once() -> None:
    said = refused(
        container(
            annotations=annotated(cgroup="maybe", tmpfs="run", stop_signal="SIGFOO", machine_id="x", selinux="a b")
        )
    )
    assert [
        key
        for key in ("cgroup", "tmpfs", "stop-signal", "machine-id", "selinux")
        if f"{key}: invalid value" not in said
    ] == []


def test_wrong_annotation_of_an_unwanted_container_is_reported_only() -> None:
    adjustment = adjusted(container(args=("sleep",), annotations=annotated(stop_signal="SIGFOO")))
    assert (adjustment.edits, warned(adjustment, "SIGFOO")) == ([], True)


NEAR = {
    "letters swapped": ("io.systemd.container.tmpsf", "; did you mean io.systemd.container.tmpfs?"),
    "a dash less": ("io.systemd.container.machineid", "; did you mean io.systemd.container.machine-id?"),
    "a letter more": ("io.systemd.container.cgroups", "; did you mean io.systemd.container.cgroup?"),
    "upper case": ("io.systemd.container.SELinux", "; did you mean io.systemd.container.selinux?"),
    "for one container": ("io.systemd.container.consle/main", "; did you mean io.systemd.container.console?"),
    "another word": ("io.systemd.container.hostname", ""),
    "one letter": ("io.systemd.container.x", "; did you mean io.systemd.container?"),
    "long": ("io.systemd.container." + "x" * 300, ""),
}


@pytest.mark.parametrize(("name", "hint"), NEAR.values(), ids=NEAR)
def test_unknown_annotation_is_reported_with_the_one_that_it_resembles(name: str, hint: str) -> None:
    adjustment = adjusted(container(annotations={name: "/run"}))
    assert f"unknown annotation {name}{hint}" in adjustment.warnings


@pytest.mark.parametrize(
    "namespaces", [{"cgroup": ""}, {"cgroup": "", "pid": "/proc/1/ns/pid"}], ids=["none", "joined"]
)
def test_without_a_private_pid_namespace_nothing_is_wanted(namespaces: dict[str, str]) -> None:
    adjustment = adjusted(container(namespaces=namespaces))
    assert (adjustment.edits, warned(adjustment, "PID namespace")) == ([], True)
    assert adjusted(container(namespaces=namespaces, args=("sleep",))).warnings == []
    assert "PID namespace" in refused(container(namespaces=namespaces, annotations=annotated(wanted="true")))


PROGRAMS = {
    "busybox": (Root({"/sbin/init": "/bin/busybox"}, {"/bin/busybox": ELF}), False),
    "busybox through a linked directory": (
        Root({"/sbin": "usr/bin", "/usr/bin/init": "busybox"}, {"/usr/bin/busybox": ELF}),
        False,
    ),
    "sysvinit": (Root({}, {"/sbin/init": ELF}), False),
    "systemd": (Root({"/sbin/init": "/lib/systemd/systemd"}, {"/lib/systemd/systemd": ELF}), True),
    "script": (Root({}, {"/sbin/init": CONTENT}), True),
    "not there": (Root({}, {}), True),
    "not seen": (None, True),
}


@pytest.mark.parametrize(("root", "wanted"), PROGRAMS.values(), ids=PROGRAMS)
def test_init_that_is_another_program_is_not_wanted_and_reported(root: Root | None, wanted: bool) -> None:
    adjustment = adjusted(container(), root=root)
    assert adjustment.verdict.wanted is wanted
    assert warned(adjustment, "not systemd") is not wanted
    assert adjusted(container(annotations=annotated(wanted="true")), root=root).verdict.wanted


def test_init_below_a_mount_cannot_be_resolved_and_is_trusted() -> None:
    from tests.core.build import bind

    assert adjusted(container(mounts=(bind("/sbin"),)), root=Root({}, {"/sbin/init": ELF})).verdict.wanted


@pytest.mark.parametrize("program", ["/opt/start", "start", "/opt/./start"])
def test_setting_names_more_commands(program: str) -> None:
    settings = Settings({"detect.commands": ["/opt/start", "start"]})
    assert not adjusted(container(args=(program,))).verdict.wanted
    assert adjusted(container(args=(program,)), settings).verdict.wanted


def test_broken_settings_fail_only_what_is_wanted_or_asks() -> None:
    from oci_systemd.core.errors import SettingsError

    broken = Settings(problem=SettingsError("settings file x, line 3: wrong"))
    assert "line 3" in refused(container(), broken)
    assert "line 3" in refused(container(args=("sleep",), annotations=annotated(cgroup="rw")), broken)
    assert refused(container(args=("sleep",)), broken) == ""


# --- relative commands ---

RELATIVE = {
    "an application's own": (("bin/init",), "/app", False),
    "of the root": (("bin/init",), "/", True),
    "with a dot": (("./init",), "/sbin", True),
    "up and down": (("../bin/init",), "/usr/lib", True),
    "systemd, wherever": (("x/systemd",), "/app", True),
    "a folder": (("init/",), "/sbin", False),
    "a bare word": (("init",), "/sbin", False),
    "not known from where": (("bin/init",), "", False),
    "in a script": (("sh", "-c", "exec bin/init"), "/app", False),
    "in a script of the root": (("sh", "-c", "exec sbin/init"), "/", True),
    "of a setting": (("bin/boot",), "/opt", True),
    "not of a setting": (("bin/boot",), "/srv", False),
}


@pytest.mark.parametrize(("args", "cwd", "wanted"), RELATIVE.values(), ids=RELATIVE)
def test_relative_command_is_taken_from_the_working_directory(args: tuple[str, ...], cwd: str, wanted: bool) -> None:
    settings = Settings({"detect.commands": ["/opt/bin/boot"]})
    assert adjusted(container(args=args, cwd=cwd), settings).verdict.wanted is wanted


# --- shells ---

SCRIPTS = {
    "sh": (("/bin/sh", "-c", "exec /sbin/init"), True),
    "ash": (("/bin/ash", "-c", "exec /sbin/init"), True),
    "joined": (("bash", "-lc", "exec /sbin/init"), True),
    "an option before": (("sh", "-e", "-c", "exec /sbin/init"), True),
    "options with a value": (("bash", "-euo", "pipefail", "-c", "exec /sbin/init"), True),
    "an option with a plus": (("bash", "+o", "history", "-c", "exec /sbin/init"), True),
    "a long option": (("bash", "--login", "-c", "exec /sbin/init"), True),
    "a long option with a value": (("bash", "--rcfile", "/etc/rc", "-c", "exec /sbin/init"), True),
    "options behind": (("sh", "-c", "-e", "exec /sbin/init"), True),
    "the end of options": (("sh", "-c", "--", "exec /sbin/init"), True),
    "words for the script": (("sh", "-c", "exec /sbin/init", "-c", "sleep"), True),
    "no -c": (("sh", "/sbin/init"), False),
    "a file that is run": (("sh", "-e", "/sbin/init", "-c"), False),
    "another script": (("sh", "-ec", "sleep 1"), False),
    "no script": (("sh", "-c"), False),
    "-c as a value": (("bash", "-o", "-c", "/sbin/init"), False),
    "another program": (("env", "-c", "exec /sbin/init"), False),
}


@pytest.mark.parametrize(("args", "wanted"), SCRIPTS.values(), ids=SCRIPTS)
def test_script_of_a_shell_is_found_behind_its_options(args: tuple[str, ...], wanted: bool) -> None:
    assert adjusted(container(args=args)).verdict.wanted is wanted


@pytest.mark.parametrize(
    ("script", "told"), [("/sbin/init", True), ("  /lib/systemd/systemd --x", True), ("exec /sbin/init", False)]
)
def test_script_without_exec_is_reported(script: str, told: bool) -> None:
    adjustment = adjusted(container(args=("/bin/sh", "-c", script)))
    assert adjustment.verdict.wanted
    assert any("without exec" in warning for warning in adjustment.warnings) is told
