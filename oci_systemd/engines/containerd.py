"""containerd: one more runtime handler of its CRI plugin, which a RuntimeClass names.

Law: the handler is what the node's default handler is (runtime type, cgroup driver, snapshotter, everything), but for the program
it calls and the annotations it passes on.

Where it is written follows from what is there (containerd, docs/man/containerd-config.toml.5, cmd/containerd/server/config):
- the plugin's name depends on the file's `version`; once one file is of version 3, 2.x ignores the tables of version 2;
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
from oci_systemd.engines.launcher import behind, is_ours
from oci_systemd.engines.place import PROGRAMS, Place
from oci_systemd.engines.plan import Edit
from oci_systemd.engines.texts.text import VERSIONED
from oci_systemd.engines.texts.toml import Toml, loads

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
SHIMS = "io.containerd.runc."  # how the types of runc's shims begin
RUNC, OLD_SHIM = "io.containerd.runc.v2", "io.containerd.runc.v1"  # 2.0 has no v1 any more
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
# Of a template what says nothing: lines of TOML that are comments, and comments of Go's templates.
COMMENTS = re.compile(r"(?m)^[ \t]*#.*$|(?s:\{\{-?\s*/\*.*?\*/\s*-?\}\})")
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
        return _plugin(self.version)

    def get(self, *at: str) -> Any:
        found: Any = self.value
        for key in at:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    @property
    def runtimes(self) -> dict[str, Any]:
        found = self.get(*self.plugin, "containerd", "runtimes")
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class Configuration:
    """The files that containerd loads, in order, and what a containerd of that `major` version (0: unknown) makes of them.

    `missing`: the file that imports another one which does not exist, and that one. 1.7 does not start then, 2.x loads no file
    after it (tried: 1.7.24, 2.1.9).
    """

    files: list[Loaded]
    major: int = 0
    missing: tuple[str, str] | None = None

    @property
    def merges(self) -> bool:
        """Whether tables merge (2.x), or a later file's table replaces an earlier one's whole (1.x, mergeConfig)."""
        return self.major > 1 or (not self.major and self._is_newest)

    @property
    def plugin(self) -> At:
        """The plugin's table that counts. 2.x takes the version of the last file that gives one, and tables of version 2 only where
        no file has one of version 3 (tried: 2.1.9)."""
        if self.merges:
            return _plugin(NEWEST if self._is_newest else 2)
        return self.files[0].plugin if self.files else _plugin(2)

    @property
    def _is_newest(self) -> bool:
        given = [file.given for file in self.files if file.given]
        return any(file.get(*_plugin(NEWEST)) for file in self.files) or (bool(given) and given[-1] >= NEWEST)

    @property
    def table(self) -> dict[str, Any]:
        """`containerd` of the plugin's table, as it is in effect."""
        tables = [table for file in self.files if isinstance(table := file.get(*self.plugin), dict)]
        whole: dict[str, Any] = {}
        for each in tables if self.merges else tables[-1:]:
            whole = _deep(whole, each)
        found = whole.get("containerd")
        return found if isinstance(found, dict) else {}

    @property
    def handlers(self) -> dict[str, dict[str, Any]]:
        found = self.table.get("runtimes")
        tables = found if isinstance(found, dict) else {}
        return {name: table for name, table in tables.items() if isinstance(table, dict)}

    @property
    def default(self) -> str:
        """The name of the node's default handler."""
        return str(self.table.get("default_runtime_name") or "runc")

    @property
    def model(self) -> dict[str, Any]:
        """The handler that ours is made after: the node's default one, else runc, else any that starts runc's shim; empty where the
        files leave all to containerd."""
        tables, default = self.handlers, self.default
        named = [default, "runc", *(name for name, table in tables.items() if not is_ours(binary(table)))]
        return next((tables[name] for name in named if name in tables and _is_runc(name, tables[name])), {})


def _plugin(version: int) -> At:
    return "plugins", PLUGINS[min(version, NEWEST)]


def _deep(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    both = {key for key, each in second.items() if isinstance(each, dict) and isinstance(first.get(key), dict)}
    return {**first, **second, **{key: _deep(first[key], second[key]) for key in both}}


def _is_runc(name: str, table: dict[str, Any]) -> bool:
    """Whether a handler starts runc's shim, which calls a program like ours."""
    return name == "runc" or str(table.get("runtime_type")).startswith(SHIMS)


def configuration(tree: Tree, main: str, version: str = "") -> Configuration:
    """The file at `main` and what it imports, in the order in which containerd merges them; no file where there is none."""
    found: dict[str, Loaded] = {}
    waiting = [("", main)]
    while waiting:
        by, path = waiting.pop(0)
        text = tree.read(path) if path not in found else ""
        if text is None and by:
            return Configuration([*found.values()], major(version), (by, path))
        if text is not None and path not in found:
            found[path] = Loaded(path, Toml(path, text).value)
            brought = [f"{posixpath.dirname(path)}/{K0S_FOLDER}/*.toml"] if K0S_OWN in text.splitlines() else []
            patterns = [*imports(found[path]), *brought]
            waiting += [(path, file) for pattern in patterns for file in _matching(tree, pattern)]
    return Configuration([*found.values()], major(version))


def _matching(tree: Tree, pattern: str) -> list[str]:
    """The files that an import names; it is a pattern only where it has a `*` (config.go, resolveImports)."""
    return tree.glob(pattern) if "*" in pattern else [pattern]


def imports(file: Loaded) -> list[str]:
    """The patterns that a file imports, relative ones from its own folder on."""
    return [clean(posixpath.join(posixpath.dirname(file.path), pattern)) for pattern in _imported(file)]


def _imported(file: Loaded) -> list[str]:
    given = file.value.get("imports")
    return [each for each in given if isinstance(each, str)] if isinstance(given, list) else []


def binary(handler: dict[str, Any]) -> str:
    """The program that a handler calls; "" for containerd's default, runc."""
    return str(option(handler, "BinaryName") or "")


def option(handler: dict[str, Any], name: str) -> Any:
    """An option of a handler, None where it has none. Case does not count: kubespray has `systemdCgroup`, which go-toml takes."""
    options = handler.get("options")
    found = options if isinstance(options, dict) else {}
    return next((value for key, value in found.items() if key.lower() == name.lower()), None)


def base_runtime(tree: Tree, main: str, version: str = "") -> str:
    """The program that the node's default handler calls; "" where nothing is said."""
    return behind(tree, binary(configuration(tree, main, version).model))


def wrapped(tree: Tree, main: str) -> dict[str, str]:
    """The handlers in the files that call the wrapper, each with the program it calls, whether they are in effect or not."""
    files = configuration(tree, main).files
    tables = {name: table for file in files for name, table in _written(file).items() if isinstance(table, dict)}
    return wrappers(tables)


def _written(file: Loaded) -> dict[str, Any]:
    """The handlers that a file has, under the plugin's name of any version."""
    found = (file.get(*_plugin(version), "containerd", "runtimes") for version in PLUGINS)
    return {name: table for tables in found if isinstance(tables, dict) for name, table in tables.items()}


def wrappers(tables: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Of handlers those that call the wrapper, each with the program it calls."""
    return {name: binary(table) for name, table in tables.items() if is_ours(binary(table))}


def named(tree: Tree, main: str, handler: str) -> list[tuple[str, At]]:
    """Where the files have `handler` as one of ours, or as the default: the places to remove with it. Not in what k3s writes at
    each start."""
    found: list[tuple[str, At]] = []
    for file in [file for file in configuration(tree, main).files if not file.path.endswith(RENDERED)]:
        for version in PLUGINS:
            at = (*_plugin(version), "containerd")
            table = file.get(*at, "runtimes", handler)
            if isinstance(table, dict) and is_ours(binary(table)):
                found.append((file.path, (*at, "runtimes", handler)))
            if file.get(*at, "default_runtime_name") == handler:
                found.append((file.path, (*at, "default_runtime_name")))
    return found


def in_the_way(tree: Tree, main: str, handler: str, version: str) -> str:
    """What keeps `handler` from being in effect, and what to do; "" where we know of nothing."""
    given = configuration(tree, main, version)
    if given.missing:
        return f"{given.missing[0]} imports {given.missing[1]!r}, which does not exist: remove it from imports"
    if handler in given.handlers or not given.files:
        return ""
    if not any(handler in _written(file) for file in given.files):
        return f"no file that {main} imports has it: add the import"
    for file in reversed(given.files):
        if given.merges and (file.given >= NEWEST or file.get(*_plugin(NEWEST))):
            return f"{file.path} is of version 3, so that containerd ignores tables of version 2: have all files of one version"
        if not given.merges and isinstance(file.get(*given.plugin), dict):
            return f"{file.path} is read last, and its table replaces those of other files: move it into one of them"
    return ""


# The questions to containerd itself


def is_read(tree: Tree, main: str) -> bool:
    """Whether containerd reads the files as they are: not what k3s makes its file of, and not what k0s merges into others."""
    text = tree.read(main) or ""
    own = Loaded(main, loads(text)) if text else None
    is_k0s = K0S_OWN in text.splitlines() and not (own and any(K0S_FOLDER in each for each in imports(own)))
    return not is_k0s and not (main.endswith(RENDERED) and not _imported_folder(configuration(tree, main)))


def relocated(tree: Tree, main: str, folder: str) -> dict[str, str] | None:
    """The texts that containerd loads from `main`, with their imports below `folder`."""
    texts = {}
    for file in configuration(tree, main).files:
        text = Toml(file.path, tree.read(file.path) or "")
        moved: list[Value] = [f"{folder}{each}" if each.startswith("/") else each for each in _imported(file)]
        if moved and moved != _imported(file):
            text.set(("imports",), moved)
        texts[file.path] = text.text()
    return texts


def dumped(main: str, text: str) -> Configuration:
    """What `containerd config dump` prints: the whole configuration, with what is zero or a default taken out of the handlers."""
    file = Loaded(main, loads(text))
    for table in file.runtimes.values():
        for key in [key for key, value in table.items() if value == SANDBOXES.get(key, ())]:
            del table[key]
    return Configuration([file], 2 if file.given > 2 else 1)


SANDBOXES = {
    "sandboxer": "podsandbox",
    "sandbox_mode": "podsandbox",
}  # what containerd writes where a handler says nothing


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
    if first > 2 or (first == 2 and given.plugin == _plugin(NEWEST)):
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
    there = {name: table for file in given.files for name, table in _written(file).items()}.get(wanted.handler, {})
    if isinstance(there, dict) and there and not is_ours(binary(there)):
        raise Problem(
            f"containerd has a handler {wanted.handler!r} already, which calls {binary(there) or 'runc'!r}: "
            "choose another name with --handler"
        )


def _handler_edits(file: str, given: Configuration, wanted: Wanted) -> list[Edit]:
    """The handler in a drop-in, `file`, of the version whose tables are in effect."""
    newest = given.plugin == _plugin(NEWEST)
    version = max(given.files[0].version, NEWEST) if newest else given.files[0].version
    return [Edit(file, ("version",), version), *_tables(file, _plugin(version), wanted, given)]


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


def _imported_folder(given: Configuration) -> str:
    """A folder from which a drop-in of ours is loaded by somebody else's import; "" where there is none."""
    patterns = [posixpath.split(pattern) for file in given.files for pattern in imports(file) if "*" in pattern]
    fitting = (folder for folder, name in patterns if name != OWN_GLOB and fnmatchcase(DROP_IN, name))
    return next((folder for folder in fitting if not has_magic(folder)), "")


def _by_imports(given: Configuration, wanted: Wanted) -> list[Edit]:
    """A drop-in, in a folder that is imported already or in one that is then."""
    main, folder = given.files[0], _imported_folder(given)
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
    if _imported_folder(given):
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


def major(version: str) -> int:
    """The first number of a version; 0 where there is none."""
    digits = version.partition(".")[0]
    return int(digits) if digits.isdigit() else 0
