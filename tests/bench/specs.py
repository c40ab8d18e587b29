"""The specs that are benched: real ones of 10 kB from the corpus, and the same grown to 90 kB by what makes real ones grow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent.parent / "corpus"
WANTED = CORPUS / "containerd-2.1" / "example.json"  # systemd with a token, a terminal and RuntimeDefault seccomp
UNWANTED = CORPUS / "docker" / "shell.json"
LARGE = 90_000  # bytes
VOLUMES = 30
CLAIM = "/var/lib/kubelet/pods/38a7fb7d-f1b6-4093-a686-6108ba4065bf/volumes/kubernetes.io~configmap"


def small(path: Path, *, writable: bool) -> bytes:
    return path.read_bytes() if not writable else _packed(_with_writable_cgroup(json.loads(path.read_bytes())))


def large(path: Path, *, writable: bool) -> bytes:
    """The same container with a recorded seccomp profile and many volumes, in a namespace with ever more services."""
    spec = json.loads(small(path, writable=writable))
    _one_rule_each(spec["linux"]["seccomp"])
    spec["mounts"] += [_volume(number) for number in range(VOLUMES)]
    number = 0
    while len(_packed(spec)) < LARGE:
        spec["process"]["env"] += _service_links(number)
        number += 1
    return _packed(spec)


def _packed(spec: dict[str, Any]) -> bytes:
    """As Go's encoding/json writes it."""
    return json.dumps(spec, separators=(",", ":")).encode()


def _with_writable_cgroup(spec: dict[str, Any]) -> dict[str, Any]:
    """As containerd's `cgroup_writable = true` has it."""
    for mount in spec["mounts"]:
        if mount["destination"] == "/sys/fs/cgroup":
            mount["options"] = ["rw" if option == "ro" else option for option in mount["options"]]
    return spec


def _one_rule_each(seccomp: dict[str, Any]) -> None:
    """One rule for each system call, as tools that record a profile write it."""
    seccomp["syscalls"] = [{**rule, "names": [name]} for rule in seccomp["syscalls"] for name in rule["names"]]


def _service_links(number: int) -> list[str]:
    """The seven variables that the kubelet gives each container for each service of its namespace."""
    name, address = f"SHOP_BACKEND_{number:03}", f"10.96.{number}.17"
    port = f"{name}_PORT_8080_TCP"
    return [
        f"{name}_SERVICE_HOST={address}",
        f"{name}_SERVICE_PORT=8080",
        f"{name}_PORT=tcp://{address}:8080",
        f"{port}=tcp://{address}:8080",
        f"{port}_PROTO=tcp",
        f"{port}_PORT=8080",
        f"{port}_ADDR={address}",
    ]


def _volume(number: int) -> dict[str, Any]:
    """One ConfigMap as the kubelet and containerd mount it."""
    return {
        "destination": f"/etc/shop/conf.d/{number:03}",
        "type": "bind",
        "source": f"{CLAIM}/shop-backend-{number:03}",
        "options": ["rbind", "rprivate", "ro"],
    }
