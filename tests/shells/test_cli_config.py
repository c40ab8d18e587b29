"""`oci-systemd config`, the shipped settings file, help, and completion; in-process."""

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from oci_systemd import __version__
from oci_systemd.cli import SHELLS, cli
from oci_systemd.core.settings import TABLE, flattened

SHIPPED = Path(__file__).parent.parent.parent / "packaging/config.toml"


def run(*words: object, **environment: str) -> Result:
    return CliRunner(env={"OCI_SYSTEMD_CONFIG": "", **environment}).invoke(cli, list(map(str, words)))


def written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def test_each_setting_is_told_with_its_origin(tmp_path: Path) -> None:
    file = written(tmp_path, '[tmpfs]\nsize = "1m"\ncopy_up = true\n')
    value = json.loads(run("config", "--json", "--set", "tmpfs.size=2m", OCI_SYSTEMD_CONFIG=str(file)).stdout)
    assert list(value) == list(TABLE)
    assert value["tmpfs.size"] == {"value": "2m", "origin": "command line"}
    assert value["tmpfs.copy_up"] == {"value": True, "origin": str(file)}
    assert value["env.container"] == {"value": "other", "origin": "default"}


def test_the_table_for_people_is_toml_with_origins() -> None:
    lines = run("config", "--set", "detect.commands=my init,/x").stdout.splitlines()
    assert [line.split(" = ")[0].strip() for line in lines] == list(TABLE)
    assert next(line for line in lines if "detect.commands" in line).split("  ")[1:][0] == (
        'detect.commands = ["my init", "/x"]'
    )
    assert sum(line.endswith("  command line") for line in lines) == 1


@pytest.mark.parametrize("place", ["before", "behind", "environment"])
def test_the_settings_file_is_named(place: str, tmp_path: Path) -> None:
    file = str(written(tmp_path, '[env]\ncontainer = "lab"\n'))
    words = {
        "before": ["--config", file, "config"],
        "behind": ["config", "--config", file],
        "environment": ["config"],
    }[place]
    environment = {"OCI_SYSTEMD_CONFIG": file if place == "environment" else str(tmp_path / "gone")}
    assert 'env.container = "lab"' in run(*words, **environment).stdout


MISTAKES = {
    "unknown key": ('[tmpfs]\nsise = "1m"\n', ["line 2: unknown setting tmpfs.sise; did you mean tmpfs.size?"]),
    "key without its table": ('size = "1m"\n', ["line 1: unknown setting size; did you mean tmpfs.size?"]),
    "unknown table": ("[cgroups]\nx = 1\n", ["line 1: unknown setting cgroups; did you mean cgroup?"]),
    "wrong type": (
        "[cgroup]\n# x\nmax_descendants = true\n",
        ["line 3: setting cgroup.max_descendants: invalid value True"],
    ),
    "inline table": ('\ntmpfs = { size = "x" }\n', ["line 2: setting tmpfs.size: invalid value 'x'"]),
    "dotted key": ('tmpfs.size = "x"\n', ["line 1: setting tmpfs.size: invalid value 'x'"]),
    "all of them": (
        '[log]\nlevel = "loud"\n[tmpfs]\nsise = 1\npaths = ["/"]\n',
        ["line 2: setting log.level", "line 4: unknown setting tmpfs.sise", "line 5: setting tmpfs.paths"],
    ),
    "no TOML": ("[tmpfs\n", ["invalid TOML: "]),
    "dotted keys among tables": (
        'log.level = "loud"\n[tmpfs]\nsise = 1\n',
        ["line 1: setting log.level", "line 3: unknown setting tmpfs.sise"],
    ),
    "a dotted key of no table": ("#\ncgroups.oom = 1\n", ["line 2: unknown setting cgroups; did you mean cgroup?"]),
    "a dotted key below a setting": ("#\ntmpfs.size.x = 1\n", ["line 2: setting tmpfs.size: invalid value"]),
    "a dotted key twice": ("tmpfs.size = ''\ntmpfs.size = ''\n", ["invalid TOML: ", "line 2"]),
    "a header of a dotted key's table": ("tmpfs.copy_up = true\n[tmpfs]\n", ["invalid TOML: ", "line 2"]),
    "a table's header with a dot": ("[tmpfs.size]\nx = 1\n", ["line 1: setting tmpfs.size: invalid value"]),
    "a key twice": ("[tmpfs]\n[tmpfs]\n", ["invalid TOML: ", "line 2"]),
}


@pytest.mark.parametrize(("text", "parts"), MISTAKES.values(), ids=MISTAKES)
@pytest.mark.parametrize("words", [["config", "check"], ["config", "--config"]], ids=["check", "config"])
def test_every_mistake_is_told_with_its_line(words: list[str], text: str, parts: list[str], tmp_path: Path) -> None:
    file = written(tmp_path, text)
    result = run(*words, file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert all(line.startswith(f"oci-systemd: settings file {file}") for line in result.stderr.splitlines())
    for part in parts:
        assert part in result.stderr


@pytest.mark.parametrize("kind", ["missing", "directory", "not UTF-8"])
def test_a_settings_file_that_cannot_be_read_is_one_sentence(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    if kind == "directory":
        file.mkdir()
    elif kind == "not UTF-8":
        file.write_bytes(b"\xff")
    result = run("config", "check", file)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)


def test_the_shipped_settings_file_sets_nothing_and_parses() -> None:
    assert all(not table for table in tomllib.loads(SHIPPED.read_text()).values())
    assert run("config", "check", SHIPPED).exit_code == 0


def test_the_shipped_settings_file_holds_every_setting_with_its_default() -> None:
    lines = SHIPPED.read_text().splitlines()
    settings = [line for line in lines if line.startswith("[") or (line.startswith("# ") and " = " in line)]
    document = tomllib.loads("\n".join(line.removeprefix("# ") for line in settings))
    assert flattened(document) == {name: row[0] for name, row in TABLE.items()}


def test_each_shipped_setting_has_a_line_of_explanation() -> None:
    lines = SHIPPED.read_text().splitlines()
    for name in TABLE:
        at = next(i for i, line in enumerate(lines) if line.startswith(f"# {name.partition('.')[2]} = "))
        assert lines[at - 1].startswith("# ")
        assert " = " not in lines[at - 1]


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_is_in_sections_with_examples(words: list[str]) -> None:
    result = run(*words)
    assert result.exit_code == 0
    for part in ("Bundles:", "Settings:", "Shell:", "Examples:", "  rewrite ", "  explain ", "  config ", "  hook "):
        assert part in result.stdout


@pytest.mark.parametrize(
    "command", [["rewrite"], ["explain"], ["config"], ["config", "check"], ["hook"], ["completion"]]
)
def test_each_command_has_help(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: oci-systemd " + " ".join(command))


def test_explain_documents_its_json() -> None:
    text = run("explain", "--help").stdout
    for key in ("wanted", "asked", "reason", "edits", "kept", "warnings", "refused"):
        assert f"\n    {key} " in text


def test_version() -> None:
    assert run("--version").stdout == f"oci-systemd {__version__}\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_prints_the_script_that_click_answers(shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert f"_OCI_SYSTEMD_COMPLETE={shell}_complete" in result.stdout
    assert run(_OCI_SYSTEMD_COMPLETE=f"{shell}_source").stdout == result.stdout


COMPLETED = {
    "commands": ("oci-systemd re", "rewrite"),
    "settings": ("oci-systemd rewrite --set tmpfs.s", "tmpfs.size="),
    "annotations": ("oci-systemd explain --annotation io.systemd.container.m", "io.systemd.container.machine-id="),
}


@pytest.mark.parametrize(("typed", "word"), COMPLETED.values(), ids=COMPLETED)
def test_completion_knows(typed: str, word: str) -> None:
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    assert f"plain,{word}" in run(_OCI_SYSTEMD_COMPLETE="bash_complete", **words).stdout.splitlines()


@pytest.mark.parametrize("words", [["rewrit"], ["--frob"], ["completion", "tcsh"], ["config", "chek"]])
def test_wrong_words_are_one_sentence(words: list[str]) -> None:
    result = run(*words)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith("oci-systemd: no such") or "tcsh" in result.stderr
