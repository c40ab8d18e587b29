"""The podman hook as podman calls it: config.json on stdin, the bundle as working directory, an empty environment."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from oci_systemd.hook import container_id, id_in
from oci_systemd.host.log import JOURNAL

SOURCE = Path(__file__).parent.parent.parent
CORPUS = SOURCE / "tests/corpus"
WANTED = (CORPUS / "podman/annotated.json").read_bytes()
UNWANTED = (CORPUS / "podman/shell.json").read_bytes()
DONE = WANTED.replace(
    b'"type":"cgroup","source":"cgroup","options":[', b'"type":"cgroup","source":"cgroup","options":["rw"],"x":['
)
REFUSED = UNWANTED.replace(b'"annotations":{', b'"annotations":{"io.systemd.container":"yes",')
ID = "0123456789abcdef" * 4

LIGHT = [
    sys.executable,
    "-ISB",
    "-c",
    f"import sys; sys.path.insert(0, {str(SOURCE)!r}); from oci_systemd.hook import main; main()",
]
BY_CLICK = [
    sys.executable,
    "-c",
    f"import sys; sys.path.insert(0, {str(SOURCE)!r}); from oci_systemd.cli import main; main()",
    "hook",
]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "overlay-containers" / ID / "userdata"
    path.mkdir(parents=True)
    return path


def settings(folder: Path, text: str = "") -> dict[str, str]:
    """An environment with settings that log into `folder`."""
    file = folder / "config.toml"
    file.write_text(text or f'[log]\nfile = "{folder}/log"\nlevel = "debug"\n')
    return {"OCI_SYSTEMD_CONFIG": str(file)}


def call(
    data: bytes, bundle: Path, environ: dict[str, str], command: list[str] = LIGHT
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, input=data, capture_output=True, cwd=bundle, env=environ)


def logged(folder: Path) -> dict[str, object]:
    if os.path.exists(JOURNAL):
        pytest.skip("this machine has a journal, which takes the line")
    (line,) = (folder / "log").read_text().splitlines()
    return dict(json.loads(line))


@pytest.mark.parametrize("command", [LIGHT, BY_CLICK], ids=["light", "by click"])
def test_a_wanted_container_is_adjusted(command: list[str], bundle: Path, tmp_path: Path) -> None:
    result = call(DONE, bundle, settings(tmp_path), command)
    assert (result.returncode, result.stderr) == (0, b"")
    spec = json.loads(result.stdout)
    assert {"container=podman", f"container_uuid={ID[:32]}"} <= set(spec["process"]["env"])
    assert {mount["destination"] for mount in spec["mounts"]} > {"/run", "/run/lock", "/tmp"}
    assert spec["annotations"]["io.systemd.container.stop-signal"] == "SIGRTMIN+3"


@pytest.mark.parametrize("command", [LIGHT, BY_CLICK], ids=["light", "by click"])
@pytest.mark.parametrize("data", [UNWANTED, b" " + UNWANTED + b"\n\n"], ids=["as podman has it", "with blanks"])
def test_what_is_not_wanted_keeps_its_bytes(data: bytes, command: list[str], bundle: Path, tmp_path: Path) -> None:
    result = call(data, bundle, settings(tmp_path), command)
    assert (result.returncode, result.stdout, result.stderr) == (0, data, b"")


BROKEN = {
    "no TOML": "[",
    "wrong": "[tmpfs]\nsize = 3\n",
    "unknown": "x = 1\n",
    "wrong, dotted": "tmpfs.size = 3\n",
    "twice": "tmpfs.copy_up = true\ntmpfs.copy_up = true\n",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_broken_settings_fail_a_wanted_container_alone(text: str, bundle: Path, tmp_path: Path) -> None:
    environ = settings(tmp_path, text)
    unwanted = call(UNWANTED, bundle, environ)
    assert (unwanted.returncode, unwanted.stdout, unwanted.stderr) == (0, UNWANTED, b"")
    wanted = call(DONE, bundle, environ)
    assert (wanted.returncode, wanted.stdout) == (1, b"")
    assert wanted.stderr.startswith(f"oci-systemd: settings file {tmp_path}/config.toml".encode())


def test_it_needs_no_environment_at_all(bundle: Path) -> None:
    assert call(UNWANTED, bundle, {}).stdout == UNWANTED


SENTENCES = {
    "refused": (REFUSED, b"annotation io.systemd.container: invalid value 'yes'; use"),
    "empty": (b"", b"config.json on stdin: the file is empty"),
    "not JSON": (b"{", b"config.json on stdin: invalid JSON"),
    "wrong type": (b'{"process": 1}', b"process: expected an object, found a number"),
    "no object": (b"null", b"spec: expected an object, found null"),
    "not UTF-8": (b"\xff", b"not UTF-8"),
    "too deep": (b"[" * 100_000, b"invalid JSON: nested too deeply"),
}


@pytest.mark.parametrize("command", [LIGHT, BY_CLICK], ids=["light", "by click"])
@pytest.mark.parametrize(("data", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_one_sentence_and_status_1_for(
    data: bytes, sentence: bytes, command: list[str], bundle: Path, tmp_path: Path
) -> None:
    result = call(data, bundle, settings(tmp_path), command)
    assert (result.returncode, result.stdout) == (1, b"")
    assert result.stderr.startswith(b"oci-systemd: ")
    assert sentence in result.stderr
    assert result.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("data", "level", "message"),
    [(DONE, "info", "adjusted"), (UNWANTED, "debug", "left alone"), (REFUSED, "error", "refused")],
    ids=["adjusted", "left alone", "refused"],
)
def test_it_logs_as_the_wrapper_does(data: bytes, level: str, message: str, bundle: Path, tmp_path: Path) -> None:
    call(data, bundle, settings(tmp_path))
    line = logged(tmp_path)
    assert (line["message"], line["level"] in (level, "warning")) == (message, True)
    assert ID in line.values()


@pytest.mark.parametrize("closed", ["stdin", "stdout"])
def test_a_closed_descriptor_is_one_sentence(closed: str, bundle: Path, tmp_path: Path) -> None:
    number = {"stdin": 0, "stdout": 1}[closed]
    command = ["/bin/sh", "-c", f'exec "$@" {number}>&-', "sh", *LIGHT]
    result = call(UNWANTED, bundle, settings(tmp_path), command)
    assert result.returncode == 1
    assert result.stderr.startswith(b"oci-systemd: the hook cannot read stdin or write stdout")
    assert result.stderr.count(b"\n") == 1


def test_a_reader_that_went_away_is_one_sentence(bundle: Path, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(
        LIGHT, input=UNWANTED, stdout=writing, stderr=subprocess.PIPE, cwd=bundle, env=settings(tmp_path)
    )
    os.close(writing)
    assert (result.returncode, result.stderr.count(b"\n")) == (1, 1)
    assert b"Broken pipe" in result.stderr


def test_a_large_spec_goes_through_a_pipe(bundle: Path, tmp_path: Path) -> None:
    data = UNWANTED.replace(b'"annotations":{', b'"annotations":{"x":"' + b"y" * 2_000_000 + b'",')
    assert call(data, bundle, settings(tmp_path)).stdout == data


PATHS = {
    "overlay": (f"/var/lib/containers/storage/overlay-containers/{ID}/userdata", ID),
    "vfs": (f"/home/me/.local/share/containers/storage/vfs-containers/{ID}/userdata", ID),
    "systemd's cgroup": (f"machine.slice:libpod:{ID}", ID),
    "cgroupfs": (f"/libpod_parent/libpod-{ID}", ID),
    "the last of two": (f"/pods/{'a' * 64}/libpod-{ID}", ID),
    "a scope": (f"/machine.slice/libpod-{ID}.scope", ID),
    "too short": (f"/x/{ID[1:]}/userdata", ""),
    "too long": (f"/x/{ID}0/userdata", ""),
    "no hex": (f"/x/{'g' * 64}", ""),
    "nothing": ("", ""),
}


@pytest.mark.parametrize(("path", "expected"), PATHS.values(), ids=PATHS)
def test_the_id_is_in(path: str, expected: str) -> None:
    assert id_in(path) == expected


@pytest.mark.parametrize(
    "path", sorted(CORPUS.glob("podman*/*.json")), ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_every_real_spec_names_its_id_where_the_bundle_does_not(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(container_id(json.loads(path.read_bytes()))) == 64


def test_the_bundle_stands_over_the_cgroup(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bundle)
    assert container_id({"linux": {"cgroupsPath": f"/libpod-{'a' * 64}"}}) == ID


def test_the_hook_json_is_podmans_schema() -> None:
    hook = json.loads((SOURCE / "hooks.d/oci-systemd.json.in").read_text().replace("@BIN@", "/usr/bin"))
    assert hook == {
        "version": "1.0.0",
        "hook": {"path": "/usr/bin/oci-systemd", "args": ["oci-systemd", "hook"]},
        "when": {"always": True},
        "stages": ["precreate"],
    }


HEAVY = {"click", "json", "re", "dataclasses", "logging", "orjson", "typing", "pathlib", "tomllib", "oci_systemd.cli"}


@pytest.mark.parametrize(
    "text", ["", "[tmpfs]\ncopy_up = true\n", "tmpfs.copy_up = true\n"], ids=["", "table", "dotted"]
)
def test_it_loads_nothing_heavy(text: str, bundle: Path, tmp_path: Path) -> None:
    command = [*LIGHT[:3], LIGHT[3].replace("main()", "main(); print(*sys.modules, file=sys.stderr)")]
    loaded = set(call(UNWANTED, bundle, settings(tmp_path, text) if text else {}, command).stderr.decode().split())
    assert "oci_systemd.hook" in loaded
    assert not loaded & HEAVY


@pytest.fixture
def launcher(tmp_path: Path) -> str:
    """The installed launcher, with an interpreter that prints the entry it gets."""
    interpreter = tmp_path / "python"
    interpreter.write_text('#!/bin/sh\nshift\nprintf "%s\\n" "$@"\n')
    interpreter.chmod(0o755)
    installed = tmp_path / "oci-systemd"
    text = (SOURCE / "packaging/launcher/oci-systemd.in").read_text()
    installed.write_text(text.replace("@PYTHON@", str(interpreter)).replace("@LIB@", "/lib/x"))
    installed.chmod(0o755)
    return str(installed)


@pytest.mark.parametrize(
    ("words", "entry"),
    [(["hook"], "hook"), (["hook", "--help"], "cli"), (["rewrite", "hook"], "cli"), ([], "cli"), ([""], "cli")],
    ids=["bare hook", "help", "rewrite", "nothing", "empty"],
)
def test_the_launcher_goes_past_the_command_line_for_a_bare_hook(words: list[str], entry: str, launcher: str) -> None:
    said = subprocess.run([launcher, *words], capture_output=True, text=True, env={}, check=True).stdout
    assert f"from oci_systemd.{entry} import main\n" in said
    assert said.endswith("".join(f"{word}\n" for word in ("main()", "/lib/x", *words)))
