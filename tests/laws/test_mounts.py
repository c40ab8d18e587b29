"""Where mounts end up, by a model of a runtime's mounting: nothing that was seen is hidden, and all that systemd needs is seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from oci_systemd.core.adjust import adjust
from oci_systemd.core.annotations import TMPFS, Annotations
from oci_systemd.core.apply import apply
from oci_systemd.core.case import TWIN, Case
from oci_systemd.core.container import Container, Mount, from_spec
from oci_systemd.core.edits import AddMount, RemoveMount
from oci_systemd.core.errors import Problem
from oci_systemd.core.host import Host, Root
from oci_systemd.core.paths import follow, places
from oci_systemd.core.settings import PATHS
from tests.laws.strategies import FORBIDDEN, VALUES, World, rooms, wanted_specs
from tests.laws.tree import Loop, Tree

USUAL = {"/var/run": "/run", "/var/lock": "/run/lock"}


def destinations(spec: Any) -> list[str]:
    return [mount["destination"] for mount in spec["mounts"]]


def layouts(world: World) -> list[Mapping[str, str]]:
    """The root file systems that it may be: the one that is seen, else with the usual links, or without."""
    return [world.links] if world.links is not None else [{}, USUAL]


def adjusted(spec: Any, world: World) -> tuple[Any, Any, list[str]]:
    """The spec of a wanted container without the volumes in the cgroup's place, which serve nobody; the new spec, and the paths
    that were to have a tmpfs."""
    container, settings = from_spec(spec, world.id), world.chosen()
    try:
        adjustment = adjust(container, settings, world.host())
    except Problem:
        assume(False)
        raise
    assume(adjustment.verdict.wanted)
    case = Case(container, Annotations(container), settings, world.host(), wanted=True)
    removals = [edit for edit in adjustment.edits if isinstance(edit, RemoveMount)]
    return apply(spec, removals), apply(spec, adjustment.edits), case.tmpfs_paths()


def mounted(links: Mapping[str, str], where: list[str]) -> Tree:
    try:
        return Tree(links, where)
    except Loop:
        assume(False)
        raise


def indices(spec: Any, new: Any) -> tuple[list[int], list[int]]:
    """Where in `new` the mounts of `spec` stand, and where ours do. The given ones are the same objects, but for options."""
    rest, given, ours = list(spec["mounts"]), [], []
    for index, mount in enumerate(new["mounts"]):
        if rest and (
            mount is rest[0] or (mount.get("type") != "tmpfs" and mount["destination"] == rest[0]["destination"])
        ):
            given.append(index)
            del rest[0]
        else:
            ours.append(index)
    assert not rest
    return given, ours


@given(wanted_specs(), rooms)
def test_every_mount_that_was_seen_is_seen(spec: Any, world: World) -> None:
    spec, new, _ = adjusted(spec, world)
    given, _ = indices(spec, new)
    for links in layouts(world):
        before, after = mounted(links, destinations(spec)), mounted(links, destinations(new))
        for index in before.seen(destinations(spec)):
            name = destinations(spec)[index]
            place = Tree(links, destinations(spec)[:index]).place(
                name
            )  # the same as its name, but where a link led to it
            assert given[index] in (after.mount_at(name), found(after, place))


@given(wanted_specs(), rooms)
def test_a_process_finds_a_mount_at_every_path_that_is_to_have_one(spec: Any, world: World) -> None:
    _, new, paths = adjusted(spec, world)
    for links in layouts(world):
        tree = mounted(links, destinations(new))
        for path in paths:
            if path == TWIN and world.links is None:
                continue  # it serves /run/lock where /var/run is a link, and nothing where it is none
            if path in PATHS or links is not USUAL or world.links is not None:
                assert tree.mount_at(path) is not None


@given(wanted_specs(), rooms)
def test_adjusting_twice_mounts_nothing_more(spec: Any, world: World) -> None:
    spec, new, _ = adjusted(spec, world)
    assert adjust(from_spec(new, world.id), world.chosen(), world.host()).edits == []


@given(wanted_specs(), rooms)
def test_nothing_is_added_where_a_mount_was_seen(spec: Any, world: World) -> None:
    world.links = {}  # a link that one of ours hides may leave another one's place bare
    spec, new, _ = adjusted(spec, world)
    before = mounted({}, destinations(spec))
    for index in indices(spec, new)[1]:
        assert found(before, new["mounts"][index]["destination"]) is None


def found(tree: Tree, path: str) -> int | None:
    try:
        return tree.mount_at(path)
    except Loop:
        return None


@given(wanted_specs(), rooms)
def test_no_tmpfs_comes_to_the_runtimes_own_places(spec: Any, world: World) -> None:
    spec, new, _ = adjusted(spec, world)
    for links in layouts(world):
        mounted(links, destinations(new))
        for place in places_of_ours(spec, new, links):
            assert place != "/"
            assert not any(place == forbidden or place.startswith(forbidden + "/") for forbidden in FORBIDDEN)


def places_of_ours(spec: Any, new: Any, links: Mapping[str, str]) -> Iterator[str]:
    """Where each of our tmpfs really comes to stand, when its turn comes."""
    for index in indices(spec, new)[1]:
        if new["mounts"][index]["type"] != "tmpfs":
            continue
        yield mounted(links, destinations(new)[:index]).place(destinations(new)[index])


REAL = [
    name
    for name in VALUES
    if any(word in name for word in ("/systemd", "emptydir", "volume", "tmpfs-run", "service-account"))
]


@pytest.mark.parametrize("links", [{}, USUAL], ids=["no-links", "usual-links"])
@pytest.mark.parametrize("name", REAL)
def test_real_specs_have_all_four_on_either_layout(name: str, links: Mapping[str, str]) -> None:
    """An emptyDir at /var/run, a token below it and an image with a VOLUME /run each left a systemd dead once."""
    adjustment = adjust(from_spec(VALUES[name], "0" * 64), World().chosen(), World().host())
    tree = mounted(links, destinations(apply(VALUES[name], adjustment.edits)))
    for path in ("/run", "/run/lock", "/tmp", "/var/log/journal"):
        assert tree.mount_at(path) is not None or not adjustment.verdict.wanted


@given(wanted_specs(), rooms)
def test_places_are_the_ones_that_they_would_be_if_worked_out_anew(spec: dict[str, Any], world: World) -> None:
    """Each mount that is added changes what is known of the others only where it hides a link."""
    container, settings = from_spec(spec, world.id), world.chosen()
    case = Case(container, Annotations(container), settings, world.host(), wanted=True)
    for view in (case.presence, case.placing):
        view.places()
    for path in case.tmpfs_paths():
        case.add_mount(case.position_for(path), Mount(path, "tmpfs"))
        for view in (case.presence, case.placing):
            assert view.places() == places(case.destinations, view.links)


class Counted(dict[str, str]):
    """Links that count how often they are asked for."""

    asked = 0

    def get(self, key: str, default: Any = None, /) -> Any:
        self.asked += 1
        return super().get(key, default)


@pytest.mark.parametrize(("mounts", "depth"), [(10, 1000), (300, 3)], ids=["deep ones", "many"])
def test_links_are_asked_for_in_proportion(mounts: int, depth: int) -> None:
    """A pod's author may name mounts as deep, and as many, and tmpfs among them: nobody else waits for it."""
    given = [Mount("/sys/fs/cgroup", "cgroup"), *(Mount(f"/var/run/{each}" + "/a" * depth) for each in range(mounts))]
    paths = ",".join(f"/var/run/t{each}" for each in range(64))
    container = Container(
        args=["/sbin/init"],
        mounts=given,
        annotations={TMPFS: paths},
        namespaces={"pid": "", "cgroup": ""},
    )
    links = Counted(USUAL)
    adjustment = adjust(container, World().chosen(), Host(root=Root(links, {})))
    assert len([edit for edit in adjustment.edits if isinstance(edit, AddMount)]) == 64
    assert links.asked < 10 * (mounts + 64 * 10)


@given(
    st.lists(st.sampled_from(["a", "b", "l", "..", ".", ""]), max_size=12).map("/".join),
    st.dictionaries(
        st.sampled_from(["/a", "/a/l", "/b/l", "/l"]), st.sampled_from(["b", "/a/../b/l", "../a", "/"]), max_size=3
    ),
    st.lists(st.sampled_from(["/a", "/a/l", "/b"]), max_size=2),
)
def test_links_are_followed_the_same_where_their_reach_is_known(
    path: str, links: dict[str, str], covered: list[str]
) -> None:
    assert follow(path, links, covered, max(map(len, links), default=0)) == follow(path, links, covered)
