"""A hostile root file system on a real disk: nothing outside is reached, and the core gets the right facts."""

from __future__ import annotations

import posixpath
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from oci_systemd.core.host import ABSENT, BLANK, CONTENT, ELF, Root
from oci_systemd.core.paths import follow
from oci_systemd.host.rootfs import survey
from tests.laws.strategies import PLACES, destinations, links
from tests.laws.tree import Loop, Tree

CONTENTS = {ELF: b"\x7fELF\x02", CONTENT: b"0123456789abcdef", BLANK: b"uninitialized\n"}


def made(root: Path, links: dict[str, str], files: dict[str, str]) -> None:
    for path, target in links.items():
        place = root / path[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.symlink_to(target)
    for path, kind in files.items():
        place = root / path[1:]
        if any(part.is_symlink() or part.is_file() for part in [place, *place.parents]) or place.exists():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(CONTENTS[kind])


files = st.dictionaries(
    st.sampled_from(["/sbin/init", "/data/x", "/run/lock", "/etc/machine-id", "/b"]), st.sampled_from(sorted(CONTENTS))
)


@given(links(), files, st.lists(destinations, max_size=6))
def test_a_survey_tells_where_every_path_leads(found: dict[str, str], files: dict[str, str], asked: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made(Path(folder), found, files)
        root = survey(folder, asked, PLACES)
    assert isinstance(root, Root)
    assert root.links.items() <= found.items() | {("/sbin/init", root.links.get("/sbin/init", ""))}
    for path in (*PLACES, *(path for path in asked if path.isascii())):
        place = _place(found, path)
        if place:
            assert follow(path, root.links) == place
    assert set(root.files.values()) <= {ELF, CONTENT, BLANK, ABSENT}


def _place(links: dict[str, str], path: str) -> str:
    try:
        return Tree(links).place(path)
    except Loop:
        return ""


@given(links(), st.sampled_from(PLACES))
def test_a_file_outside_is_never_what_is_told(found: dict[str, str], path: str) -> None:
    """Links lead out of the root by `..` and by absolute paths; the machine's own /etc/passwd is unchanged."""
    with tempfile.TemporaryDirectory() as folder:
        outside = Path(folder, "outside")
        outside.write_bytes(CONTENTS[ELF])
        inside = Path(folder, "root")
        inside.mkdir()
        made(inside, found, {})
        way = posixpath.relpath(outside, inside / "x")
        (inside / "out").symlink_to(outside)
        (inside / "up").symlink_to(f"../{way}")
        root = survey(str(inside), [path], ["/out", "/up", "/up/../outside", path])
    assert root is not None
    assert ELF not in root.files.values()


@given(st.text(st.characters(exclude_categories=())))
def test_any_root_path_is_a_root_or_none(path: str) -> None:
    survey(f"/nowhere/{path}", ["/"], ["/etc/machine-id"])
