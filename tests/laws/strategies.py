"""Real specs and what hostile hands may make of them, settings, hosts and root file systems, for hypothesis."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from oci_systemd.core import annotations as a
from oci_systemd.core.annotations import KEYS
from oci_systemd.core.host import ABSENT, BLANK, CONTENT, ELF, Host, Root
from oci_systemd.core.settings import Settings
from oci_systemd.core.signals import ADJUSTED, STOP_SIGNAL

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

CORPUS = Path(__file__).parents[1] / "corpus"
FILES = {
    str(path.relative_to(CORPUS)): path.read_bytes()
    for path in sorted(CORPUS.glob("*/*.json"))
    if not path.name.endswith("expected.json")
}
VALUES: dict[str, dict[str, Any]] = {name: json.loads(data) for name, data in FILES.items()}

ID = "4fcd1d7d4ac2c1a5d0ab5b3e9c8f6d2b17e0a9c4d3b2f1e60718293a4b5c6d7e"
POD_UID = "8b1a9953-c461-4296-a827-abf8c47804d7"

odd_text = st.text(st.characters(exclude_categories=()), max_size=8)  # lone surrogates and NUL, too
json_values: SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), odd_text),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(odd_text, inner, max_size=4)),
    max_leaves=8,
)

# Places that matter, near misses of them, and ones that meet the links below.
FORBIDDEN = ("/proc", "/sys", "/dev")
PLACES = """
/ /run /run/lock /run/lock/deep /run/x /run/l /run/l/x /run/user/0 /var /var/run /var/run/lock /var/run/x /var/lock
/var/run/secrets/kubernetes.io/serviceaccount /var/log /var/log/journal /var/log/journal/x /var/lib /tmp /tmp/x /tmpx /runx
/sys /sys/fs /sys/fs/cgroup /sys/fs/cgroup/systemd /proc /proc/sys /dev /dev/shm /dev/mqueue /a /a/l /a/l/x /a/x /b /b/x /data
/data/x /run/credentials/@system /etc /etc/machine-id /etc/hosts /sbin /sbin/init /usr /usr/lib /usr/lib/systemd
""".split()
ALLOWED = [place for place in PLACES if place != "/" and not place.startswith(FORBIDDEN)]
TARGETS = """
/run ../run /run/lock ../run/lock / .. . /proc /sys /sys/fs /sys/fs/cgroup /dev ../dev /dev/shm a /a ../a l /a/l l/x /b ../b x
/data ../data/x /var/run /var /tmp ../../tmp /var/log /a/../b ./b/./x/ //data l/../../b /a/l/../../b /b/x/../../proc
/nowhere /usr/lib/systemd/systemd
""".split()
LINKED = """
/var/run /var/lock /var/run/lock /run /run/lock /run/l /run/x /tmp /var /var/log /var/log/journal /sys /sys/fs /sys/fs/cgroup
/dev /a /a/l /a/x /b /b/x /data /data/x /sbin /sbin/init /etc /etc/machine-id /l
""".split()

destinations = st.one_of(
    st.sampled_from(PLACES),
    st.sampled_from(PLACES),
    st.sampled_from(
        [
            "",
            "run",
            "run/",
            "/run/",
            "//run",
            "/./run",
            "/run/./lock/",
            "/run/x/../lock",
            "/../run",
            "/run\0",
            "/\ud800",
        ]
    ),
    odd_text,
)
options = st.lists(
    st.one_of(
        st.sampled_from(
            "ro rw rro rbind bind nosuid noexec nodev relatime mode=755 size=64m rprivate rshared tmpcopyup".split()
        ),
        odd_text,
    ),
    max_size=4,
)
mounts = st.builds(
    lambda destination, type, options, extra: {"destination": destination, **type, **options, **extra},
    destinations,
    st.sampled_from(
        [
            {"type": "bind", "source": "/source"},
            {"type": "tmpfs", "source": "tmpfs"},
            {"type": "cgroup", "source": "cgroup"},
            {"type": "cgroup2", "source": "cgroup2"},
            {"type": "proc", "source": "proc"},
            {},
        ]
    ),
    st.one_of(st.just({}), options.map(lambda words: {"options": words}), st.just({"options": None})),
    st.sampled_from([{}, {"uidMappings": [{"hostID": 1}], "x": 1.5}]),
)
commands = st.one_of(
    st.sampled_from(
        [
            ["/sbin/init"],
            ["/sbin/init"],
            ["/usr/lib/systemd/systemd", "--unit=x"],
            ["systemd"],
            ["/sbin/init", "systemd.setenv=A=1", "systemd.journald.forward_to_console=1"],
            ["/sbin/init", 'x="'],
            ["sbin/./init/"],
            ["/bin/sh", "-c", "exec /sbin/init"],
            ["sh", "-c", "'/sbin/init' --x; y"],
            ["/bin/sh", "-c", "sleep 1"],
            ["/usr/bin/tini", "--", "/sbin/init"],
            ["/init"],
            [],
        ]
    ),
    st.lists(odd_text, max_size=3),
)
# Values of our annotations, valid and invalid, by key.
WORDS: dict[str, list[str]] = {
    a.WANTED: ["true", "true", "true", "false", "auto", "yes", "", " true "],
    a.CGROUP: ["rw", "ro", "RW", ""],
    a.TMPFS: [
        "none",
        "/run",
        "/run,/run/lock,/tmp",
        " /a , /b/x ",
        "/run/lock,/run",
        "/var/run,/var/run/x",
        "/sys/x",
        "/a/../proc",
        "run",
    ],
    a.MACHINE_ID: ["pod", "name", "container", "x"],
    a.CONSOLE: ["journal", "journal", "x"],
    a.ENVIRONMENT: ["services", "services", "A, B*", "*C*", "PATH", "a b", ""],
    STOP_SIGNAL: ["SIGRTMIN+3", "37", " 37 ", "none", "NONE", "SIGTERM", "rtmin+4", "0", "65", "\u017figterm", "x"],
    a.SELINUX: ["container_init_t", "spc_t", "a b", ""],
    a.APPARMOR: ["unconfined", "profile", "a b"],
    ADJUSTED: ["0.0.1", ""],
    a.WANTED + ".unknown": ["x"],
}
OTHERS: dict[str, list[str]] = {
    "io.kubernetes.cri.container-name": ["main", "side", "", "a/b"],
    "io.kubernetes.container.name": ["main"],
    "io.kubernetes.cri.sandbox-uid": [POD_UID, POD_UID.replace("-", ""), "no", ""],
    "io.kubernetes.pod.uid": [POD_UID],
    "io.kubernetes.cri.container-type": ["container", "sandbox"],
    "io.kubernetes.cri.container-stop-signal": ["SIGUSR1", "x", " 15 "],
    "io.kubernetes.cri-o.StopSignal": ["none", "SIGINT"],
    "org.systemd.property.KillSignal": ["15", "37", "int32 2", ""],
}


@st.composite
def own_annotations(draw: DrawFn) -> dict[str, str]:
    table = {**WORDS, **OTHERS}
    keys = draw(st.lists(st.sampled_from(sorted(table)), max_size=5))
    found = {}
    for key in keys:
        name = key + draw(st.sampled_from(["", "", "/main", "/side", "/", "/a/b"])) if key in WORDS else key
        found[name] = draw(
            st.one_of(st.sampled_from(table[key]), st.sampled_from(table[key]), st.sampled_from(table[key]), odd_text)
        )
    return found


namespaces = st.lists(
    st.one_of(
        st.sampled_from([{"type": "pid"}, {"type": "cgroup"}, {"type": "mount"}, {"type": "user"}]),
        st.builds(
            lambda kind, path: {"type": kind, "path": path},
            st.sampled_from(["pid", "cgroup"]),
            st.sampled_from(["", "/proc/1/ns/pid"]),
        ),
    ),
    max_size=4,
)
env = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "container=other",
                "container=docker",
                "container",
                "container=",
                "container_uuid=" + "1" * 32,
                "container_uuid=" + "0" * 32,
                "container_uuid=",
                "container_uuid=" + POD_UID,
                "container_uuidx=1",
                "PATH=/bin",
                "TERM=xterm",
                "CREDENTIALS_DIRECTORY=",
                "CREDENTIALS_DIRECTORY=/x",
                "A=1",
                "A=x y",
                'BC={"a": 1}',
                "B2='\"",
                "C=\x1b",
                "",
                "=",
            ]
        ),
        odd_text,
    ),
    max_size=5,
)
devices = st.lists(
    st.builds(
        lambda path: {"path": path, "type": "c", "major": 4, "minor": 1},
        st.one_of(
            st.sampled_from(["/dev/tty0", "/dev/tty1", "/dev/tty63", "/dev/tty64", "/dev/tty", "/dev/fuse"]), odd_text
        ),
    ),
    max_size=4,
)
labels = st.one_of(
    st.sampled_from(
        ["system_u:system_r:container_t:s0:c1,c2", "u:r:container_t", "a:b:spc_t:s0", "container_t", ":::", ""]
    ),
    odd_text,
)


def put(spec: dict[str, Any], path: str, value: object) -> None:
    """Set the member at `path`; a value in the way that is not an object is replaced."""
    *folders, last = path.split(".")
    for name in folders:
        if not isinstance(spec.get(name), dict):
            spec[name] = {}
        spec = spec[name]
    spec[last] = value


MEMBERS: dict[str, SearchStrategy[Any]] = {
    "process.args": commands,
    "process.env": env,
    "process.capabilities.bounding": st.lists(st.sampled_from(["CAP_SETUID", "CAP_SETPCAP", "CAP_KILL"])),
    "process.user.uid": st.sampled_from([0, 1000]),
    "process.terminal": st.booleans(),
    "process.selinuxLabel": labels,
    "process.apparmorProfile": st.sampled_from(["", "docker-default", "profile", "unconfined"]),
    "root.readonly": st.booleans(),
    "linux.cgroupsPath": st.sampled_from(["", "/k8s.io/x", "a.slice:b:x", "a:b"]),
    "linux.namespaces": namespaces,
    "linux.devices": devices,
    "linux.resources.unified": st.one_of(
        st.none(),
        st.just({}),
        st.just({"cgroup.max.descendants": "7"}),
        st.dictionaries(st.just("memory.oom.group"), st.sampled_from(["0", "1", "1\n"])),
        st.dictionaries(odd_text, odd_text, max_size=2),
    ),
}


@st.composite
def specs(draw: DrawFn) -> dict[str, Any]:
    """A real spec, changed in members that the core reads; every type is still valid."""
    spec = copy.deepcopy(VALUES[draw(st.sampled_from(sorted(VALUES)))])
    for path in draw(st.lists(st.sampled_from(sorted(MEMBERS)), max_size=3, unique=True)):
        put(spec, path, draw(MEMBERS[path]))
    if draw(st.booleans()):
        spec["annotations"] = {**(spec.get("annotations") or {}), **draw(own_annotations())}
    _change_mounts(draw, spec)
    return copy.deepcopy(spec)  # what was drawn may be a table's own value, which nobody may change


def _change_mounts(draw: DrawFn, spec: dict[str, Any]) -> None:
    given: list[Any] = spec.get("mounts") or []
    for kind in draw(
        st.lists(st.sampled_from(["add", "add", "add", "drop", "double", "shuffle", "fewer"]), max_size=6)
    ):
        where = draw(st.integers(0, len(given)))
        if kind == "add":
            given.insert(where, draw(mounts))
        elif kind == "shuffle":
            given = draw(st.permutations(given))
        elif kind == "fewer":
            given = given[:where]
        elif given[where : where + 1]:
            given[where : where + 1] = [] if kind == "drop" else [given[where], copy.deepcopy(given[where])]
    spec["mounts"] = given


READ = "process linux mounts annotations args env options namespaces user root".split()


@st.composite
def broken_specs(draw: DrawFn) -> Any:
    """A spec with anything at all in some places."""
    spec: Any = draw(specs())
    for _ in range(draw(st.integers(1, 3))):
        spec = _with_anything(draw, copy.deepcopy(spec))
    return spec


def _with_anything(draw: DrawFn, value: Any) -> Any:
    """`value` with anything in place of one of its parts, mostly of one that is near the top."""
    if not value or not isinstance(value, (dict, list)) or draw(st.integers(0, 7)) == 0:
        return draw(json_values)
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    known = [key for key in keys if key in READ]
    some = draw(st.sampled_from([known, keys])) or keys
    key = draw(st.sampled_from(some))
    value[key] = _with_anything(draw, value[key])
    return value


@st.composite
def links(draw: DrawFn) -> dict[str, str]:
    """Symbolic links of a root file system, none of them below another one's place."""
    found = draw(st.dictionaries(st.sampled_from(LINKED), st.sampled_from(TARGETS), max_size=6))
    if draw(st.booleans()):
        found = {"/var/run": "/run", "/var/lock": "/run/lock", **found}
    return {path: target for path, target in found.items() if not any(path.startswith(other + "/") for other in found)}


@dataclass
class World:
    """Settings and a host; `links` is None where the root file system cannot be seen."""

    settings: dict[str, Any] = field(default_factory=dict)
    cgroup_v2: bool = True
    nsdelegate: bool = True
    apparmor: bool = True
    links: dict[str, str] | None = None
    files: dict[str, str] = field(default_factory=dict)
    id: str = ID

    def host(self) -> Host:
        root = None if self.links is None else Root(self.links, self.files)
        return Host(cgroup_v2=self.cgroup_v2, nsdelegate=self.nsdelegate, apparmor=self.apparmor, root=root)

    def chosen(self) -> Settings:
        return Settings(self.settings)


SETTINGS: dict[str, SearchStrategy[Any]] = {
    "detect.commands": st.sampled_from([[], ["/init", "entrypoint.sh"], ["/entrypoint.sh/"]]),
    "detect.strict": st.booleans(),
    "cgroup.require_nsdelegate": st.booleans(),
    "cgroup.oom_group": st.booleans(),
    "cgroup.max_descendants": st.sampled_from([0, 1, 1000]),
    "tmpfs.paths": st.one_of(
        st.sampled_from(
            [
                [],
                ["/run"],
                ["/run/lock", "/run"],
                ["/a/l/x", "/b", "/run/"],
                ["/var/run", "/var/lock"],
                ["/l", "/data/x"],
            ]
        ),
        st.lists(st.sampled_from(ALLOWED), max_size=5),
    ),
    "tmpfs.size": st.sampled_from(["", "64m", "10%"]),
    "tmpfs.copy_up": st.booleans(),
    "env.container": st.sampled_from(["other", "oci"]),
    "machine_id.source": st.sampled_from(["container", "pod", "name"]),
    "stop.signal": st.sampled_from(["SIGRTMIN+3", "none", "10"]),
    "security.selinux_init": st.booleans(),
    "security.allow": st.lists(st.sampled_from(sorted(KEYS)), max_size=4),
}
worlds = st.builds(
    World,
    settings=st.one_of(st.just({}), st.fixed_dictionaries({}, optional=SETTINGS)),
    cgroup_v2=st.sampled_from([True, True, True, False]),
    nsdelegate=st.sampled_from([True, True, True, False]),
    apparmor=st.booleans(),
    links=st.one_of(st.none(), links()),
    files=st.dictionaries(
        st.sampled_from(
            ["/etc/machine-id", "/var/lib/dbus/machine-id", "/sbin/init", "/usr/lib/systemd/systemd", "/data/x"]
        ),
        st.sampled_from([ELF, CONTENT, BLANK, ABSENT]),
    ),
    id=st.one_of(st.just(ID), st.sampled_from(["", "name", "0" * 64, POD_UID, "A" * 64]), odd_text),
)


@st.composite
def wanted_specs(draw: DrawFn) -> dict[str, Any]:
    """What systemd boots from, with a real engine's mounts and hostile ones among them, or with hostile ones alone."""
    name = draw(st.sampled_from(["", *sorted(VALUES)]))
    given = (
        copy.deepcopy(VALUES[name]["mounts"])
        if name
        else [{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}]
    )
    spec: dict[str, Any] = {
        "process": {"args": ["/sbin/init"]},
        "mounts": given,
        "linux": {"namespaces": [{"type": "pid"}, {"type": "cgroup"}]},
    }
    _change_mounts(draw, spec)
    paths = draw(st.one_of(st.none(), st.none(), st.lists(st.sampled_from(ALLOWED), min_size=1, max_size=5)))
    if paths is not None:
        spec["annotations"] = {a.TMPFS: ",".join(paths)}
    return spec


rooms = st.builds(
    World,
    settings=st.one_of(st.just({}), st.just({}), st.fixed_dictionaries({"tmpfs.paths": SETTINGS["tmpfs.paths"]})),
    links=st.one_of(st.none(), links(), links()),
)


# What each container has of its own, and what no rule looks at.
NAMES = ["main", "side", "a/b", ""]
OWN: dict[str, SearchStrategy[Any]] = {
    "annotations.io.kubernetes.cri.container-name": st.sampled_from(NAMES),
    "annotations.io.kubernetes.cri.sandbox-uid": st.sampled_from([POD_UID, POD_UID[::-1], "0" * 8 + POD_UID[8:], "no"]),
    "annotations.io.kubernetes.cri.sandbox-name": st.sampled_from(["web-0", "web-1", ""]),
    "annotations.io.kubernetes.cri.sandbox-namespace": st.sampled_from(["shop", ""]),
    "annotations.io.kubernetes.cri.sandbox-id": st.sampled_from([ID, "x"]),
    "process.env": env,
    "process.cwd": st.sampled_from(["/", "/srv"]),
    "linux.cgroupsPath": st.sampled_from(["/a", "/b"]),
}


@st.composite
def relatives(draw: DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two specs, of which the second is the first with one or two things changed, most of them such that nothing hangs on them."""
    first = draw(st.one_of(specs(), wanted_specs()))
    second = copy.deepcopy(first)
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from([*OWN, *OWN, *MEMBERS, "annotations", "mounts", "paths", "sources"]))
        if path in OWN or path in MEMBERS:
            _put_whole(second, path, draw({**MEMBERS, **OWN}[path]))
        elif path == "annotations":
            second["annotations"] = {**(second.get("annotations") or {}), **draw(own_annotations())}
        elif path == "mounts":
            _change_mounts(draw, second)
        elif path == "sources":
            for mount in second["mounts"]:
                mount["source"] = draw(st.sampled_from([mount.get("source") or "", "/elsewhere"]))
        else:
            for each in (second.get("linux") or {}).get("namespaces") or ():
                each["path"] = draw(st.sampled_from([each.get("path") or "", "/proc/2/ns/net"]))
    return first, copy.deepcopy(second)


def _put_whole(spec: dict[str, Any], path: str, value: object) -> None:
    """`put`, for an annotation with dots in its name, too."""
    if path.startswith("annotations."):
        spec["annotations"] = {**(spec.get("annotations") or {}), path.removeprefix("annotations."): value}
    else:
        put(spec, path, value)
