"""containerd: one more runtime handler of its CRI plugin, which a RuntimeClass names.

Law: the handler is what the node's default handler is (runtime type, cgroup driver, snapshotter, everything), but for the program
it calls and the annotations it passes on.

Where it is written follows from what is there (containerd, docs/man/containerd-config.toml.5, cmd/containerd/server/config), which
`containerd_files` reads:
- the plugin's name depends on the file's `version`; once one file is of version 3, 2.x ignores the tables of version 2;
- 1.x imports replace a plugin's whole table, so that a handler must stand in the file that has the table last, and a file
  that names any runtime must name runc as well; 2.x merges deeply, so that a drop-in does;
- only imports that are written in a loaded file are followed, the default in `containerd config default` is not.
"""

from __future__ import annotations

import copy
import posixpath
import re
from typing import TYPE_CHECKING, Any

from oci_systemd.core.annotations import OLD_STOP_SIGNALS, WANTED
from oci_systemd.core.errors import Problem
from oci_systemd.engines.containerd_files import (
    DROP_IN,
    K0S_FOLDER,
    K0S_OWN,
    NEWEST,
    OLD_SHIM,
    OWN_GLOB,
    PLUGINS,
    RENDERED,
    RUNC,
    SHIMS,
    Configuration,
    Loaded,
    binary,
    configuration,
    imported_folder,
    plugin_at,
    written_in,
)
from oci_systemd.engines.launcher import behind, is_ours
from oci_systemd.engines.place import PROGRAMS, Place
from oci_systemd.engines.plan import Edit
from oci_systemd.engines.texts.text import VERSIONED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oci_systemd.engines.plan import Tree
    from oci_systemd.engines.texts.text import At, Value
    from oci_systemd.engines.wanted import Wanted

DISABLED = {*PLUGINS.values()}
PLAIN_RUNC: dict[str, Value] = {"runtime_type": RUNC}
# containerd's `*` stops at a slash (path.Match), and KEY/NAME has one.
PASSED = [f"{WANTED.rpartition('.')[0]}.*", f"{WANTED.rpartition('.')[0]}.*/*", *OLD_STOP_SIGNALS]


_K3S = "/var/lib/rancher/{}/agent/etc/containerd/config.toml"
PLACES: tuple[Place, ...] = (
    Place(
        "k3s",
        _K3S.format("k3s"),
        ("/var/lib/rancher/k3s/agent/etc/containerd",),
        "/var/lib/rancher/k3s/data/current/bin/containerd",
        ("systemctl restart k3s", "systemctl restart k3s-agent"),
        bins=("/var/lib/rancher/k3s/data/current/bin",),
        socket="/run/k3s/containerd/containerd.sock",
    ),
    Place(
        "rke2",
        _K3S.format("rke2"),
        ("/var/lib/rancher/rke2/agent/etc/containerd",),
        "/var/lib/rancher/rke2/bin/containerd",
        ("systemctl restart rke2-server", "systemctl restart rke2-agent"),
        bins=("/var/lib/rancher/rke2/bin",),
        socket="/run/k3s/containerd/containerd.sock",
    ),
    Place(
        "k0s",
        "/etc/k0s/containerd.toml",
        ("/etc/k0s/containerd.toml", "/var/lib/k0s/bin/containerd"),
        "/var/lib/k0s/bin/containerd",
        bins=("/var/lib/k0s/bin",),
        socket="/run/k0s/containerd.sock",
    ),
    Place(
        "microk8s",
        "/var/snap/microk8s/current/args/containerd-template.toml",
        ("/var/snap/microk8s/current/args",),
        "/snap/microk8s/current/bin/containerd",
        ("systemctl restart snap.microk8s.daemon-containerd",),
        bins=tuple(f"/snap/microk8s/current/{each}" for each in ("usr/sbin", "usr/bin", "sbin", "bin")),
        socket="/var/snap/microk8s/common/run/containerd.sock",
    ),
    Place(
        "containerd",
        "/etc/containerd/config.toml",
        ("/etc/containerd/config.toml", *(f"{each}/containerd" for each in PROGRAMS)),
        "containerd",
        ("systemctl restart containerd",),
        socket="/run/containerd/containerd.sock",
    ),
)
# Of a template what says nothing: lines of TOML that are comments, and comments of Go's templates.
COMMENTS = re.compile(r"(?m)^[ \t]*#.*$|(?s:\{\{-?\s*/\*.*?\*/\s*-?\}\})")
BROUGHT = {
    place.main for place in PLACES[:-1]
}  # files that a distribution brings: one of ours in their place breaks it


def base_runtime(tree: Tree, main: str, version: str = "") -> str:
    """The program that the node's default handler calls; "" where nothing is said."""
    return behind(tree, binary(configuration(tree, main, version).model))


def wrapped(tree: Tree, main: str) -> dict[str, str]:
    """The handlers in the files that call the wrapper, each with the program it calls, whether they are in effect or not."""
    files = configuration(tree, main).files
    tables = {name: table for file in files for name, table in written_in(file).items() if isinstance(table, dict)}
    return wrappers(tables)


def wrappers(tables: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Of handlers those that call the wrapper, each with the program it calls."""
    return {name: binary(table) for name, table in tables.items() if is_ours(binary(table))}


def named(tree: Tree, main: str, handler: str) -> list[tuple[str, At]]:
    """Where the files have `handler` as one of ours, or as the default: the places to remove with it. Not in what k3s writes at
    each start."""
    found: list[tuple[str, At]] = []
    for file in [file for file in configuration(tree, main).files if not file.path.endswith(RENDERED)]:
        for version in PLUGINS:
            at = (*plugin_at(version), "containerd")
            table = file.get(*at, "runtimes", handler)
            if isinstance(table, dict) and is_ours(binary(table)):
                found.append((file.path, (*at, "runtimes", handler)))
            if file.get(*at, "default_runtime_name") == handler:
                found.append((file.path, (*at, "default_runtime_name")))
    return found


def table(wanted: Wanted, like: dict[str, Any]) -> dict[str, Value]:
    """Our handler, made like another: what that one sets, but for what is zero and so the default."""
    new = {key: copy.deepcopy(value) for key, value in like.items() if value and key not in ("options", "runtime_type")}
    options, passed = like.get("options"), like.get("pod_annotations")
    more = {key: value for key, value in options.items() if value} if isinstance(options, dict) else {}
    kind = str(like.get("runtime_type"))
    return {
        "runtime_type": kind if kind.startswith(SHIMS) and kind != OLD_SHIM else RUNC,
        **new,
        "pod_annotations": _added(passed if isinstance(passed, list) else [], PASSED),
        "options": {
            "BinaryName": wanted.binary,
            **{key: value for key, value in more.items() if key.lower() != "binaryname"},
        },
    }


def _added(given: list[Value], more: list[str]) -> list[Value]:
    return [*given, *(each for each in more if each not in given)]


def edits(tree: Tree, main: str, wanted: Wanted, version: str = "") -> list[Edit]:
    """What `wanted` needs of a containerd of that `version` ("" unknown), whose configuration is at `main`."""
    given = configuration(tree, main, version)
    _check(given, wanted)
    if not given.files and (main in BROUGHT or main.endswith(RENDERED)):
        raise Problem(f"{main} is not there yet, and tells which containerd this is: start it once")
    if not given.files:
        return _anew(main, wanted, given)
    if main.endswith(RENDERED):
        return _rendered(tree, main, given, wanted)
    if K0S_OWN in (tree.read(main) or "").splitlines():
        folder = f"{posixpath.dirname(main)}/{K0S_FOLDER}"
        return _among(folder, [file for file in given.files if posixpath.dirname(file.path) == folder], given, wanted)
    first = given.files[0].given
    if first > 2 or (first == 2 and given.plugin == plugin_at(NEWEST)):
        return _by_imports(given, wanted)
    return _in_place(given, wanted)


def _check(given: Configuration, wanted: Wanted) -> None:
    for file in given.files:
        off = file.value.get("disabled_plugins")
        if isinstance(off, list) and DISABLED & {str(name) for name in off}:
            raise Problem(
                f"{file.path} turns containerd's CRI plugin off (disabled_plugins), so that no Kubernetes uses it: "
                "take it out of that list first; Docker has its own configuration: oci-systemd install docker"
            )
    if given.missing:
        by, path = given.missing
        raise Problem(
            f"{by}: imports {path!r}, which does not exist: containerd 1.x does not start, and 2.x reads no file after it; "
            f"remove it from imports, or create {path}"
        )
    there = {name: table for file in given.files for name, table in written_in(file).items()}.get(wanted.handler, {})
    if isinstance(there, dict) and there and not is_ours(binary(there)):
        raise Problem(
            f"containerd has a handler {wanted.handler!r} already, which calls {binary(there) or 'runc'!r}: "
            "choose another name with --handler"
        )


def _handler_edits(file: str, given: Configuration, wanted: Wanted) -> list[Edit]:
    """The handler in a drop-in, `file`, of the version whose tables are in effect."""
    newest = given.plugin == plugin_at(NEWEST)
    version = max(given.files[0].version, NEWEST) if newest else given.files[0].version
    return [Edit(file, ("version",), version), *_tables(file, plugin_at(version), wanted, given)]


def _tables(file: str, plugin: At, wanted: Wanted, given: Configuration) -> list[Edit]:
    like = given.model if wanted.like is None else dict(wanted.like)
    handler = Edit(file, (*plugin, "containerd", "runtimes", wanted.handler), table(wanted, like))
    default = Edit(file, (*plugin, "containerd", "default_runtime_name"), wanted.handler, firm=True)
    return [handler, default] if wanted.default else [handler]


def _default_of(file: Loaded, plugin: At) -> str:
    return str(file.get(*plugin, "containerd", "default_runtime_name") or "")


def _among(folder: str, others: list[Loaded], given: Configuration, wanted: Wanted) -> list[Edit]:
    """The drop-in in a folder that is imported, among others: one that is read after it has the last word."""
    own = f"{folder}/{DROP_IN}"
    for file in others if wanted.default else ():
        theirs = _default_of(file, file.plugin)
        if theirs and (posixpath.dirname(file.path) != folder or file.path > own):
            raise Problem(
                f"{file.path} makes {theirs!r} the default runtime, and may be read after what --default writes: "
                "take it out there first, or leave --default away"
            )
    return _handler_edits(own, given, wanted)


def _runc(file: Loaded) -> Edit:
    return Edit(file.path, (*file.plugin, "containerd", "runtimes", "runc"), dict(PLAIN_RUNC))


def _anew(main: str, wanted: Wanted, given: Configuration) -> list[Edit]:
    """No file yet: one with its drop-in for 2.x; else one that 1.x and 2.x read."""
    file = Loaded(main, {"version": 2 if given.major < 2 else NEWEST})
    new = Configuration([file], given.major)
    if file.version > 2:
        return _by_imports(new, wanted)
    return [Edit(main, ("version",), file.version), _runc(file), *_tables(main, file.plugin, wanted, new)]


def _by_imports(given: Configuration, wanted: Wanted) -> list[Edit]:
    """A drop-in, in a folder that is imported already or in one that is then."""
    main, folder = given.files[0], imported_folder(given)
    if folder:
        return _among(folder, given.files[1:], given, wanted)
    own = f"{posixpath.dirname(main.path)}/conf.d"
    return [
        *_handler_edits(f"{own}/{DROP_IN}", given, wanted),
        Edit(main.path, ("version",), main.version),
        Edit(main.path, ("imports",), [f"{own}/{OWN_GLOB}"], firm=True),
    ]


def _rendered(tree: Tree, main: str, given: Configuration, wanted: Wanted) -> list[Edit]:
    """A drop-in where what k3s or rke2 wrote imports them (from March 2026 on), else their template, which it is made from."""
    if imported_folder(given):
        return _by_imports(given, wanted)
    if wanted.default:
        raise Problem(
            "this k3s or rke2 takes its default runtime from its own configuration: leave --default away, and set "
            f"default-runtime: {wanted.handler} in /etc/rancher/*/config.yaml"
        )
    newest = given.files[0].version > 2
    template = f"{posixpath.dirname(main)}/{'config-v3.toml.tmpl' if newest else 'config.toml.tmpl'}"
    # What is added stands beside what the template says itself, which cannot be read: the same table twice starts nothing.
    said = COMMENTS.sub("", tree.read(template) or "")
    if re.search(rf"runtimes\s*\.\s*[\"']?{wanted.handler}[\"']?\s*[].]", said):
        raise Problem(f"{template} has a handler {wanted.handler!r} already: choose another name with --handler")
    place = (*given.files[0].plugin, "containerd", "runtimes", wanted.handler)
    return [Edit(template, place, table(wanted, given.model))]


def _in_place(given: Configuration, wanted: Wanted) -> list[Edit]:
    """Into the file that has the plugin's table last: for 1.x that table is all that counts. 2.x merges: into the main one."""
    files = given.files
    last = ([file for file in files if file.get(*file.plugin)] or files[:1])[-1]
    file = last if given.major < 2 or (wanted.default and _default_of(last, last.plugin)) else files[0]
    if file.version < 2 and not any(file.get(name) for name in VERSIONED):
        # As its imports are: where a version 2 imports a version 3, containerd 2.x ignores the tables of the former.
        file = Loaded(file.path, file.value | {"version": max([2, *(each.given for each in files)])})
    if file.version < 2 and given.major != 1:
        raise Problem(
            f"{file.path} is of version 1, from which containerd 2 takes no handler: make it one of version 3 with "
            "`containerd config migrate`"
        )
    found = [Edit(file.path, ("version",), file.given, firm=True)] if file.given else []
    runc = file.runtimes.get("runc")
    if file.version < 3 and (runc == PLAIN_RUNC or (runc is None and _default_of(file, file.plugin) in ("", "runc"))):
        found.append(_runc(file))  # where it is there, it may be so for another handler of ours
    return [*found, *_tables(file.path, file.plugin, wanted, given)]
