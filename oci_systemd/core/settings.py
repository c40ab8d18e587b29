"""The node owner's settings: TABLE has their names, defaults and checks; `Settings` holds one value for each.

Law: a settings file is valid as a whole or not at all; all mistakes are collected and reported together.
"""

from __future__ import annotations

from oci_systemd.core.annotations import KEYS, one_of, paths_error, quoted
from oci_systemd.core.errors import SettingsError
from oci_systemd.core.signals import RTMAX, is_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    Value: TypeAlias = "bool | int | str | list[str]"

PATHS = ["/run", "/run/lock", "/tmp", "/var/log/journal"]
MAX_COUNT = (1 << 31) - 1  # the kernel reads cgroup.max.descendants into an int (cgroup_max_descendants_write)


def _boolean(value: object) -> str:
    return "" if isinstance(value, bool) else "true or false"


def _count(value: object) -> str:
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT
    return "" if good else f"a whole number from 0 to {MAX_COUNT}"


def _strings(value: object) -> list[str] | None:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    return None


def _commands(value: object) -> str:
    names = _strings(value)
    good = names is not None and all(name.startswith("/") or (name and "/" not in name) for name in names)
    return "" if good else "a list of absolute paths or bare names"


def _paths(value: object) -> str:
    paths = _strings(value)
    return "a list of absolute paths" if paths is None else paths_error(paths)


def _size(value: object) -> str:
    """Accept digits with k, m or g in either case, or with % of the memory (tmpfs(5))."""
    if value == "":
        return ""
    digits = value[:-1] if isinstance(value, str) and value[-1:] in tuple("kKmMgG%") else value
    good = isinstance(digits, str) and digits.isascii() and digits.isdigit()
    return "" if good else 'a size such as "64m" or "10%", or ""'


def _word(value: object) -> str:
    good = isinstance(value, str) and value != "" and value.isascii() and value.isprintable() and " " not in value
    return "" if good else "a word of printable ASCII without blanks"


def _signal(value: object) -> str:
    named = isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool) and 0 < value <= RTMAX)
    return "" if named and is_signal(str(value)) else 'a signal name or number, or "none"'


def _choice(*words: str) -> Callable[[object], str]:
    check = one_of(*words)
    return lambda value: check(value if isinstance(value, str) else "")


def _keys(value: object) -> str:
    keys = _strings(value)
    return (
        ""
        if keys is not None and all(key in KEYS for key in keys)
        else "a list of full annotation keys, such as io.systemd.container.selinux"
    )


def _file(value: object) -> str:
    good = isinstance(value, str) and (value == "" or value.startswith("/")) and "\0" not in value
    return "" if good else 'an absolute path, or ""'


TABLE: dict[str, tuple[Value, Callable[[object], str], str]] = {
    "detect.commands": ([], _commands, "commands that count as systemd, in addition to the built-in ones"),
    "detect.strict": (False, _boolean, "refuse a container that looks like systemd but cannot be adjusted"),
    "cgroup.require_nsdelegate": (True, _boolean, "adjust only if the host's cgroup v2 is mounted with nsdelegate"),
    "cgroup.max_descendants": (1000, _count, "the most cgroups that a container may make; 0 for no limit"),
    "cgroup.oom_group": (False, _boolean, "keep the engine's memory.oom.group: OOM in one service kills the container"),
    "tmpfs.paths": (PATHS, _paths, "paths where a tmpfs is mounted, unless one is already a mount"),
    "tmpfs.size": ("", _size, 'size of each tmpfs; "" for the kernel\'s default, half of the memory'),
    "tmpfs.copy_up": (False, _boolean, "copy the image's files below each tmpfs into it"),
    "env.container": ("other", _word, "the value of $container"),
    "machine_id.source": ("container", _choice("container", "pod", "name"), "what the machine-id is made from"),
    "stop.signal": ("SIGRTMIN+3", _signal, "the signal sent in place of SIGTERM"),
    "security.selinux_init": (True, _boolean, "change the SELinux type container_t to container_init_t"),
    "security.allow": (
        ["io.systemd.container.cgroup"],
        _keys,
        "allowed annotations among those that grant more rights",
    ),
    "log.level": ("info", _choice("debug", "info", "warning", "error"), "the lowest level that is logged"),
    "log.file": ("/var/log/oci-systemd.log", _file, 'the log file if there is no journal; "" for none'),
}


class Settings:
    """One value for each name in TABLE, and its origin.

    `problem` is the SettingsError of an invalid file. The values are then the defaults: a container that is neither wanted nor asks
    starts unmodified; any other fails with this error.
    """

    __slots__ = ("origins", "problem", "values")

    def __init__(
        self, values: Mapping[str, object] | None = None, origin: str = "default", problem: SettingsError | None = None
    ) -> None:
        given = values or {}
        mistakes = [mistake(name, value) for name, value in given.items()]
        if any(mistakes):
            raise SettingsError(*(text for text in mistakes if text))
        self.values: dict[str, object] = {name: given.get(name, row[0]) for name, row in TABLE.items()}
        self.origins = {name: origin if name in given else "default" for name in TABLE}
        self.problem = problem

    def but(self, values: Mapping[str, object], origin: str) -> Settings:
        """These settings with some replaced."""
        new = Settings({**self.values, **values}, problem=self.problem)
        new.origins = {name: origin if name in values else self.origins[name] for name in TABLE}
        return new

    def flag(self, name: str) -> bool:
        return bool(self.values[name])

    def text(self, name: str) -> str:
        return str(self.values[name])

    def count(self, name: str) -> int:
        value = self.values[name]
        return value if isinstance(value, int) else 0

    def list(self, name: str) -> tuple[str, ...]:
        return tuple(_strings(self.values[name]) or ())


def mistake(name: str, value: object) -> str:
    """Return "" if `value` is valid for the setting `name`, else a sentence."""
    if name not in TABLE:
        return f"unknown setting {name}"
    expected = TABLE[name][1](value)
    return f"setting {name}: invalid value {_shown(value)}; use {expected}" if expected else ""


def _shown(value: object) -> str:
    try:
        return quoted(value) if isinstance(value, str) else ascii(value)[:80]
    except (ValueError, RecursionError):  # an integer of more than 4300 digits, tables thousands deep: TOML allows both
        return f"too large to show ({type(value).__name__})"


def flattened(document: Mapping[str, object]) -> dict[str, object]:
    """Return a TOML document with dotted names. An unknown table stays a value, and is then reported as an unknown setting."""
    flat: dict[str, object] = {}
    for table, value in document.items():
        known = any(name.startswith(table + ".") for name in TABLE)
        if known and isinstance(value, dict):
            flat |= {f"{table}.{key}": item for key, item in value.items()}
        else:
            flat[table if "." not in table else f'"{table}"'] = value  # "log.level" = … is not level in the table log
    return flat
