"""Which runtimes act on arguments, by their Configure request."""

from __future__ import annotations

import pytest

from oci_systemd.nri.messages import MESSAGES
from oci_systemd.nri.versions import takes_args
from tests.nri.calls import Asked

RUNTIMES = {
    ("containerd", "1.7.24~ds1", ""): False,
    ("containerd", "v2.1.9", ""): False,
    ("containerd", "v2.2.0", ""): True,
    ("containerd", "2.10.0-rc.1", ""): True,
    ("containerd", "v3.0.0", ""): True,
    ("containerd", "v2.3.4", "0.12.0"): True,
    ("containerd", "", "v0.9.0"): False,
    ("containerd", "", ""): False,
    ("containerd", "unknown", ""): False,
    ("cri-o", "1.33.9", ""): False,
    ("cri-o", "1.34.0", ""): True,
    ("other", "9.9", ""): False,
    ("other", "0.1", "0.10.0"): True,
    ("other", "0.1", "unknown"): False,
    ("containerd", "9" * 5000 + ".1", ""): True,
}


@pytest.mark.parametrize(("told", "takes"), RUNTIMES.items(), ids=[" ".join(each)[:40] for each in RUNTIMES])
def test_a_runtime_takes_arguments_by_its_version(told: tuple[str, str, str], takes: bool) -> None:
    assert takes_args(*told) is takes


@pytest.mark.parametrize(("version", "takes"), [("v2.1.9", False), ("v2.2.7", True)])
def test_the_plugin_learns_it_at_configure(version: str, takes: bool) -> None:
    asked = Asked(takes_args=not takes)
    asked.ask("Configure", MESSAGES["ConfigureRequest"](runtime_name="containerd", runtime_version=version))
    assert asked.plugin.takes_args is takes
