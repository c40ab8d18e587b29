"""A pod network without one: a CNI plugin that gives every pod the same address and makes no interface."""

import json
from pathlib import Path

PLUGIN = """#!/bin/sh
case $CNI_COMMAND in
ADD) echo '{"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "sandbox": "'"$CNI_NETNS"'"}],
    "ips": [{"address": "10.244.0.5/24", "interface": 0}]}' ;;
VERSION) echo '{"cniVersion": "1.0.0", "supportedVersions": ["1.0.0"]}' ;;
esac
"""
NETWORK = {"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "fixed"}]}


def write_network(programs: Path, configuration: Path) -> None:
    """Write the plugin, and the network that uses it, into the directories where an engine looks."""
    for each in (programs, configuration):
        each.mkdir(parents=True, exist_ok=True)
    for name in ("fixed", "loopback"):
        (programs / name).write_text(PLUGIN)
        (programs / name).chmod(0o755)
    (configuration / "pods.conflist").write_text(json.dumps(NETWORK))
