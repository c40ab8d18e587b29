"""The rows of the bench, from the fastest call to the slowest. A row has our command, its floor, and the bound on their ratio."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tests.bench import running, specs
from tests.bench.measure import Side, peak, ratio, take_turns
from tests.bench.stage import INTERPRETER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.measure import Timed
    from tests.bench.stage import Bundle, Stage

MEMORY = 12 << 10  # KiB that any call of the wrapper may have at its peak
BARE, PYTHON = "sh that execs", "python3 -IS -c pass"
# containerd's own words (its shim's runc package).
GLOBALS = ("--root", "/run/containerd/runc/k8s.io", "--log", "/run/log.json", "--log-format", "json")
EXEC = (
    "--systemd-cgroup",
    "exec",
    "--process",
    "/tmp/runc-process",
    "--detach",
    "--pid-file",
    "/run/1.pid",
    running.ID,
)

# `create`: the spec's size, the settings file (stage.SETTINGS), and the bound.
UNWANTED = (
    (specs.small, "", 2.3),
    (specs.small, "settings file", 2.3),
    (specs.large, "", 2.7),
    (specs.large, "settings file", 2.7),
)
WANTED = (
    (specs.small, "", 2.0),
    (specs.small, "settings file", 3.7),
    (specs.small, "dotted settings", 3.7),
    (specs.large, "", 2.6),
    (specs.large, "settings file", 4.2),
)


@dataclass(frozen=True)
class Row:
    """One thing a runtime or the plugin is called for. `direct` is the same call of the real runtime, without us, None where
    there would be no call; `peak`, what memory is taken of, with a runtime that needs none itself."""

    name: str
    ours: Timed
    floor: Timed
    floor_name: str
    direct: Timed | None
    bound: float | None
    peak: Side | None


@dataclass(frozen=True)
class Result:
    """A row's times, in nanoseconds, round by round, and its peak memory in KiB."""

    row: Row
    ours: list[int]
    floor: list[int]
    direct: list[int]
    memory: int | None

    @property
    def ratio(self) -> float:
        return ratio(self.ours, self.floor)

    @property
    def is_within(self) -> bool:
        """Whether the bounds hold: the row's own, and the one on memory."""
        fast = self.row.bound is None or self.ratio <= self.row.bound
        return fast and (self.memory is None or self.memory <= MEMORY)


def run(row: Row, stage: Stage, runs: int) -> Result:
    ours, floor, *direct = take_turns((row.ours, row.floor, *([row.direct] if row.direct else [])), runs)
    return Result(row, ours, floor, direct[0] if direct else [0], peak(row.peak, stage.meter) if row.peak else None)


def passed(stage: Stage) -> Iterator[Row]:
    for name, words in (("state", ("state", running.ID)), ("exec", EXEC)):
        ours, bare, direct = (
            Side(((str(program), *GLOBALS, *words),)) for program in (stage.launcher, stage.bare, stage.stub)
        )
        yield Row(name, ours, bare, BARE, direct, 1.1, ours)


def created(stage: Stage, *, writable: bool) -> Iterator[Row]:
    """`create` of a container that is not wanted, then of one that is: 10 and 90 kB, without a settings file and with one."""
    for path, is_wanted, cases in (
        (specs.UNWANTED, False, UNWANTED),
        (specs.WANTED, True, WANTED),
    ):
        for sized, settings, bound in cases:
            spec = sized(path, writable=writable and is_wanted)
            yield _create(stage, spec, settings, bound, is_wanted=is_wanted)


def _create(stage: Stage, spec: bytes, settings: str, bound: float, *, is_wanted: bool) -> Row:
    who = "systemd" if is_wanted else "not systemd"
    name = f"create, {who}, {round(len(spec) / 1000)} kB{settings and f', {settings}'}"
    bundle = stage.bundle(name.replace(", ", "-").replace(" ", "-"), spec)
    words = (
        *GLOBALS,
        "create",
        "--bundle",
        str(bundle.place),
        "--pid-file",
        str(bundle.place / "init.pid"),
        running.ID,
    )
    environ = {"PATH": os.defpath} | ({"OCI_SYSTEMD_CONFIG": str(stage.settings[settings])} if settings else {})
    ours = Side(((str(stage.launcher), *words),), environ, bundle.restore)
    prove(ours, bundle, is_wanted=is_wanted)
    bare = Side((((INTERPRETER, "-IS", "-c", "pass") if is_wanted else (str(stage.bare), *words)),), environ)
    return Row(
        name, ours, bare, PYTHON if is_wanted else BARE, Side(((str(stage.stub), *words),), environ), bound, ours
    )


def prove(ours: Side, bundle: Bundle, *, is_wanted: bool) -> None:
    """Check that the timed command does its work: a wanted bundle is adjusted, another one is unchanged."""
    ours.once()
    if bundle.is_adjusted is not is_wanted or not (is_wanted or bundle.config.read_bytes() == bundle.spec):
        raise SystemExit(f"the bench stops: {bundle.config} was {'not ' if is_wanted else ''}adjusted")


def killed(stage: Stage, runtime: str | Path, root: str, peak: Side | None = None) -> Row:
    """`kill ID TERM`, translated, beside the runtime's `state` and `kill`. The bound is of a real runtime."""
    words = ("--root", root, "--log", str(stage.place / "log.json"), "--log-format", "json", "kill", running.ID)
    ours = Side(((str(stage.launcher), *words, "15"),), {"PATH": os.defpath, "OCI_SYSTEMD_RUNTIME": str(runtime)})
    state = (str(runtime), "--root", root, "state", running.ID)
    kill = (str(runtime), *words, str(running.STOP_SIGNAL))
    name = f"kill TERM, {'runc' if peak else 'a stub runtime'}"
    bound = 2.2 if peak else None
    return Row(name, ours, Side((state, kill)), "state + kill", Side((kill,)), bound, peak or ours)


# The same change as `rewrite` makes of the wanted spec, as far as jq can know it.
START = "import sys; sys.argv[0] = 'oci-systemd'; from oci_systemd.cli import main; main()"
JQ = r"""
.mounts |= (map(if .destination == "/sys/fs/cgroup" then .options |= map(if . == "ro" then "rw" else . end) else . end)
  + [("/run", "/run/lock", "/tmp", "/var/log/journal") | {destination: ., type: "tmpfs", source: "tmpfs",
     options: ["rw", "rprivate", "nosuid", "nodev", "mode=755"]}])
| .process.env += ["container=other", "container_uuid=" + $id]
| .annotations += {"io.systemd.container.stop-signal": "SIGRTMIN+3", "io.systemd.container.adjusted": "0"}
| .linux.resources.unified["cgroup.max.descendants"] = "1000"
"""
# One process for each bundle: both write a new file beside the old one and rename it.
EACH = 'program=$1; shift; for f; do "$program" rewrite --in-place "$f"; done'
JQ_EACH = 'jq=$1 filter=$2; shift 2; for f; do "$jq" -c --arg id 0 "$filter" "$f" >"$f.new" && mv "$f.new" "$f"; done'
# One process for all of them. jq cannot write several files: its results go to one stream, which nobody takes apart.
JQ_ALL = 'jq=$1 filter=$2; shift 2; exec "$jq" -c --arg id 0 "$filter" "$@"'
PART = 10  # one of so many bundles is rewritten by a process of its own: that takes longer


@dataclass(frozen=True)
class Contest:
    """`count` bundles, rewritten by us and by jq in the same way."""

    name: str
    names: tuple[str, str]
    count: int
    sides: tuple[Side, Side]


def rewritten(stage: Stage, python: str, count: int) -> list[Contest] | str:
    """Return our side and jq's of rewriting bundles; why not, where it cannot be."""
    jq = shutil.which("jq")
    missing = [name for name in ("click", "orjson") if find_spec(name) is None] + ([] if jq else ["jq"])
    if jq is None or missing:
        return f"it needs {', '.join(missing)}"
    bundles = [stage.bundle(f"{number:064x}", specs.WANTED.read_bytes()) for number in range(count)]
    program = stage.script("oci-systemd", f'exec {python} -c "{START}" "$@"\n')
    environ = {"PATH": os.defpath, "PYTHONPATH": str(stage.lib)}

    def restore() -> None:
        for bundle in bundles:
            bundle.restore()

    def side(*words: str | Path, part: int = 1) -> Side:
        paths = [str(bundle.config) for bundle in bundles[: count // part]]
        return Side(((*map(str, words), *paths),), environ, restore)

    ours = side(program, "rewrite", "--in-place")
    prove(ours, bundles[-1], is_wanted=True)
    return [
        Contest(
            "one process for each bundle",
            ("oci-systemd rewrite", "jq"),
            count // PART,
            (
                side("/bin/sh", "-c", EACH, "sh", program, part=PART),
                side("/bin/sh", "-c", JQ_EACH, "sh", jq, JQ, part=PART),
            ),
        ),
        Contest(
            "one process for all bundles",
            ("oci-systemd rewrite, in place", "jq, to one stream"),
            count,
            (ours, side("/bin/sh", "-c", JQ_ALL, "sh", jq, JQ)),
        ),
    ]
