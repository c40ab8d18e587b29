"""A mount at /run/credentials/@system: systemd is told, and no tmpfs hides it."""

from __future__ import annotations

import pytest

from oci_systemd.core.container import Mount
from oci_systemd.core.host import Root
from tests.core.build import DEBIAN, adjusted, annotated, bind, container, destinations, env_set

PLACE = "/run/credentials/@system"
SECRET = bind(PLACE, "ro")

CASES: dict[str, tuple[tuple[Mount, ...], Root | None, bool]] = {
    "none": ((), DEBIAN, False),
    "a Secret": ((SECRET,), DEBIAN, True),
    "a Secret, the root file system not visible": ((SECRET,), None, True),
    "by the link /var/run": ((bind("/var/run/credentials/@system"),), DEBIAN, True),
    "one that a link of the image leads elsewhere": ((SECRET,), Root({"/run/credentials": "/x"}, {}), False),
    "one that a later mount hides": ((SECRET, bind("/run")), DEBIAN, False),
    "above it alone": ((bind("/run/credentials"),), DEBIAN, False),
    "below it alone": ((bind(PLACE + "/x"),), DEBIAN, False),
}


@pytest.mark.parametrize(("mounts", "root", "set"), CASES.values(), ids=CASES)
def test_systemd_learns_of_credentials_that_are_mounted(
    mounts: tuple[Mount, ...], root: Root | None, set: bool
) -> None:
    found = env_set(adjusted(container(mounts=mounts), root=root))
    assert found.get("CREDENTIALS_DIRECTORY") == (PLACE if set else None)


@pytest.mark.parametrize(("own", "value"), [("/x", None), ("", PLACE)])
def test_credentials_of_the_containers_own_stay(own: str, value: str | None) -> None:
    given = container(mounts=(SECRET,), env=(f"CREDENTIALS_DIRECTORY={own}",))
    assert env_set(adjusted(given)).get("CREDENTIALS_DIRECTORY") == value


@pytest.mark.parametrize("root", [DEBIAN, None], ids=["visible", "not visible"])
def test_no_tmpfs_hides_them(root: Root | None) -> None:
    given = container(mounts=(SECRET,), annotations=annotated(tmpfs="/run/credentials,/run,/run/lock"))
    found = destinations(given, adjusted(given, root=root))
    assert found.index("/run") < found.index("/run/credentials") < found.index(PLACE)


def test_credentials_of_a_container_that_is_not_wanted_are_left_alone() -> None:
    assert adjusted(container(args=("/bin/sh",), mounts=(SECRET,))).edits == []
