"""containerd: one more runtime handler of its CRI plugin, which a RuntimeClass names.

Law: the handler is what the node's own runc handler is (cgroup driver, snapshotter, everything), but for the program it
calls and the annotations it passes on.

Where it is written follows from what is there (containerd, docs/man/containerd-config.toml.5, cmd/containerd/server/config):
- the plugin's name depends on the file's `version`; a version's drop-in must have the same one, or 2.x migrates neither;
- 1.x imports replace a plugin's whole table, so that a handler must stand in the file that has the table last, and a file
  that names any runtime must name runc as well; 2.x merges deeply, so that a drop-in does;
- only imports that are written in a loaded file are followed, the default in `containerd config default` is not.
"""

from __future__ import annotations

import copy
import posixpath
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import has_magic
from typing import TYPE_CHECKING, Any

from oci_systemd.core.annotations import OLD_STOP_SIGNALS, WANTED
from oci_systemd.core.errors import Problem
from oci_systemd.core.paths import clean
from oci_systemd.engines.launcher import is_ours
from oci_systemd.engines.place import PROGRAMS, Place
from oci_systemd.engines.plan import Edit
from oci_systemd.engines.texts.text import VERSIONED
from oci_systemd.engines.texts.toml import Toml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oci_systemd.engines.plan import Tree
    from oci_systemd.engines.texts.text import At, Value
    from oci_systemd.engines.wanted import Wanted

# Version of a file -> the plugin that holds the runtime handlers.
PLUGINS = {
    1: "cri",
    2: "io.containerd.grpc.v1.cri",
    3: "io.containerd.cri.v1.runtime",
}
NEWEST = max(PLUGINS)
DISABLED = {*PLUGINS.values()}
RUNC = "io.containerd.runc.v2"
PLAIN_RUNC: dict[str, Value] = {"runtime_type": RUNC}
# containerd's `*` stops at a slash (path.Match), and KEY/NAME has one.
PASSED = [f"{WANTED.rpartition('.')[0]}.*", f"{WANTED.rpartition('.')[0]}.*/*", *OLD_STOP_SIGNALS]
DROP_IN = "50-oci-systemd.toml"
OWN_GLOB = "*-oci-systemd.toml"  # wakes nobody else's drop-in that lies there unused


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
RENDERED = "/agent/etc/containerd/config.toml"  # how k3s and rke2 end the path of a file that they write at each start
BROUGHT = {
    place.main for place in PLACES[:-1]
}  # files that a distribution brings: one of ours in their place breaks it
K0S_OWN, K0S_FOLDER = "# k0s_managed=true", "containerd.d"  # the line by which k0s knows the file as its own


@dataclass(frozen=True, slots=True)
class Loaded:
    """One configuration file as containerd loads it."""

    path: str
    value: dict[str, Any]

    @property
    def given(self) -> int:
        """The version that the file gives itself; 0 where it gives none."""
        version = self.value.get("version")
        return version if isinstance(version, int) and version > 0 else 0

    @property
    def version(self) -> int:
        """The version that the file gives itself; without one, that by which its plugins are named."""
        named = (version for version, name in reversed(PLUGINS.items()) if self.get("plugins", name))
        return self.given or next(named, 1)

    @property
    def plugin(self) -> At:
        return "plugins", PLUGINS[min(self.version, NEWEST)]

    def get(self, *at: str) -> Any:
        found: Any = self.value
        for key in at:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    @property
    def runtimes(self) -> dict[str, Any]:
        found = self.get(*self.plugin, "containerd", "runtimes")
        return found if isinstance(found, dict) else {}


def loaded(tree: Tree, main: str) -> list[Loaded]:
    """The file at `main` and what it imports, in the order in which containerd merges them; empty where there is none."""
    found: dict[str, Loaded] = {}
    waiting = [main]
    while waiting:
        path = waiting.pop(0)
        text = tree.read(path) if path not in found else None
        if text is not None:
            found[path] = Loaded(path, Toml(path, text).value)
            brought = [f"{posixpath.dirname(path)}/{K0S_FOLDER}/*.toml"] if K0S_OWN in text.splitlines() else []
            waiting += [file for pattern in [*imports(found[path]), *brought] for file in tree.glob(pattern)]
    return [*found.values()]


def imports(file: Loaded) -> list[str]:
    """The patterns that a file imports, relative ones from its own folder on."""
    given = file.value.get("imports")
    patterns = [each for each in given if isinstance(each, str)] if isinstance(given, list) else []
    return [clean(posixpath.join(posixpath.dirname(file.path), pattern)) for pattern in patterns]


def handlers(files: list[Loaded]) -> dict[str, dict[str, Any]]:
    """The runtime handlers that the files define together; of two definitions the later."""
    return {name: table for file in files for name, table in file.runtimes.items() if isinstance(table, dict)}


def model(files: list[Loaded]) -> dict[str, Any]:
    """The node's own handler for runc, which ours is made after; empty where the files leave all to containerd."""
    known = {name: table for name, table in handlers(files).items() if not is_ours(binary(table))}
    chosen = [default_of(file) for file in files]
    if "runc" in known:
        return known["runc"]
    return next(
        (known[name] for name in [*reversed(chosen), *known] if known.get(name, {}).get("runtime_type") == RUNC), {}
    )


def default_of(file: Loaded) -> str:
    return str(file.get(*file.plugin, "containerd", "default_runtime_name") or "")


def binary(handler: dict[str, Any]) -> str:
    """The program that a handler calls; "" for containerd's default, runc."""
    options = handler.get("options")
    return str(options.get("BinaryName") or "") if isinstance(options, dict) else ""


def base_runtime(tree: Tree, main: str) -> str:
    """The program that the node's own handler calls; "" where nothing is said."""
    return binary(model(loaded(tree, main)))


def wrapped(tree: Tree, main: str) -> dict[str, str]:
    """The handlers in the files that call the wrapper, each with the program it calls."""
    return wrappers(handlers(loaded(tree, main)))


def wrappers(tables: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Of handlers those that call the wrapper, each with the program it calls."""
    return {name: binary(table) for name, table in tables.items() if is_ours(binary(table))}


def table(wanted: Wanted, like: dict[str, Any]) -> dict[str, Value]:
    """Our handler, made like another: what that one sets, but for what is zero and so the default."""
    new = {key: copy.deepcopy(value) for key, value in like.items() if value and key not in ("options", "runtime_type")}
    options, passed = like.get("options"), like.get("pod_annotations")
    more = {key: value for key, value in options.items() if value} if isinstance(options, dict) else {}
    return {
        "runtime_type": RUNC,
        **new,
        "pod_annotations": _added(passed if isinstance(passed, list) else [], PASSED),
        "options": {"BinaryName": wanted.binary, **{key: value for key, value in more.items() if key != "BinaryName"}},
    }


def _added(given: list[Value], more: list[str]) -> list[Value]:
    return [*given, *(each for each in more if each not in given)]


def edits(tree: Tree, main: str, wanted: Wanted, version: str = "") -> list[Edit]:
    """What `wanted` needs of a containerd of that `version` ("" unknown), whose configuration is at `main`."""
    files = loaded(tree, main)
    _check(files, wanted)
    if not files and (main in BROUGHT or main.endswith(RENDERED)):
        raise Problem(f"{main} is not there yet, and tells which containerd this is: start it once")
    if not files:
        return _anew(main, wanted, version)
    if main.endswith(RENDERED):
        return _rendered(tree, main, files, wanted)
    if K0S_OWN in (tree.read(main) or "").splitlines():
        folder = f"{posixpath.dirname(main)}/{K0S_FOLDER}"
        return _among(folder, [file for file in files if posixpath.dirname(file.path) == folder], files, wanted)
    if files[0].given > 2:
        return _by_imports(files, wanted)
    return _in_place(files, wanted, version)


def _check(files: list[Loaded], wanted: Wanted) -> None:
    for file in files:
        off = file.value.get("disabled_plugins")
        if isinstance(off, list) and DISABLED & {str(name) for name in off}:
            raise Problem(
                f"{file.path} turns containerd's CRI plugin off (disabled_plugins), so that no Kubernetes uses it: "
                "take it out of that list first; Docker has its own configuration: oci-systemd install docker"
            )
    there = handlers(files).get(wanted.handler, {})
    if there and not is_ours(binary(there)):
        raise Problem(
            f"containerd has a handler {wanted.handler!r} already, which calls {binary(there) or 'runc'!r}: "
            "choose another name with --handler"
        )


def _handler_edits(file: str, files: list[Loaded], wanted: Wanted) -> list[Edit]:
    """The handler in a drop-in, `file`, which is of the same version as the main one."""
    main = files[0]
    return [Edit(file, ("version",), main.version), *_tables(file, main.plugin, wanted, model(files))]


def _tables(file: str, plugin: At, wanted: Wanted, like: dict[str, Any]) -> list[Edit]:
    handler = Edit(file, (*plugin, "containerd", "runtimes", wanted.handler), table(wanted, like))
    default = Edit(file, (*plugin, "containerd", "default_runtime_name"), wanted.handler, firm=True)
    return [handler, default] if wanted.default else [handler]


def _among(folder: str, others: list[Loaded], files: list[Loaded], wanted: Wanted) -> list[Edit]:
    """The drop-in in a folder that is imported, among others: one that is read after it has the last word."""
    own = f"{folder}/{DROP_IN}"
    for file in others if wanted.default else ():
        if default_of(file) and (posixpath.dirname(file.path) != folder or file.path > own):
            raise Problem(
                f"{file.path} makes {default_of(file)!r} the default runtime, and may be read after what --default writes: "
                "take it out there first, or leave --default away"
            )
    return _handler_edits(own, files, wanted)


def _runc(file: Loaded) -> Edit:
    return Edit(file.path, (*file.plugin, "containerd", "runtimes", "runc"), dict(PLAIN_RUNC))


def _anew(main: str, wanted: Wanted, version: str) -> list[Edit]:
    """No file yet: one with its drop-in for 2.x; else one that 1.x and 2.x read."""
    file = Loaded(main, {"version": 2 if major(version) < 2 else NEWEST})
    if file.version > 2:
        return _by_imports([file], wanted)
    return [Edit(main, ("version",), file.version), _runc(file), *_tables(main, file.plugin, wanted, {})]


def _imported_folder(files: list[Loaded]) -> str:
    """A folder from which a drop-in of ours is loaded by somebody else's import; "" where there is none."""
    patterns = [posixpath.split(pattern) for file in files for pattern in imports(file)]
    fitting = (folder for folder, name in patterns if name != OWN_GLOB and fnmatchcase(DROP_IN, name))
    return next((folder for folder in fitting if not has_magic(folder)), "")


def _by_imports(files: list[Loaded], wanted: Wanted) -> list[Edit]:
    """A drop-in, in a folder that is imported already or in one that is then."""
    main, folder = files[0], _imported_folder(files)
    if folder:
        return _among(folder, files[1:], files, wanted)
    own = f"{posixpath.dirname(main.path)}/conf.d"
    return [
        *_handler_edits(f"{own}/{DROP_IN}", files, wanted),
        Edit(main.path, ("version",), main.version),
        Edit(main.path, ("imports",), [f"{own}/{OWN_GLOB}"], firm=True),
    ]


def _rendered(tree: Tree, main: str, files: list[Loaded], wanted: Wanted) -> list[Edit]:
    """A drop-in where what k3s or rke2 wrote imports them (from March 2026 on), else their template, which it is made from."""
    if _imported_folder(files):
        return _by_imports(files, wanted)
    if wanted.default:
        raise Problem(
            "this k3s or rke2 takes its default runtime from its own configuration: leave --default away, and set "
            f"default-runtime: {wanted.handler} in /etc/rancher/*/config.yaml"
        )
    template = f"{posixpath.dirname(main)}/{'config-v3.toml.tmpl' if files[0].version > 2 else 'config.toml.tmpl'}"
    # What is added stands beside what the template says itself, which cannot be read: the same table twice starts nothing.
    if re.search(rf"runtimes\s*\.\s*[\"']?{wanted.handler}[\"']?\s*[].]", tree.read(template) or ""):
        raise Problem(f"{template} has a handler {wanted.handler!r} already: choose another name with --handler")
    place = (*files[0].plugin, "containerd", "runtimes", wanted.handler)
    return [Edit(template, place, table(wanted, model(files)))]


def _in_place(files: list[Loaded], wanted: Wanted, version: str) -> list[Edit]:
    """Into the file that has the plugin's table last: for 1.x that table is all that counts. 2.x merges: into the main one."""
    last = ([file for file in files if file.get(*file.plugin)] or files[:1])[-1]
    file = last if major(version) < 2 or (wanted.default and default_of(last)) else files[0]
    if file.version < 2 and not any(file.get(name) for name in VERSIONED):
        # As its imports are: where a version 2 imports a version 3, containerd 2.x ignores the tables of the former.
        file = Loaded(file.path, file.value | {"version": max([2, *(each.given for each in files)])})
    if file.version < 2 and major(version) != 1:
        raise Problem(
            f"{file.path} is of version 1, from which containerd 2 takes no handler: make it one of version 3 with "
            "`containerd config migrate`"
        )
    found = [Edit(file.path, ("version",), file.given, firm=True)] if file.given else []
    runc = file.runtimes.get("runc")
    if file.version < 3 and (runc == PLAIN_RUNC or (runc is None and default_of(file) in ("", "runc"))):
        found.append(_runc(file))  # where it is there, it may be so for another handler of ours
    return [*found, *_tables(file.path, file.plugin, wanted, model(files))]


def major(version: str) -> int:
    """The first number of a version; 0 where there is none."""
    digits = version.partition(".")[0]
    return int(digits) if digits.isdigit() else 0
