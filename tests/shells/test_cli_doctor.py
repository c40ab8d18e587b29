"""`oci-systemd doctor` on this machine, whatever it is: its shapes, its exit status, and that it changes nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from oci_systemd.cli import cli
from oci_systemd.host.tree import Tree
from oci_systemd.installation import facts
from oci_systemd.installation.checks import FAIL, PASS, WARN

if TYPE_CHECKING:
    from pathlib import Path


def doctor(*words: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", *words])


def test_every_finding_has_its_four_words() -> None:
    found = json.loads(doctor("--json").stdout)
    assert all(list(each) == ["subject", "status", "said", "remedy"] for each in found)
    assert {"cgroup", "kernel", "settings"} <= {each["subject"] for each in found}
    assert {each["status"] for each in found} <= {PASS, WARN, FAIL}


def test_exit_status_tells_a_failure() -> None:
    result = doctor("--json")
    assert result.exit_code == int(any(each["status"] == FAIL for each in json.loads(result.stdout)))


def test_table_has_a_line_for_each_finding() -> None:
    found = json.loads(doctor("--json").stdout)
    lines = doctor().stdout.splitlines()
    assert [line.split()[0] for line in lines] == [each["status"] for each in found]
    assert all(each["remedy"] in line for each, line in zip(found, lines, strict=True))


def test_broken_settings_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "config.toml"
    settings.write_text("[tmpfs]\nsise = 1\n")
    monkeypatch.setenv("OCI_SYSTEMD_CONFIG", str(settings))
    result = doctor("--json")
    found = next(each for each in json.loads(result.stdout) if each["subject"] == "settings")
    assert (found["status"], result.exit_code) == (FAIL, 1)
    assert "line 2" in found["said"]


def test_hooks_of_stage_precreate_are_found_where_engines_read_them(tmp_path: Path) -> None:
    for folder in ("usr/share/containers/oci/hooks.d", "etc/containers/oci/hooks.d", "opt/hooks", "etc/crio"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/crio/crio.conf").write_text('[crio.runtime]\nhooks_dir = ["/opt/hooks"]\n')
    ours, other = '{"stages": ["precreate"]}', '{"stages": ["poststop"]}'
    (tmp_path / "usr/share/containers/oci/hooks.d/a.json").write_text(ours)
    (tmp_path / "etc/containers/oci/hooks.d/b.json").write_text(other)
    (tmp_path / "opt/hooks/c.json").write_text(ours)
    found = list(facts.hooks(Tree(str(tmp_path))))
    assert found == ["/usr/share/containers/oci/hooks.d/a.json", "/opt/hooks/c.json"]
