"""Our runtime in Docker's daemon.json: strict JSON in any layout, and an error that names the place of invalid JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oci_systemd.core.errors import Problem
from oci_systemd.engines.docker import wrapped
from tests.engines.build import LAUNCHER, Node, check_cycle

MAIN = "/etc/docker/daemon.json"
LOGS = '"log-driver": "json-file", "log-opts": {"max-size": "10m", "n": 1.50e3}'
NVIDIA = '"runtimes": {"nvidia": {"args": [], "path": "nvidia-container-runtime"}}'

TEXTS: dict[str, str | None] = {
    "no file": None,
    "an empty one": "",
    "blanks": " \n\t\n",
    "an empty object": "{}",
    "an empty object and a line's end": "{}\n",
    "blanks in an object": "{ \n }",
    "one line": f"{{{LOGS}}}",
    "one line, without a blank": '{"debug":true,"hosts":["unix:///run/docker.sock"]}\n',
    "two blanks": '{\n  "debug": true,\n  "dns": ["10.0.0.1"]\n}\n',
    "tabs": '{\n\t"debug": true,\n\t"log-opts": {\n\t\t"max-size": "10m"\n\t}\n}',
    "other runtimes": f"{{\n    {NVIDIA},\n    {LOGS}\n}}\n",
    "no other runtimes": '{\n  "runtimes": {},\n  "debug": false\n}\n',
    "another default": f'{{{NVIDIA}, "default-runtime": "nvidia"}}',
    "another default, escaped": '{"default-runtime": "\\u0072unc" , "x": "\\u00e4\\ud800"}',
    "no default": '{"default-runtime": null, "x": null}',
    "odd blanks": '\n{"debug"\t:\ttrue\n,\n\n"x" :[ 1 ,2 ] }\n\n\n',
    "DOS lines": '{\r\n  "debug": true,\r\n  "x": 1\r\n}\r\n',
    "odd numbers": '{"a": 1e400, "b": -0.0, "c": 123456789012345678901234567890}',
    "line separators": '{"a": "\u2028", "b": "\x85"}',
}


@pytest.mark.parametrize("default", [False, True], ids=["beside", "default"])
@pytest.mark.parametrize("given", TEXTS.values(), ids=TEXTS)
def test_runtime_is_added_and_taken_back(given: str | None, default: bool) -> None:
    node = Node("docker", {} if given is None else {MAIN: given})
    done = check_cycle(node, default=default)
    before: dict[str, Any] = json.loads(given) if given and given.strip() else {}
    after = done.value()
    assert after.pop("runtimes") == before.pop("runtimes", {}) | {"systemd": {"path": LAUNCHER}}
    if default:
        assert after.pop("default-runtime") == "systemd"
        before.pop("default-runtime", None)
    assert after == before
    assert wrapped(done, MAIN) == {"systemd": LAUNCHER}


def test_runtime_looks_like_this() -> None:
    node = Node("docker", {})
    node.install(default=True)
    assert node.files[MAIN] == (
        '{\n  "runtimes": {\n    "systemd": {\n      "path": "/usr/bin/oci-systemd-runtime"\n    }\n  },\n'
        '  "default-runtime": "systemd"\n}\n'
    )


DAMAGED = {
    "a bracket in the wrong place": ('{\n  "hosts": ["a"\n}\n', "line 3, column 1"),
    "a bracket too many": ('{"debug": true}}\n', "extra text after the value at line 1, column 16"),
    "none that closes": ('{"debug": true\n', "line 2, column 1"),
    "a comma at the end": ('{\n  "debug": true,\n}\n', "line 3, column 1"),
    "a comment": ('{\n  // mine\n  "debug": true\n}\n', "line 2, column 3"),
    "single quotes": ("{'debug': true}", "line 1, column 2"),
    "a key twice": ('{"debug": true, "debug": false}', "duplicate key 'debug'"),
    "a key twice, deep": ('{"log-opts": {"a": "1", "a": "2"}}', "duplicate key 'a'"),
    "a list": ("[]", "not a JSON object"),
    "a word": ('"debug"', "not a JSON object"),
    "null": ("null", "not a JSON object"),
    "NaN": ('{"x": NaN}', "invalid JSON: NaN is not a value"),
    "TOML": ("debug = true\n", "line 1, column 1"),
    "nested beyond measure": ('{"x":' + "[" * 150 + "]" * 150 + "}", "more than 100"),
    "nested beyond reading": ('{"x":' + "[" * 99999, "nested too deeply"),
}


@pytest.mark.parametrize(("given", "said"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_file_stays_and_is_told(given: str, said: str) -> None:
    node = Node("docker", {MAIN: given})
    with pytest.raises(Problem, match=said) as error:
        node.install()
    assert str(error.value).startswith(MAIN)
    assert "which is unchanged" in str(error.value)
    assert node.files == {MAIN: given}


@pytest.mark.parametrize(("given", "said"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_meanwhile_is_told_when_it_is_taken_back(given: str, said: str) -> None:
    node = Node("docker", {MAIN: "{}"})
    node.install()
    node.files[MAIN] = given
    before = dict(node.files)
    with pytest.raises(Problem, match=said):
        node.uninstall()
    assert node.files == before


REFUSED: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "Docker's own": ("runc", "{}", {}, "runtime 'runc': reserved by Docker"),
    "another program": ("x", '{"runtimes": {"x": {"path": "/y"}}}', {}, "runtime 'x': already exists"),
    "another shim": ("x", '{"runtimes": {"x": {"runtimeType": "io.y.v1"}}}', {}, r"already exists in .* \('io.y.v1'\)"),
    "nothing that is known": ("x", '{"runtimes": {"x": {}}}', {}, "runtime 'x': already exists"),
    "a word": ("x", '{"runtimes": {"x": "y"}}', {}, "runtimes.x: unexpected value 'y'"),
    "runtimes in a list": ("x", '{"runtimes": []}', {}, "'runtimes' is not a table"),
    "a default that is not a string": (
        "x",
        '{"default-runtime": 1}',
        {"default": True},
        "default-runtime: unexpected value 1",
    ),
}


@pytest.mark.parametrize(("handler", "given", "wanted", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_added_is_told(handler: str, given: str, wanted: dict[str, Any], said: str) -> None:
    node = Node("docker", {MAIN: given})
    with pytest.raises(Problem, match=said):
        node.install(handler, **wanted)
    assert node.files == {MAIN: given}


def test_runtime_that_was_written_by_hand_stays() -> None:
    given = f'{{"runtimes": {{"systemd": {{"path": "{LAUNCHER}", "runtimeArgs": ["--debug"]}}}}}}'
    node = Node("docker", {MAIN: given})
    assert node.install().changes == []
    assert node.install(default=True).changes
    assert node.uninstall().kept == []
    assert node.files == {MAIN: given}


@pytest.mark.parametrize("handler", ["json", "toml", "conf", "tmpl"])
def test_a_stub_s_name_may_end_as_a_configuration_file_s_does(handler: str) -> None:
    from oci_systemd.engines.launcher import stub
    from oci_systemd.engines.plan import Edit

    path, text = stub(LAUNCHER, "/usr/bin/crun", "docker", handler)
    node = Node("docker", {MAIN: "{}"})
    node.stub = [Edit(path, (), text)]
    done = check_cycle(node, handler, binary=path)
    assert done.files[path] == text


@pytest.mark.parametrize("main", ["/etc/docker/daemon", "/srv/docker.conf", "/srv/x.toml"])
def test_file_is_read_as_the_engine_does_whatever_its_name(main: str) -> None:
    node = Node("docker", {main: '{"debug": true}'}, main)
    assert check_cycle(node, default=True).value()["default-runtime"] == "systemd"
