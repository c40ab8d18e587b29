"""List the containers of this machine's runtimes: found in the runtimes' state directories, asked with `RUNTIME state ID`.

Law: every wait has a limit, an error of one container does not hide the others, and a runtime with root's rights never reads
files that a user may have written: for a state below a user's directory the runtime runs with that user's rights. A runtime's
files are private; only their names are read (runtime-spec, operations, "Query State").
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from stat import S_ISDIR
from typing import TYPE_CHECKING, NamedTuple

from oci_systemd.core.errors import Problem
from oci_systemd.core.json_text import parse
from oci_systemd.host.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from oci_systemd.core.json_text import Json

WORKERS = 4  # runtimes at once: each is a process of some milliseconds, most of it CPU
TIMEOUT = 5.0  # seconds for one `state`
ALTOGETHER = 30.0  # seconds for all of them
LIMIT = 16 << 20  # bytes of a state's output
OPTIONS_LIMIT = 1 << 16
NOGROUP = 65534
ENVIRON = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
# IDs that runtimes accept (runc factory_linux.go, crun status.c), except those that look like an option.
ID = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9_+.-]*")
LOGGED_AT = re.compile(r'\btime="[^"]*" ')  # at the start of a logrus line


class Entry(NamedTuple):
    """One container's state directory: its `root`, the `id`, the `kind` of runtime, and the user who may have written it."""

    root: str
    id: str
    kind: str
    uid: int


class State(NamedTuple):
    """The runtime's state of a container (runtime-spec, "State")."""

    entry: Entry
    status: str
    pid: int
    bundle: str
    annotations: dict[str, str]


class Trouble(NamedTuple):
    """Why the state of a container is unknown, as a sentence."""

    entry: Entry
    cause: str


class Roots(NamedTuple):
    """State roots, each once, with links resolved, and the directories that this user may not read."""

    paths: list[str]
    closed: list[str]


def roots(patterns: Iterable[str], base: str = "") -> Roots:
    """Return the directories below `base` that match `patterns`; `*` matches one name that does not start with a dot."""
    closed: set[str] = set()
    expanded = (path for pattern in patterns for path in _expanded(pattern, base, closed))
    found = [path for path in expanded if _is_folder(path, closed)]
    return Roots([*dict.fromkeys(os.path.realpath(path) for path in found)], sorted(closed))


def moved_roots(patterns: Iterable[str], base: str = "") -> list[str]:
    """Return the state roots named in the shim's files at `patterns`: the root of a containerd handler with the namespace below."""
    found = (path for pattern in patterns for path in _expanded(pattern, base, set()))
    named = ((_root_option(path), Path(path).parts[-3]) for path in found)
    return [*dict.fromkeys(f"{root}/{namespace}" for root, namespace in named if root.startswith("/"))]


def _root_option(path: str) -> str:
    try:
        options = parse(read_regular(path, OPTIONS_LIMIT)[0])[1]
    except Problem:
        return ""
    root = options.get("root") if isinstance(options, dict) else None
    return root if isinstance(root, str) else ""


def _expanded(pattern: str, base: str, closed: set[str]) -> Iterator[str]:
    folders = [base]
    for part in pattern.strip("/").split("/"):
        folders = [f"{folder}/{name}" for folder in folders for name in _matching(folder, part, closed)]
    return iter(folders)


def _matching(folder: str, part: str, closed: set[str]) -> list[str]:
    if "*" not in part:
        return [part]
    return [name for name in _names(folder, closed) if fnmatchcase(name, part) and not name.startswith(".")]


def _names(folder: str, closed: set[str]) -> list[str]:
    """Return the names in a directory, sorted; none if it does not exist, or if this user may not read it (added to `closed`)."""
    try:
        return sorted(os.listdir(folder or "/"))  # noqa: PTH208  # names, not paths
    except PermissionError:
        closed.add(_closed_part(folder))
    except (OSError, ValueError):
        return []
    return []


def _is_folder(path: str, closed: set[str]) -> bool:
    try:
        return S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116  # Path.is_dir raises in some versions, and hides in others
    except PermissionError:
        closed.add(_closed_part(path))
    except (OSError, ValueError):
        return False
    return False


def _closed_part(folder: str) -> str:
    """Return the first directory on the way to `folder` that this user may not enter, else `folder` itself."""
    ways = [*reversed(Path(folder).parents)]
    return next((str(way) for way in ways if not os.access(way, os.X_OK)), folder)


def entries(paths: Iterable[str], kinds: Mapping[str, str]) -> tuple[list[Entry], list[str]]:
    """Return the containers in the state roots `paths`, recognized by the files in `kinds`, and the roots that are not readable."""
    closed: set[str] = set()
    found = [
        Entry(path, id, kind, owner)
        for path in paths
        for owner in [_owner(path)]
        for id in _names(path, closed)
        if ID.fullmatch(id) and (kind := _kind(f"{path}/{id}", kinds))
    ]
    return found, sorted(closed)


def _kind(folder: str, kinds: Mapping[str, str]) -> str:
    return next((kind for name, kind in kinds.items() if os.access(f"{folder}/{name}", os.F_OK)), "")


def _owner(path: str) -> int:
    """Return the first user other than root who owns a directory on the way to `path`, and so everything below; else root."""
    ways = [*reversed(Path(path).parents), Path(path)]
    with suppress(OSError):
        return next((uid for way in ways if (uid := way.stat().st_uid)), 0)
    return NOGROUP


def ask(found: Iterable[Entry], runtime: Callable[[str], str]) -> tuple[list[State], list[Trouble]]:
    """Return the states of these containers, and the containers without one. A container that was just removed is in neither.

    `runtime` returns the program for a kind, "" if there is none.
    """
    deadline = time.monotonic() + ALTOGETHER
    pool = ThreadPoolExecutor(WORKERS)
    try:
        answers = [*pool.map(lambda entry: _asked(entry, runtime(entry.kind), deadline), found)]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    states = [answer for answer in answers if isinstance(answer, State)]
    return states, [answer for answer in answers if isinstance(answer, Trouble)]


def _asked(entry: Entry, runtime: str, deadline: float) -> State | Trouble | None:
    own = os.geteuid()
    if not runtime:
        return Trouble(entry, f"{entry.kind}: not found")
    if time.monotonic() > deadline:
        return Trouble(entry, f"{runtime} state: timed out after {ALTOGETHER:.0f} s for all containers")
    if own and entry.uid not in (0, own):
        return Trouble(entry, f"the state belongs to user {entry.uid}; only root can read it")
    try:
        return _state(entry, _output(runtime, entry, None if own else entry.uid))
    except Problem as problem:
        return Trouble(entry, str(problem)) if os.access(f"{entry.root}/{entry.id}", os.F_OK) else None


def _state(entry: Entry, output: bytes) -> State:
    try:
        value = parse(output)[1]
    except Problem as problem:
        raise Problem(f"{entry.kind} state: {problem}") from None
    if not isinstance(value, dict):
        raise Problem(f"{entry.kind} state: not a JSON object")
    pid, annotations = value.get("pid"), value.get("annotations")
    given = annotations.items() if isinstance(annotations, dict) else ()
    return State(
        entry,
        _text(value.get("status")) or "unknown",
        pid if isinstance(pid, int) and 0 < pid < 1 << 31 else 0,
        _text(value.get("bundle")),
        {key: text for key, text in given if isinstance(text, str)},
    )


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _output(runtime: str, entry: Entry, uid: int | None) -> bytes:
    """Return the output of the runtime's `state`. Raise a Problem if it cannot start, takes too long, prints too much or fails."""
    try:
        process = subprocess.Popen(  # noqa: S603  # a program that root chose, by words that are checked, without a shell
            [runtime, "--root", entry.root, "state", entry.id],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRON,
            cwd="/",
            start_new_session=True,
            user=uid or None,
            group=NOGROUP if uid else None,
            extra_groups=[] if uid else None,
        )
    except OSError as error:
        raise Problem(f"{runtime}: cannot start: {error.strerror}") from None
    except subprocess.SubprocessError as error:
        raise Problem(f"{runtime}: cannot start: {error}") from None
    with process:
        try:
            output, said = _read(process, time.monotonic() + TIMEOUT)
            code = process.wait(TIMEOUT)
        except (TimeoutError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGKILL)  # the process is not yet reaped, so the PID is still its own
            raise Problem(f"{runtime} state: timed out after {TIMEOUT:.0f} s") from None
    if code:
        raise Problem(f"{runtime} state failed: {_last_line(said) or f'exit status {code}'}")
    return output


def _read(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bytes]:
    """Return the process's stdout and stderr. Raise TimeoutError if they do not end by the deadline, or exceed LIMIT."""
    assert process.stdout and process.stderr
    output, said = parts = bytearray(), bytearray()
    with selectors.DefaultSelector() as ready:
        for stream, part in zip((process.stdout, process.stderr), parts, strict=True):
            ready.register(stream, selectors.EVENT_READ, part)
        while ready.get_map():
            events = ready.select(max(0.0, deadline - time.monotonic()))
            if not events or len(output) + len(said) > LIMIT:
                raise TimeoutError
            for key, _ in events:
                data = os.read(key.fd, 1 << 16)
                key.data.extend(data)
                if not data:
                    ready.unregister(key.fileobj)
    return bytes(output), bytes(said)


def _last_line(said: bytes) -> str:
    lines = said.decode(errors="backslashreplace").strip().splitlines()
    return LOGGED_AT.sub("", lines[-1])[:300] if lines else ""
