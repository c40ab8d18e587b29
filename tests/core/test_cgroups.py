"""Which cgroup a path names, and what becomes of a container without one of its own, or with a volume in its place."""

from __future__ import annotations

import pytest

from oci_systemd.core.cgroups import cgroups, is_top
from oci_systemd.core.container import Mount
from oci_systemd.core.edits import AddMount, RemoveMount, SetMountOptions
from tests.core.build import CGROUP, adjusted, annotated, bind, container, of_kind, refused

PATHS: dict[str, tuple[tuple[str, ...], bool]] = {
    "": ((), False),
    "/": (("/",), True),
    "//": (("/",), True),
    "/..": (("/",), True),
    "/a/..": (("/",), True),
    "../../": (("/", "./"), True),
    ".": (("/", "./"), True),
    "a/..": (("/", "./"), True),
    "/kubepods/pod1/abc": (("/kubepods/pod1/abc",), False),
    "abc": (("/abc", "./abc"), False),
    "system.slice:runc:abc": (
        ("/system.slice/runc-abc.scope", "/system.slice:runc:abc", "./system.slice:runc:abc"),
        False,
    ),
    ":runc:abc": (("/system.slice/runc-abc.scope", "/:runc:abc", "./:runc:abc"), False),
    "a-b.slice:x:y": (("/a.slice/a-b.slice/x-y.scope", "/a-b.slice:x:y", "./a-b.slice:x:y"), False),
    "-.slice:x:y": (("/x-y.scope", "/-.slice:x:y", "./-.slice:x:y"), False),
    "x:y:-.slice": (("/", "/x:y:-.slice", "./x:y:-.slice"), True),
    "x:y:user.slice": (("/user.slice", "/x:y:user.slice", "./x:y:user.slice"), False),
}


@pytest.mark.parametrize(("path", "found", "top"), [(path, *row) for path, row in PATHS.items()], ids=PATHS)
def test_path_is_taken_as_runtimes_take_it(path: str, found: tuple[str, ...], top: bool) -> None:
    assert (cgroups(path), is_top(path)) == (found, top)


@pytest.mark.parametrize("path", ["/", "/..", "../../", "x:y:-.slice"])
def test_top_of_the_hierarchy_is_no_cgroup_of_its_own(path: str) -> None:
    adjustment = adjusted(container(cgroups_path=path))
    assert (adjustment.edits, adjustment.verdict.wanted) == ([], False)
    assert any("top of the hierarchy" in warning for warning in adjustment.warnings)
    assert "top of the hierarchy" in refused(container(cgroups_path=path, annotations=annotated(wanted="true")))


@pytest.mark.parametrize(("path", "occupied"), [("/a", "/a"), ("a", "./a"), ("s.slice:x:y", "/s.slice/x-y.scope")])
def test_cgroup_that_holds_processes_is_no_cgroup_of_its_own(path: str, occupied: str) -> None:
    assert adjusted(container(cgroups_path=path), occupied=["/other"]).edits
    adjustment = adjusted(container(cgroups_path=path), occupied=[occupied])
    assert (adjustment.edits, adjustment.verdict.wanted) == ([], False)
    asks = container(cgroups_path=path, args=("podman",), annotations=annotated(cgroup="rw"))
    assert "it already holds processes" in refused(asks, occupied=[occupied])


def test_cgroup_that_needs_no_change_may_be_any() -> None:
    writable = Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("nosuid",))
    assert adjusted(container(cgroup=writable, cgroups_path="/")).edits


# --- a volume in its place ---

VOLUME = bind("/sys/fs/cgroup", "rw")
CONTAINERD_VOLUME = Mount(
    "/sys/fs/cgroup",
    "bind",
    "/var/lib/containerd/io.containerd.grpc.v1.cri/containers/abc/volumes/def",
    ("rbind", "rw"),
)
HOST_TREE = Mount("/sys/fs/cgroup", "bind", "/sys/fs/cgroup", ("rbind", "rw"))


def test_volume_gives_way_to_a_cgroup_mount_where_there_is_none() -> None:
    adjustment = adjusted(container(cgroup=None, mounts=(VOLUME,)), sources={VOLUME.source: False})
    (removed,) = of_kind(adjustment, RemoveMount)
    added = next(edit for edit in of_kind(adjustment, AddMount) if edit.mount.type == "cgroup")
    assert (removed.index, added.mount.destination, "rw" in added.mount.options) == (4, "/sys/fs/cgroup", True)
    assert any("volume" in warning for warning in adjustment.warnings)


def test_volume_gives_way_to_the_cgroup_mount_below_it() -> None:
    adjustment = adjusted(container(mounts=(VOLUME,)), sources={VOLUME.source: False})
    assert [edit.index for edit in of_kind(adjustment, RemoveMount)] == [5]
    assert [edit.index for edit in of_kind(adjustment, SetMountOptions)] == [4]
    assert all(edit.mount.type == "tmpfs" for edit in of_kind(adjustment, AddMount))


def test_image_volume_is_known_by_its_path_where_the_host_is_not_seen() -> None:
    assert of_kind(adjusted(container(cgroup=None, mounts=(CONTAINERD_VOLUME,))), RemoveMount)


def test_bind_of_the_host_s_tree_stays() -> None:
    for sources in ({}, {HOST_TREE.source: True}):
        adjustment = adjusted(container(cgroup=None, mounts=(HOST_TREE,)), sources=sources)
        assert not of_kind(adjustment, RemoveMount)
        assert adjustment.verdict.wanted
    bound = bind("/sys/fs/cgroup", "rw")
    assert not of_kind(adjusted(container(cgroup=None, mounts=(bound,)), sources={bound.source: True}), RemoveMount)


def test_bind_that_cannot_be_told_is_reported() -> None:
    adjustment = adjusted(container(cgroup=None, mounts=(VOLUME,)))
    assert not of_kind(adjustment, RemoveMount)
    assert any("systemd exits unless" in warning for warning in adjustment.warnings)


@pytest.mark.parametrize("host", [{"cgroup_v2": False}, {"nsdelegate": False}])
def test_volume_gives_way_under_the_conditions_of_a_writable_cgroup_alone(host: dict[str, bool]) -> None:
    given = container(cgroup=None, mounts=(VOLUME,))
    adjustment = adjusted(given, sources={VOLUME.source: False}, **host)
    assert (adjustment.edits, adjustment.verdict.wanted) == ([], False)
    without = container(cgroup=None, mounts=(VOLUME,), namespaces={"pid": ""})
    assert not adjusted(without, sources={VOLUME.source: False}).edits
    assert not adjusted(
        container(cgroup=None, mounts=(VOLUME,), cgroups_path="/"), sources={VOLUME.source: False}
    ).edits


def test_volume_of_a_container_that_is_not_wanted_stays() -> None:
    adjustment = adjusted(container(cgroup=None, mounts=(VOLUME,), args=("sleep",)), sources={VOLUME.source: False})
    assert adjustment.edits == []


def test_adjusted_once_nothing_is_left_to_do() -> None:
    assert CGROUP.type == "cgroup"
    again = container(
        cgroup=Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("nosuid", "noexec", "nodev", "relatime", "rw"))
    )
    assert not of_kind(adjusted(again), RemoveMount)
