"""Run one fuzzer for a while: from its seeds, on one core. A finding ends it with the input's file and a traceback."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import atheris  # type: ignore[import-untyped]

CORPUS = Path(__file__).parents[1] / "corpus"


def specs() -> list[bytes]:
    """Every config.json of the corpus."""
    return [path.read_bytes() for path in sorted(CORPUS.glob("*/*.json"))]


def run(check: Callable[[bytes], None], seeds: Iterable[bytes], words: Iterable[str] = ()) -> None:
    """Feed `check` for --seconds; `words` are what a mutation may put in as a whole. --replay FILE runs one input."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument(
        "--findings", type=Path, default=Path(tempfile.gettempdir()), help="where an input that fails is kept"
    )
    parser.add_argument("--replay", type=Path)
    options = parser.parse_args()
    if options.replay:
        check(options.replay.read_bytes())
        return
    options.findings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for number, seed in enumerate(seeds):
            (corpus / str(number)).write_bytes(seed)
        dictionary = Path(folder, "words")
        dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in words))
        limits = [f"-max_total_time={options.seconds}", "-max_len=65536", "-timeout=20", "-rss_limit_mb=2048"]
        kept = [f"-artifact_prefix={options.findings}/", f"-dict={dictionary}", "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], *limits, *kept, str(corpus)], check)
        atheris.Fuzz()


def _escaped(word: str) -> str:
    """`word` as a libFuzzer dictionary writes it."""
    return "".join(f"\\x{byte:02x}" for byte in word.encode())
