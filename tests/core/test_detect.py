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


@pytest.mark.parametrize("name_key", ["io.kubernetes.cri.container-name", "io.kubernetes.container.name"])
@pytest.mark.parametrize(("program", "ours", "wanted"), ANNOTATIONS.values(), ids=ANNOTATIONS)
def test_annotation_opts_in_and_out(program: str, ours: dict[str, str], wanted: bool, name_key: str) -> None:
    given = container(args=(program,), annotations={name_key: "main", **ours})
    assert adjusted(given).verdict.wanted is wanted


def test_wrong_annotation_value_is_refused_and_names_the_three() -> None:
    said = refused(container(args=("sleep",), annotations=annotated(wanted="yes")))
    assert all(word in said for word in ("'yes'", '"true"', '"false"', '"auto"'))


@pytest.mark.parametrize("value", [" true", "true\n", "\u2003true", "True", ""])
def test_nearly_right_annotation_value_is_wrong(value: str) -> None:
    assert "it takes" in refused(container(annotations=annotated(wanted=value)))


def test_every_wrong_annotation_is_told_at_once() -> None:
    said = refused(
        container(
            annotations=annotated(cgroup="maybe", tmpfs="run", stop_signal="SIGFOO", machine_id="x", selinux="a b")
        )
    )
    assert [key for key in ("cgroup", "tmpfs", "stop-signal", "machine-id", "selinux") if f"{key} is" not in said] == []


def test_wrong_annotation_of_an_unwanted_container_is_reported_only() -> None:
    adjustment = adjusted(container(args=("sleep",), annotations=annotated(stop_signal="SIGFOO")))
    assert (adjustment.edits, warned(adjustment, "SIGFOO")) == ([], True)


def test_unknown_annotation_is_reported() -> None:
    assert warned(
        adjusted(container(annotations=annotated(tmpsf="/run"))), "there is no annotation io.systemd.container.tmpsf"
    )


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
