"""Which units fail without each of the capabilities that engines grant by default (docs/capabilities.md)."""

from collections.abc import Iterator, Sequence

from tests.e2e.lab.container import CAPABILITIES, Spec
from tests.e2e.lab.node import Node
from tests.measure.lab import SYSTEMD, booted, failed, node, same
from tests.measure.rows import head, row

# What ordinary units ask for, a service for each.
SERVICE = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"
ASKED = {
    "User=": "User=nobody",
    "StateDirectory=": "StateDirectory=asked\nUser=nobody",
    "CapabilityBoundingSet=": "CapabilityBoundingSet=CAP_CHOWN",
    "AmbientCapabilities=": "User=nobody\nAmbientCapabilities=CAP_NET_BIND_SERVICE",
    "RootDirectory=": "RootDirectory=/",
}
UNITS = {f"asks-{number}.service": SERVICE + line + "\n" for number, line in enumerate(ASKED.values())}
CALLED = dict(zip(UNITS, ASKED, strict=True))
# What a unit does by itself.
COMMANDS = {
    "`mknod`": "mknod /root/null c 1 3",
    "raw sockets": "perl -MSocket -e 'socket(S, PF_INET, SOCK_RAW, 1) or exit 1'",
    "ports below 1024": "perl -MSocket -e 'socket(S, PF_INET, SOCK_STREAM, 0); bind(S, sockaddr_in(80, INADDR_ANY)) or exit 1'",
    "`systemd-tmpfiles --create`": "systemd-tmpfiles --create",
    "`kill` of another user's process": "setpriv --reuid=1 true || exit 0; setpriv --reuid=1 sleep 9 & p=$!; sleep 0.2; kill $p",
}
# Units by the names that people know.
KNOWN = {
    "systemd-journalctl.socket": "systemd-journalctl.socket",
    "systemd-journal": "systemd-journald",
    "systemd-logind": "systemd-logind",
    "dbus": "dbus",
}
SETS = {
    "all 14": CAPABILITIES,
    **{f"`{name}`": [each for each in CAPABILITIES if each != name] for name in CAPABILITIES},
    "`runc spec`'s three": ["AUDIT_WRITE", "KILL", "NET_BIND_SERVICE"],
    "`drop: [ALL]`": [],
    "`drop: [ALL]`, `add: [SETGID, SETUID]`": ["SETGID", "SETUID"],
    "`drop: [ALL]`, `add: [SETGID, SETPCAP, SETUID]`": ["SETGID", "SETPCAP", "SETUID"],
    "`drop: [ALL]`, `add: [CHOWN, SETGID, SETPCAP, SETUID]`": ["CHOWN", "SETGID", "SETPCAP", "SETUID"],
    "`drop: [ALL]`, `add: [CHOWN, DAC_OVERRIDE, FOWNER, SETGID, SETPCAP, SETUID]`": [
        "CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETPCAP", "SETUID",
    ],
}  # fmt: skip


def table() -> Iterator[str]:
    yield from head("without", "units that fail at boot", "what else fails")
    with node() as where:
        for name, granted in SETS.items():
            yield row(name, *_row(where, granted))


def _row(where: Node, granted: Sequence[str]) -> list[str]:
    seen = {version: _seen(where, version, granted) for version in SYSTEMD}
    return [same({version: each[column] for version, each in seen.items()}) for column in range(2)]


def _seen(where: Node, version: str, granted: Sequence[str]) -> tuple[str, str]:
    """The failures in a container with these capabilities: units of the image, and the units that are asked for."""

    def grant(spec: Spec) -> None:
        names = [f"CAP_{name}" for name in granted]
        spec["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), names)

    with booted(where, version, grant, UNITS) as container:
        units = failed(container)
        commands = [name for name, line in COMMANDS.items() if container.exec("sh", "-c", line).returncode]
    own = {_known(unit) for unit in units if unit not in CALLED}
    return ", ".join(sorted(own)), ", ".join([*(f"`{CALLED[unit]}`" for unit in units if unit in CALLED), *commands])


def _known(unit: str) -> str:
    return next((name for start, name in KNOWN.items() if unit.startswith(start)), unit)
