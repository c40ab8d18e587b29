"""The annotations of oci-systemd: KEYS is the table of their names and values, Annotations reads them from a container.

`KEY/NAME` is for the one container NAME of a pod and wins over `KEY`. Values are checked when they are read; all mistakes are
collected, and the caller decides what they mean.
"""

from __future__ import annotations

from oci_systemd.core.paths import LOST, clean, is_at_or_below
from oci_systemd.core.signals import ADJUSTED, STOP_SIGNAL, is_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from oci_systemd.core.container import Container

WANTED = "io.systemd.container"
CGROUP = WANTED + ".cgroup"
TMPFS = WANTED + ".tmpfs"
MACHINE_ID = WANTED + ".machine-id"
CONSOLE = WANTED + ".console"
ENVIRONMENT = WANTED + ".environment"
SELINUX = WANTED + ".selinux"
APPARMOR = WANTED + ".apparmor"

# No engine reads these, but the documentation of other tools recommends them.
OLD_STOP_SIGNALS = ("io.kubernetes.cri.container-stop-signal", "io.kubernetes.cri-o.StopSignal")

MAX_PATHS = 64  # tmpfs mounts for one container: each is placed among all the others
MAX_PATH = 4096  # PATH_MAX
MAX_NAMES = 64  # patterns of variables: each is compared with every variable
MAX_NAME = 256
ALL_NAMES = "services"  # value of the environment annotation: every variable
FORBIDDEN = (
    "/proc",
    "/sys",
    "/dev",
)  # the runtime's own mounts: a tmpfs there hides the masks that confine the container

_NAME_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_*")
_TYPE_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


def one_of(*words: str) -> Callable[[str], str]:
    """Return a check that returns "" if the value is one of `words`, else the allowed values."""
    listed = ", ".join(f'"{word}"' for word in words[:-1]) + f' or "{words[-1]}"'
    return lambda value: "" if value in words else listed


def _signal(value: str) -> str:
    return "" if is_signal(value) else 'a signal name or number, or "none"'


def _paths(value: str) -> str:
    error = paths_error(split_paths(value))
    return error and f'{error}, or "none"'


def _names(value: str) -> str:
    names = split_names(value)
    good = len(names) <= MAX_NAMES and all(
        0 < len(name) <= MAX_NAME and _NAME_LETTERS.issuperset(name) for name in names
    )
    return (
        ""
        if good
        else f'"{ALL_NAMES}", or up to {MAX_NAMES} variable names separated by commas (* matches any letters)'
    )


def _selinux_type(value: str) -> str:
    return "" if value and _TYPE_LETTERS.issuperset(value) else "an SELinux type, such as container_init_t"


def _profile(value: str) -> str:
    good = value.isprintable() and value.isascii() and " " not in value and 0 < len(value) <= MAX_PATH
    return "" if good else 'the name of an AppArmor profile, or "unconfined"'


KEYS: dict[str, Callable[[str], str]] = {
    WANTED: one_of("true", "false", "auto"),
    CGROUP: one_of("rw", "ro"),
    TMPFS: _paths,
    MACHINE_ID: one_of("container", "pod", "name"),
    STOP_SIGNAL: _signal,
    CONSOLE: one_of("journal"),
    ENVIRONMENT: _names,
    SELINUX: _selinux_type,
    APPARMOR: _profile,
}


def split_paths(value: str) -> list[str]:
    """Return the paths in a tmpfs annotation, without blanks around them; `none` gives an empty list."""
    return [] if value.strip() == "none" else [path.strip() for path in value.split(",")]


def split_names(value: str) -> list[str]:
    """Return the patterns in an environment annotation, without blanks around them; `services` gives `*`."""
    return ["*"] if value.strip() == ALL_NAMES else [name.strip() for name in value.split(",")]


def is_like(name: str, pattern: str) -> bool:
    """Return whether `name` matches `pattern`, in which `*` stands for any letters."""
    first, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    *middle, last = rest
    if not name.startswith(first) or not name.endswith(last) or len(name) < len(first) + len(last):
        return False
    at, end = len(first), len(name) - len(last)
    for part in middle:
        at = name.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def paths_error(paths: list[str]) -> str:
    """Return "" if a tmpfs may be mounted at each of `paths`, else what is allowed."""
    if len(paths) > MAX_PATHS:
        return f"at most {MAX_PATHS} paths"
    if all(
        path.startswith("/") and len(path) <= MAX_PATH and "\0" not in path and may_be_tmpfs(clean(path))
        for path in paths
    ):
        return ""
    return f"absolute paths other than /, outside {', '.join(FORBIDDEN)}"


def may_be_tmpfs(place: str) -> bool:
    """Return whether a tmpfs may be mounted at `place` (cleaned, with all known links followed)."""
    return place not in ("/", LOST) and not any(is_at_or_below(place, forbidden) for forbidden in FORBIDDEN)


def key_for(container: Container, key: str) -> str:
    """Return the name of the annotation that counts for `key` here: `KEY/NAME` if present, else `key`."""
    own = f"{key}/{container.name}"
    return own if container.name and own in container.annotations else key


def hint(name: str) -> str:
    """Return "; did you mean KEY?" for the key whose letters differ from those of `name` in at most two; else ""."""
    given = name.split("/", 1)[0].lower()
    near = (key for key in KEYS if abs(len(key) - len(given)) <= 2 and _differing(key, given) <= 2)
    best = min(near, key=lambda key: _differing(key, given), default="")
    return best and f"; did you mean {best}?"


def _differing(one: str, other: str) -> int:
    """Return how many letters only one of the two words has, in any order."""
    return sum(abs(one.count(letter) - other.count(letter)) for letter in {*one, *other})


class Annotations:
    """The valid values of our keys on one container (including `KEY/NAME`); `mistakes` has a sentence for each invalid one."""

    __slots__ = ("mistakes", "unknown", "values")

    def __init__(self, container: Container) -> None:
        self.values: dict[str, str] = {}
        self.mistakes: dict[str, str] = {}
        self.unknown: tuple[str, ...] = ()
        ours = [name for name in container.annotations if name.startswith(WANTED)]
        if ours:  # few containers have any
            self._read(container, ours)

    def _read(self, container: Container, ours: list[str]) -> None:
        for key, check in KEYS.items():
            name = key_for(container, key)
            value = container.annotations.get(name)
            if value is None:
                continue
            expected = check(value)
            if expected:
                self.mistakes[key] = f"annotation {name}: invalid value {quoted(value)}; use {expected}"
            else:
                self.values[key] = value
        known = {*KEYS, ADJUSTED}
        prefix = (WANTED + ".", WANTED + "/")
        unknown = (name for name in ours if name.startswith(prefix) and name.split("/", 1)[0] not in known)
        self.unknown = tuple(sorted(unknown))

    def get(self, key: str) -> str:
        return self.values.get(key, "")


def quoted(value: str) -> str:
    """Return `value` for use in a sentence: quoted, on one line, without terminal escapes, shortened to fit a line."""
    shown = ascii(value)
    return shown if len(shown) <= 80 else f"{shown[:60]}…' ({len(value)} characters)"
