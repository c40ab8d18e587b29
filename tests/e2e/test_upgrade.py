"""`make install` over an older installation: whatever ends it, one whole version answers at every moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.lab.product import call_make
from tests.shells.conftest import spec

SOURCE = Path(__file__).parents[2]
MOMENTS = 30
UPGRADES = 6
CALLERS = 4


class Installed:
    """An installation in `prefix`, in front of a runtime that does nothing."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.prefix = place / "usr"
        self.lib = self.prefix / "lib/oci-systemd"
        self.settings = place / "config.toml"
        self.settings.write_text('[log]\nfile = ""\n')

    def words(self, target: str, *more: str) -> list[str]:
        return [
            target,
            f"PREFIX={self.prefix}",
            f"PYTHON={sys.executable}",
            "RUNTIME=/bin/true",
            "DEPENDENCIES=no",
            *more,
        ]

    def make(self, target: str, *more: str) -> subprocess.CompletedProcess[str]:
        return call_make(*self.words(target, *more))

    def creates(self, name: str) -> bool:
        """Whether a systemd container that is created by it is adjusted."""
        bundle = self.place / name
        (bundle / "rootfs").mkdir(parents=True, exist_ok=True)
        (bundle / "config.json").write_text(json.dumps(spec("/sbin/init")))
        words = [str(self.prefix / "bin/oci-systemd-runtime"), "create", "--bundle", str(bundle), "ID"]
        environ = {"PATH": os.defpath, "OCI_SYSTEMD_CONFIG": str(self.settings)}
        code = subprocess.run(words, env=environ, check=False, timeout=60).returncode
        return code == 0 and "container_uuid" in (bundle / "config.json").read_text()

    def files(self) -> dict[str, str]:
        """Every path, with the targets of links."""
        found = {}
        for each in sorted(self.prefix.rglob("*")):
            name = str(each.relative_to(self.prefix))
            found[name] = (
                str(each.readlink()) if each.is_symlink() else each.read_bytes().hex() if each.is_file() else ""
            )
        return found

    @property
    def current(self) -> str:
        return (self.lib / "current").readlink().name


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Installed]:
    there = Installed(tmp_path)
    assert there.make("install").returncode == 0
    assert there.creates("first")
    yield there
    assert there.make("uninstall").returncode == 0
    assert not there.prefix.exists()


def test_an_upgrade_leaves_one_version(installed: Installed) -> None:
    names = []
    for _ in range(3):
        assert installed.make("install").returncode == 0
        assert installed.creates("after")
        names.append(installed.current)
    assert [each.name for each in (installed.lib / "versions").iterdir()] == [names[-1]]
    assert len({*names}) == 2


def test_killed_at_any_moment_the_wrapper_works_and_the_next_one_puts_all_right(installed: Installed) -> None:
    began = time.monotonic()
    assert installed.make("install").returncode == 0
    took = time.monotonic() - began
    ends = set()
    for number in range(MOMENTS):
        process = subprocess.Popen(
            ["make", "-C", str(SOURCE), *installed.words("install")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(took * (number + 0.5) / MOMENTS)
        os.killpg(process.pid, signal.SIGKILL)
        ends.add(process.wait())
        assert installed.creates(f"moment-{number}")
    assert -signal.SIGKILL in ends
    assert installed.make("install").returncode == 0
    assert [each.name for each in (installed.lib / "versions").iterdir()] == [installed.current]
    assert not [name for name in installed.files() if name.endswith((".new", "-new", "-old"))]


FAULTS = {
    "a runtime that is not there": ("RUNTIME=/nowhere/runc",),
    "a path that cannot stand in a script": ("SITE=/a b",),
    "a folder where a text goes": (),
    "a full disk": (),
    "a source that does not compile": (),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_fails_leaves_all_as_it_was(installed: Installed, fault: str, tmp_path: Path) -> None:
    source, words = SOURCE, FAULTS[fault]
    hook = installed.prefix / "share/oci-systemd/hooks.d/oci-systemd.json"
    limit = ""
    if fault == "a folder where a text goes":
        hook.unlink()
        hook.mkdir()
    elif fault == "a full disk":
        limit = "ulimit -f 100;"  # blocks of 512 bytes: a frozen file has more
    elif fault == "a source that does not compile":
        source = tmp_path / "source"
        source.mkdir()
        for part in ("Makefile", "oci_systemd", "packaging", "hooks.d"):
            subprocess.run(["cp", "-R", SOURCE / part, source], check=True)
        (source / "oci_systemd/hook.py").write_text("def(\n")
    before = installed.files()
    call = " ".join(f"'{word}'" for word in ["make", "-C", str(source), *installed.words("install", *words)])
    done = subprocess.run(["sh", "-c", f"{limit} exec {call}"], capture_output=True, text=True, check=False)
    assert (done.returncode != 0, installed.files() == before) == (True, True), done.stderr
    if fault == "a folder where a text goes":
        hook.rmdir()
    assert installed.creates("after")


def test_two_at_once_do_not_meet(installed: Installed) -> None:
    calls = [["make", "-C", str(SOURCE), *installed.words("install")] for _ in range(3)]
    running = [subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for call in calls]
    said = [process.communicate()[1] for process in running]
    codes = [process.returncode for process in running]
    assert 0 in codes
    assert all(code == 0 or "in use by another installation" in text for code, text in zip(codes, said, strict=True))
    assert installed.creates("after")


def test_creates_during_upgrades_are_adjusted_each(installed: Installed) -> None:
    stop = threading.Event()
    outcomes: list[bool] = []

    def call(number: int) -> None:
        while not stop.is_set():
            outcomes.append(installed.creates(f"caller-{number}"))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    codes = [installed.make("install").returncode for _ in range(UPGRADES)]
    stop.set()
    for thread in threads:
        thread.join()
    assert (codes, outcomes.count(False)) == ([0] * UPGRADES, 0)
    assert len(outcomes) > 5 * UPGRADES


FOREIGN = (
    "share/man/man1/not-oci-systemd.1",
    "share/man/man1/oci-systemd-of-another.1",
    "share/oci-systemd/site.toml",
    "lib/oci-systemd/theirs",
    "lib/oci-systemd/versions/theirs/file",
    "bin/oci-systemd-runtime.containerd.systemd",
)


def test_uninstall_removes_what_it_has_on_its_list_alone(tmp_path: Path) -> None:
    there = Installed(tmp_path)
    assert there.make("install").returncode == 0
    for name in FOREIGN:
        (there.prefix / name).parent.mkdir(parents=True, exist_ok=True)
        (there.prefix / name).write_text("theirs")
    assert there.make("uninstall").returncode == 0
    assert sorted(name for name, text in there.files().items() if text) == sorted(FOREIGN)


def test_a_text_that_is_no_more_goes_with_an_upgrade(installed: Installed) -> None:
    files = installed.lib / "versions" / installed.current / "files"
    old = installed.prefix / "share/man/man1/oci-systemd-gone.1"
    old.parent.mkdir(parents=True)
    old.write_text("")
    folder = f"{installed.prefix}/share/man/"
    files.write_text(files.read_text() + f"{folder}\n{folder}man1/\n{old}\n")
    assert installed.make("install").returncode == 0
    assert not old.exists()


def test_an_installation_without_versions_is_replaced(tmp_path: Path) -> None:
    """The layout before there were versions: the package and its dependencies in one folder, and launchers in another."""
    there = Installed(tmp_path)
    assert there.make("install", "FLAT=yes").returncode == 0
    (there.lib / "click").mkdir()
    (there.lib / "made").write_text(f"{there.prefix}\n{there.prefix}/bin\n{there.prefix}/lib\n")
    assert there.creates("before")
    assert there.make("install").returncode == 0
    assert there.creates("after")
    assert sorted(each.name for each in there.lib.iterdir()) == ["current", "lock", "versions"]
    assert there.make("uninstall").returncode == 0
    assert [name for name, text in there.files().items() if text] == []
