"""What a wanted container gets, rule by rule."""

from __future__ import annotations

import pytest

from oci_systemd import __version__
from oci_systemd.core.container import Mount
from oci_systemd.core.edits import (
    AddMount,
    RemoveDevice,
    SetAnnotation,
    SetApparmorProfile,
    SetMountOptions,
    SetSelinuxLabel,
    SetUnified,
)
from oci_systemd.core.host import ABSENT, BLANK, CONTENT, Root
from oci_systemd.core.settings import Settings
from tests.core.build import (
    CGROUP,
    DEBIAN,
    ID,
    POD_UID,
    adjusted,
    annotated,
    bind,
    container,
    destinations,
    env_set,
    of_kind,
    refused,
    warned,
)

# --- cgroup ---

FLIPS = {
    "ro": (("nosuid", "ro"), ("nosuid", "rw")),
    "rro": (("rro", "nosuid"), ("rw", "nosuid")),
    "both": (("ro", "rw", "rro"), ("rw", "rw", "rw")),
    "rw": (("rw",), None),
    "neither": (("nosuid",), None),
}


@pytest.mark.parametrize("type", ["cgroup", "cgroup2"])
@pytest.mark.parametrize(("options", "expected"), FLIPS.values(), ids=FLIPS)
def test_cgroup_mount_becomes_writable_in_place(
    type: str, options: tuple[str, ...], expected: tuple[str, ...] | None
) -> None:
    adjustment = adjusted(container(cgroup=Mount("/sys/fs/cgroup/", type, "cgroup", options)))
    assert [edit.options for edit in of_kind(adjustment, SetMountOptions)] == ([expected] if expected else [])
    assert [(edit.key, edit.value) for edit in of_kind(adjustment, SetUnified)] == [("cgroup.max.descendants", "1000")]


OBSTACLES: dict[str, tuple[dict[str, object], dict[str, bool], str]] = {
    "v1 host": ({}, {"cgroup_v2": False}, "not cgroup v2"),
    "no nsdelegate": ({}, {"nsdelegate": False}, "nsdelegate"),
    "no cgroup namespace": ({"namespaces": {"pid": ""}}, {}, "private cgroup namespace"),
    "joined cgroup namespace": (
        {"namespaces": {"pid": "", "cgroup": "/proc/1/ns/cgroup"}},
        {},
        "private cgroup namespace",
    ),
    "no cgroup of its own": ({"own_cgroup": False}, {}, "no cgroup of its own"),
    "no mount": ({"cgroup": None}, {}, "no mount at /sys/fs/cgroup"),
    "read-only bind": ({"cgroup": bind("/sys/fs/cgroup", "ro")}, {}, "read-only bind mount"),
    "read-only bind in disguise": (
        {"cgroup": Mount("/sys/fs/cgroup", "cgroup", "/sys/fs/cgroup", ("rbind", "ro"))},
        {},
        "bind mount",
    ),
    "bind over it": ({"mounts": (bind("/sys/fs/cgroup", "ro"),)}, {}, "bind mount"),
    "hidden by a later mount above": ({"mounts": (bind("/sys/fs"),)}, {}, "no mount at /sys/fs/cgroup"),
}


@pytest.mark.parametrize(("changes", "host", "said"), OBSTACLES.values(), ids=OBSTACLES)
def test_obstacle_leaves_alone_what_looks_like_systemd_and_refuses_what_asks(
    changes: dict, host: dict, said: str
) -> None:
    adjustment = adjusted(container(**changes), **host)
    assert (adjustment.edits, adjustment.verdict.wanted, warned(adjustment, said)) == ([], False, True)
    assert said in refused(container(**changes, annotations=annotated(wanted="true")), **host)
    assert said in refused(container(**changes, args=("sleep",), annotations=annotated(cgroup="rw")), **host)


def test_setting_serves_without_nsdelegate() -> None:
    settings = Settings({"cgroup.require_nsdelegate": False})
    assert of_kind(adjusted(container(), settings, nsdelegate=False), SetMountOptions)


def test_writable_bind_is_never_touched_and_all_else_is_done() -> None:
    adjustment = adjusted(container(cgroup=bind("/sys/fs/cgroup"), namespaces={"pid": ""}))
    assert of_kind(adjustment, SetMountOptions) == []
    assert of_kind(adjustment, SetUnified) == []
    assert of_kind(adjustment, AddMount)


LIMITS = {
    "zero means unlimited": (Settings({"cgroup.max_descendants": 0}), {}, []),
    "other": (Settings({"cgroup.max_descendants": 50}), {}, ["50"]),
    "the container's own is unchanged": (Settings(), {"unified": {"cgroup.max.descendants": "7"}}, []),
    "no namespace": (
        Settings(),
        {"namespaces": {"pid": ""}, "cgroup": Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("rw",))},
        [],
    ),
}


@pytest.mark.parametrize(("settings", "changes", "values"), LIMITS.values(), ids=LIMITS)
def test_descendants_are_limited_where_it_can_be(settings: Settings, changes: dict, values: list[str]) -> None:
    assert [edit.value for edit in of_kind(adjusted(container(**changes), settings), SetUnified)] == values


def test_annotation_rw_of_an_unwanted_container_changes_the_cgroup_alone() -> None:
    adjustment = adjusted(container(args=("sleep",), annotations=annotated(cgroup="rw")))
    assert [type(edit) for edit in adjustment.edits] == [SetMountOptions, SetUnified]
    assert not adjustment.verdict.wanted


def test_annotation_rw_of_an_unwanted_container_can_be_disallowed() -> None:
    closed = Settings({"security.allow": []})
    assert "security.allow" in refused(container(args=("sleep",), annotations=annotated(cgroup="rw")), closed)
    assert refused(container(annotations=annotated(cgroup="rw")), closed) == ""


def test_annotation_ro_leaves_the_cgroup_alone_and_is_reported() -> None:
    adjustment = adjusted(container(annotations=annotated(cgroup="ro")), cgroup_v2=False)
    assert of_kind(adjustment, SetMountOptions) == []
    assert of_kind(adjustment, AddMount)
    assert warned(adjustment, "will not boot")


# --- tmpfs ---

BASE = ["/proc", "/dev", "/dev/shm", "/sys", "/sys/fs/cgroup"]
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
REST = ["/tmp", "/var/log/journal"]
# mounts of the container after the usual ones, and the destinations expected in their place: root seen, root unseen
ORDER = {
    "nothing": ((), ["/run", "/run/lock", *REST], None),
    "token": ((bind(TOKEN),), ["/run", "/run/lock", TOKEN, *REST], None),
    "run last": ((bind("/etc/hosts"), bind("/run")), ["/etc/hosts", "/run", "/run/lock", *REST], None),
    "run and below": ((bind("/run/secrets"), bind("/run")), ["/run/secrets", "/run", "/run/lock", *REST], None),
    "run lock": ((bind("/run/lock"),), ["/run", "/run/lock", *REST], None),
    "run lock first, run after": ((bind("/run/lock"), bind("/run")), ["/run/lock", "/run", "/run/lock", *REST], None),
    "var run": (
        (bind("/var/run"),),
        ["/var/run", "/run/lock", *REST],
        ["/run", "/var/run", "/var/run/lock", "/run/lock", *REST],
    ),
    "var run and token": (
        (bind("/var/run"), bind(TOKEN)),
        ["/var/run", "/run/lock", TOKEN, *REST],
        ["/run", "/var/run", "/var/run/lock", "/run/lock", TOKEN, *REST],
    ),
    "var": ((bind("/var"),), ["/var", "/var/log/journal", "/run", "/run/lock", "/tmp"], None),
    "var after a token": (
        (bind(TOKEN), bind("/var")),
        ["/run", "/run/lock", TOKEN, "/var", "/var/log/journal", "/tmp"],
        None,
    ),
    "tmp below": ((bind("/tmp/x11"),), ["/tmp", "/tmp/x11", "/run", "/run/lock", "/var/log/journal"], None),
    "trailing slash": ((bind("/run/"), bind("//tmp/.")), ["/run", "/run/lock", "/tmp", "/var/log/journal"], None),
    "journal": ((bind("/var/log/journal"),), ["/var/log/journal", "/run", "/run/lock", "/tmp"], None),
}


@pytest.mark.parametrize(("mounts", "seen", "unseen"), ORDER.values(), ids=ORDER)
def test_tmpfs_is_placed_so_that_nothing_visible_is_hidden(
    mounts: tuple[Mount, ...], seen: list[str], unseen: list[str] | None
) -> None:
    given = container(mounts=mounts)
    assert destinations(given, adjusted(given)) == [*BASE, *seen]
    assert destinations(given, adjusted(given, root=None)) == [*BASE, *(unseen or seen)]


def test_tmpfs_below_a_mount_that_hides_the_image_s_link_is_not_followed() -> None:
    given = container(mounts=(bind("/var"), bind("/var/run/x")))
    assert destinations(given, adjusted(given))[-4:] == ["/var/run/x", "/run", "/run/lock", "/tmp"]


OPTIONS = {
    "default": ({}, "/run", "rw,rprivate,nosuid,nodev,mode=755"),
    "lock": ({}, "/run/lock", "rw,rprivate,nosuid,nodev,mode=1777"),
    "tmp": ({}, "/tmp", "rw,rprivate,nosuid,nodev,mode=1777"),
    "journal": ({}, "/var/log/journal", "rw,rprivate,nosuid,nodev,mode=755"),
    "size": ({"tmpfs.size": "64m"}, "/run", "rw,rprivate,nosuid,nodev,mode=755,size=64m"),
    "copied up": (
        {"tmpfs.size": "10%", "tmpfs.copy_up": True},
        "/tmp",
        "rw,rprivate,nosuid,nodev,mode=1777,size=10%,tmpcopyup",
    ),
}


@pytest.mark.parametrize(("values", "path", "options"), OPTIONS.values(), ids=OPTIONS)
def test_tmpfs_options(values: dict[str, object], path: str, options: str) -> None:
    added = {edit.mount.destination: edit.mount for edit in of_kind(adjusted(container(), Settings(values)), AddMount)}
    assert (added[path].type, added[path].source, ",".join(added[path].options)) == ("tmpfs", "tmpfs", options)


def test_annotation_lists_the_tmpfs_in_place_of_the_setting() -> None:
    given = container(annotations=annotated(tmpfs=" /run , /data/tmp,/run/,/data"))
    added = [(edit.mount.destination, edit.mount.options[-1]) for edit in of_kind(adjusted(given), AddMount)]
    assert added == [("/data", "mode=755"), ("/data/tmp", "mode=1777"), ("/run", "mode=755")]
    assert destinations(given, adjusted(given))[-3:] == ["/data", "/data/tmp", "/run"]


def test_twin_of_run_lock_follows_the_mount_at_var_run_whatever_comes_later() -> None:
    given = container(mounts=(bind("/run/lock"), bind("/var/run"), bind("/var")))
    order = destinations(given, adjusted(given, root=None))
    assert order[order.index("/var/run") + 1] == "/var/run/lock"


def test_tmpfs_above_another_is_placed_first() -> None:
    """The link at /var/log/journal is hidden by the tmpfs on /var, so that the mount there lies below the one on /var/log."""
    given = container(mounts=(bind("/var/log/journal"),), annotations=annotated(tmpfs="/var/log,/var"))
    adjustment = adjusted(given, root=Root({"/var/log/journal": "../run"}, {}))
    assert destinations(given, adjustment)[-3:] == ["/var", "/var/log", "/var/log/journal"]


def test_annotation_none_mounts_nothing_and_what_systemd_misses_is_reported() -> None:
    adjustment = adjusted(container(annotations=annotated(tmpfs="none")))
    assert of_kind(adjustment, AddMount) == []
    assert warned(adjustment, "nothing is mounted at /run")


def test_missing_shm_and_another_user_are_reported() -> None:
    mounts = tuple(mount for mount in container().mounts if mount.destination != "/dev/shm")
    adjustment = adjusted(
        container().__class__(
            args=("/sbin/init",), id=ID, namespaces={"pid": "", "cgroup": ""}, mounts=mounts, uid=1000
        )
    )
    assert warned(adjustment, "/dev/shm")
    assert warned(adjustment, "1000")


ALL = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID")


@pytest.mark.parametrize(
    ("granted", "reported"),
    [
        (None, []),
        (ALL, []),
        ((*ALL, "CAP_KILL"), []),
        ([each for each in ALL if each != "CAP_SETUID"], ["CAP_SETUID is missing: units with User= fail"]),
        ([each for each in ALL if each != "CAP_SETPCAP"], ["CAP_SETPCAP is missing: journald and logind fail"]),
        ([], ["CAP_SETGID and CAP_SETUID are", "CAP_CHOWN and CAP_FOWNER are", "CAP_DAC_OVERRIDE is"]),
        (
            ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],  # runc spec
            ["CAP_SETGID and CAP_SETUID are", "CAP_SETPCAP is", "CAP_CHOWN and CAP_FOWNER are", "CAP_DAC_OVERRIDE is"],
        ),
    ],
    ids=["unseen", "all", "more", "one", "another", "none", "runc spec"],
)
def test_missing_capabilities_are_reported(granted: list[str] | None, reported: list[str]) -> None:
    warnings = adjusted(container(capabilities=granted)).warnings
    assert [words for words, warning in zip(reported, warnings, strict=True) if warning.startswith(words)] == reported


@pytest.mark.parametrize(
    "value",
    [
        "",
        "run",
        "/run,",
        "/",
        "/run/..",
        "/proc",
        "/proc/sys",
        "/sys/fs",
        "/dev/shm",
        "/x/../sys",
        "/a\0",
        "/" + "x" * 5000,
        ",".join(["/a"] * 65),
    ],
)
def test_forbidden_tmpfs_is_refused(value: str) -> None:
    assert "tmpfs" in refused(container(annotations=annotated(tmpfs=value)))


def test_tmpfs_that_a_link_leads_to_a_forbidden_place_is_refused() -> None:
    root = Root({"/data": "srv", "/srv": "/proc/sys"}, {})
    assert "/proc/sys" in refused(container(annotations=annotated(tmpfs="/data/x")), root=root)
    assert "setting tmpfs.paths" in refused(container(), Settings({"tmpfs.paths": ["/run", "/data"]}), root=root)


# --- environment and machine-id ---


CONTAINER_VARIABLES = {
    "none": ((), "other"),
    "empty": (("container=",), "other"),
    "its own": (("container=podman",), None),
    "ours": (("container=other",), None),
    "two": (("container=docker", "A=b", "container=oci"), "oci"),
    "an empty one and its own": (("container=", "container=oci"), "oci"),
    "its own and an empty one": (("container=oci", "container="), "oci"),
}


@pytest.mark.parametrize(("env", "expected"), CONTAINER_VARIABLES.values(), ids=CONTAINER_VARIABLES)
def test_container_variable_of_the_container_stays(env: tuple[str, ...], expected: str | None) -> None:
    assert env_set(adjusted(container(env=env))).get("container") == expected
    set_by_owner = env_set(adjusted(container(env=env), Settings({"env.container": "kubernetes"}))).get("container")
    assert set_by_owner == ("kubernetes" if expected == "other" else expected)


KUBERNETES = {
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.container-name": "main",
    "io.kubernetes.cri.sandbox-uid": POD_UID,
}


def uuid5(namespace: str, name: str) -> str:
    import uuid

    return uuid.uuid5(uuid.UUID(namespace), name).hex


OID = "6ba7b812-9dad-11d1-80b4-00c04fd430c8"
NAMED = {
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.container-name": "main",
    "io.kubernetes.cri.sandbox-name": "web-0",
    "io.kubernetes.cri.sandbox-namespace": "shop",
}
IDS = {
    "hex": (ID, {}, {}, ID[:32]),
    "upper case": (ID.upper(), {}, {}, ID[:32]),
    "exactly 32": ("a" * 32, {}, {}, "a" * 32),
    "short": ("abc", {}, {}, uuid5(OID, "abc")),
    "words": ("my-container-with-a-name-that-is-long", {}, {}, uuid5(OID, "my-container-with-a-name-that-is-long")),
    "dashes are not digits": ("-" * 40, {}, {}, uuid5(OID, "-" * 40)),
    "words in a pod": ("web", KUBERNETES, {}, uuid5(POD_UID, "main")),
    "all zero": ("0" * 64, {}, {}, uuid5(OID, "0" * 64)),
    "pod asked by annotation": (ID, {**KUBERNETES, **annotated(machine_id="pod")}, {}, uuid5(POD_UID, "main")),
    "pod asked by setting": (ID, KUBERNETES, {"machine_id.source": "pod"}, uuid5(POD_UID, "main")),
    "name asked by annotation": (ID, {**NAMED, **annotated(machine_id="name")}, {}, uuid5(OID, "shop/web-0/main")),
    "name asked by setting": (ID, NAMED, {"machine_id.source": "name"}, uuid5(OID, "shop/web-0/main")),
    "name without a pod": (ID, {**KUBERNETES, **annotated(machine_id="name")}, {}, ID[:32]),
    "container over the setting": (
        ID,
        {**KUBERNETES, **annotated(machine_id="container")},
        {"machine_id.source": "pod"},
        ID[:32],
    ),
    "pod without dashes": (
        ID,
        {
            "io.kubernetes.container.name": "c",
            "io.kubernetes.pod.uid": POD_UID.replace("-", ""),
            **annotated(machine_id="pod"),
        },
        {},
        uuid5(POD_UID, "c"),
    ),
    "no UUID": (ID, {**KUBERNETES, "io.kubernetes.cri.sandbox-uid": "x", **annotated(machine_id="pod")}, {}, ID[:32]),
}


@pytest.mark.parametrize(("id", "annotations", "values", "expected"), IDS.values(), ids=IDS)
def test_container_uuid(id: str, annotations: dict[str, str], values: dict[str, object], expected: str) -> None:
    assert env_set(adjusted(container(id=id, annotations=annotations), Settings(values)))["container_uuid"] == expected


def test_pod_machine_id_without_a_pod_is_reported() -> None:
    assert warned(adjusted(container(annotations=annotated(machine_id="pod"))), "pod UID or container name unknown")


@pytest.mark.parametrize("lost", [key for key in NAMED if not key.endswith("type")])
def test_named_machine_id_without_a_part_of_the_name_is_reported(lost: str) -> None:
    annotations = {**NAMED, **annotated(machine_id="name")}
    assert not warned(adjusted(container(annotations=annotations)), "machine-id=name")
    del annotations[lost]
    assert warned(
        adjusted(container(annotations=annotations)), "machine-id=name: namespace, pod name or container name unknown"
    )


def test_unknown_id_sets_no_container_uuid_and_is_reported() -> None:
    adjustment = adjusted(container(id="", annotations=KUBERNETES))
    assert "container_uuid" not in env_set(adjustment)
    assert warned(adjustment, "the container's ID is unknown")


OWN = {
    "plain": (("container_uuid=" + "a" * 32,), None, False),
    "dashed": (("container_uuid=" + POD_UID,), None, False),
    "twice": (("container_uuid=x", "container_uuid=" + "b" * 32), "b" * 32, False),
    "64 digits": (("container_uuid=" + ID,), None, True),
    "empty": (("container_uuid=",), None, True),
    "all zero": (("container_uuid=" + "0" * 32,), None, True),
}


@pytest.mark.parametrize(("env", "value", "reported"), OWN.values(), ids=OWN)
def test_own_container_uuid_stays(env: tuple[str, ...], value: str | None, reported: bool) -> None:
    adjustment = adjusted(container(env=env, annotations=annotated(machine_id="pod")))
    assert (env_set(adjustment).get("container_uuid"), warned(adjustment, "not an id128")) == (value, reported)


FILES = {
    "image's own": ({"/etc/machine-id": CONTENT}, {}, (), "its own /etc/machine-id"),
    "dbus's own": ({"/var/lib/dbus/machine-id": CONTENT, "/etc/machine-id": BLANK}, {}, (), "/var/lib/dbus/machine-id"),
    "dbus's link": ({"/etc/machine-id": BLANK, "/x": CONTENT}, {"/var/lib/dbus/machine-id": "/x"}, (), ""),
    "blank": ({"/etc/machine-id": BLANK}, {}, (), ""),
    "below a mount": ({"/etc/machine-id": CONTENT}, {}, (bind("/etc"),), ""),
}


@pytest.mark.parametrize(("files", "links", "mounts", "said"), FILES.values(), ids=FILES)
def test_machine_id_of_the_image_is_reported(files: dict, links: dict, mounts: tuple[Mount, ...], said: str) -> None:
    adjustment = adjusted(container(mounts=mounts), root=Root(links, files))
    assert warned(adjustment, "machine-id") is bool(said)
    assert warned(adjustment, said) if said else True


def test_read_only_root_is_reported_where_it_keeps_the_machine_id_out() -> None:
    for file, said in ((BLANK, "stays empty"), (ABSENT, "refuse to boot")):
        assert warned(adjusted(container(readonly_root=True), root=Root({}, {"/etc/machine-id": file})), said)
    assert not warned(adjusted(container(readonly_root=True, mounts=(bind("/etc"),))), "read-only")


# --- stop signal, SELinux, AppArmor, devices, record ---

SIGNALS = {
    "default": ({}, {}, "SIGRTMIN+3"),
    "setting": ({}, {"stop.signal": "37"}, "37"),
    "containerd's old": ({"io.kubernetes.cri.container-stop-signal": "SIGPWR"}, {}, "SIGPWR"),
    "CRI-O's old": ({"io.kubernetes.cri-o.StopSignal": "30"}, {"stop.signal": "none"}, "30"),
    "own over old": ({"io.kubernetes.cri-o.StopSignal": "30", **annotated(stop_signal="none")}, {}, None),
    "own in place": (annotated(stop_signal="SIGPWR"), {}, None),
    "own of the container": (
        {
            "io.kubernetes.container.name": "a",
            "io.systemd.container.stop-signal/a": "SIGINT",
            **annotated(stop_signal="SIGPWR"),
        },
        {},
        "SIGINT",
    ),
    "old and wrong": ({"io.kubernetes.cri-o.StopSignal": "BOO"}, {}, "SIGRTMIN+3"),
}


@pytest.mark.parametrize(("annotations", "values", "expected"), SIGNALS.values(), ids=SIGNALS)
def test_stop_signal_is_recorded(annotations: dict[str, str], values: dict[str, object], expected: str | None) -> None:
    adjustment = adjusted(container(annotations=annotations), Settings(values))
    recorded = {edit.key: edit.value for edit in of_kind(adjustment, SetAnnotation)}
    assert recorded.pop("io.systemd.container.adjusted") == __version__
    assert recorded == ({"io.systemd.container.stop-signal": expected} if expected else {})


LABEL = "system_u:system_r:container_t:s0:c1,c2"
SELINUX = {
    "init": (LABEL, {}, {}, LABEL.replace("container_t", "container_init_t")),
    "off": (LABEL, {}, {"security.selinux_init": False}, None),
    "other type": ("u:r:spc_t:s0", {}, {}, None),
    "no level": ("u:r:container_t", {}, {}, "u:r:container_init_t"),
    "no label": ("", {}, {}, None),
    "named": (
        LABEL,
        annotated(selinux="my_t"),
        {"security.allow": ["io.systemd.container.selinux"]},
        LABEL.replace("container_t", "my_t"),
    ),
    "named without a label": (
        "",
        annotated(selinux="my_t"),
        {"security.allow": ["io.systemd.container.selinux"]},
        None,
    ),
}


@pytest.mark.parametrize(("label", "annotations", "values", "expected"), SELINUX.values(), ids=SELINUX)
def test_selinux_type(label: str, annotations: dict[str, str], values: dict[str, object], expected: str | None) -> None:
    adjustment = adjusted(container(selinux_label=label, annotations=annotations), Settings(values))
    assert [edit.label for edit in of_kind(adjustment, SetSelinuxLabel)] == ([expected] if expected else [])
    assert warned(adjustment, "no SELinux label") is (not label and bool(annotations))


def test_selinux_type_stays_where_the_host_s_policy_has_no_other() -> None:
    adjustment = adjusted(container(selinux_label=LABEL), selinux_init=False)
    assert of_kind(adjustment, SetSelinuxLabel) == []
    assert warned(adjustment, "no type container_init_t")


ALLOW = {"security.allow": ["io.systemd.container.apparmor"]}
APPARMOR = {
    "unconfined removes": ("cri", "unconfined", True, [""]),
    "unconfined of none": ("", "unconfined", True, []),
    "named": ("cri", "mine", True, ["mine"]),
    "the same": ("mine", "mine", True, []),
    "host without": ("", "mine", False, []),
}


@pytest.mark.parametrize(("profile", "value", "enabled", "expected"), APPARMOR.values(), ids=APPARMOR)
def test_apparmor_profile(profile: str, value: str, enabled: bool, expected: list[str]) -> None:
    given = container(apparmor_profile=profile, annotations=annotated(apparmor=value))
    adjustment = adjusted(given, Settings(ALLOW), apparmor=enabled)
    assert [edit.profile for edit in of_kind(adjustment, SetApparmorProfile)] == expected
    assert warned(adjustment, "not enabled") is not enabled


ADMIN = ["CAP_CHOWN", "CAP_SYS_ADMIN"]
CONFINED = {
    "containerd's": ("cri-containerd.apparmor.d", ADMIN, {}, True),
    "CRI-O's": ("crio-default", ADMIN, {}, True),
    "Docker's": ("docker-default", ADMIN, {}, True),
    "podman's": ("containers-default-0.57.4", ADMIN, {}, True),
    "without the capability": ("docker-default", ["CAP_CHOWN"], {}, False),
    "capabilities that cannot be seen": ("docker-default", None, {}, False),
    "one of its owner's": ("docker-default-with-mount", ADMIN, {}, False),
    "none": ("", ADMIN, {}, False),
    "unconfined": ("unconfined", ADMIN, {}, False),
    "unconfined as asked": ("docker-default", ADMIN, annotated(apparmor="unconfined"), False),
    "another as asked": ("docker-default", ADMIN, annotated(apparmor="mine"), False),
}


@pytest.mark.parametrize(("profile", "granted", "annotations", "told"), CONFINED.values(), ids=CONFINED)
def test_mounting_in_a_profile_that_denies_it_is_told(
    profile: str, granted: list[str] | None, annotations: dict[str, str], told: bool
) -> None:
    given = container(apparmor_profile=profile, capabilities=granted, annotations=annotations)
    assert warned(adjusted(given, Settings(ALLOW)), "denies mounts") is told


@pytest.mark.parametrize("key", ["selinux", "apparmor"])
def test_what_widens_rights_needs_the_node_owner(key: str) -> None:
    said = refused(container(annotations=annotated(**{key: "spc_t"})))
    assert f"io.systemd.container.{key}" in said
    assert "security.allow" in said


def test_host_consoles_leave_a_wanted_container() -> None:
    devices = ("/dev/tty", "/dev/tty0", "/dev/tty63", "/dev/tty64", "/dev/ttyS0", "/dev/fuse")
    assert [edit.path for edit in of_kind(adjusted(container(devices=devices)), RemoveDevice)] == [
        "/dev/tty0",
        "/dev/tty63",
    ]


def test_usual_container_has_nothing_to_report() -> None:
    assert adjusted(container()).warnings == []
    assert DEBIAN.links["/var/run"] == "/run"
    assert CGROUP.options[-1] == "ro"
