"""The manual pages say what the command line, the settings and the annotations are, and man shows them without a warning."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from oci_systemd.cli import cli
from oci_systemd.core.annotations import KEYS
from oci_systemd.core.settings import TABLE

SOURCE = Path(__file__).parents[2]
GENERATOR = SOURCE / "packaging/man"
# What roff would take for a request, a font, or another letter.
ODD = [
    ".start",
    "'tis",
    "-x --long-option",
    r"a \fB backslash \n",
    "caret ^ tilde ~ grave \u0060",
    '"quoted" text',
    "…",
]

needs_man = pytest.mark.skipif(not shutil.which("man"), reason="man is not installed")


def generate(share: Path, **environ: str) -> Path:
    words = [sys.executable, "-B", str(GENERATOR), str(share)]
    subprocess.run(words, check=True, env=os.environ | {"PYTHONPATH": str(SOURCE)} | environ)
    return share


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("share"))


def shown(page: Path) -> str:
    """A page as a person sees it, without folding."""
    words = ["man", "--encoding=UTF-8", "--local-file", str(page)]
    environ = os.environ | {"MANWIDTH": "500", "MAN_KEEP_FORMATTING": "", "LC_ALL": "C.UTF-8"}
    return subprocess.run(words, check=True, env=environ, capture_output=True, text=True).stdout


def commands(command: click.Command = cli, name: str = "oci-systemd") -> dict[str, click.Command]:
    found = {name: command}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for each in command.list_commands(context):
            below = command.get_command(context, each)
            assert below
            found |= commands(below, f"{name}-{each}")
    return found


def test_every_command_has_its_page_and_there_is_no_other(share: Path) -> None:
    pages = {each.name for each in (share / "man").rglob("*.*")}
    assert pages == {f"{name}.1" for name in commands()} | {"oci-systemd-config.5", "oci-systemd-runtime.8"}


@needs_man
def test_man_has_no_warning(share: Path) -> None:
    for page in sorted((share / "man").rglob("*.*")):
        words = ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(page)]
        environ = os.environ | {"LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "80"}
        done = subprocess.run(words, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert (done.returncode, done.stderr) == (0, ""), page


@needs_man
@pytest.mark.parametrize("name", commands())
def test_page_has_every_option_and_what_the_help_says(share: Path, name: str) -> None:
    text = shown(share / f"man/man1/{name}.1")
    for parameter in commands()[name].params:
        assert not isinstance(parameter, click.Option) or all(option in text for option in parameter.opts)
        assert not isinstance(parameter, click.Option) or (parameter.help or "") in text
    for line in (commands()[name].epilog or "").replace("\b", "").splitlines():
        assert line.strip().removeprefix("Examples:").removeprefix("Exit status:").strip() in text


@needs_man
def test_settings_page_has_every_setting(share: Path) -> None:
    text = shown(share / "man/man5/oci-systemd-config.5")
    for name, (_, _, about) in TABLE.items():
        assert f"{name} = " in text
        assert about[1:] in text


@needs_man
def test_wrapper_page_has_every_annotation(share: Path) -> None:
    text = shown(share / "man/man8/oci-systemd-runtime.8")
    assert all(key in text for key in KEYS)
    assert "@" not in text
    assert "Takes ." not in text


@needs_man
@pytest.mark.parametrize("text", ODD)
def test_every_letter_stands_for_itself(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(GENERATOR))
    roff = import_module("roff")
    written = text.replace("`", "")
    page = roff.header("odd", 1, "1", "", "letters") + roff.section("prose", roff.paragraph(written))
    (tmp_path / "odd.1").write_text(page + roff.section("lines", roff.verbatim([written])))
    assert shown(tmp_path / "odd.1").count(" ".join(written.split())) == 2


def test_the_same_source_gives_the_same_pages(share: Path, tmp_path: Path) -> None:
    again = generate(tmp_path)
    for page in (each for each in share.rglob("*") if each.is_file()):
        assert (again / page.relative_to(share)).read_bytes() == page.read_bytes()


def test_date_is_the_source_s(tmp_path: Path) -> None:
    generate(tmp_path, SOURCE_DATE_EPOCH="86400")
    assert '"1970-01-02"' in (tmp_path / "man/man1/oci-systemd.1").read_text().splitlines()[0]
