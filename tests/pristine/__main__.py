"""Run every case in a pristine root of each Debian; exit 1 if any failed."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from tests.e2e.lab.node import SOURCE
from tests.e2e.lab.rootfs import LabError, prepare
from tests.pristine.cases import CASES, Case
from tests.pristine.files import left, listing
from tests.pristine.roots import LIMIT, ROOTS, Root, clone

LOGS = SOURCE / "build/pristine"
SHOWN = 40
TRACEBACK = b"Traceback (most recent call last)"
HEAD = ("target", "Debian", "user", "seconds", "result")


@dataclass(frozen=True)
class Result:
    case: Case
    debian: str
    seconds: float
    fault: str
    """What went wrong, in a sentence; empty where nothing did."""

    @property
    def log(self) -> Path:
        return log_of(self.case, self.debian)

    @property
    def row(self) -> tuple[str, ...]:
        return self.case.name, self.debian, self.case.user, f"{self.seconds:.0f}", self.fault or "ok"


def log_of(case: Case, debian: str) -> Path:
    return LOGS / f"{case.name}-{debian}.log"


def run(case: Case, debian: str, source: Path) -> Result:
    begin = time.monotonic()
    try:
        with Root(ROOTS[debian], source, case.user) as root:
            fault = next(faults(case, root, log_of(case, debian)), "")
    except (LabError, OSError, subprocess.SubprocessError) as error:
        fault = str(error)
    return Result(case, debian, time.monotonic() - begin, fault)


def faults(case: Case, root: Root, place: Path) -> Iterator[str]:
    """What goes wrong, as far as somebody wants to know."""
    before = listing(root.path("/")) if case.leaves_nothing else {}
    with place.open("wb", buffering=0) as log:
        for line in case.lines:
            log.write(f"\n{line}\n".encode())
            begin = place.stat().st_size
            try:
                code = root.type(line, log)
            except subprocess.TimeoutExpired:
                yield f"'{line}' did not end within {LIMIT:.0f} s"
            if code:
                yield f"'{line}' ended with {code}"
            if TRACEBACK in place.read_bytes()[begin:]:
                yield f"'{line}' printed a traceback"
        if case.leaves_nothing and (found := left(before, root.path("/"))):
            log.write(("\nnot as before:\n" + "\n".join(found) + "\n").encode())
            yield f"{len(found)} files or directories are not as before"


def run_all(wanted: Sequence[Case], jobs: int) -> list[Result]:
    """Run each case in each root, and print a line as each of them ends; in the order of the table."""
    order = list(product(wanted, ROOTS))
    with tempfile.TemporaryDirectory(prefix="oci-systemd-pristine-") as place, ThreadPoolExecutor(jobs) as pool:
        source = Path(place, "clone")
        clone(source)
        running = [pool.submit(run, *each, source) for each in order]
        try:
            for done in as_completed(running):
                show(done.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [each.result() for each in running]


def show(result: Result) -> None:
    name, debian, user, seconds, fate = result.row
    print(f"{name} on Debian {debian} as {user}, {seconds} s: {fate}", flush=True)


def table(results: Sequence[Result]) -> str:
    rows = [HEAD, *(each.row for each in results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(" | ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def tail(log: Path) -> str:
    """The last lines, each as a terminal shows it once it is whole."""
    with log.open(errors="replace", newline="\n") as lines:
        return "\n".join(line.rstrip().rpartition("\r")[2] for line in deque(lines, SHOWN)).rstrip()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.pristine", description=__doc__)
    parser.add_argument("--only", metavar="NAME", action="append", choices=[case.name for case in CASES])
    parser.add_argument("--jobs", metavar="N", type=int, default=2)
    options = parser.parse_args()
    if os.geteuid():
        sys.exit("tests.pristine: must run as root, because it makes namespaces and mounts")
    LOGS.mkdir(parents=True, exist_ok=True)
    try:
        prepare(ROOTS.values())
        results = run_all([case for case in CASES if case.name in (options.only or [case.name])], options.jobs)
    except LabError as error:
        sys.exit(f"tests.pristine: {error}")
    failed = [each for each in results if each.fault]
    for each in failed:
        print(f"\n{each.case.name} on Debian {each.debian}: {each.fault}; all of its output is in '{each.log}'")
        print(tail(each.log) if each.log.exists() else "")
    print(f"\n{table(results)}\n\n{len(results) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
