"""What `status` says a stop will be: by the container's handler, and by what its engine wrote down; else unknown."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oci_systemd.engines.stops import stop
from oci_systemd.host.containers import Entry, State
from oci_systemd.host.handlers import program

RECORD = "io.systemd.container.stop-signal"
IMAGE = "org.opencontainers.image.stopSignal"

# Engine, the signal that is recorded, the engine's own annotation, whether the wrapper is the handler; name, number, who.
STOPS: dict[str, tuple[str, str, str | None, bool | None, tuple[str | None, int | None, str | None]]] = {
    "the wrapper": ("containerd", "SIGRTMIN+3", None, True, ("SIGRTMIN+3", 37, "wrapper")),
    "the wrapper, another signal": ("docker", "SIGINT", None, True, ("SIGINT", 2, "wrapper")),
    "the wrapper under podman": ("podman", "SIGRTMIN+3", "15", True, ("SIGRTMIN+3", 37, "wrapper")),
    "podman's own beside the wrapper": ("podman", "SIGRTMIN+3", "2", True, ("SIGINT", 2, "engine")),
    "podman's own for systemd": ("podman", "SIGRTMIN+3", "37", False, ("SIGRTMIN+3", 37, "engine")),
    "podman's own, as a name": ("podman", "SIGRTMIN+3", "SIGRTMIN+3", False, ("SIGRTMIN+3", 37, "engine")),
    "podman's default": ("podman", "SIGRTMIN+3", "15", False, ("SIGTERM", 15, "engine")),
    "CRI-O with the image's": ("crio", "SIGRTMIN+3", "SIGRTMIN+3", False, ("SIGRTMIN+3", 37, "engine")),
    "CRI-O without": ("crio", "SIGRTMIN+3", None, False, ("SIGTERM", 15, "engine")),
    "CRI-O, and nobody knows its handler": ("crio", "SIGRTMIN+3", "37", None, ("SIGRTMIN+3", 37, "engine")),
    "NRI and a plain handler": ("containerd", "SIGRTMIN+3", None, False, (None, None, None)),
    "an offline bundle": ("none", "SIGRTMIN+3", None, None, (None, None, None)),
    "an annotation that containerd never wrote": ("containerd", "SIGRTMIN+3", "37", False, (None, None, None)),
    "none": ("containerd", "none", None, True, ("none", None, None)),
}


@pytest.mark.parametrize(("engine", "recorded", "image", "front", "expected"), STOPS.values(), ids=STOPS)
def test_a_stop_is(
    engine: str,
    recorded: str,
    image: str | None,
    front: bool | None,
    expected: tuple[str | None, int | None, str | None],
) -> None:
    annotations = {RECORD: recorded} | ({IMAGE: image} if image else {})
    found = stop(engine, annotations, front=front)
    assert (found.name, found.number, found.by) == expected
    assert found.words.startswith("unknown: ") is (expected == (None, None, None))


def test_a_signal_that_is_not_the_wanted_one_is_told() -> None:
    words = stop("podman", {RECORD: "SIGRTMIN+3", IMAGE: "15"}, front=False).words
    assert words == "SIGTERM (15), by the engine in place of SIGRTMIN+3 (37)"


def test_without_a_record_sigterm_stays() -> None:
    assert stop("containerd", {}, front=True).words == "none recorded: SIGTERM is kept"


def state(bundle: object = "", pid: int = 0) -> State:
    return State(Entry("/run/runc", "id", "runc", 0), "running", pid, str(bundle), {})


SHIMS = {"the wrapper": ("/usr/bin/oci-systemd-runtime\n", "/usr/bin/oci-systemd-runtime"), "the default": ("", "runc")}


@pytest.mark.parametrize(("text", "expected"), SHIMS.values(), ids=SHIMS)
def test_containerds_shim_writes_its_runtime_down(text: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "runtime").write_text(text)
    assert program(state(tmp_path)) == expected


def test_what_nothing_tells_is_unknown(tmp_path: Path) -> None:
    assert program(state()) is None
    assert program(state(tmp_path)) is None
    (tmp_path / "runtime").mkdir()
    assert program(state(tmp_path)) is None


CONMON = '#!/bin/sh\nsleep 1000 &\necho $! >"$PID_FILE"\nwait\n'
MONITORS = {
    "podman's": ("conmon", ["--api-version", "1", "-r", "/usr/bin/oci-systemd-runtime", "-b", "/b"], True),
    "CRI-O's": ("conmon", ["-s", "--runtime", "/usr/bin/oci-systemd-runtime.crio.systemd"], True),
    "one without a runtime": ("conmon", ["-b", "-r"], False),
    "another program": ("monitor", ["-r", "/usr/bin/oci-systemd-runtime"], False),
}


@pytest.fixture(params=MONITORS)
def monitored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[int, bool]]:
    """The PID of a process that a monitor started, and whether the monitor tells its runtime."""
    name, words, tells = MONITORS[request.param]
    path, file = tmp_path / name, tmp_path / "pid"
    path.write_text(CONMON)
    # The command line is what counts: its first word is the monitor's own path.
    process = subprocess.Popen([path, "-c", CONMON, *words], executable="/bin/sh", env={"PID_FILE": str(file)})
    end = time.monotonic() + 10
    while not (file.exists() and file.read_text().strip()) and time.monotonic() < end:
        time.sleep(0.01)
    pid = int(file.read_text())
    yield pid, tells
    subprocess.run(["kill", str(pid)], check=True)
    process.wait(10)


def test_a_monitor_has_its_runtime_on_its_command_line(monitored: tuple[int, bool]) -> None:
    pid, tells = monitored
    found = program(state(pid=pid))
    assert (found or "").startswith("/usr/bin/oci-systemd-runtime") is tells
