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
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from oci_systemd.core.annotations import OLD_STOP_SIGNALS, WANTED
from oci_systemd.core.errors import Problem
from oci_systemd.engines.launcher import is_ours
from oci_systemd.engines.place import PROGRAMS, Place
from oci_systemd.engines.plan import Edit
from oci_systemd.engines.texts import Toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from oci_systemd.engines.plan import Tree
    from oci_systemd.engines.texts import At, Value
    from oci_systemd.engines.wanted import Wanted

# Version of a file -> the plugin that holds the runtime handlers.
PLUGINS = {
    1: "cri",
    2: "io.containerd.grpc.v1.cri",
    3: "io.containerd.cri.v1.runtime",
}
NEWEST = max(PLUGINS)
DISABLED = {*PLUGINS.values(), "io.containerd.grpc.v1.cri"}
RUNC = "io.containerd.runc.v2"
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
        state="/run/k3s/containerd",
    ),
    Place(
        "rke2",
        _K3S.format("rke2"),
        ("/var/lib/rancher/rke2/agent/etc/containerd",),
        "/var/lib/rancher/rke2/bin/containerd",
        ("systemctl restart rke2-server", "systemctl restart rke2-agent"),
        bins=("/var/lib/rancher/rke2/bin",),
        state="/run/k3s/containerd",
    ),
    Place(
        "k0s",
        "/etc/k0s/containerd.toml",
        ("/etc/k0s/containerd.toml", "/var/lib/k0s/bin/containerd"),
        "/var/lib/k0s/bin/containerd",
        bins=("/var/lib/k0s/bin",),
        state="/run/k0s/containerd",
    ),
    Place(
        "microk8s",
        "/var/snap/microk8s/current/args/containerd-template.toml",
        ("/var/snap/microk8s/current/args",),
        "/snap/microk8s/current/bin/containerd",
        ("systemctl restart snap.microk8s.daemon-containerd",),
        bins=tuple(f"/snap/microk8s/current/{each}" for each in ("usr/sbin", "usr/bin", "sbin", "bin")),
        state="/var/snap/microk8s/common/run/containerd",
    ),
    Place(
        "containerd",
        "/etc/containerd/config.toml",
        ("/etc/containerd/config.toml", *(f"{each}/containerd" for each in PROGRAMS)),
        "containerd",
        ("systemctl restart containerd",),
    ),
)
RENDERED = "/agent/etc/containerd/config.toml"  # how k3s and rke2 end the path of a file that they write at each start
K0S_OWN, K0S_FOLDER = "k0s_managed=true", "containerd.d"


@dataclass(frozen=True, slots=True)
class Loaded:
    """One configuration file as containerd loads it."""

    path: str
    value: dict[str, Any]

    @property
    def version(self) -> int:
        """The version that the file gives itself; without one, that by which its plugins are named."""
        version = self.value.get("version")
        if isinstance(version, int) and version > 0:
            return version
        return next((version for version, name in PLUGINS.items() if self.get("plugins", name)), 1)

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
            waiting += [file for pattern in imports(found[path]) for file in tree.glob(pattern)]
    return [*found.values()]


def imports(file: Loaded) -> Iterator[str]:
    """The patterns that a file imports, relative ones from its own folder on."""
    given = file.value.get("imports")
    for pattern in given if isinstance(given, list) else ():
        if isinstance(pattern, str):
            yield posixpath.join(posixpath.dirname(file.path), pattern)


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
    options = {key: value for key, value in (like.get("options") or {}).items() if value}
    return {
        "runtime_type": RUNC,
        **new,
        "pod_annotations": list(dict.fromkeys([*like.get("pod_annotations", []), *PASSED])),
        "options": {"BinaryName": wanted.binary, **{k: v for k, v in options.items() if k != "BinaryName"}},
    }


def edits(tree: Tree, main: str, wanted: Wanted, version: str = "") -> list[Edit]:
    """What `wanted` needs of a containerd of that `version` ("" unknown), whose configuration is at `main`."""
    files = loaded(tree, main)
    _check(files, wanted)
    if main.endswith(RENDERED):
        return _rendered(tree, main, files, wanted)
    if not files:
        return _anew(main, wanted, version)
    if K0S_OWN in (tree.read(main) or "").partition("\n")[0]:
        return _handler_edits(f"{posixpath.dirname(main)}/{K0S_FOLDER}/{DROP_IN}", files[0], wanted, model(files))
    if files[0].value.get("version", 0) > 2:
        return _by_imports(files[0], wanted, model(files), _imported_folder(files))
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


def _handler_edits(file: str, main: Loaded, wanted: Wanted, like: dict[str, Any]) -> list[Edit]:
    """The handler, in `file`, which is of the same version as `main` or is it."""
    place = (*main.plugin, "containerd")
    found = [Edit(file, (*place, "runtimes", wanted.handler), table(wanted, like))]
    if file != main.path:
        found.insert(0, Edit(file, ("version",), main.version))
    if wanted.default:
        found.append(Edit(file, (*place, "default_runtime_name"), wanted.handler, firm=True))
    return found


def _runc(file: Loaded) -> Edit:
    return Edit(file.path, (*file.plugin, "containerd", "runtimes", "runc"), {"runtime_type": RUNC})


def _anew(main: str, wanted: Wanted, version: str) -> list[Edit]:
    """No file yet: one with its drop-in for 2.x; else one that 1.x and 2.x read."""
    file = Loaded(main, {"version": 2 if major(version) < 2 else NEWEST})
    if file.version > 2:
        return _by_imports(file, wanted, {})
    return [Edit(main, ("version",), file.version), _runc(file), *_handler_edits(main, file, wanted, {})]


def _imported_folder(files: list[Loaded]) -> str:
    """A folder from which a drop-in of ours would be loaded already; "" where there is none."""
    patterns = [pattern for file in files for pattern in imports(file)]
    places = ((posixpath.dirname(pattern), pattern) for pattern in patterns)
    return next((folder for folder, pattern in places if fnmatchcase(f"{folder}/{DROP_IN}", pattern)), "")


def _by_imports(main: Loaded, wanted: Wanted, like: dict[str, Any], folder: str = "") -> list[Edit]:
    """A drop-in, in a `folder` that is imported already or in one that is then."""
    own = f"{posixpath.dirname(main.path)}/conf.d"
    found = _handler_edits(f"{folder or own}/{DROP_IN}", main, wanted, like)
    if folder:
        return found
    given = main.value.get("imports") or []
    version = Edit(main.path, ("version",), main.version)
    return [*found, version, Edit(main.path, ("imports",), [*given, f"{own}/{OWN_GLOB}"], firm=True)]


def _rendered(tree: Tree, main: str, files: list[Loaded], wanted: Wanted) -> list[Edit]:
    """A drop-in where what k3s or rke2 wrote imports them (from March 2026 on), else their template, which it is made from."""
    if not files:
        raise Problem(f"{main} is not there yet, and tells which containerd this is: start it once")
    folder = _imported_folder(files)
    if folder:
        return _by_imports(files[0], wanted, model(files), folder)
    if wanted.default:
        raise Problem(
            "this k3s or rke2 takes its default runtime from its own configuration: leave --default away, and set "
            f"default-runtime: {wanted.handler} in /etc/rancher/*/config.yaml"
        )
    name = "config-v3.toml.tmpl" if files[0].version > 2 else "config.toml.tmpl"
    place = (*files[0].plugin, "containerd", "runtimes", wanted.handler)
    return [Edit(f"{posixpath.dirname(main)}/{name}", place, table(wanted, model(files)))]


def _in_place(files: list[Loaded], wanted: Wanted, version: str) -> list[Edit]:
    """Into the file that has the plugin's table last: for 1.x that table is all that counts."""
    file = ([file for file in files if file.get(*file.plugin)] or files[:1])[-1]
    found: list[Edit] = []
    if file.version < 2 and not any(file.get(name) for name in ("plugins", "required_plugins", "disabled_plugins")):
        found.append(Edit(file.path, ("version",), 2))
        file = Loaded(file.path, file.value | {"version": 2})
    if file.version < 2 and major(version) != 1:
        raise Problem(
            f"{file.path} is of version 1, from which containerd 2 takes no handler: make it one of version 3 with "
            "`containerd config migrate`"
        )
    if file.version < 3 and "runc" not in file.runtimes and default_of(file) in ("", "runc"):
        found.append(_runc(file))
    return [*found, *_handler_edits(file.path, file, wanted, model(files))]


def major(version: str) -> int:
    """The first number of a version; 0 where there is none."""
    digits = version.partition(".")[0]
    return int(digits) if digits.isdigit() else 0
