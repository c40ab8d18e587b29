"""`oci-systemd` as a process: terminals, pipes that close, and signals."""

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CORPUS = Path(__file__).parent.parent / "corpus"
WANTED = (CORPUS / "containerd-2.1/systemd.json").read_bytes()
SOURCE = Path(__file__).parent.parent.parent
MAIN = [
    sys.executable,
    "-c",
    f"import sys; sys.path.insert(0, {str(SOURCE)!r}); from oci_systemd.cli import main; main()",
]
HURRIED = [MAIN[0], "-c", f"import oci_systemd.cli.output as o; o.PATIENCE = 0.0; {MAIN[2]}"]
COLOUR = b"\x1b["


def environ(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "OCI_SYSTEMD_CONFIG")}
    return {**kept, "TERM": "xterm", "PYTHONPATH": str(SOURCE), **more}


def bundle(folder: Path, name: str = "b", data: bytes = WANTED) -> Path:
    path = folder / name
    path.mkdir()
    (path / "config.json").write_bytes(data)
    return path


def on_terminal(command: list[str], env: dict[str, str] | None = None, *, stdout: bool = True) -> tuple[bytes, bytes]:
    """What `command` writes to its terminal, and to stdout where that is a pipe instead."""
    master, slave = pty.openpty()
    piped = None if stdout else subprocess.PIPE
    process = subprocess.Popen(command, stdin=slave, stdout=piped or slave, stderr=slave, env=env or environ())
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):  # EIO: no process has the terminal any more
        while select.select([master], [], [], 20)[0] and (part := os.read(master, 1 << 16)):
            shown += part
    os.close(master)
    rest = process.communicate()[0] or b""
    return shown, rest


COLOURS = {
    "on a terminal": ({}, True),
    "with NO_COLOR": ({"NO_COLOR": "1"}, False),
    "with an empty NO_COLOR": ({"NO_COLOR": ""}, True),
    "on a dumb terminal": ({"TERM": "dumb"}, False),
}


@pytest.mark.parametrize("words", [["explain"], ["rewrite", "--diff"]], ids=["explain", "diff"])
@pytest.mark.parametrize(("more", "coloured"), COLOURS.values(), ids=COLOURS)
def test_colours(words: list[str], more: dict[str, str], coloured: bool, tmp_path: Path) -> None:
    shown, _ = on_terminal([*MAIN, *words, str(bundle(tmp_path))], environ(**more))
    assert b"/run/lock" in shown
    assert (COLOUR in shown) == coloured


@pytest.mark.parametrize("words", [["explain"], ["rewrite", "--diff"], ["rewrite"]], ids=["explain", "diff", "rewrite"])
def test_no_colours_in_a_pipe(words: list[str], tmp_path: Path) -> None:
    shown, piped = on_terminal([*MAIN, *words, str(bundle(tmp_path))], stdout=False)
    assert b"/run/lock" in piped
    assert COLOUR not in piped
    assert shown == b""


def test_a_diff_on_a_terminal_has_no_letter_of_the_container_that_a_terminal_obeys(tmp_path: Path) -> None:
    data = WANTED.replace(b'"cwd":"/"', '"cwd":"/\x9b31m\u202e"'.encode())
    assert data != WANTED
    command = [*MAIN, "rewrite", "--diff", "--annotation", "x=y", str(bundle(tmp_path, data=data))]
    shown = on_terminal(command, environ(NO_COLOR="1"))[0].decode()
    assert "\\x9b31m\\u202e" in shown
    assert all(line.isprintable() for line in shown.split("\r\n"))


def test_a_table_is_folded_to_the_terminal(tmp_path: Path) -> None:
    shown, _ = on_terminal([*MAIN, "explain", str(bundle(tmp_path))], environ(NO_COLOR="1", COLUMNS="70"))
    assert max(len(line) for line in shown.split(b"\r\n")[1:]) <= 70


BARS = {
    "that takes long": (HURRIED, 3, ["-i"], True),
    "that does not": (MAIN, 3, ["-i"], False),
    "of one path": (HURRIED, 1, ["-i"], False),
    "that prints diffs": (HURRIED, 3, ["--diff"], False),
}


@pytest.mark.parametrize(("main", "count", "options", "barred"), BARS.values(), ids=BARS)
def test_a_progress_bar_is_for_work(
    main: list[str], count: int, options: list[str], barred: bool, tmp_path: Path
) -> None:
    paths = [str(bundle(tmp_path, str(number))) for number in range(count)]
    shown, _ = on_terminal([*main, "rewrite", *options, *paths], stdout=False)
    assert (b"rewriting" in shown) == barred
    assert (b"100%" in shown) == barred


def test_there_is_no_progress_bar_in_a_pipe(tmp_path: Path) -> None:
    paths = [str(bundle(tmp_path, str(number))) for number in range(3)]
    result = subprocess.run([*HURRIED, "rewrite", "-i", *paths], capture_output=True, env=environ(), check=True)
    assert result.stderr == b"oci-systemd: 3 changed, 0 unchanged, 0 failed\n"


CLOSED = {
    "rewrite": ["rewrite"],
    "diff": ["rewrite", "--diff"],
    "explain": ["explain"],
    "explain --json": ["explain", "--json"],
}


@pytest.mark.parametrize("words", CLOSED.values(), ids=CLOSED)
def test_a_reader_that_went_away_is_no_traceback(words: list[str], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [*MAIN, *words, str(bundle(tmp_path))]
    result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=environ())
    os.close(writing)
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.parametrize(
    "words", [["--help"], ["rewrite", "--help"], ["--version"], ["config"], ["completion", "bash"]]
)
def test_nor_is_it_where_click_itself_prints(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run([*MAIN, *words], stdout=writing, stderr=subprocess.PIPE, env=environ())
    os.close(writing)
    assert result.stderr == b""


def test_a_reader_of_diffs_that_went_away_keeps_no_file_from_being_written(tmp_path: Path) -> None:
    paths = [bundle(tmp_path, str(number)) for number in range(50)]
    process = subprocess.Popen(
        [*MAIN, "rewrite", "-i", "--diff", *map(str, paths)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ(),
    )
    assert process.stdout
    assert process.stderr
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr.read() == b"oci-systemd: 50 changed, 0 unchanged, 0 failed\n"
    assert process.wait() == 0
    assert all((path / "config.json").read_bytes() != WANTED for path in paths)


@pytest.mark.parametrize("words", [["rewrite"], ["explain"], ["--help"]], ids=["rewrite", "explain", "help"])
def test_a_full_disk_behind_stdout_is_one_sentence(words: list[str], tmp_path: Path) -> None:
    path = [] if words == ["--help"] else [str(bundle(tmp_path))]
    with open("/dev/full", "wb") as full:
        result = subprocess.run([*MAIN, *words, *path], stdout=full, stderr=subprocess.PIPE, env=environ())
    assert result.returncode == 2
    assert result.stderr.startswith(b"oci-systemd: ")
    assert result.stderr.endswith(b"No space left on device\n")
    assert result.stderr.count(b"\n") == 1


@pytest.mark.parametrize("closed", [0, 1], ids=["stdin", "stdout"])
def test_a_closed_descriptor_is_one_sentence(closed: int) -> None:
    command = ["/bin/sh", "-c", f'exec "$@" {closed}>&-', "sh", *MAIN, "rewrite", "--id", "x", "-"]
    result = subprocess.run(command, input=WANTED, capture_output=True, env=environ())
    assert result.returncode == 2
    assert result.stderr == b"oci-systemd: " + (
        b"stdin is closed; pass a config.json on stdin, or a PATH\n"
        if closed == 0
        else b"stdout is closed; redirect it to a file or a terminal\n"
    )


def test_an_interrupt_ends_it_with_a_word(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*MAIN, "rewrite", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environ()
    )
    deadline = time.monotonic() + 20
    while "read" not in Path(f"/proc/{process.pid}/wchan").read_text() and time.monotonic() < deadline:
        time.sleep(0.01)  # until it waits for stdin
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert (process.returncode, said.strip()) == (130, b"oci-systemd: interrupted")


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1"])
def test_an_old_locale_is_no_traceback(locale: str, tmp_path: Path) -> None:
    env = environ(LC_ALL=locale, PYTHONIOENCODING="ascii", PYTHONCOERCECLOCALE="0")
    words = ["--annotation", f"io.systemd.container.selinux={'x' * 1000}\u00e9"]
    for command in (["explain"], ["rewrite"]):
        result = subprocess.run(
            [*MAIN, *command, *words, str(bundle(tmp_path, command[0]))], capture_output=True, env=env
        )
        assert b"Traceback" not in result.stderr
        assert result.returncode == 2


def test_remedies_of_doctor_are_not_folded(tmp_path: Path) -> None:
    """They are there to be copied, however narrow the terminal is."""
    settings = tmp_path / "config.toml"
    settings.write_text("[tmpfs]\nsise = 1\n")
    env = environ(COLUMNS="40", NO_COLOR="1", OCI_SYSTEMD_CONFIG=str(settings))
    remedies = json.loads(subprocess.run([*MAIN, "doctor", "--json"], env=env, stdout=subprocess.PIPE).stdout)
    shown = [line.strip() for line in on_terminal([*MAIN, "doctor"], env)[0].decode().splitlines()]
    assert any("oci-systemd config check FILE" in each["remedy"] for each in remedies)
    assert [each["remedy"] for each in remedies if each["remedy"] and each["remedy"] not in shown] == []
