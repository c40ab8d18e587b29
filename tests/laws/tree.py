"""A model of what a runtime does with mounts: a tree with symbolic links, on which mounts come one after the other.

It knows nothing of the core, and nothing of paths as text: it walks, as the kernel and filepath-securejoin do. What is
missing on the way is made, as runtimes make it. A new mount is an empty directory that hides what it stands on.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping

MOST_LINKS = 255  # filepath-securejoin


class Loop(Exception):
    """More links than a runtime follows: it starts no such container."""


class Folder:
    """A directory: its entries (a str is a link's target), and the mounts on it, the last of which is what is seen."""

    def __init__(self, mount: int | None = None) -> None:
        self.entries: dict[str, Folder | str] = {}
        self.mounts: list[Folder] = []
        self.mount = mount

    def top(self) -> Folder:
        return self.mounts[-1].top() if self.mounts else self


class Tree:
    """A root file system with these links (path -> target), then with these destinations mounted in their order."""

    def __init__(self, links: Mapping[str, str], destinations: Iterable[str] = ()) -> None:
        self.root = Folder()
        for path, target in links.items():
            parent, name = posixpath.split(path)
            self.walk(parent).entries[name] = target
        self.mounted: list[Folder] = []
        for destination in destinations:
            folder = Folder(len(self.mounted))
            self.walk(destination).mounts.append(folder)
            self.mounted.append(folder)

    def walk(self, path: str) -> Folder:
        """What a process, or the next mount, finds at `path`. A mount's destination counts cleaned, as the contract has it."""
        return self._trail(path)[-1][1]

    def place(self, path: str) -> str:
        """The path without links that `path` leads to."""
        return "/" + "/".join(name for name, _ in self._trail(path)[1:])

    def _trail(self, path: str) -> list[tuple[str, Folder]]:
        todo = posixpath.normpath("/" + path.lstrip("/")).split("/")[::-1]
        trail = [("", self.root.top())]
        links = 0
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                del trail[max(1, len(trail) - 1) :]
                continue
            entry = trail[-1][1].entries.setdefault(name, Folder())
            if isinstance(entry, Folder):
                trail.append((name, entry.top()))
                continue
            links += 1
            if links > MOST_LINKS:
                raise Loop(path)
            if entry.startswith("/"):
                del trail[1:]
            todo += entry.split("/")[::-1]
        return trail

    def mount_at(self, path: str) -> int | None:
        """Which mount a process sees at `path`, None where there is none."""
        return self.walk(path).mount

    def seen(self, destinations: Iterable[str]) -> list[int]:
        """Which of the mounts are seen at their own destinations."""
        return [index for index, destination in enumerate(destinations) if self.mount_at(destination) == index]
