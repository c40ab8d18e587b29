"""Parse the runtime's command line: which options take a value, and which container a call is about.

Law: a parse never fails. Unknown options stay in place, and a call that is not understood is passed on unchanged.
runc parses with Go's flag package (`-bundle X` equals `--bundle X`) and accepts options after the ID; crun uses
argp (`-bDIR`). Sources: runc 1.1 to 1.4 (main.go, create.go, run.go, kill.go), crun 1.8 to 1.21 (crun.c, create.c, run.c,
kill.c), youki's common ones.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

VALUE, FLAG = True, False

# Global options: name -> whether a value follows. Short and long forms, without dashes.
GLOBAL: dict[str, bool] = {
    "root": VALUE,
    "log": VALUE,
    "log-format": VALUE,
    "log-level": VALUE,
    "criu": VALUE,
    "rootless": VALUE,
    "cgroup-manager": VALUE,
    "debug": FLAG,
    "systemd-cgroup": FLAG,
    "no-pivot": FLAG,
}
CREATE: dict[str, bool] = {
    "bundle": VALUE,
    "b": VALUE,
    "config": VALUE,
    "f": VALUE,
    "console-socket": VALUE,
    "pidfd-socket": VALUE,
    "pid-file": VALUE,
    "preserve-fds": VALUE,
    "no-pivot": FLAG,
    "no-new-keyring": FLAG,
}
COMMANDS: dict[str, dict[str, bool]] = {
    "create": CREATE,
    "run": {**CREATE, "detach": FLAG, "d": FLAG, "keep": FLAG, "no-subreaper": FLAG},
    "kill": {"all": FLAG, "a": FLAG, "regex": FLAG, "r": FLAG},
}
HELP = frozenset({"help", "h", "?", "usage", "version", "v", "V"})
TRUE = frozenset({"1", "t", "T", "true", "True", "TRUE"})  # Go, strconv.ParseBool
UNTOLD = frozenset({"log", "log-format", "log-level", "debug"})  # not passed on to our own `state` call


class Option:
    """One option as given: its name without dashes, its value (None for a flag), and its words on the command line."""

    __slots__ = ("name", "value", "words")

    def __init__(self, name: str, value: str | None, words: tuple[str, ...]) -> None:
        self.name = name
        self.value = value
        self.words = words


class Invocation:
    """A call of `create`, `run` or `kill`: its options and its other words, the ID first."""

    __slots__ = ("command", "globals", "options", "words")

    def __init__(self, command: str, globals: list[Option], options: list[Option], words: list[str]) -> None:
        self.command = command
        self.globals = globals
        self.options = options
        self.words = words

    @property
    def id(self) -> str:
        return self.words[0] if self.words else ""

    @property
    def bundle(self) -> str:
        return _last(self.options, ("bundle", "b")) or "."

    @property
    def config(self) -> str:
        """The path of config.json. crun's --config is relative to the working directory (create.c, run.c)."""
        named = _last(self.options, ("config", "f"))
        return named if named not in ("", "config.json") else f"{self.bundle}/config.json"

    @property
    def own_cgroup(self) -> bool:
        """Whether the runtime creates a cgroup for the container (crun(1), --cgroup-manager)."""
        return _last(self.globals, ("cgroup-manager",)) != "disabled"

    @property
    def systemd_cgroup(self) -> bool:
        """Whether the runtime creates a systemd scope (runc(8), --systemd-cgroup; crun(1), --cgroup-manager)."""
        found = False
        for option in self.globals:
            if option.name == "systemd-cgroup":
                found = option.value is None or option.value in TRUE
            elif option.name == "cgroup-manager":
                found = option.value == "systemd"
        return found

    @property
    def log(self) -> str:
        """The file given with --log; "" if there is none, or crun logs elsewhere (crun(1): file:, journald:, syslog:)."""
        named = _last(self.globals, ("log",))
        return "" if named.startswith(("journald:", "syslog:")) else named.removeprefix("file:")

    @property
    def log_format(self) -> str:
        return _last(self.globals, ("log-format",)) or "text"

    def has(self, *names: str) -> bool:
        return any(option.name in names for option in self.options)

    def state_call(self) -> list[str]:
        """Return the words of a `state ID` call to the same runtime: its global options without those for logging."""
        return [*_words(option for option in self.globals if option.name not in UNTOLD), "state", self.id]

    def place_of_signal(self, words: Sequence[str]) -> int:
        """Return the position, from 1, of the signal of this `kill` among `words`, its command line; without a signal, one past
        the end. Options may follow the signal, and none of them takes a value."""
        given = self.words[1:]
        return len(words) - words[::-1].index(given[-1]) if given else len(words) + 1


def _words(options: Iterable[Option]) -> list[str]:
    return [word for option in options for word in option.words]


def _last(options: Sequence[Option], names: tuple[str, ...]) -> str:
    return next((option.value for option in reversed(options) if option.name in names and option.value is not None), "")


def parse(words: Sequence[str]) -> Invocation | None:
    """Return the Invocation in these words after the runtime's name; None for any other call, for help and for the version."""
    globals, rest = _options(words, GLOBAL, stop=True)
    if not rest or rest[0] not in COMMANDS or _asks_for_help(globals):
        return None
    options, beside = _options(rest[1:], COMMANDS[rest[0]], stop=False)
    if _asks_for_help(options):
        return None
    return Invocation(rest[0], globals, options, beside)


def _asks_for_help(options: list[Option]) -> bool:
    return any(option.name in HELP for option in options)


def _options(words: Sequence[str], table: Mapping[str, bool], *, stop: bool) -> tuple[list[Option], list[str]]:
    """Return the options among `words` and the other words; with `stop`, stop at the first word that is not an option."""
    options: list[Option] = []
    beside: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            return options, [*beside, *rest]
        if word.startswith("-") and word != "-":
            options.append(_option(word, rest, table))
        elif stop:
            return options, [word, *rest]
        else:
            beside.append(word)
    return options, beside


def _option(word: str, rest: Iterator[str], table: Mapping[str, bool]) -> Option:
    name, equals, value = word[1:].removeprefix("-").partition("=")
    if equals:
        return Option(name, value, (word,))
    if table.get(name) == VALUE:
        following = next(rest, None)
        return Option(name, following, (word,) if following is None else (word, following))
    short = name[:1]
    if not word.startswith("--") and name not in table and table.get(short) == VALUE and name not in HELP:
        return Option(short, name[1:], (word,))
    return Option(name, None, (word,))
