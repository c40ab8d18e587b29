"""What `oci-systemd install` makes of an engine's configuration: handlers more, and nothing else; `uninstall` takes them back."""

from typing import Any

import pytest

from tests.e2e.conftest import BY_WRAPPER
from tests.e2e.lab.containerd import CRUN_HANDLER, HANDLER, Containerd
from tests.e2e.lab.pods import Case, begin
from tests.e2e.lab.rootfs import LabError

pytestmark = pytest.mark.engine

by_wrapper = pytest.mark.parametrize("engine", BY_WRAPPER, indirect=True)


# As good as left out; `podsandbox` is what containerd 1.7 takes an empty sandbox_mode for.
LEFT_OUT: tuple[Any, ...] = ({}, [], "", 0, False, "podsandbox")


def set_values(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: solid for key, each in value.items() if (solid := set_values(each)) not in LEFT_OUT}


@by_wrapper
def test_every_line_that_was_there_is_there(engine: Containerd) -> None:
    before, after = engine.started_with.splitlines(), engine.config.read_text().splitlines()
    assert [line for line in before if line not in after] == []


@by_wrapper
def test_every_other_setting_is_what_it_was(engine: Containerd) -> None:
    now = engine.config.read_text()
    after = engine.part("runtime")
    engine.config.write_text(engine.started_with)
    before = engine.part("runtime")
    engine.config.write_text(now)
    ours = [after["containerd"]["runtimes"].pop(handler) for handler in (HANDLER, CRUN_HANDLER)]
    assert [each["options"]["BinaryName"].startswith(engine.node.launcher) for each in ours] == [True, True]
    assert set_values(after) == set_values(before)


@by_wrapper
def test_installing_again_changes_nothing(engine: Containerd) -> None:
    before = engine.config.read_text()
    engine.install_handlers()
    assert engine.config.read_text() == before


@by_wrapper
def test_uninstalling_gives_the_bytes_back(engine: Containerd) -> None:
    before = engine.config.read_text()
    engine.uninstall_handlers()
    after = engine.config.read_text()
    engine.install_handlers()
    assert after == engine.started_with
    assert engine.config.read_text() == before


@by_wrapper
def test_uninstalling_under_a_running_pod_is_refused(engine: Containerd) -> None:
    guest = begin(engine, "in-the-way", Case())
    before = engine.config.read_text()
    with guest.where, pytest.raises(LabError, match=r"still uses the wrapper \(default/in-the-way\),"):
        engine.uninstall_handlers()
    assert engine.config.read_text() == before


@pytest.mark.parametrize("engine", [each for each in BY_WRAPPER if "-2-" in each], indirect=True)
def test_the_engine_finds_the_features_of_the_real_runtime(engine: Containerd) -> None:
    handlers = {each.name: each.features for each in engine.cri.call("Status").runtime_handlers}
    assert handlers[HANDLER] == handlers["runc"]
    assert handlers[HANDLER].user_namespaces


@pytest.mark.parametrize("engine", [each for each in BY_WRAPPER if "packaged" in each], indirect=True)
def test_what_a_site_puts_in_its_place_is_not_taken_back(engine: Containerd) -> None:
    packaged = engine.config.read_text()
    engine.use_configuration("site")
    engine.install_handlers()
    engine.uninstall_handlers()
    after = (engine.config.read_text(), engine.started_with)
    engine.use_configuration("packaged")
    engine.install_handlers()
    assert after[0] == after[1]
    assert engine.config.read_text() == packaged
