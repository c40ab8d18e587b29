"""Paths inside a container, as text: cleaned, joined, and followed through the symbolic links that the host reports.

A *place* is where a mount's destination really is. runc and crun mount in the order of the spec and resolve each destination in
the root file system with all earlier mounts, so a link counts only if no earlier mount covers it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Protocol

    class Links(Protocol):
        """Where `follow` looks up a link: a mapping, or a root file system."""

        def get(self, place: str, /) -> str | None: ...


MAX_LINKS = 255  # the limit of filepath-securejoin, which runc uses
MAX_PATH = 4096  # PATH_MAX: nothing can be mounted at a longer path
MAX_PARTS = 4096  # components of all links together: an image may repeat `x/../` in each
DOTS = frozenset(("", ".", ".."))
LOST = "?"  # not a path: nothing is at, above or below it

# Assumed if the root file system is not visible: every distribution with systemd has these (systemd, tmpfiles.d/legacy.conf).
USUAL_LINKS = {"/var/run": "/run", "/var/lock": "/run/lock"}


def clean(path: str) -> str:
    """Return `path` as Go's filepath.Clean("/" + path) does: absolute, without "", "." and "..": "run//lock/" is "/run/lock"."""
    if path.startswith("/") and "//" not in path and "/." not in path and (path == "/" or not path.endswith("/")):
        return path
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def is_below(path: str, parent: str) -> bool:
    return path != parent and is_at_or_below(path, parent)


def is_at_or_below(path: str, parent: str) -> bool:
    return path.startswith(parent) and (parent == "/" or path[len(parent) : len(parent) + 1] in ("", "/"))


def follow(path: str, links: Links, covered: Collection[str] = (), reach: int | None = None) -> str:
    """Return where `path` leads through `links` (place of a link -> target), ignoring links at or below a `covered` place.

    Return LOST, for an unknown place, after more than MAX_LINKS links or MAX_PARTS of their components, and for a path longer than
    MAX_PATH. `reach`: no link's place is longer, so longer places need no look-up.
    """
    path = clean(path)
    if len(path) > MAX_PATH:
        return LOST
    todo = path.split("/")[:0:-1]
    at, followed, parts = "/", 0, 0
    while todo:
        if reach is not None and len(at) > max(reach, 1) and DOTS.isdisjoint(todo):
            return "/".join((at, *reversed(todo)))
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            at = at[: at.rfind("/")] or "/"
            continue
        at = at + part if at == "/" else at + "/" + part
        target = links.get(at)
        if target is None or (covered and is_covered(at, covered)):
            continue
        at = "/" if target.startswith("/") else at[: at.rfind("/")] or "/"
        more = target.split("/")[::-1]
        followed, parts = followed + 1, parts + len(more)
        if followed > MAX_LINKS or parts > MAX_PARTS:
            return LOST
        todo += more
    return at


def is_covered(path: str, places: Collection[str]) -> bool:
    """Return whether `path` is at or below one of `places`."""
    while path not in places:
        if path == "/":
            return False
        path = path[: path.rfind("/")] or "/"
    return True


def places(destinations: Sequence[str], links: Mapping[str, str]) -> list[str]:
    """Return the place of each destination, in the order of mounting."""
    linked = tuple(link + "/" for link in links)
    reach = max(map(len, links), default=0)
    found: list[str] = []
    covered: set[str] = set()
    for destination in destinations:
        found.append(
            follow(destination, links, covered, reach) if (destination + "/").startswith(linked) else destination
        )
        covered.add(found[-1])
    return found


def visible(index: int, found: Sequence[str]) -> bool:
    """Return whether no later mount at or above it hides the mount at `index` of these places."""
    return not any(is_at_or_below(found[index], later) for later in found[index + 1 :])
