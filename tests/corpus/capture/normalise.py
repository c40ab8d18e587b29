"""Turn captured config.json files into the corpus: what differs from run to run becomes the same at every capture.

    python3 -m tests.corpus.capture.normalise RAW CORPUS

RAW/ENGINE/CASE.json becomes CORPUS/ENGINE/CASE.json; RAW/ENGINE/names.txt, if it is there, says which ID becomes which.
Text is replaced by text of the same kind in place, so that the engine's formatting, order and escapes are unchanged.
Anything else that shows where the capture ran is an error.
"""

import re
import sys
from pathlib import Path

from tests.corpus.capture.record import fictional_id

LONG_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
SHORT_ID = re.compile(r"(?<![0-9a-f_-])[0-9a-f]{12}(?![0-9a-f])")
PROCESS = re.compile(r"(?<=/proc/)[0-9]+(?=/)")
GIVEAWAY = re.compile(r"/lab\b|/capture|/corpus")


def read_names(path: Path) -> dict[str, str]:
    """The IDs whose fictional names the capture chose, in both lengths that engines write."""
    if not path.exists():
        return {}
    pairs = [line.split() for line in path.read_text().splitlines()]
    return {real[:length]: name[:length] for real, name in pairs for length in (64, 12)}


def normalise(text: str, case: str, names: dict[str, str]) -> str:
    """The text of one file with fictional names; an ID that has none gets one from the case and its place."""
    known = dict(names)

    def rename(match: re.Match[str]) -> str:
        real = match[0]
        return known.setdefault(real, fictional_id(case, str(len(known) - len(names)))[: len(real)])

    text = LONG_ID.sub(rename, text)
    text = SHORT_ID.sub(rename, text)
    return PROCESS.sub("1234", text)


def main() -> None:
    """Write the corpus."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    raw, corpus = map(Path, sys.argv[1:])
    for source in sorted(raw.glob("*/*.json")):
        case = source.relative_to(raw)
        text = normalise(source.read_bytes().decode(), str(case), read_names(source.with_name("names.txt")))
        if giveaway := GIVEAWAY.search(text):
            sys.exit(f"{case}: {giveaway[0]}")
        target = corpus / case
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode())


if __name__ == "__main__":
    main()
