"""`python -m tests.bench`: the table of what calls cost, the picture of it, and with --check the verdict on the bounds."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from oci_systemd.host.machine import this_host
from oci_systemd.host.settings_file import USUAL
from tests.bench import nri, rows, running, table
from tests.bench.measure import go_first, take_turns
from tests.bench.picture import Rates, picture
from tests.bench.stage import Stage, enter_own_mounts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.rows import Result

MEMORY = Path("/dev/shm")
RUNS, BUNDLES = 200, 2000
QUICK_RUNS, QUICK_BUNDLES = 10, 100


def main(words: list[str]) -> int:
    asked = _arguments(words)
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryDirectory(dir=_memory()) as memory:
        if os.geteuid() == 0:
            enter_own_mounts(Path(place))
            go_first()
        stage = Stage(Path(place), Path(memory))
        for note in _notes(stage):
            _say(note)
        _say(f"{asked.runs} rounds\n\n{table.HEAD}")
        results = []
        for result in _results(stage, asked.runs):
            results.append(result)
            _say(table.line(result))
        rates = _rewrites(stage, asked.bundles)
    if asked.svg:
        asked.svg.write_text(picture(results, rates, datetime.now(UTC).date().isoformat()))
    return int(asked.check and not all(result.is_within for result in results))


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--runs", type=int, help=f"rounds of each row (default: {RUNS})")
    parser.add_argument("--quick", action="store_true", help="few rounds and few bundles: shows that all of it works")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the table into FILE")
    parser.add_argument("--check", action="store_true", help="exit 1 if a bound is broken; not with --quick")
    asked = parser.parse_args(words)
    if asked.quick and asked.check:
        parser.error("--check takes medians of many rounds; leave out --quick")
    asked.runs = asked.runs or (QUICK_RUNS if asked.quick else RUNS)
    asked.bundles = QUICK_BUNDLES if asked.quick else BUNDLES
    return asked


def _memory() -> Path | None:
    return MEMORY if os.access(MEMORY, os.W_OK) else None


def _notes(stage: Stage) -> Iterator[str]:
    if not _serves():
        yield "This machine has no cgroup v2 with nsdelegate: the wanted specs have a writable cgroup mount, one edit less."
    if stage.meter is None:
        yield "Without cc: nothing to kill, no memory taken, and /bin/true in the runtime's place."
    elif not running.has_runc():
        yield "Without root and runc: the kill is of a container that a stub runtime tells of, and has no bound."
    if Path(USUAL).exists():
        yield f"{USUAL} is there: the rows without a settings file have one."


def _serves() -> bool:
    host = this_host()
    return host.cgroup_v2 and host.nsdelegate


def _results(stage: Stage, runs: int) -> Iterator[Result]:
    for row in (*rows.passed(stage), *rows.created(stage, writable=not _serves())):
        yield rows.run(row, stage, runs)
    if find_spec("google.protobuf"):
        with nri.created(stage) as plugged:
            for row in plugged:
                yield rows.run(row, stage, runs)
    if stage.meter is None:
        return
    with running.under_stub(stage) as teller:
        stubbed = rows.killed(stage, teller, "/run/none")
        if not running.has_runc():
            yield rows.run(stubbed, stage, runs)
            return
        with running.under_runc(stage) as (runc, root):
            yield rows.run(rows.killed(stage, runc, root, peak=stubbed.peak), stage, runs)


def _rewrites(stage: Stage, bundles: int) -> list[Rates]:
    """Bundles per second, ours and jq's, printed; none where they cannot be had. One round: it is long enough."""
    contests = rows.rewritten(stage, sys.executable, bundles)
    if isinstance(contests, str):
        _say(f"\n{bundles} bundles rewritten: left out, {contests}")
        return []
    found = []
    _say("")
    for contest in contests:
        ours, jq = (table.rate(contest.count, each) for each in take_turns(contest.sides, 1, warm_up=0))
        _say(table.rates(contest, ours, jq))
        found.append(Rates(contest, ours, jq))
    return found


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
