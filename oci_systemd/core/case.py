"""Case: everything about one container that the rules may read, and where its mounts really are."""

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

# If /var/run is a link, a mount there covers /run and hides /run/lock. If the link cannot be seen, a tmpfs directly after that
# mount is right in both cases.
TWIN = "/var/run/lock"

READ = ("CREDENTIALS_DIRECTORY", "TERM", "container", "container_uuid")  # the variables that rules read


class View:
    """Where paths lead through one set of links, below the mounts at `destinations`. Only `Case` changes that list."""

    __slots__ = ("_destinations", "_places", "_prefixes", "_reach", "links")

    def __init__(self, destinations: list[str], links: Mapping[str, str]) -> None:
        self.links = links
        self._destinations = destinations
        self._prefixes = tuple(link + "/" for link in links)
        self._reach = max(map(len, links), default=0)
        self._places: list[str] | None = None

    def _leads(self, path: str) -> bool:
        """Return whether a link may be on the way to `path`, which is cleaned."""
        return (path + "/").startswith(self._prefixes)

    def added(self, index: int, destination: str) -> None:
        """Note that a mount was inserted. The other places stay the same unless this mount hides a link."""
        if self._places is None:
            return
        place = self._place(destination, self._places[:index])
        if any(is_at_or_below(link, place) for link in self.links):
            self._places = None
        else:
            self._places.insert(index, place)

    def removed(self) -> None:
        """Note that a mount was removed: links that it hid count again."""
        self._places = None

    def places(self) -> list[str]:
        """Return the place of each mount."""
        if self._places is None:
            self._places = places(self._destinations, self.links)
        return self._places

    def place(self, path: str) -> str:
        """Return where `path` leads."""
        return self._place(path, self.places())

    def _place(self, path: str, covered: list[str]) -> str:
        return follow(path, self.links, covered, self._reach) if self._leads(path) else clean(path)


class Case:
    """One container for the rules. `mounts` starts as the container's own; rules add and remove mounts, and change nothing else.

    There are two views; they are the same if the root file system is visible. If not: `placing` assumes the usual links, and no
    mount is hidden if they exist; `presence` assumes none, and no mount is left out if they do not.
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
        """Insert `mount` at `index`."""
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
        """Return the index of the visible mount at `path`, or None. The twin counts anywhere after its mount."""
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
        """Return the index after the last mount at /var/run, for TWIN in an invisible root file system; else None."""
        if path != TWIN or self.host.root is not None or "/var/run" not in self.destinations:
            return None
        return len(self.mounts) - self.destinations[::-1].index("/var/run")

    def covers(self, path: str) -> bool:
        """Return whether a mount hides the image's file at `path`."""
        return is_covered(self.presence.place(path), self.presence.places())

    def place_of(self, path: str) -> str:
        """Return where `path` leads, as far as is known."""
        return self.placing.place(path)

    def position_for(self, path: str) -> int:
        """Return the index for a mount at `path`: after the last mount at one of its parents, else before the first mount that it
        would hide, else last. It never hides a mount if the usual links do not exist."""
        twin = self._place_of_twin(path)
        if twin is not None:
            return twin
        after, before = _room(self.placing.place(path), self.placing.places())
        if self.placing is self.presence:
            return after or before
        return min(after or before, _room(self.presence.place(path), self.presence.places())[1])

    def tmpfs_paths(self) -> list[str]:
        """Return the paths for a tmpfs, from the annotation or else the setting: cleaned, each once, parents first, since a tmpfs
        hides the image's links below it."""
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
        """Return every value of the variable `name`, one of READ, in order."""
        prefix = name + "="
        return [entry[len(prefix) :] for entry in self.container.env if entry.startswith(prefix)]


def _room(target: str, found: list[str]) -> tuple[int, int]:
    """Return from which index a mount at `target` is visible among these places, and up to which index it hides none of them."""
    above = [index for index, place in enumerate(found) if target.startswith(place) and is_below(target, place)]
    after = above[-1] + 1 if above else 0
    below = target if target == "/" else target + "/"
    for index in range(after, len(found)):
        if found[index] == target or found[index].startswith(below):
            return after, index
    return after, len(found)
