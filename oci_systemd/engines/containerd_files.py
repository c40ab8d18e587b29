"""What containerd makes of its files: which of them it loads, in which order, and which table counts then.

Invariant: values alone, no edit. 1.x and 2.x differ: 1.x takes a plugin's table of the last file that has one, 2.x merges them;
2.x ignores tables of version 2 once a file has one of version 3. All of that was tried with 1.7.24 and 2.1.9 (`containerd
config dump`).
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import has_magic
from typing import TYPE_CHECKING, Any

from oci_systemd.core.paths import clean
from oci_systemd.engines.launcher import is_ours
from oci_systemd.engines.texts.toml import Toml, loads

if TYPE_CHECKING:
    from oci_systemd.engines.plan import Tree
    from oci_systemd.engines.texts.text import At, Value

# Version of a file -> the plugin that holds the runtime handlers.
PLUGINS = {
    1: "cri",
    2: "io.containerd.grpc.v1.cri",
    3: "io.containerd.cri.v1.runtime",
}
NEWEST = max(PLUGINS)
SHIMS = "io.containerd.runc."  # how the types of runc's shims begin
RUNC, OLD_SHIM = "io.containerd.runc.v2", "io.containerd.runc.v1"  # 2.0 has no v1 any more
DROP_IN = "50-oci-systemd.toml"
OWN_GLOB = "*-oci-systemd.toml"  # wakes nobody else's drop-in that lies there unused
RENDERED = "/agent/etc/containerd/config.toml"  # how k3s and rke2 end the path of a file that they write at each start
K0S_OWN, K0S_FOLDER = "# k0s_managed=true", "containerd.d"  # the line by which k0s knows the file as its own
# What a dump has of a handler that says nothing of it.
SANDBOXES = {"sandboxer": "podsandbox", "sandbox_mode": "podsandbox"}


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
        return plugin_at(self.version)

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
            return plugin_at(NEWEST if self._is_newest else 2)
        return self.files[0].plugin if self.files else plugin_at(2)

    @property
    def _is_newest(self) -> bool:
        given = [file.given for file in self.files if file.given]
        return any(file.get(*plugin_at(NEWEST)) for file in self.files) or (bool(given) and given[-1] >= NEWEST)

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


def plugin_at(version: int) -> At:
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


def imported_folder(given: Configuration) -> str:
    """A folder from which a drop-in of ours is loaded by somebody else's import; "" where there is none."""
    patterns = [posixpath.split(pattern) for file in given.files for pattern in imports(file) if "*" in pattern]
    fitting = (folder for folder, name in patterns if name != OWN_GLOB and fnmatchcase(DROP_IN, name))
    return next((folder for folder in fitting if not has_magic(folder)), "")


def binary(handler: dict[str, Any]) -> str:
    """The program that a handler calls; "" for containerd's default, runc."""
    return str(option(handler, "BinaryName") or "")


def option(handler: dict[str, Any], name: str) -> Any:
    """An option of a handler, None where it has none. Case does not count: kubespray has `systemdCgroup`, which go-toml takes."""
    options = handler.get("options")
    found = options if isinstance(options, dict) else {}
    return next((value for key, value in found.items() if key.lower() == name.lower()), None)


def written_in(file: Loaded) -> dict[str, Any]:
    """The handlers that a file has, under the plugin's name of any version."""
    found = (file.get(*plugin_at(version), "containerd", "runtimes") for version in PLUGINS)
    return {name: table for tables in found if isinstance(tables, dict) for name, table in tables.items()}


def in_the_way(tree: Tree, main: str, handler: str, version: str) -> str:
    """What keeps `handler` from being in effect, and what to do; "" where we know of nothing."""
    given = configuration(tree, main, version)
    if given.missing:
        return f"{given.missing[0]} imports {given.missing[1]!r}, which does not exist: remove it from imports"
    if handler in given.handlers or not given.files:
        return ""
    if not any(handler in written_in(file) for file in given.files):
        return f"no file that {main} imports has it: add the import"
    for file in reversed(given.files):
        if given.merges and (file.given >= NEWEST or file.get(*plugin_at(NEWEST))):
            return f"{file.path} is of version 3, so that containerd ignores tables of version 2: have all files of one version"
        if not given.merges and isinstance(file.get(*given.plugin), dict):
            return f"{file.path} is read last, and its table replaces those of other files: move it into one of them"
    return ""


def is_read(tree: Tree, main: str) -> bool:
    """Whether containerd reads the files as they are: not what k3s makes its file of, and not what k0s merges into others."""
    text = tree.read(main) or ""
    own = Loaded(main, loads(text)) if text else None
    is_k0s = K0S_OWN in text.splitlines() and not (own and any(K0S_FOLDER in each for each in imports(own)))
    return not is_k0s and not (main.endswith(RENDERED) and not imported_folder(configuration(tree, main)))


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


def major(version: str) -> int:
    """The first number of a version; 0 where there is none."""
    digits = version.partition(".")[0]
    return int(digits) if digits.isdigit() else 0
