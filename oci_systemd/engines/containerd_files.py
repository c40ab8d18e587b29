"""How containerd reads its files: which ones it loads, in which order, and which table is in effect.

Invariant: values only, no edits. 1.x uses a plugin's table from the last file that has one, 2.x merges them; 2.x ignores tables of
version 2 if a file has one of version 3. Measured with 1.7.24 and 2.1.9 (`containerd config dump`).
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
SHIMS = "io.containerd.runc."  # start of the types of runc's shims
RUNC, OLD_SHIM = "io.containerd.runc.v2", "io.containerd.runc.v1"  # 2.0 has no v1 any more
DROP_IN = "50-oci-systemd.toml"
OWN_GLOB = "*-oci-systemd.toml"  # does not match other drop-ins, which may be unused on purpose
RENDERED = "/agent/etc/containerd/config.toml"  # end of the path of the file that k3s and rke2 write at each start
K0S_OWN, K0S_FOLDER = "# k0s_managed=true", "containerd.d"  # the line that marks k0s's own file
# Defaults that a dump shows for a handler without them.
SANDBOXES = {"sandboxer": "podsandbox", "sandbox_mode": "podsandbox"}


@dataclass(frozen=True, slots=True)
class Loaded:
    """One configuration file as containerd loads it."""

    path: str
    value: dict[str, Any]

    @property
    def given(self) -> int:
        """The version that the file sets; 0 if it sets none."""
        version = self.value.get("version")
        return version if isinstance(version, int) and version > 0 else 0

    @property
    def version(self) -> int:
        """The version that the file sets, else the version that its plugins' names belong to."""
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
    """The files that containerd loads, in order, as read by a containerd of that `major` version (0: unknown).

    `missing`: a file, and its import that does not exist. 1.7 does not start then, 2.x loads no file after it (measured: 1.7.24,
    2.1.9).
    """

    files: list[Loaded]
    major: int = 0
    missing: tuple[str, str] | None = None

    @property
    def merges(self) -> bool:
        """Whether tables are merged (2.x), or a later file's table replaces an earlier one as a whole (1.x, mergeConfig)."""
        return self.major > 1 or (not self.major and self._is_newest)

    @property
    def plugin(self) -> At:
        """The plugin's table in effect. 2.x uses the version of the last file that sets one, and tables of version 2 only if no
        file has one of version 3 (measured: 2.1.9)."""
        if self.merges:
            return plugin_at(NEWEST if self._is_newest else 2)
        return self.files[0].plugin if self.files else plugin_at(2)

    @property
    def _is_newest(self) -> bool:
        given = [file.given for file in self.files if file.given]
        return any(file.get(*plugin_at(NEWEST)) for file in self.files) or (bool(given) and given[-1] >= NEWEST)

    @property
    def table(self) -> dict[str, Any]:
        """`containerd` in the plugin's table, as in effect."""
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
        """The handler that ours is a copy of: the node's default one, else runc, else any with runc's shim; empty if the files set
        none."""
        tables, default = self.handlers, self.default
        named = [default, "runc", *(name for name, table in tables.items() if not is_ours(binary(table)))]
        return next((tables[name] for name in named if name in tables and _is_runc(name, tables[name])), {})


def plugin_at(version: int) -> At:
    return "plugins", PLUGINS[min(version, NEWEST)]


def _deep(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    both = {key for key, each in second.items() if isinstance(each, dict) and isinstance(first.get(key), dict)}
    return {**first, **second, **{key: _deep(first[key], second[key]) for key in both}}


def _is_runc(name: str, table: dict[str, Any]) -> bool:
    """Return whether a handler starts runc's shim, which can call our program."""
    return name == "runc" or str(table.get("runtime_type")).startswith(SHIMS)


def configuration(tree: Tree, main: str, version: str = "") -> Configuration:
    """Return the file at `main` and its imports, in the order in which containerd merges them; empty if there is none."""
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
    """Return the files of an import; it is a pattern only if it has a `*` (config.go, resolveImports)."""
    return tree.glob(pattern) if "*" in pattern else [pattern]


def imports(file: Loaded) -> list[str]:
    """Return the patterns that a file imports; relative ones start at the file's directory."""
    return [clean(posixpath.join(posixpath.dirname(file.path), pattern)) for pattern in _imported(file)]


def _imported(file: Loaded) -> list[str]:
    given = file.value.get("imports")
    return [each for each in given if isinstance(each, str)] if isinstance(given, list) else []


def imported_folder(given: Configuration) -> str:
    """Return a directory from which an existing import would load our drop-in; "" if there is none."""
    patterns = [posixpath.split(pattern) for file in given.files for pattern in imports(file) if "*" in pattern]
    fitting = (folder for folder, name in patterns if name != OWN_GLOB and fnmatchcase(DROP_IN, name))
    return next((folder for folder in fitting if not has_magic(folder)), "")


def binary(handler: dict[str, Any]) -> str:
    """Return the program that a handler calls; "" for containerd's default, runc."""
    return str(option(handler, "BinaryName") or "")


def option(handler: dict[str, Any], name: str) -> Any:
    """Return an option of a handler, or None. Case is ignored, as in go-toml: kubespray writes `systemdCgroup`."""
    options = handler.get("options")
    found = options if isinstance(options, dict) else {}
    return next((value for key, value in found.items() if key.lower() == name.lower()), None)


def written_in(file: Loaded) -> dict[str, Any]:
    """Return the handlers in a file, under the plugin's name of any version."""
    found = (file.get(*plugin_at(version), "containerd", "runtimes") for version in PLUGINS)
    return {name: table for tables in found if isinstance(tables, dict) for name, table in tables.items()}


def in_the_way(tree: Tree, main: str, handler: str, version: str) -> str:
    """Return why `handler` is not in effect, and what to do; "" if unknown."""
    given = configuration(tree, main, version)
    if given.missing:
        return f"{given.missing[0]}: imports {given.missing[1]!r}, which does not exist; remove it from imports"
    if handler in given.handlers or not given.files:
        return ""
    if not any(handler in written_in(file) for file in given.files):
        return f"{main}: does not import the file with the handler; add the import"
    for file in reversed(given.files):
        if given.merges and (file.given >= NEWEST or file.get(*plugin_at(NEWEST))):
            return (
                f"{file.path}: has version 3, so containerd ignores tables of version 2; use one version in all files"
            )
        if not given.merges and isinstance(file.get(*given.plugin), dict):
            return f"{file.path}: read last, and its table replaces the tables of other files; move it into one of them"
    return ""


def is_read(tree: Tree, main: str) -> bool:
    """Return whether containerd reads the files as they are; not if k3s renders them, or k0s merges them into others."""
    text = tree.read(main) or ""
    own = Loaded(main, loads(text)) if text else None
    is_k0s = K0S_OWN in text.splitlines() and not (own and any(K0S_FOLDER in each for each in imports(own)))
    return not is_k0s and not (main.endswith(RENDERED) and not imported_folder(configuration(tree, main)))


def relocated(tree: Tree, main: str, folder: str) -> dict[str, str] | None:
    """Return the texts that containerd loads from `main`, with their imports below `folder`."""
    texts = {}
    for file in configuration(tree, main).files:
        text = Toml(file.path, tree.read(file.path) or "")
        moved: list[Value] = [f"{folder}{each}" if each.startswith("/") else each for each in _imported(file)]
        if moved and moved != _imported(file):
            text.set(("imports",), moved)
        texts[file.path] = text.text()
    return texts


def dumped(main: str, text: str) -> Configuration:
    """Return the configuration printed by `containerd config dump`, without zero values and defaults in the handlers."""
    file = Loaded(main, loads(text))
    for table in file.runtimes.values():
        for key in [key for key, value in table.items() if value == SANDBOXES.get(key, ())]:
            del table[key]
    return Configuration([file], 2 if file.given > 2 else 1)


def major(version: str) -> int:
    """Return the first number of a version; 0 if there is none."""
    digits = version.partition(".")[0]
    return int(digits) if digits.isdigit() else 0
