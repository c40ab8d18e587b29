"""A machine's files in memory, and an engine of it that is given our handler and rid of it again."""

from __future__ import annotations

import fnmatch
import json
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oci_systemd.engines import plan, record
from oci_systemd.engines.engines import ENGINES
from oci_systemd.engines.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oci_systemd.engines.plan import Edit, Plan

LAUNCHER = "/usr/bin/oci-systemd-runtime"
RUNC = "/usr/sbin/runc"
MAINS = {name: module.PLACES[-1].main for name, module in ENGINES.items()}
TEXTS = Path(__file__).parent / "texts"


def text(name: str) -> str:
    """A configuration file as a machine had it."""
    return (TEXTS / name).read_bytes().decode()


def daemon(text: str) -> dict[str, Any]:
    """What a daemon.json says. Python 3.11 and later refuse an int of more than 4300 digits."""
    return dict(json.loads(text, parse_int=Decimal))


class Files:
    """Files by their paths; folders are there where a file is, and those of `folders`."""

    def __init__(self, files: Mapping[str, str], *folders: str) -> None:
        self.files = dict(files)
        self.folders = {"/", "/etc", *folders}

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def glob(self, pattern: str) -> list[str]:
        deep = pattern.count("/")
        return sorted(path for path in self.files if fnmatch.fnmatchcase(path, pattern) and path.count("/") == deep)

    def below(self, folder: str) -> list[str]:
        return sorted(path for path in self.files if path.startswith(folder + "/"))

    def exists(self, path: str) -> bool:
        return path in self.folders or any(file == path or file.startswith(path + "/") for file in self.files)

    def commit(self, done: Plan) -> None:
        for change in done.changes:
            assert self.files.get(change.path) == change.old
            if change.new is None:
                del self.files[change.path]
            else:
                self.files[change.path] = change.new


class Node(Files):
    """The machine of one engine, whose configuration is at `main`."""

    def __init__(self, engine: str, files: Mapping[str, str], main: str = "", version: str = "") -> None:
        super().__init__(files)
        self.engine = engine
        self.main = main or MAINS[engine]
        self.version = version
        self.stub: list[Edit] = []

    def install(self, handler: str = "systemd", *, runtime: str = RUNC, binary: str = LAUNCHER, **more: Any) -> Plan:
        wanted = Wanted(handler, binary, runtime, **more)
        edits = ENGINES[self.engine].edits
        done = plan.install(
            self.engine, handler, self, lambda tree: [*self.stub, *edits(tree, self.main, wanted, self.version)]
        )
        self.commit(done)
        return done

    def uninstall(self, handler: str = "systemd") -> Plan:
        done = plan.uninstall(self.engine, handler, self)
        self.commit(done)
        return done

    def edit(self, old: str, new: str, path: str = "") -> None:
        """Somebody else's edit of a file, by default the main one."""
        path = path or self.main
        assert old in self.files[path]
        self.files[path] = self.files[path].replace(old, new, 1)

    def value(self, path: str = "") -> dict[str, Any]:
        """What a file says, the main one unless another is named."""
        found = self.files[path or self.main]
        found = found.removeprefix("\ufeff")
        return daemon(found) if self.engine == "docker" else tomllib.loads(found)

    @property
    def own(self) -> str:
        return record.path(self.engine)

    @property
    def others(self) -> dict[str, str]:
        """All files but our record."""
        return {path: text for path, text in self.files.items() if path != self.own}


def check_cycle(node: Node, handler: str = "systemd", **wanted: Any) -> Node:
    """Install, and the node with that done, for more to be said about it; once more is nothing; taken back is as before."""
    before = dict(node.files)
    assert node.install(handler, **wanted).changes
    again = node.install(handler, **wanted)
    assert (again.changes, again.kept) == ([], [])
    done = Node(node.engine, node.files, node.main, node.version)
    assert node.uninstall(handler).kept == []
    assert node.files == before
    return done
