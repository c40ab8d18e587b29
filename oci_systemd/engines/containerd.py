"""containerd: add a runtime handler to its CRI plugin, for use by a RuntimeClass.

Law: the handler is a copy of the node's default handler (runtime type, cgroup driver, snapshotter and the rest), except for the
program it calls and the annotations it passes on.

The place of the handler depends on the present files (containerd, docs/man/containerd-config.toml.5,
cmd/containerd/server/config), which `containerd_files` reads:
- the plugin's name depends on the file's `version`; if any file has version 3, 2.x ignores tables of version 2;
- in 1.x an import replaces a plugin's whole table, so the handler must be in the last file with that table, and a file with any
  runtime must also have runc; 2.x merges tables, so a drop-in is enough;
- only imports in a loaded file are followed, not the default in `containerd config default`.
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
# containerd's `*` does not match a slash (path.Match), and KEY/NAME has one.
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
# Comments in a template: those of TOML and those of Go templates.
COMMENTS = re.compile(r"(?m)^[ \t]*#.*$|(?s:\{\{-?\s*/\*.*?\*/\s*-?\}\})")
BROUGHT = {
    place.main for place in PLACES[:-1]
}  # files that a distribution creates; if we created one, the distribution would fail


def base_runtime(tree: Tree, main: str, version: str = "") -> str:
    """Return the program that the node's default handler calls; "" if unset."""
    return behind(tree, binary(configuration(tree, main, version).model))


def wrapped(tree: Tree, main: str) -> dict[str, str]:
    """Return the handlers in the files that call the wrapper, with their program, whether they are in effect or not."""
    files = configuration(tree, main).files
    tables = {name: table for file in files for name, table in written_in(file).items() if isinstance(table, dict)}
    return wrappers(tables)


def wrappers(tables: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Return the handlers that call the wrapper, each with its program."""
    return {name: binary(table) for name, table in tables.items() if is_ours(binary(table))}


def named(tree: Tree, main: str, handler: str) -> list[tuple[str, At]]:
    """Return the places in the files with `handler` as one of ours, or as the default, which are removed with it; not those in the
    file that k3s writes at each start."""
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
    """Return our handler as a copy of another one, without zero values, which are the defaults."""
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
    """Return the edits for `wanted` in a containerd of that `version` ("" if unknown), with its configuration at `main`."""
    given = configuration(tree, main, version)
    _check(given, wanted)
    if not given.files and (main in BROUGHT or main.endswith(RENDERED)):
        raise Problem(f"{main}: not found; start the engine once to create it, then install again")
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
                f"{file.path}: disables containerd's CRI plugin (disabled_plugins), which Kubernetes needs; "
                "remove it from that list; for Docker: oci-systemd install docker"
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
            f"handler {wanted.handler!r}: already exists in containerd, and calls {binary(there) or 'runc'!r}; "
            "choose another name with --handler"
        )


def _handler_edits(file: str, given: Configuration, wanted: Wanted) -> list[Edit]:
    """Return the edits for the handler in a drop-in, `file`, of the version whose tables are in effect."""
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
    """Return the edits for a drop-in in an imported directory with `others`; a file that is read later overrides it."""
    own = f"{folder}/{DROP_IN}"
    for file in others if wanted.default else ():
        theirs = _default_of(file, file.plugin)
        if theirs and (posixpath.dirname(file.path) != folder or file.path > own):
            raise Problem(
                f"{file.path}: sets the default runtime to {theirs!r}, and may be read after the file that --default writes; "
                "remove it there, or leave out --default"
            )
    return _handler_edits(own, given, wanted)


def _runc(file: Loaded) -> Edit:
    return Edit(file.path, (*file.plugin, "containerd", "runtimes", "runc"), dict(PLAIN_RUNC))


def _anew(main: str, wanted: Wanted, given: Configuration) -> list[Edit]:
    """Return the edits if there is no file: for 2.x a file with a drop-in; else a file that 1.x and 2.x can read."""
    file = Loaded(main, {"version": 2 if given.major < 2 else NEWEST})
    new = Configuration([file], given.major)
    if file.version > 2:
        return _by_imports(new, wanted)
    return [Edit(main, ("version",), file.version), _runc(file), *_tables(main, file.plugin, wanted, new)]


def _by_imports(given: Configuration, wanted: Wanted) -> list[Edit]:
    """Return the edits for a drop-in, in a directory that is imported, or with a new import."""
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
    """Return the edits for k3s and rke2: a drop-in if their file imports them (since March 2026), else its template."""
    if imported_folder(given):
        return _by_imports(given, wanted)
    if wanted.default:
        raise Problem(
            "k3s and rke2 set the default runtime in their own configuration; leave out --default, and set "
            f"default-runtime: {wanted.handler} in /etc/rancher/*/config.yaml"
        )
    newest = given.files[0].version > 2
    template = f"{posixpath.dirname(main)}/{'config-v3.toml.tmpl' if newest else 'config.toml.tmpl'}"
    # The rest of the template cannot be parsed, and containerd does not start if a table appears twice.
    said = COMMENTS.sub("", tree.read(template) or "")
    if re.search(rf"runtimes\s*\.\s*[\"']?{wanted.handler}[\"']?\s*[].]", said):
        raise Problem(f"handler {wanted.handler!r}: already exists in {template}; choose another name with --handler")
    place = (*given.files[0].plugin, "containerd", "runtimes", wanted.handler)
    return [Edit(template, place, table(wanted, given.model))]


def _in_place(given: Configuration, wanted: Wanted) -> list[Edit]:
    """Return the edits for the last file with the plugin's table, the only one that counts in 1.x; for 2.x, for the main file."""
    files = given.files
    last = ([file for file in files if file.get(*file.plugin)] or files[:1])[-1]
    file = last if given.major < 2 or (wanted.default and _default_of(last, last.plugin)) else files[0]
    if file.version < 2 and not any(file.get(name) for name in VERSIONED):
        # The same version as its imports: if one has version 3, containerd 2.x ignores tables of version 2.
        file = Loaded(file.path, file.value | {"version": max([2, *(each.given for each in files)])})
    if file.version < 2 and given.major != 1:
        raise Problem(
            f"{file.path}: version 1, in which containerd 2 ignores handlers; convert it with `containerd config migrate`"
        )
    found = [Edit(file.path, ("version",), file.given, firm=True)] if file.given else []
    runc = file.runtimes.get("runc")
    if file.version < 3 and (runc == PLAIN_RUNC or (runc is None and _default_of(file, file.plugin) in ("", "runc"))):
        found.append(_runc(file))  # if it is present, another handler of ours may have added it
    return [*found, *_tables(file.path, file.plugin, wanted, given)]
