"""`oci-systemd rewrite`, in-process: its output, its files and its exit code."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from oci_systemd.cli import cli

CORPUS = sorted((Path(__file__).parent.parent / "corpus").glob("*/*.json"))
WANTED = next(path for path in CORPUS if path.match("containerd-2.1/systemd.json")).read_bytes()
UNWANTED = next(path for path in CORPUS if path.match("runc/spec.json")).read_bytes()
POD = next(path for path in CORPUS if path.match("containerd-2.1/annotated.json")).read_bytes()
REFUSED = WANTED.replace(b'"annotations":{', b'"annotations":{"io.systemd.container":"yes",')
NOT_JSON, WRONG_TYPE = b"{", b'{"process": []}'
ID = "0123456789abcdef" * 4


def run(*words: object, stdin: bytes | None = None) -> Result:
    return CliRunner(env={"OCI_SYSTEMD_CONFIG": ""}).invoke(cli, ["rewrite", *map(str, words)], input=stdin)


def bundle(folder: Path, data: bytes = WANTED, name: str = ID) -> Path:
    path = folder / name
    path.mkdir()
    (path / "config.json").write_bytes(data)
    return path


def config(path: Path) -> bytes:
    return (path / "config.json").read_bytes()


def uuid_in(data: bytes) -> str:
    entries = [entry for entry in json.loads(data)["process"]["env"] if entry.startswith("container_uuid=")]
    return entries[0].partition("=")[2] if entries else ""


@pytest.mark.parametrize("source", CORPUS, ids=[f"{path.parent.name}/{path.stem}" for path in CORPUS])
def test_each_real_spec_is_the_same_to_stdout_in_place_and_done_twice(source: Path, tmp_path: Path) -> None:
    path = bundle(tmp_path, source.read_bytes())
    printed = run(path)
    written = run("-i", path)
    assert (printed.exit_code, written.exit_code) in ((0, 0), (2, 2))
    if printed.exit_code == 0:
        assert config(path) == printed.stdout_bytes
        assert run(path).stdout_bytes == printed.stdout_bytes
        assert run("--check", path).exit_code == 0
    else:
        assert config(path) == source.read_bytes()
    assert [found.name for found in path.iterdir()] == ["config.json"]


@pytest.mark.parametrize("options", [(), ("--check",), ("--diff",), ("--check", "--diff"), ("-i",), ("-i", "--diff")])
def test_what_is_not_wanted_keeps_its_bytes(options: tuple[str, ...], tmp_path: Path) -> None:
    path = bundle(tmp_path, UNWANTED)
    result = run(*options, path)
    assert result.exit_code == 0
    assert result.stdout_bytes == (b"" if options else UNWANTED)
    assert config(path) == UNWANTED


@pytest.mark.parametrize(
    ("options", "code", "names", "hunks"),
    [
        (("--check",), 1, True, False),
        (("--diff",), 0, False, True),
        (("--check", "--diff"), 1, False, True),
    ],
    ids=["check", "diff", "both"],
)
def test_check_and_diff_change_nothing(
    options: tuple[str, ...], code: int, names: bool, hunks: bool, tmp_path: Path
) -> None:
    path = bundle(tmp_path)
    result = run(*options, path)
    assert (result.exit_code, result.stderr) == (code, "")
    assert (result.stdout == f"{path}\n") == names
    assert ("\n+" in result.stdout) == hunks
    assert config(path) == WANTED


def test_in_place_with_diff_shows_and_writes(tmp_path: Path) -> None:
    path = bundle(tmp_path)
    result = run("-i", "--diff", path)
    assert "+++ " in result.stdout
    assert b"container=other" in config(path)


def test_a_diff_of_one_line_shows_lines_of_what_changed_alone(tmp_path: Path) -> None:
    diff = run("--diff", bundle(tmp_path)).stdout
    removed = [line for line in diff.splitlines() if line.startswith("-") and not line.startswith("---")]
    assert '+      "container=other",' in diff.splitlines()
    assert removed
    assert max(map(len, diff.splitlines())) < 300


def test_a_diff_of_many_lines_is_one_that_patch_takes(tmp_path: Path) -> None:
    path = bundle(tmp_path, json.dumps(json.loads(WANTED), indent="\t").encode())
    diff = run("--diff", path).stdout
    assert diff.endswith(" }\n\\ No newline at end of file\n") or "\\ No newline" not in diff
    old = config(path).decode().split("\n")
    changed = apply_diff(old, diff)
    assert "\n".join(changed).encode() == run(path).stdout_bytes


def apply_diff(old: list[str], diff: str) -> list[str]:
    """What patch(1) does."""
    new: list[str] = []
    at = 0
    for line in diff.split("\n")[2:]:
        if found := re.match(r"@@ -(\d+)", line):
            new += old[at : int(found[1]) - 1]
            at = int(found[1]) - 1
        elif line.startswith("+"):
            new.append(line[1:])
        elif line.startswith(("-", " ")):
            assert old[at] == line[1:]
            at += 1
            new += [line[1:]] if line.startswith(" ") else []
    return new + old[at:]


@pytest.mark.parametrize(
    ("text", "keeps"),
    [
        ('{"a":1.50e3,"process":{"args":["/sbin/init"]},%s}', '{"a":1.50e3,"process"'),
        ('{ "big": 123456789012345678901234567890, "process": {"args": ["/sbin/init"]}, %s }', "{ "),
        ('{\n    "x": "\\u00e9\u2028",\n    "process": {"args": ["/sbin/init"]},\n    %s\n}\n', '"\\u00e9\u2028"'),
        ('{\r\n\t"process": {"args": ["/sbin/init"]},\r\n\t%s\r\n}', '{\r\n\t"process"'),
    ],
    ids=["compact", "spaced", "indented", "carriage-returns"],
)
def test_style_numbers_and_unknown_keys_survive(text: str, keeps: str, tmp_path: Path) -> None:
    rest = '"linux":{"namespaces":[{"type":"pid"}]},"mounts":[{"destination":"/sys/fs/cgroup","options":["rw"]}]'
    path = bundle(tmp_path, (text % rest).encode())
    new = run(path).stdout_bytes.decode()
    assert keeps in new
    assert "container=other" in new
    assert new.endswith(text.partition("%s")[2])


def test_stdin_is_a_path_too() -> None:
    result = run("-", stdin=WANTED)
    assert result.exit_code == 0
    assert b"container=other" in result.stdout_bytes


IDS = {
    "of the bundle's directory": ((), "bundle", ID[:32]),
    "of the directory of a config.json": ((), "config", ID[:32]),
    "of --id": (("--id", "f" * 64), "bundle", "f" * 32),
    "none, by --id": (("--id", ""), "bundle", ""),
    "none with stdin": ((), "stdin", ""),
    "of --id with stdin": (("--id", "e" * 64), "stdin", "e" * 32),
}


@pytest.mark.parametrize(("options", "kind", "expected"), IDS.values(), ids=IDS)
def test_the_id(options: tuple[str, ...], kind: str, expected: str, tmp_path: Path) -> None:
    path = bundle(tmp_path)
    named = {"bundle": path, "config": path / "config.json", "stdin": "-"}[kind]
    assert uuid_in(run(*options, named, stdin=WANTED).stdout_bytes) == expected


@pytest.mark.parametrize("name", [".", "./", "../" + ID, "./config.json", "config.json"])
def test_the_id_is_that_of_the_working_directory(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bundle(tmp_path))
    assert uuid_in(run(name).stdout_bytes) == ID[:32]


NO_RUN = "nothing is mounted at /run"
FEW_CAPABILITIES = "CAP_SETGID and CAP_SETUID are missing"  # of `runc spec`
SETTINGS = {
    "a bare word": ("tmpfs.size=64m", '"size=64m"'),
    "a TOML string": ('tmpfs.size="10%"', '"size=10%"'),
    "a boolean": ("tmpfs.copy_up=true", '"tmpcopyup"'),
    "a number": ("cgroup.max_descendants=7", '"cgroup.max.descendants":"7"'),
    "a number for a string": ("stop.signal=37", '"io.systemd.container.stop-signal":"37"'),
    "a TOML list": ('tmpfs.paths=["/run", "/srv"]', '"destination":"/srv"'),
    "a list with commas": ("tmpfs.paths=/run, /srv", '"destination":"/srv"'),
    "an empty list": ("tmpfs.paths=", '"container=other"'),
}


@pytest.mark.parametrize(("pair", "expected"), SETTINGS.values(), ids=SETTINGS)
def test_set_takes(pair: str, expected: str, tmp_path: Path) -> None:
    result = run("--set", pair, bundle(tmp_path))
    assert (result.exit_code, bool(result.stderr)) == (0, pair == "tmpfs.paths=")
    assert NO_RUN in result.stderr or not result.stderr
    assert expected in result.stdout


def test_set_stands_over_the_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[env]\ncontainer = "file"\n[tmpfs]\nsize = "1m"\n')
    result = run("--config", file, "--set", "env.container=line", bundle(tmp_path))
    assert '"container=line"' in result.stdout
    assert '"size=1m"' in result.stdout


ANNOTATIONS = {
    "asks": (UNWANTED, ("io.systemd.container=true",), '"container=other"'),
    "is kept without another change": (UNWANTED, ("a=b=c",), '"a": "b=c"'),
    "replaces": (POD, ("io.systemd.container=false",), '"io.systemd.container":"false"'),
    "several": (UNWANTED, ("a=1", "b=2"), '"b": "2"'),
    "odd text": (UNWANTED, ('a="\\\n\x1b',), '"a": "\\"\\\\\\n\\u001b"'),
}


@pytest.mark.parametrize(("data", "pairs", "expected"), ANNOTATIONS.values(), ids=ANNOTATIONS)
def test_annotation(data: bytes, pairs: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    result = run(*(word for pair in pairs for word in ("--annotation", pair)), bundle(tmp_path, data))
    assert (result.exit_code, bool(result.stderr)) == (0, pairs == ("io.systemd.container=true",))
    assert FEW_CAPABILITIES in result.stderr or not result.stderr
    assert expected in result.stdout
    given = dict(pair.split("=", 1) for pair in pairs)
    assert json.loads(result.stdout)["annotations"].items() >= given.items()


def test_an_annotation_that_is_there_already_changes_no_byte(tmp_path: Path) -> None:
    data = UNWANTED.replace(b'"hostname"', b'"annotations": {"a": "\\u0062"}, "hostname"')
    assert run("--annotation", "a=b", bundle(tmp_path, data)).stdout_bytes == data


SENTENCES = {
    "missing": (None, (), "config.json: cannot read: No such file or directory"),
    "empty": (b" \n", (), "config.json: the file is empty"),
    "not JSON": (NOT_JSON, (), "config.json: invalid JSON"),
    "not UTF-8": (b'{"a": "\xff"}', (), "not UTF-8: byte 7 is 0xff"),
    "wrong type": (WRONG_TYPE, (), "config.json: process: expected an object, found an array"),
    "no object": (b"[]", (), "config.json: spec: expected an object, found an array"),
    "too deep": (b"[" * 100_000, (), "config.json: invalid JSON: nested too deeply"),
    "duplicate keys": (b'{"a": 1, "a": 2}', (), "duplicate key 'a' in one object"),
    "refused": (REFUSED, (), ": refused: annotation io.systemd.container: invalid value 'yes'; use"),
    "unknown setting": (WANTED, ("--set", "tmpfs.sise=1"), "unknown setting tmpfs.sise; did you mean tmpfs.size?"),
    "wrong setting": (WANTED, ("--set", "tmpfs.size=x"), "setting tmpfs.size: invalid value 'x'; use a size"),
    "two TOML lines": (
        WANTED,
        ("--set", "env.container=1\nx=2"),
        "setting env.container: invalid value '1\\nx=2'; use a word",
    ),
    "no value": (WANTED, ("--set", "tmpfs.size"), "--set 'tmpfs.size': no value; use --set KEY=VALUE"),
    "no key": (WANTED, ("--annotation", "=x"), "--annotation '': no key; use --annotation KEY=VALUE"),
    "check and in place": (WANTED, ("-i", "--check"), "--in-place and --check: cannot be used together"),
    "stdin in place": (WANTED, ("-i", "-"), "stdin: cannot be changed in place"),
    "no such option": (WANTED, ("--frob",), "no such option"),
}


@pytest.mark.parametrize(("data", "options", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_one_sentence_and_status_2_for(
    data: bytes | None, options: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    path = bundle(tmp_path, data or b"")
    if data is None:
        (path / "config.json").unlink()
    result = run(*options, path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("oci-systemd: ")
    assert result.stderr.count("\n") == 1
    assert sentence in result.stderr
    assert data is None or config(path) == data


def test_no_path_is_one_sentence() -> None:
    result = run()
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "missing argument 'PATH...'" in result.stderr


@pytest.mark.parametrize("kind", ["directory", "fifo", "loop"])
def test_a_config_json_that_is_no_file_is_never_waited_for(kind: str, tmp_path: Path) -> None:
    import os

    path = bundle(tmp_path)
    (path / "config.json").unlink()
    {
        "directory": lambda file: file.mkdir(),
        "fifo": os.mkfifo,
        "loop": lambda file: file.symlink_to("config.json"),
    }[kind](path / "config.json")
    result = run(path)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_several_paths_need_to_know_where_to_go(tmp_path: Path) -> None:
    result = run(bundle(tmp_path, name="a"), bundle(tmp_path, name="b"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "use -i to change the files" in result.stderr


def test_several_paths_have_no_one_id(tmp_path: Path) -> None:
    result = run("-i", "--id", "x", bundle(tmp_path, name="a"), bundle(tmp_path, name="b"))
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("options", [("-i",), ("--check",), ("--diff",)], ids=["in-place", "check", "diff"])
def test_one_bad_path_keeps_no_other_back_and_the_summary_names_it(options: tuple[str, ...], tmp_path: Path) -> None:
    kinds = {"a": WANTED, "b": NOT_JSON, "c": UNWANTED, "d": REFUSED, "e": WANTED}
    paths = {name: bundle(tmp_path, data, name) for name, data in kinds.items()}
    result = run(*options, *paths.values(), tmp_path / "gone")
    assert result.exit_code == 2
    *failures, summary = result.stderr.splitlines()
    assert [any(str(tmp_path / name) in line for line in failures) for name in (*kinds, "gone")] == [
        name in ("b", "d", "gone") for name in (*kinds, "gone")
    ]
    verb = "changed" if options == ("-i",) else "would change"
    assert summary == f"oci-systemd: 2 {verb}, 1 unchanged, 3 failed"
    changed = {name: config(path) != kinds[name] for name, path in paths.items()}
    assert changed == {name: options == ("-i",) and name in ("a", "e") for name in kinds}


def test_the_same_path_twice_is_harmless(tmp_path: Path) -> None:
    path = bundle(tmp_path)
    expected = run(path).stdout_bytes
    result = run("-i", path, path, f"{path}/config.json", f"{path}/.")
    assert result.exit_code == 0
    assert result.stderr == "oci-systemd: 1 changed, 2 unchanged, 0 failed\n"
    assert config(path) == expected


def test_in_place_keeps_mode_and_sweeps_what_a_killed_call_left(tmp_path: Path) -> None:
    path = bundle(tmp_path)
    (path / "config.json").chmod(0o640)
    (path / ".config.json.oci-systemd-4194305-1").write_text("half")  # beyond the kernel's PID_MAX_LIMIT
    assert run("-i", path).exit_code == 0
    assert [found.name for found in path.iterdir()] == ["config.json"]
    assert (path / "config.json").stat().st_mode & 0o777 == 0o640


def test_a_broken_settings_file_of_the_machine_fails_only_what_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[tmpfs]\nsize = 3\n")
    runner = CliRunner(env={"OCI_SYSTEMD_CONFIG": str(file)})
    unwanted = runner.invoke(cli, ["rewrite", str(bundle(tmp_path, UNWANTED, "a"))])
    wanted = runner.invoke(cli, ["rewrite", str(bundle(tmp_path, WANTED, "b"))])
    assert (unwanted.exit_code, unwanted.stdout_bytes) == (0, UNWANTED)
    assert wanted.exit_code == 2
    assert f"settings file {file}, line 2: setting tmpfs.size: invalid value 3" in wanted.stderr


@pytest.mark.parametrize("before", [True, False], ids=["before the command", "behind it"])
def test_a_broken_settings_file_that_is_named_fails_at_once(before: bool, tmp_path: Path) -> None:
    path, words = bundle(tmp_path, UNWANTED), ["--config", str(tmp_path / "gone.toml")]
    arguments = [*words, "rewrite", str(path)] if before else ["rewrite", *words, str(path)]
    result = CliRunner().invoke(cli, arguments)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "gone.toml: cannot read" in result.stderr


def test_the_root_file_system_is_looked_at_where_it_is_there(tmp_path: Path) -> None:
    path = bundle(tmp_path)
    (path / "rootfs/sbin").mkdir(parents=True)
    (path / "rootfs/sbin/init").symlink_to("busybox")
    (path / "rootfs/sbin/busybox").write_bytes(b"\x7fELF")
    assert run(path).stdout_bytes == WANTED


def test_this_host_is_asked_where_it_shall_be(tmp_path: Path) -> None:
    from oci_systemd.host.machine import this_host

    here = this_host()
    path = bundle(tmp_path)
    changes = run("--this-host", "--check", path).exit_code == 1
    assert changes == (here.cgroup_v2 and here.nsdelegate)
    assert run("--check", path).exit_code == 1


def test_hostile_names_stay_on_their_line(tmp_path: Path) -> None:
    path = bundle(tmp_path, NOT_JSON, "a\nb\x1b[31m\udcff")
    result = run(path)
    assert result.stderr.count("\n") == 1
    assert "\x1b" not in result.stderr
