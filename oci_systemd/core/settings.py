"""The node owner's settings: TABLE is their names, defaults and bounds; `Settings` is one set of values for it.

Law: a settings file is right as a whole or not at all; every mistake is gathered and told at once.
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
    """tmpfs(5): digits, then k, m, g (either case), or % of the memory."""
    if value == "":
        return ""
    digits = value[:-1] if isinstance(value, str) and value[-1:] in tuple("kKmMgG%") else value
    good = isinstance(digits, str) and digits.isascii() and digits.isdigit()
    return "" if good else 'a size such as "64m" or "10%", or ""'


def _word(value: object) -> str:
    good = isinstance(value, str) and value != "" and value.isascii() and value.isprintable() and " " not in value
    return "" if good else "a word"


def _signal(value: object) -> str:
    named = isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool) and 0 < value <= RTMAX)
    return "" if named and is_signal(str(value)) else 'a signal\'s name or number, or "none"'


def _choice(*words: str) -> Callable[[object], str]:
    check = one_of(*words)
    return lambda value: check(value if isinstance(value, str) else "")


def _keys(value: object) -> str:
    keys = _strings(value)
    return (
        ""
        if keys is not None and all(key in KEYS for key in keys)
        else "a list of whole annotation keys, such as io.systemd.container.selinux"
    )


def _file(value: object) -> str:
    good = isinstance(value, str) and (value == "" or value.startswith("/")) and "\0" not in value
    return "" if good else 'an absolute path, or ""'


TABLE: dict[str, tuple[Value, Callable[[object], str], str]] = {
    "detect.commands": ([], _commands, "more commands that count as systemd, beside those built in"),
    "detect.strict": (False, _boolean, "refuse what looks like systemd and cannot be served"),
    "cgroup.require_nsdelegate": (True, _boolean, "serve only where the host's cgroup v2 is mounted with nsdelegate"),
    "cgroup.max_descendants": (1000, _count, "how many cgroups a container may make; 0 for no limit"),
    "cgroup.oom_group": (False, _boolean, "leave the engine's memory.oom.group: one service's OOM ends the container"),
    "tmpfs.paths": (PATHS, _paths, "where a tmpfs is mounted unless something already is"),
    "tmpfs.size": ("", _size, 'size of each tmpfs, "" for the kernel\'s half of the memory'),
    "tmpfs.copy_up": (False, _boolean, "copy what the image has under a tmpfs into it"),
    "env.container": ("other", _word, "what $container says"),
    "machine_id.source": ("container", _choice("container", "pod", "name"), "what the machine-id is made from"),
    "stop.signal": ("SIGRTMIN+3", _signal, "what SIGTERM becomes"),
    "security.selinux_init": (True, _boolean, "turn container_t into container_init_t"),
    "security.allow": (["io.systemd.container.cgroup"], _keys, "annotations that widen rights and are honoured"),
    "log.level": ("info", _choice("debug", "info", "warning", "error"), "the least level that is logged"),
    "log.file": ("/var/log/oci-systemd.log", _file, 'where to log without a journal, "" for nowhere'),
}


class Settings:
    """One value for each name of TABLE, and where it came from.

    `problem` is the SettingsError of a file that could not be used: the defaults stand in, so that a container which is
    neither wanted nor asks goes its way; any other fails with it.
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
    """ "" if `value` suits the setting `name`, else a sentence."""
    if name not in TABLE:
        return f"there is no setting {name}"
    expected = TABLE[name][1](value)
    return f"setting {name} is {_shown(value)}; it takes {expected}" if expected else ""


def _shown(value: object) -> str:
    try:
        return quoted(value) if isinstance(value, str) else ascii(value)[:80]
    except (ValueError, RecursionError):  # an integer beyond 4300 digits, tables thousands deep: TOML can write both
        return f"beyond measure ({type(value).__name__})"


def flattened(document: Mapping[str, object]) -> dict[str, object]:
    """A TOML document's tables as dotted names. A table that no setting's name starts with stays a value, and a mistake."""
    flat: dict[str, object] = {}
    for table, value in document.items():
        known = any(name.startswith(table + ".") for name in TABLE)
        if known and isinstance(value, dict):
            flat |= {f"{table}.{key}": item for key, item in value.items()}
        else:
            flat[table if "." not in table else f'"{table}"'] = value  # "log.level" = … is no setting of the table log
    return flat
