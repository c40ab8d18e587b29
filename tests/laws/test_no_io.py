"""The core does no I/O: it is shown by refusing it all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.laws.strategies import CORPUS, FILES


def test_the_whole_corpus_goes_through_the_core_without_any_io() -> None:
    call = [sys.executable, "-m", "tests.laws.no_io", str(CORPUS)]
    done = subprocess.run(call, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120)  # ourselves
    assert done.returncode == 0, done.stderr
    files, edited = (int(word) for word in done.stdout.split() if word.isdigit())
    assert files > len(FILES)
    assert edited > len(FILES)
