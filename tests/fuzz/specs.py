"""A config.json from bytes to bytes. Any bytes give the decision and a text, or a Problem.

All steps of a `create`: parse, read, decide, apply, patch. The patched text parses to the applied spec, and adjusting
it again changes nothing.
"""

from __future__ import annotations

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["oci_systemd"]):
    from oci_systemd.core.adjust import adjust, questions
    from oci_systemd.core.annotations import KEYS
    from oci_systemd.core.apply import apply
    from oci_systemd.core.container import SANDBOX, from_spec
    from oci_systemd.core.errors import Problem
    from oci_systemd.core.host import CONTENT, ELF, Host, Root
    from oci_systemd.core.json_text import parse, patch
    from oci_systemd.core.settings import Settings

from tests.fuzz.run import run, specs

ID = "4fcd1d7d4ac2c1a5d0ab5b3e9c8f6d2b17e0a9c4d3b2f1e60718293a4b5c6d7e"
ROOT = Root(
    {"/var/run": "/run", "/var/lock": "../run/lock", "/a": "a/../b", "/b": "/a"},
    {"/sbin/init": ELF, "/etc/machine-id": CONTENT},
)
HOSTS = [Host(), Host(root=ROOT), Host(nsdelegate=False), Host(cgroup_v2=False, apparmor=False)]
SETTINGS = [
    Settings(),
    Settings({"detect.strict": True, "cgroup.oom_group": True}),
    Settings({"machine_id.source": "pod", "tmpfs.copy_up": True, "security.allow": sorted(KEYS)}),
]


def check(data: bytes) -> None:
    try:
        text, spec = parse(data)
        container = from_spec(spec, ID)
    except Problem:
        return
    for host in HOSTS:
        for settings in SETTINGS:
            questions(container, settings)
            try:
                adjustment = adjust(container, settings, host)
            except Problem:
                continue
            if not adjustment.edits:
                continue
            assert isinstance(spec, dict)
            new = apply(spec, adjustment.edits)
            try:
                patched = patch(text, spec, new)
            except Problem:
                continue  # as deep as `parse` just managed
            assert parse(patched.encode())[1] == new
            assert adjust(from_spec(new, ID), settings, host).edits == []


def main() -> None:
    members = """
    process args env mounts destination type source options annotations linux
    namespaces pid cgroup resources unified devices path
    """.split()
    keys = [*KEYS, *SANDBOX, "memory.oom.group", "org.systemd.property.KillSignal"]
    words = [*(f'"{member}":' for member in members), *(f'"{key}":"' for key in keys)]
    run(check, specs(), [*words, '"/sbin/init"', '"/run"', '"ro"', "\\u0000", "\\ud800", "1e999", "null", "true"])


if __name__ == "__main__":
    main()
