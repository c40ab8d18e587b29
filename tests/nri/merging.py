"""A model of what a runtime does with a ContainerAdjustment: NRI's Generator (nri, pkg/runtime-tools/generate/generate.go).

It does not import the plugin. NRI v0.3 to v0.12 agree on all parts of our adjustments; the live pods check it.
"""

from __future__ import annotations

import copy
import posixpath
import re
from typing import Any

from tests.corpus.cases import DEBIAN
from tests.laws.tree import Tree


def merged(spec: dict[str, Any], adjustment: Any) -> dict[str, Any]:
    """The spec that the runtime hands on, from the one that it had made and what the plugin answered (None for nothing)."""
    new = copy.deepcopy(spec)
    if adjustment is None:
        return new
    if adjustment.annotations:
        new["annotations"] = {**(new.get("annotations") or {}), **adjustment.annotations}
    if adjustment.args:
        new["process"]["args"] = [*adjustment.args]  # AdjustArgs
    _env(new, [(each.key, each.value) for each in adjustment.env])
    if adjustment.HasField("linux"):
        _resources(new, dict(adjustment.linux.resources.unified))
    _mounts(new, adjustment.mounts)
    return new


def _env(spec: dict[str, Any], changes: list[tuple[str, str]]) -> None:
    """AdjustEnv: an existing variable is replaced in its place, a new one comes last, an entry without `=` is lost."""
    if not changes:
        return
    env: dict[str, str] = {}
    todo = dict(changes)
    for entry in spec["process"].get("env") or []:
        key, equals, value = entry.partition("=")
        if equals:
            env[key] = todo.pop(key, value)
    for key, value in changes:
        if key in todo:
            env[key] = value
    spec["process"]["env"] = [f"{key}={value}" for key, value in env.items()]


def _resources(spec: dict[str, Any], unified: dict[str, str]) -> None:
    resources = spec.setdefault("linux", {}).setdefault("resources", {})
    if unified:
        resources["unified"] = {**(resources.get("unified") or {}), **unified}


def _mounts(spec: dict[str, Any], changes: Any) -> None:
    """AdjustMounts: the first mount at the same destination goes, the new one comes, and then all are sorted. A dash before the
    destination marks one that only goes."""
    if not changes:
        return
    mounts: list[dict[str, Any]] = spec.get("mounts") or []
    for change in changes:
        destination = change.destination.removeprefix("-")
        same = [index for index, mount in enumerate(mounts) if mount["destination"] == destination]
        for index in same[:1]:
            del mounts[index]
        if destination != change.destination:
            continue
        new = {"destination": change.destination, "type": change.type, "source": change.source}
        mounts.append({**new, "options": [*change.options]})
    spec["mounts"] = sorted(mounts, key=order)


def order(mount: dict[str, Any]) -> tuple[int, str]:
    """orderedMounts: by the parts of the destination, then by its name."""
    destination = mount["destination"]
    return posixpath.normpath(re.sub("^/+", "/", destination)).count("/"), destination


def seen(spec: dict[str, Any]) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """The visible mounts in a Debian after every mount has been made."""
    mounts = spec["mounts"]
    destinations = [each["destination"] for each in mounts]
    tree = Tree(DEBIAN.links, destinations)
    shown = [mounts[index] for index in tree.seen(destinations)]
    return {tree.place(each["destination"]): described(each) for each in shown}


def described(mount: dict[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    return mount.get("type") or "", mount.get("source") or "", tuple(mount.get("options") or ())
