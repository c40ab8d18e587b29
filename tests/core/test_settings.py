"""The node owner's settings and their bounds."""

from __future__ import annotations

import pytest

from oci_systemd.core.errors import SettingsError
from oci_systemd.core.settings import TABLE, Settings, flattened
from oci_systemd.host.settings_file import parse

GOOD = {
    "detect.commands": [[], ["/opt/start"], ["start"]],
    "detect.strict": [True, False],
    "cgroup.require_nsdelegate": [True, False],
    "cgroup.oom_group": [True, False],
    "cgroup.max_descendants": [0, 1, 10**6],
    "tmpfs.paths": [[], ["/run"], ["/a/b/"]],
    "tmpfs.size": ["", "64m", "10%", "1G", "4096"],
    "tmpfs.copy_up": [True],
    "env.container": ["oci", "kubernetes"],
    "machine_id.source": ["pod", "name", "container"],
    "stop.signal": ["none", "37", 37, "SIGPWR"],
    "security.selinux_init": [False],
    "security.allow": [[], ["io.systemd.container.selinux", "io.systemd.container.apparmor"]],
    "log.level": ["debug", "info", "warning", "error"],
    "log.file": ["", "/var/log/x"],
}
BAD = {
    "detect.commands": ["/opt/start", [""], ["a/b"], [1], None],
    "detect.strict": [1, "true", None],
    "cgroup.require_nsdelegate": [1, "true", None],
    "cgroup.oom_group": [0, "1"],
    "cgroup.max_descendants": [-1, True, 1.5, "9"],
    "tmpfs.paths": ["/run", ["run"], ["/"], ["/proc/x"], [1]],
    "tmpfs.size": [1, "m", "64mb", "-1", "١", "64m,ro"],
    "tmpfs.copy_up": ["yes"],
    "env.container": ["", "a b", 1, "a\nb"],
    "machine_id.source": ["none", 1],
    "stop.signal": ["", "SIGFOO", 0, 65, True, 37.0],
    "security.selinux_init": [0],
    "security.allow": [["selinux"], "io.systemd.container.selinux", [1]],
    "log.level": ["trace", 1],
    "log.file": ["relative", 1, "/a\0"],
}


@pytest.mark.parametrize("name", TABLE)
def test_bounds_of_every_setting(name: str) -> None:
    for value in GOOD[name]:
        assert Settings({name: value}).values[name] == value
    for value in BAD[name]:
        with pytest.raises(SettingsError, match=name):
            Settings({name: value})


def test_defaults_lie_within_their_bounds() -> None:
    assert [name for name, (default, check, _) in TABLE.items() if check(default)] == []


def test_origin_of_each_value_is_known() -> None:
    settings = Settings({"tmpfs.size": "1m"}, origin="file").but({"log.level": "debug"}, "command line")
    assert (settings.origins["tmpfs.size"], settings.origins["log.level"], settings.origins["env.container"]) == (
        "file",
        "command line",
        "default",
    )


def test_tables_become_dotted_names() -> None:
    assert flattened({"log": {"level": "info"}, "other": {"x": 1}, "tmpfs": 3}) == {
        "log.level": "info",
        "other": {"x": 1},
        "tmpfs": 3,
    }


FILE = """\
[tmpfs]
size = 5
pahts = ["/run"]

[log]
"level" = "loud"

[nothing]
x = 1
"""


def test_quoted_dotted_name_is_no_setting() -> None:
    with pytest.raises(SettingsError, match="unknown setting"):
        parse('"tmpfs.size" = "1m"\n', "/etc/x.toml")


def test_thousands_of_mistakes_are_told_in_bounded_time() -> None:
    with pytest.raises(SettingsError) as caught:
        parse("".join(f"key{number} = 1\n" for number in range(20_000)), "/etc/x.toml")
    assert caught.value.sentences[-1] == "and 19950 more"


def test_every_mistake_of_a_file_is_told_with_its_line_and_the_nearest_name() -> None:
    with pytest.raises(SettingsError) as caught:
        parse(FILE, "/etc/x.toml")
    said = caught.value.sentences
    assert len(said) == 4
    assert all(sentence.startswith("settings file /etc/x.toml, line ") for sentence in said)
    assert [sentence.split("line ")[1].split(":")[0] for sentence in said] == ["2", "3", "6", "8"]
    assert "did you mean tmpfs.paths?" in said[1]


@pytest.mark.parametrize(
    "text", ["[", "a = ", "x = 1\nx = 2", "[log]\nlevel = 'info'\n[log]\n", "a" * 100, "x = " + "[" * 5000]
)
def test_text_that_is_no_toml_is_one_sentence(text: str) -> None:
    with pytest.raises(SettingsError, match="invalid TOML") as caught:
        parse(text, "/etc/x.toml")
    assert len(caught.value.sentences) == 1
