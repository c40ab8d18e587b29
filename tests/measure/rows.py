"""Rows of Markdown tables, and what the columns are called."""

from tests.e2e.lab.rootfs import IMAGES, RootFS


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def head(*names: str) -> list[str]:
    """The first two lines of a table."""
    return [row(*names), "|---" * len(names) + "|"]


def systemd(image: RootFS) -> str:
    """The version of an image's systemd, as its library is called."""
    library = next(image.path.glob("usr/lib/*/systemd/libsystemd-shared-*.so"))
    return library.stem.rpartition("-")[2]


def versions() -> list[str]:
    return [systemd(image) for image in IMAGES.values()]
