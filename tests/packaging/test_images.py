"""The Containerfiles of packaging/images have in common what systemd needs of an image."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "packaging/images"
FILES = sorted(FOLDER.glob("*/Containerfile"))
COMMON = ("COPY masked /tmp/masked", "STOPSIGNAL SIGRTMIN+3", 'CMD ["/sbin/init"]')


def masked() -> dict[str, str]:
    """The units that the images mask, with their reasons."""
    lines = (FOLDER / "masked").read_text().splitlines()
    words = (line.partition(" ") for line in lines if not line.startswith("#"))
    return {unit: reason.strip() for unit, _, reason in words}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_each_image_has_what_systemd_needs(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert [line for line in COMMON if line not in lines] == []
    assert any(line.endswith(": >/etc/machine-id") for line in lines)
    assert lines[0].endswith(f"-f {path.parent.name}/Containerfile .` in packaging/images.")


def test_each_masked_unit_has_a_reason() -> None:
    assert masked()
    assert [unit for unit, reason in masked().items() if not reason or "." not in unit] == []


def test_the_readme_names_each_image() -> None:
    assert [
        path.parent.name
        for path in FILES
        if f"`{path.parent.name}/Containerfile`" not in (FOLDER / "README.md").read_text()
    ] == []
