"""What containerd makes of its files, as its documentation and measurements have it, written without a look at our code.

1.x: a later file's plugin replaces an earlier one's whole. 2.x: tables merge, and the version of a file without one is the
newest. A file in another version than the main one has no say, or is the only one that has: such a node is a broken one.
"""

from __future__ import annotations

import copy
import fnmatch
import posixpath
import tomllib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = {1: "cri", 2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.runtime"}
DEFAULTS = {"default_runtime_name": "runc", "runtimes": {"runc": {"runtime_type": "io.containerd.runc.v2"}}}


def loaded(files: Mapping[str, str], main: str) -> list[dict[str, Any]]:
    """The files that are loaded, in order."""
    found: dict[str, dict[str, Any]] = {}
    waiting = [main] if main in files else []
    while waiting:
        path = waiting.pop(0)
        if path in found:
            continue
        found[path] = tomllib.loads(files[path])
        for pattern in found[path].get("imports", []):
            full = posixpath.normpath(posixpath.join(posixpath.dirname(path), pattern))
            matches = [each for each in sorted(files) if fnmatch.fnmatchcase(each, full)]
            assert matches or "*" in full, f"containerd does not start: {full} is imported, and is not there"
            waiting += [each for each in matches if each.count("/") == full.count("/")]
    return [*found.values()]


def handlers(files: Mapping[str, str], main: str, major: int) -> dict[str, Any]:
    """The runtimes and the default among them that the CRI plugin of containerd `major`.x ends up with."""
    given = loaded(files, main)
    newest = 2 if major == 1 else 3
    first = given[0].get("version") or (1 if major == 1 else newest) if given else newest
    assert first <= newest, f"containerd {major} does not know version {first}"
    for each in given[1:]:
        assert each.get("version") in (None, first), "a drop-in is of another version than the main file"
    plugins = [each.get("plugins", {}).get(NAMES[first]) for each in given]
    merged: dict[str, Any] = {}
    for plugin in plugins:
        if plugin is not None:
            merged = copy.deepcopy(plugin) if major == 1 else deep(merged, plugin)
    said = merged.get("containerd", {})
    if major == 1:  # whoever names a runtime names all of them
        return DEFAULTS | {key: value for key, value in said.items() if key in DEFAULTS}
    return {key: value for key, value in deep(DEFAULTS, said).items() if key in DEFAULTS}


def deep(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    new = copy.deepcopy(first)
    for key, value in second.items():
        both = isinstance(value, dict) and isinstance(new.get(key), dict)
        new[key] = deep(new[key], value) if both else copy.deepcopy(value)
    return new
