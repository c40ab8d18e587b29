"""How this machine reaches package registries, for a root that has none of its packages.

Invariant: what a root gets of this machine is configuration. No program and no package comes along.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

# Copied unchanged; a file that is missing here is missing there.
FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf", "/etc/xdg/pip")
PIP = re.compile(r"PIP_(?!CACHE_DIR$)\w+")
OTHERS = re.compile(r"(?i:https?|no|all)_proxy|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE")
COMMENT = re.compile(r"(?m)^\s*[#;].*")
APT = re.compile(r"Acquire::(?:https?|Check-\w+|Retries)\b.*")


def environ() -> dict[str, str]:
    """The variables that say how to get there, of pip and of others."""
    return {name: text for name, text in os.environ.items() if PIP.fullmatch(name) or OTHERS.fullmatch(name)}


def named() -> Iterator[Path]:
    """What pip's configuration names on this machine: directories with packages, files with constraints."""
    texts = [text for name, text in os.environ.items() if PIP.fullmatch(name)]
    texts += [COMMENT.sub("", file.read_text()) for place in FILES[-2:] for file in files(Path(place))]
    for word in {word for text in texts for word in text.split()}:
        path = Path(word.removeprefix("file://"))
        if path.is_absolute() and path.exists() and not any(map(path.is_relative_to, FILES)):
            yield path


def files(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(filter(Path.is_file, place.glob("*")))


def folders(root: Path) -> list[str]:
    """The mounts, as node.sh takes them, of the directories that pip's configuration names and that ROOT has not."""
    return [
        f"{path}:{path}:ro" for path in sorted(named()) if path.is_dir() and not (root / path.relative_to("/")).exists()
    ]


def configure(root: Path) -> None:
    """Give the tree ROOT this machine's way to the network."""
    wanted = [*map(Path, FILES), *filter(Path.is_file, named())]
    for path in wanted:
        for file in files(path):
            there = root / file.relative_to("/")
            there.parent.mkdir(parents=True, exist_ok=True)
            there.unlink(missing_ok=True)
            shutil.copyfile(file, there)
    said = (
        subprocess.run(["apt-config", "dump"], capture_output=True, text=True).stdout
        if shutil.which("apt-config")
        else ""
    )
    lines = [line for line in said.splitlines() if APT.fullmatch(line)]
    (root / "etc/apt/apt.conf.d/99network").write_text("\n".join(['Acquire::Retries "3";', *lines]) + "\n")
