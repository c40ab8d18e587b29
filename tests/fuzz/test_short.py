"""Each fuzzer for a moment, from its seeds. The long run is by hand: `python -m tests.fuzz.NAME --seconds 300`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 20

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="atheris is not installed: it has no build for this Python or machine",
)


@pytest.mark.parametrize("name", ["argv", "frames", "settings", "specs"])
def test_nothing_is_found_in_a_moment(name: str, tmp_path: Path) -> None:
    call = [sys.executable, "-m", f"tests.fuzz.{name}", "--seconds", str(SECONDS), "--findings", str(tmp_path)]
    done = subprocess.run(
        call, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=SECONDS * 10, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert not [*tmp_path.iterdir()]
    runs = next(line for line in done.stderr.splitlines() if line.startswith("stat::number_of_executed_units"))
    assert int(runs.split()[1]) > 200
