"""The facts about a machine that the core gets."""

from __future__ import annotations

from oci_systemd.core.host import Host, Root


def test_machine_with_another_root_is_the_same_machine_in_every_fact() -> None:
    asked = {"root": Root({}, {}), "occupied": ["/a"], "sources": {"/b": True}}
    facts = {name: False for name in Host.__slots__ if name not in asked}
    other = Host(**facts).seen(**asked)
    assert {name: getattr(other, name) for name in Host.__slots__} == {**facts, **asked}
