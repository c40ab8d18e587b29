"""A damaged installation: containers start and stop all the same, and what could not be done for them is said."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.shells.conftest import spec
from tests.shells.test_runtime import ID, KEY, init, log_to, logged, state
from tests.shells.wrapper import PYTHON, Wrapper, library

__all__ = ["init"]  # a fixture
FLIPS = 40
TERM = ["kill", ID, "TERM"]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A copy of the library that a test may damage."""
    return shutil.copytree(library(), tmp_path / "lib")


@pytest.fixture
def damaged(wrapper: Wrapper, own: Path) -> Wrapper:
    wrapper.path.write_text(wrapper.path.read_text().replace(library(), str(own)))
    log_to(wrapper)
    return wrapper


def flips(file: Path) -> list[bytes]:
    """The file with a byte changed, at each of FLIPS places; and cut short, and empty."""
    data = file.read_bytes()
    places = [*range(16), *random.Random(1).sample(range(16, len(data)), FLIPS - 16)]
    return [data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :] for place in places] + [data[:-1], b""]


def test_create_with_a_damaged_frozen_file_adjusts_and_says_so(
    damaged: Wrapper, own: Path, systemd: dict[str, Any]
) -> None:
    for number, data in enumerate(flips(own / "frozen-create")):
        (own / "frozen-create").write_bytes(data)
        folder = damaged.bundle(systemd, f"bundle-{number}")
        result = damaged.run("create", "--bundle", folder, ID)
        assert (result.returncode, result.stdout, result.stderr) == (7, "", "")
        assert "container_uuid" in (folder / "config.json").read_text()
        assert f"{own}/frozen-create: damaged" in logged(damaged)[-2]["reason"]


def test_kill_with_a_damaged_frozen_file_stops_systemd(
    damaged: Wrapper, own: Path, init: subprocess.Popen[bytes]
) -> None:
    state(damaged, init.pid)
    for data in flips(own / "frozen-kill"):
        (own / "frozen-kill").write_bytes(data)
        result = damaged.run(*TERM)
        assert (result.returncode, result.stdout, result.stderr) == (7, "", "")
        assert damaged.words() == ["kill", ID, "37"]


def garbage(folder: Path) -> str:
    return script(folder, "\x7fELF garbage\n")


def crashing(folder: Path) -> str:
    return script(folder, "#!/bin/sh\necho Fatal >&2\nkill -SEGV $$\n")


def talkative(folder: Path) -> str:
    return script(folder, "#!/bin/sh\necho go away\n")


def without_library(folder: Path) -> str:
    """The interpreter itself, where its library is hidden: it ends before our code."""
    hide = f'mount -t tmpfs none {sysconfig.get_path("stdlib")} && exec {PYTHON} "$@"'
    return script(folder, f"#!/bin/sh\nexec unshare --mount sh -c '{hide}' sh \"$@\"\n")


def script(folder: Path, text: str) -> str:
    path = folder / "python"
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


INTERPRETERS: dict[str, Callable[[Path], str]] = {
    "not there": lambda folder: str(folder / "nowhere"),
    "a directory": str,
    "not executable": lambda folder: str(Path(__file__)),
    "garbage": garbage,
    "crashing": crashing,
    "saying something else": talkative,
    "ending without output": lambda folder: "/bin/true",
}


@pytest.fixture(
    params=[*INTERPRETERS.values(), pytest.param(without_library, marks=pytest.mark.engine)],
    ids=[*INTERPRETERS, "without its library"],
)
def shy(request: pytest.FixtureRequest, tmp_path: Path) -> Wrapper:
    """A wrapper whose interpreter does not work."""
    wrapper = Wrapper(tmp_path, python=request.param(tmp_path))
    log_to(wrapper)
    return wrapper


def test_without_python_a_stop_reaches_the_runtime(shy: Wrapper) -> None:
    result = shy.run(*TERM)
    assert (result.returncode, result.stdout, result.stderr, shy.words()) == (7, "", "", TERM)


@pytest.mark.parametrize("given", [spec("/sbin/init"), spec("cat", "/usr/lib/systemd")], ids=["systemd", "another"])
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_without_python_a_container_starts_unmodified_and_it_is_said(
    shy: Wrapper, given: dict[str, Any], log_format: str
) -> None:
    folder, log = shy.bundle(given), shy.folder / "runtime.log"
    before = (folder / "config.json").read_bytes()
    words = ["--log", str(log), "--log-format", log_format, "create", "--bundle", str(folder), ID]
    result = shy.run(*words)
    assert (result.returncode, result.stdout, result.stderr, shy.words()) == (7, "", "", words)
    assert (folder / "config.json").read_bytes() == before
    (said,) = log.read_text().splitlines()
    (entry,) = logged(shy)
    assert "the installation is damaged" in said
    assert (entry["level"], "the installation is damaged" in entry["message"]) == ("error", True)
    if log_format == "json":
        assert {"level": "warning", "msg": entry["message"]}.items() <= json.loads(said).items()


def test_without_python_a_runtime_that_is_the_wrapper_itself_is_not_called(shy: Wrapper) -> None:
    result = shy.run(*TERM, env={**os.environ, "OCI_SYSTEMD_RUNTIME": str(shy.path)})
    assert (result.returncode, shy.words()) == (127, None)


@pytest.mark.parametrize("file", ["", "/nowhere/log", "/dev/full"])
def test_a_log_that_cannot_be_written_does_no_harm(tmp_path: Path, file: str) -> None:
    wrapper = Wrapper(tmp_path, python="/nowhere/python3")
    wrapper.configure(f'[log]\nfile = "{file}"\n')
    folder = wrapper.bundle(spec("/sbin/init"))
    assert wrapper.run("--log", "/dev/full", "create", "--bundle", folder, ID).returncode == 7


BROKEN_SOURCES = {"a missing module": None, "no Python": b"def(\n", "an error of its own": b"1 / 0\n"}


@pytest.mark.parametrize("text", BROKEN_SOURCES.values(), ids=BROKEN_SOURCES)
@pytest.mark.parametrize("module", ["runtime/__init__.py", "host/bundle.py", "core/argv.py"])
def test_without_frozen_file_and_module_a_container_starts_unmodified(
    damaged: Wrapper, own: Path, module: str, text: bytes | None
) -> None:
    (own / "frozen-create").write_bytes(b"")
    source = own / "oci_systemd" / module
    source.unlink() if text is None else source.write_bytes(text)
    folder = damaged.bundle(spec("/sbin/init"))
    before = (folder / "config.json").read_bytes()
    result = damaged.run("create", "--bundle", folder, ID)
    assert (result.returncode, result.stderr, (folder / "config.json").read_bytes()) == (7, "", before)
    assert [entry["level"] for entry in logged(damaged)] == ["error"]


def test_byte_code_that_is_damaged_is_not_loaded(damaged: Wrapper, own: Path, systemd: dict[str, Any]) -> None:
    (own / "frozen-create").unlink()
    for compiled in own.rglob("*.pyc"):
        data = bytearray(compiled.read_bytes())
        data[len(data) // 2] ^= 0x41
        compiled.write_bytes(data)
    folder = damaged.bundle(systemd)
    assert damaged.run("create", "--bundle", folder, ID).returncode == 7
    assert "container_uuid" in (folder / "config.json").read_text()
    assert KEY in (folder / "config.json").read_text()
