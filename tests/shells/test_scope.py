"""The host's own stop, in each entry: the wrapper reads its arguments, the hook and `rewrite` podman's annotation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from oci_systemd.cli import cli
from oci_systemd.core.rules import KILL_SIGNAL
from tests.shells.wrapper import ROOT, Wrapper

SLICE, PLAIN = "system.slice:lab:ID", "/lab/ID"


def settings(folder: Path) -> dict[str, str]:
    """An environment with settings of its own, which are the defaults."""
    file = folder / "settings.toml"
    file.write_text('log.file = ""\n')
    return {"OCI_SYSTEMD_CONFIG": str(file)}


# The words before `create`, the path of the cgroup, and whether a scope is made.
CALLS = {
    "the systemd driver": (["--systemd-cgroup"], SLICE, True),
    "crun's manager": (["--cgroup-manager=systemd"], PLAIN, True),
    "a path alone is not enough": ([], SLICE, False),
    "turned off": (["--systemd-cgroup=false"], SLICE, False),
}


@pytest.mark.parametrize(("words", "path", "made"), CALLS.values(), ids=CALLS)
def test_the_wrapper_goes_by_the_runtimes_own_options(
    wrapper: Wrapper, systemd: dict[str, Any], words: list[str], path: str, made: bool
) -> None:
    systemd["linux"]["cgroupsPath"] = path
    bundle = wrapper.bundle(systemd)
    wrapper.run(*words, "create", "--bundle", str(bundle), "ID")
    annotations = json.loads((bundle / "config.json").read_text())["annotations"]
    assert annotations.get(KILL_SIGNAL) == ("37" if made else None)


def test_what_the_wrapper_did_is_not_undone_by_a_second_call(wrapper: Wrapper, systemd: dict[str, Any]) -> None:
    bundle = wrapper.bundle(systemd)
    for words in (["--systemd-cgroup"], []):
        wrapper.run(*words, "create", "--bundle", str(bundle), "ID")
    assert json.loads((bundle / "config.json").read_text())["annotations"][KILL_SIGNAL] == "37"


PATHS = {
    "podman's systemd manager": ("machine.slice:libpod:ID", True),
    "its cgroupfs": ("/libpod_parent/libpod-ID", False),
}


@pytest.mark.parametrize(("path", "made"), PATHS.values(), ids=PATHS)
def test_the_hook_goes_by_the_path(systemd: dict[str, Any], tmp_path: Path, path: str, made: bool) -> None:
    """podman writes the path for the manager that it tells the runtime; its own KillSignal is SIGTERM."""
    systemd["linux"]["cgroupsPath"] = path
    systemd["annotations"] = {KILL_SIGNAL: "15"}
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from oci_systemd.hook import main; main()"
    environ = settings(tmp_path)
    done = subprocess.run(
        [sys.executable, "-ISB", "-c", program],
        input=json.dumps(systemd).encode(),
        capture_output=True,
        cwd=tmp_path,
        env=environ,
        check=True,
    )
    assert json.loads(done.stdout)["annotations"][KILL_SIGNAL] == ("37" if made else "15")


@pytest.mark.parametrize(("path", "value"), [(SLICE, "37"), (PLAIN, None), ("", None)])
def test_a_bundle_is_rewritten_by_its_path(
    systemd: dict[str, Any], tmp_path: Path, path: str, value: str | None
) -> None:
    systemd["linux"]["cgroupsPath"] = path
    (tmp_path / "config.json").write_text(json.dumps(systemd))
    assert CliRunner(env=settings(tmp_path)).invoke(cli, ["rewrite", "-i", str(tmp_path)]).exit_code == 0
    assert json.loads((tmp_path / "config.json").read_text())["annotations"].get(KILL_SIGNAL) == value
