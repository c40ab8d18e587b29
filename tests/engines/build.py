"""A tree of files in memory, and a plan made and carried out on it."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

from oci_systemd.engines import containerd, plan, record
from oci_systemd.engines.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from oci_systemd.engines.plan import Edit, Plan, Tree

LAUNCHER = "/usr/bin/oci-systemd-runtime"
CONTAINERD = "/etc/containerd/config.toml"


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

    def exists(self, path: str) -> bool:
        return path in self.folders or any(file == path or file.startswith(path + "/") for file in self.files)

    def commit(self, done: Plan) -> None:
        for change in done.changes:
            assert self.files.get(change.path) == change.old
            if change.new is None:
                del self.files[change.path]
            else:
                self.files[change.path] = change.new

    def without_record(self) -> dict[str, str]:
        return {path: text for path, text in self.files.items() if not path.startswith(record.FOLDER)}


def wanted(handler: str = "systemd", *, default: bool = False, binary: str = LAUNCHER) -> Wanted:
    return Wanted(handler, binary, "/usr/sbin/runc", default)


def install(engine: str, files: Files, needs: Callable[[Tree], list[Edit]], handler: str = "systemd") -> Plan:
    done = plan.install(engine, handler, files, needs)
    files.commit(done)
    return done


def install_containerd(files: Files, want: Wanted, version: str = "", main: str = CONTAINERD) -> Plan:
    return install("containerd", files, lambda tree: containerd.edits(tree, main, want, version), want.handler)


def uninstall(engine: str, files: Files, handler: str = "systemd") -> Plan:
    done = plan.uninstall(engine, handler, files)
    files.commit(done)
    return done
