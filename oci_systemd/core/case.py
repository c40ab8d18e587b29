"""One container's case before the rules: everything that they may look at, and where its mounts lead."""

from __future__ import annotations

from oci_systemd.core.annotations import TMPFS, split_paths
from oci_systemd.core.paths import USUAL_LINKS, clean, follow, is_at_or_below, is_below, is_covered, places, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from oci_systemd.core.annotations import Annotations
    from oci_systemd.core.container import Container, Mount
    from oci_systemd.core.host import Host
    from oci_systemd.core.settings import Settings

# Where /var/run is a link, a mount there lies on /run and hides /run/lock; where the link cannot be seen, a tmpfs directly
# after that mount serves both.
TWIN = "/var/run/lock"

READ = ("CREDENTIALS_DIRECTORY", "TERM", "container", "container_uuid")  # the variables that rules look at


class View:
    """Where paths lead by one set of links, past the mounts at `destinations`, a list that changes by `Case` alone."""

    __slots__ = ("_destinations", "_places", "_prefixes", "_reach", "links")

    def __init__(self, destinations: list[str], links: Mapping[str, str]) -> None:
        self.links = links
        self._destinations = destinations
        self._prefixes = tuple(link + "/" for link in links)
        self._reach = max(map(len, links), default=0)
        self._places: list[str] | None = None

    def _leads(self, path: str) -> bool:
        """Whether a link may stand on the way to `path`, which is cleaned."""
        return (path + "/").startswith(self._prefixes)

    def added(self, index: int, destination: str) -> None:
        """A mount was inserted. Every other place stays what it was, unless this one hides a link."""
        if self._places is None:
            return
        place = self._place(destination, self._places[:index])
        if any(is_at_or_below(link, place) for link in self.links):
            self._places = None
        else:
            self._places.insert(index, place)

    def removed(self) -> None:
        """A mount was removed: the links that it hid count again."""
        self._places = None

    def places(self) -> list[str]:
        """The place of each mount."""
        if self._places is None:
            self._places = places(self._destinations, self.links)
        return self._places

    def place(self, path: str) -> str:
        """Where `path` leads."""
        return self._place(path, self.places())

    def _place(self, path: str, covered: list[str]) -> str:
        return follow(path, self.links, covered, self._reach) if self._leads(path) else clean(path)


class Case:
    """`mounts` begins as the container's own. Rules add mounts to it and remove them; nothing else changes.

    Two views, the same one where the root file system is visible. Where it is not: `placing` has the usual links, so that
    nothing is hidden should they be there; `presence` has none, so that nothing is left out should they not.
    """

    __slots__ = (
        "_paths", "annotations", "container", "destinations", "host", "mounts", "placing", "presence", "settings",
        "wanted",
    )  # fmt: skip

    def __init__(
        self, container: Container, annotations: Annotations, settings: Settings, host: Host, *, wanted: bool
    ) -> None:
        self.container = container
        self.annotations = annotations
        self.settings = settings
        self.host = host
        self.wanted = wanted
        self._paths: list[str] | None = None
        self.mounts: list[Mount] = list(container.mounts)
        self.destinations = [mount.destination for mount in self.mounts]
        self.presence = View(self.destinations, host.root.links if host.root else {})
        self.placing = self.presence if host.root else View(self.destinations, USUAL_LINKS)

    def add_mount(self, index: int, mount: Mount) -> None:
        """Have `mount` stand at `index`."""
        self.mounts.insert(index, mount)
        self.destinations.insert(index, mount.destination)
        for view in {self.presence, self.placing}:
            view.added(index, mount.destination)

    def remove_mount(self, index: int) -> None:
        """Remove the mount at `index`."""
        del self.mounts[index], self.destinations[index]
        for view in {self.presence, self.placing}:
            view.removed()

    def mounted_at(self, path: str) -> int | None:
        """The index of the visible mount at `path`, None if there is none. The twin counts wherever it follows its mount."""
        twin = self._place_of_twin(path)
        if twin is not None:
            later = self.destinations[twin:]
            return twin + later.index(path) if path in later else None
        target, found = self.presence.place(path), self.presence.places()
        if target not in found:
            return None
        last = len(found) - 1 - found[::-1].index(target)
        return last if visible(last, found) else None

    def _place_of_twin(self, path: str) -> int | None:
        """Directly after the last mount at /var/run, for TWIN where the root file system cannot be seen; else None."""
        if path != TWIN or self.host.root is not None or "/var/run" not in self.destinations:
            return None
        return len(self.mounts) - self.destinations[::-1].index("/var/run")

    def covers(self, path: str) -> bool:
        """Whether a mount hides what the image has at `path`."""
        return is_covered(self.presence.place(path), self.presence.places())

    def place_of(self, path: str) -> str:
        """Where `path` leads, as far as it can be known."""
        return self.placing.place(path)

    def position_for(self, path: str) -> int:
        """Where a mount at `path` belongs: after the last one at any of its parents, else before the first one that it would
        hide, else last. Never where it would hide one should the usual links not be there."""
        twin = self._place_of_twin(path)
        if twin is not None:
            return twin
        after, before = _room(self.placing.place(path), self.placing.places())
        if self.placing is self.presence:
            return after or before
        return min(after or before, _room(self.presence.place(path), self.presence.places())[1])

    def tmpfs_paths(self) -> list[str]:
        """The paths that are to have a tmpfs, the annotation's, else the setting's: cleaned, each once, and what lies above
        others first, since a tmpfs hides the image's links below it."""
        if self._paths is None:
            self._paths = self._tmpfs_paths()
        return self._paths

    def _tmpfs_paths(self) -> list[str]:
        named = self.annotations.values.get(TMPFS)
        paths = self.settings.list("tmpfs.paths") if named is None else split_paths(named)
        cleaned = [clean(path) for path in paths]
        if self.host.root is None and "/run/lock" in cleaned and "/var/run" in {*self.destinations, *cleaned}:
            cleaned.append(TWIN)
        return sorted(set(cleaned))

    def env(self, name: str) -> list[str]:
        """Every value that the environment gives `name`, one of READ, in order."""
        prefix = name + "="
        return [entry[len(prefix) :] for entry in self.container.env if entry.startswith(prefix)]


def _room(target: str, found: list[str]) -> tuple[int, int]:
    """Among mounts at these places: after which index one at `target` is seen, and up to which it hides none that is seen."""
    above = [index for index, place in enumerate(found) if target.startswith(place) and is_below(target, place)]
    after = above[-1] + 1 if above else 0
    below = target if target == "/" else target + "/"
    for index in range(after, len(found)):
        if found[index] == target or found[index].startswith(below):
            return after, index
    return after, len(found)
