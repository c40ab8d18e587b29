"""The files of a root, and the leftovers in it.

Invariant: what packages own is theirs, as are the places that their scripts make.
"""

import os
import re
from pathlib import Path

# Whose content is the machine's business, and the clone's.
OUTSIDE = "dev home proc root run sys tmp var".split()
# What scripts of Debian's packages make or change, so that it is on no package's list.
SCRIPTS = re.compile(
    r"/etc/(?:inputrc|networks|ld\.so\.cache|pam\.d/common-[-a-z]+)"  # readline-common, netbase, libc-bin, libpam-runtime
    r"|/etc/python3(?:/debian_config)?|/usr/local/lib/python3[.\d]*(?:/dist-packages)?"  # python3-minimal
    r"|/usr/(?:lib|share)/python3(?:\.\d+)?/(?:[^/]+/)*__pycache__(?:/.*)?"  # py3compile, and its own
    r"|/etc/sgml(?:/catalog)?|/usr/local/share/sgml(?:/\w+)?"  # sgml-base
)
MERGED = re.compile(r"\A/(?=(?:s?bin|lib(?:32|64|x32)?)(?:/|$))")

Listing = dict[str, tuple[int | str, ...]]


def listing(root: Path) -> Listing:
    """Every path below ROOT with its mode and owner; for files also size and time, for links the target."""
    found: Listing = {}
    for place, folders, files in os.walk(root):
        if Path(place) == root:
            folders[:] = [each for each in folders if each not in OUTSIDE]
        for name in folders + files:
            path = Path(place, name)
            found[f"/{path.relative_to(root)}"] = facts(path)
    return found


def facts(path: Path) -> tuple[int | str, ...]:
    status = path.lstat()
    owned = (status.st_mode, status.st_uid, status.st_gid)
    if path.is_symlink():
        return *owned, str(path.readlink())
    return owned if path.is_dir() else (*owned, status.st_size, status.st_mtime_ns)


def packaged(root: Path) -> set[str]:
    """The paths on dpkg's lists, converted to the merged /usr."""
    lists = (root / "var/lib/dpkg/info").glob("*.list")
    return {MERGED.sub("/usr/", line, count=1) for each in lists for line in each.read_text().splitlines()}


def left(before: Listing, root: Path) -> list[str]:
    """The differences from BEFORE, one sentence each."""
    after, owned = listing(root), packaged(root)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    return [
        f"{path}: {'left behind' if path not in before else 'gone' if path not in after else 'changed'}"
        for path in sorted(changed)
        if not SCRIPTS.fullmatch(path) and not (path in after and path in owned)
    ]
