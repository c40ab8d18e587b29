"""Of two containers of one shape, what one gets tells what the other gets."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import assume, given

from oci_systemd.core.adjust import Adjustment, adjust
from oci_systemd.core.annotations import ENVIRONMENT
from oci_systemd.core.container import Container, Mount, from_spec
from oci_systemd.core.errors import Problem
from oci_systemd.core.shape import for_another, shape
from tests.core.build import described
from tests.laws.strategies import ID, POD_UID, World, relatives, specs, worlds


def container(spec: dict[str, Any], id: str, known: dict[object, Mount]) -> Container:
    """The container of a spec, with equal mounts the same object, whatever their sources."""
    found = from_spec(spec, id)
    kinds = [(mount.destination, mount.type, mount.options) for mount in found.mounts]
    found.mounts = tuple(map(known.setdefault, kinds, found.mounts))
    return found


def outcome(given: Container, world: World) -> Adjustment | str:
    try:
        return adjust(given, world.chosen(), world.host())
    except Problem as problem:
        return str(problem)


def same(first: Container, second: Container, world: World) -> None:
    """Check that `second` gets the remembered answer of `first`."""
    known, found = outcome(first, world), outcome(second, world)
    if isinstance(known, str) or isinstance(found, str):
        assert known == found
    else:
        assert described(for_another(known, second)) == described(found)


@given(relatives(), worlds, worlds)
def test_containers_of_one_shape_get_the_same(
    pair: tuple[dict[str, Any], dict[str, Any]], world: World, other: World
) -> None:
    known: dict[object, Mount] = {}
    first, second = container(pair[0], world.id, known), container(pair[1], other.id, known)
    if shape(first) == shape(second):
        same(first, second, world)


# What makes no other shape, for all that a container of a node may be like.
def another(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec of another container of the same workload."""
    spec = copy.deepcopy(spec)
    annotations = spec.get("annotations") or {}
    spec["annotations"] = {
        key: POD_UID[:-1] + "f" if value == POD_UID else value for key, value in annotations.items()
    } | {"io.kubernetes.cri.sandbox-id": "b" * 64}
    if annotations.get("io.kubernetes.cri.sandbox-name"):
        spec["annotations"]["io.kubernetes.cri.sandbox-name"] = "another"
    process = spec.setdefault("process", {})
    if not any(key.startswith(ENVIRONMENT) for key in annotations):  # for which any variable may count
        process["env"] = ["HOSTNAME=another", *(process.get("env") or [])]
    for mount in spec.get("mounts") or ():
        mount["source"] = "/another" + (mount.get("source") or "")
    for namespace in (spec.get("linux") or {}).get("namespaces") or ():
        namespace["path"] = namespace["path"].replace("1", "2") if namespace.get("path") else ""
    return spec


@given(specs(), worlds)
def test_containers_of_one_workload_are_of_one_shape(spec: dict[str, Any], world: World) -> None:
    known: dict[object, Mount] = {}
    first, second = container(spec, ID, known), container(another(spec), ID[::-1], known)
    if any(key.startswith(ENVIRONMENT) for key in first.annotations):
        assume(shape(first) == shape(second))  # each value of a variable counts then
    assert shape(first) == shape(second)
    same(first, second, world)
