"""One container's case before the rules: everything that they may look at, and where its mounts lead."""

from __future__ import annotations

from oci_systemd.core.annotations import TMPFS, split_paths
from oci_systemd.core.container import POD_UID
from oci_systemd.core.machine_id import parse
from oci_systemd.core.paths import (
    USUAL_LINKS,
    clean,
    follow,
    is_at_or_below,
    is_covered,
    leads,
    lineage,
    places,
    visible,
)

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


class Case:
    """`mounts` starts as the container's own and grows with each mount that a rule adds; all else stays as it is.

    Two sets of links, the same one where the root file system is visible. Where it is not: `placing` holds the usual
    links, so that nothing is hidden should they be there; `presence` holds none, so that nothing is left out should they not.
    """

    __slots__ = (
        "_known", "_paths", "annotations", "container", "destinations", "host", "mounts", "placing", "presence", "settings",
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
        self._known: dict[int, list[str]] = {}
        self._paths: list[str] | None = None
        self.mounts: list[Mount] = list(container.mounts)
        self.destinations = [mount.destination for mount in self.mounts]
        self.presence: Mapping[str, str] = host.root.links if host.root else {}
        self.placing: Mapping[str, str] = host.root.links if host.root else USUAL_LINKS

    def add_mount(self, index: int, mount: Mount) -> None:
        """Have `mount` stand at `index`. Where no link led anywhere and none does now, every other place stays what it was."""
        self.mounts.insert(index, mount)
        self.destinations.insert(index, mount.destination)
        for links in (self.presence, self.placing):
            if self._known.get(id(links)) is not self.destinations or leads(mount.destination, links):
                self._known.pop(id(links), None)

    def _places(self, links: Mapping[str, str]) -> list[str]:
        """The place of each mount: the destinations themselves, where no link leads anywhere."""
        found = self._known.get(id(links))
        if found is None:
            found = places(self.destinations, links)
            found = self._known[id(links)] = self.destinations if found == self.destinations else found
        return found

    def _followed(self, path: str, links: Mapping[str, str]) -> tuple[str, list[str]]:
        """Where `path` leads through these links, and the place of each mount."""
        found = self._places(links)
        return (follow(path, links, found) if leads(path, links) else clean(path)), found

    def mounted_at(self, path: str) -> int | None:
        """The index of the visible mount at `path`, None if there is none. The twin counts wherever it follows its mount."""
        twin = self._place_of_twin(path)
        if twin is not None:
            later = self.destinations[twin:]
            return twin + later.index(path) if path in later else None
        target, found = self._followed(path, self.presence)
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
        return is_covered(*self._followed(path, self.presence))

    def place_of(self, path: str) -> str:
        """Where `path` leads, as far as it can be known."""
        return self._followed(path, self.placing)[0]

    def position_for(self, path: str) -> int:
        """Where a mount at `path` belongs: after the last one at any of its parents, else before the first one that it would
        hide, else last. Never where it would hide one should the usual links not be there."""
        twin = self._place_of_twin(path)
        if twin is not None:
            return twin
        likely, certain = self._followed(path, self.placing), self._followed(path, self.presence)
        after, before = self._room(*likely)
        same = likely[0] == certain[0] and likely[1] is certain[1]
        return after or before if same else min(after or before, self._room(*certain)[1])

    @staticmethod
    def _room(target: str, found: list[str]) -> tuple[int, int]:
        """Among mounts at these places: after which index one at `target` is seen, and up to which it hides none that is seen."""
        above = lineage(target) - {target}
        after = max((index + 1 for index, place in enumerate(found) if place in above), default=0)
        hidden = (index for index in range(after, len(found)) if is_at_or_below(found[index], target))
        return after, next(hidden, len(found))

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

    def pod_uid(self) -> str:
        """The first of the pod's UIDs that is one, "" if none is."""
        candidates = (self.container.pod_uid, *(self.container.annotations.get(key, "") for key in POD_UID))
        return next((uid for uid in candidates if parse(uid)), "")

    def env(self, name: str) -> list[str]:
        """Every value that the environment gives `name`, in order."""
        prefix = name + "="
        return [entry[len(prefix) :] for entry in self.container.env if entry.startswith(prefix)]
