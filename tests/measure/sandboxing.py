"""docs/sandboxing.md: what systemd's sandboxing settings do in a container, by its rights; and which services work.

Law: a setting counts as working only where a process of the unit sees its effect. Each unit says so by its exit status.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from tests.e2e.lab.container import Container, Spec, until
from tests.e2e.lab.node import Node
from tests.e2e.lab.rootfs import NODES, RootFS, prepare
from tests.measure.lab import SYSTEMD, same
from tests.measure.rows import head, row

# An image with each systemd, and services that ask for much of it.
PACKAGES = "systemd systemd-sysv dbus procps systemd-resolved systemd-timesyncd nginx".split()
SUITES = {"252": "bookworm", "257": "trixie", "262": "forky"}
SERVICES = {version: RootFS(f"services-{suite}", suite, tuple(PACKAGES)) for version, suite in SUITES.items()}
assert SUITES.keys() == SYSTEMD.keys()

NOT_APPLIED = 77
SETTINGS: Mapping[str, tuple[str, str]] = {
    "PrivateTmp=": ("PrivateTmp=yes", "test ! -e /tmp/mark"),
    "ProtectSystem=": ("ProtectSystem=yes", "! touch /usr/probe"),
    "ProtectHome=": ("ProtectHome=yes", "test ! -e /root/mark"),
    "PrivateDevices=": ("PrivateDevices=yes", "test ! -e /dev/mark"),
    "PrivateNetwork=": ("PrivateNetwork=yes", "test $(readlink /proc/self/ns/net) != $(cat /srv/net)"),
    "PrivateMounts=": ("PrivateMounts=yes", "test $(readlink /proc/self/ns/mnt) != $(cat /srv/mnt)"),
    "PrivateUsers=": ("PrivateUsers=yes", "test $(readlink /proc/self/ns/user) != $(cat /srv/user)"),
    "ProtectHostname=": ("ProtectHostname=yes", "test $(readlink /proc/self/ns/uts) != $(cat /srv/uts)"),
    "ProtectControlGroups=": ("ProtectControlGroups=yes", "! mkdir /sys/fs/cgroup/probe"),
    "ProtectKernelTunables=": (
        "ProtectKernelTunables=yes",
        "test $(readlink /proc/self/ns/mnt) != $(cat /srv/mnt)",
    ),
    "ReadOnlyPaths=": ("ReadOnlyPaths=/srv", "! touch /srv/probe"),
    "InaccessiblePaths=": ("InaccessiblePaths=/srv/hidden", "test ! -e /srv/hidden/mark"),
    "TemporaryFileSystem=": ("TemporaryFileSystem=/srv/hidden", "test ! -e /srv/hidden/mark"),
    "BindPaths=": ("BindPaths=/srv/hidden:/srv/bound", "test -e /srv/bound/mark"),
    "RootDirectory=": ("RootDirectory=/srv/root", "test ! -e /etc/os-release"),
    "DynamicUser=": ("DynamicUser=yes", "test $(id -u) -ge 61184"),
    "DynamicUser= and StateDirectory=": ("DynamicUser=yes\nStateDirectory=asked", "touch $STATE_DIRECTORY/mark"),
    "LoadCredential=": ("LoadCredential=name:/srv/mnt", "test -s $CREDENTIALS_DIRECTORY/name"),
    "User= and RestrictRealtime=": ("User=nobody\nRestrictRealtime=yes", "grep -q ^Seccomp:.2 /proc/self/status"),
    "User=, NoNewPrivileges= and RestrictRealtime=": (
        "User=nobody\nNoNewPrivileges=yes\nRestrictRealtime=yes",
        "grep -q ^Seccomp:.2 /proc/self/status",
    ),
    "User= and MemoryDenyWriteExecute=": (
        "User=nobody\nMemoryDenyWriteExecute=yes",
        'perl -e "exit(syscall(9, 0, 4096, 7, 34, -1, 0) != -1)"',
    ),
    "NoNewPrivileges=": ("NoNewPrivileges=yes", "grep -q ^NoNewPrivs:.1 /proc/self/status"),
    "SystemCallFilter=": ("SystemCallFilter=~@mount", "grep -q ^Seccomp:.2 /proc/self/status"),
    "RestrictNamespaces=": ("RestrictNamespaces=yes", "grep -q ^Seccomp:.2 /proc/self/status"),
    "MemoryDenyWriteExecute=": (
        "MemoryDenyWriteExecute=yes",
        'perl -e "exit(syscall(9, 0, 4096, 7, 34, -1, 0) != -1)"',  # mmap(2), writable and executable, on amd64
    ),
}
MOUNT = "[Mount]\nWhat=tmpfs\nWhere=/srv/mounted\nType=tmpfs\n"
UNIT = """[Service]
Type=oneshot
RemainAfterExit=yes
{lines}
ExecStart=/bin/sh -c '{probe} || exit {status}'
"""
PREPARE = """mkdir -p /srv/hidden /srv/bound /srv/root /srv/mounted
touch /srv/hidden/mark /tmp/mark /root/mark /dev/mark
cp --parents -L /bin/sh $(ldd /bin/sh | grep -o '/[^ ]*') /srv/root
for each in net mnt user uts; do readlink /proc/1/ns/$each >/srv/$each; done"""

# Services by what their units ask for. The last two are not Debian's own: one asks for what MariaDB's unit does, the other for what
# `systemd-analyze security` recommends.
DATABASE = """[Service]
User=nobody
PrivateTmp=yes
ProtectSystem=full
ProtectHome=yes
CapabilityBoundingSet=CAP_IPC_LOCK CAP_DAC_OVERRIDE CAP_AUDIT_WRITE
ExecStart=sleep infinity
"""
HARDENED = """[Service]
User=nobody
NoNewPrivileges=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectSystem=strict
ProtectHome=yes
RestrictNamespaces=yes
SystemCallFilter=@system-service
ExecStart=sleep infinity
"""
OWN = {"database.service": DATABASE, "hardened.service": HARDENED}
ASKING = ("systemd-networkd", "systemd-resolved", "systemd-timesyncd", "nginx", "database", "hardened")
# What makes a unit with User= and a seccomp filter work: systemd 255 and later keep CAP_SYS_ADMIN for it, and fail if they do not
# have it, unless its filter denies capset(2) (exec-invoke.c, seccomp_allows_drop_privileges).
DROP_IN = """[Service]
NoNewPrivileges=yes
SystemCallFilter=~capset
SystemCallErrorNumber=EPERM
"""
MENDED = ("systemd-resolved", "hardened")
ENDED = ("active", "inactive", "failed")


def plain(spec: Spec) -> None:
    """Leave the capabilities that engines grant by default."""


def admin(spec: Spec) -> None:
    for granted in spec["process"]["capabilities"].values():
        if "CAP_SYS_ADMIN" not in granted:
            granted.append("CAP_SYS_ADMIN")


def mapped(spec: Spec) -> None:
    """A user namespace. The mapping of its IDs does not change what is allowed in it."""
    spec["linux"]["namespaces"].append({"type": "user"})
    identity = [{"containerID": 0, "hostID": 0, "size": 65536}]
    spec["linux"] |= {"uidMappings": identity, "gidMappings": identity}


def both(spec: Spec) -> None:
    admin(spec)
    mapped(spec)


RIGHTS: Mapping[str, Callable[[Spec], None]] = {
    "engine's default": plain,
    "user namespace": mapped,
    "`CAP_SYS_ADMIN`, unconfined": admin,
    "user namespace and `CAP_SYS_ADMIN`, unconfined": both,
}


def units() -> dict[str, str]:
    """The unit of each setting, by its file's name."""
    found = {}
    for number, (lines, probe) in enumerate(SETTINGS.values()):
        escaped = probe.replace("$", "$$")
        found[f"setting-{number}.service"] = UNIT.format(lines=lines, probe=escaped, status=NOT_APPLIED)
    return found


def verdict(container: Container, unit: str) -> str:
    """What became of a unit that was started, once systemd has ended trying."""
    names = ("ActiveState", "ExecMainStatus", "Result", "ConditionResult")
    show = ("systemctl", "show", *(f"--property={name}" for name in names), unit)

    def ask() -> dict[str, str]:
        return dict(line.partition("=")[::2] for line in container.output(*show).splitlines())

    until(lambda: ask().get("ActiveState", ""), ENDED.__contains__, 20, pause=0.2)
    found = ask()
    if found["ConditionResult"] == "no":
        return "skipped"
    if found["ActiveState"] == "active":
        return "works"
    status = found.get("ExecMainStatus", "0")
    if status == str(NOT_APPLIED):
        return "not applied"
    return f"fails ({status})" if status != "0" else "fails"


def measured(node: Node, version: str, rights: Callable[[Spec], None]) -> dict[str, str]:
    """Each row's verdict in one container."""
    with Container(node, SERVICES[version], terminal=True) as container:
        system = container.layer / "etc/systemd/system"
        for name, text in {**units(), **OWN, "srv-mounted.mount": MOUNT}.items():
            (system / name).write_text(text)
        container.edit(rights)
        container.create_and_start()
        container.system_state(60)
        container.exec("sh", "-c", PREPARE)
        found = dict(zip([f"`{name}`" for name in SETTINGS], _started(container, units()), strict=True))
        found["mount units"] = next(_started(container, ["srv-mounted.mount"]))
        found |= zip(ASKING, _started(container, ASKING), strict=True)
        return found | _shared(container) | _mended(container)


def _started(container: Container, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        container.exec("systemctl", "restart", name)
        yield verdict(container, name)


def _shared(container: Container) -> dict[str, str]:
    """LoadCredential= again, where what is mounted in one mount namespace is seen in others: systemd has a helper mount the
    credentials, in a namespace of its own (exec-credential.c, setup_credentials_internal)."""
    container.exec("mount", "--make-rshared", "/")
    unit = f"setting-{[*SETTINGS].index('LoadCredential=')}.service"
    return {"`LoadCredential=`, after `mount --make-rshared /`": next(_started(container, [unit]))}


def _mended(container: Container) -> dict[str, str]:
    """The services again, with the drop-in."""
    for name in MENDED:
        folder = container.layer / f"etc/systemd/system/{name}.service.d"
        folder.mkdir()
        (folder / "container.conf").write_text(DROP_IN)
    container.exec("systemctl", "daemon-reload")
    container.exec("systemctl", "reset-failed")
    return dict(zip([f"{name}, with the drop-in" for name in MENDED], _started(container, MENDED), strict=True))


def table() -> Iterator[str]:
    prepare([*SERVICES.values(), NODES["runc-1.3"]])
    with Node(NODES["runc-1.3"]) as node:
        node.install()
        found = {name: {v: measured(node, v, rights) for v in SYSTEMD} for name, rights in RIGHTS.items()}
    yield from head("", *RIGHTS)
    for name in next(iter(found.values()))["252"]:
        yield row(name, *(same({v: each[name] for v, each in by.items()}) for by in found.values()))
