"""The container that NRI makes is the one that the wrapper makes, for every case of the corpus and for specs of any kind."""

import copy
from typing import Any

import pytest
from hypothesis import assume, given

from oci_systemd.core.adjust import adjust
from oci_systemd.core.apply import apply
from oci_systemd.core.container import from_spec, identity
from oci_systemd.core.errors import Problem
from oci_systemd.core.settings import Settings
from tests.corpus.cases import DEBIAN, CorpusCase, cases
from tests.laws.strategies import World, specs, worlds
from tests.nri.calls import Asked
from tests.nri.merging import described, merged, order, seen
from tests.nri.requests import is_for_us, request

# What contract and README say that NRI cannot carry.
BEYOND = {"selinuxLabel", "apparmorProfile"}


def by_nri(spec: dict[str, Any], asked: Asked, id: str) -> dict[str, Any] | str:
    """The spec in the end; the sentence where creation fails."""
    whose = identity(spec.get("annotations") or {}, (spec.get("linux") or {}).get("cgroupsPath") or "")
    try:
        return merged(spec, asked.create(request(spec, id, *whose)))
    except AssertionError as failure:
        return str(failure).removeprefix("oci-systemd: ")


def by_wrapper(case: CorpusCase) -> dict[str, Any] | str:
    try:
        assert isinstance(case.spec, dict)
        return apply(case.spec, case.adjustment().edits)
    except Problem as problem:
        return str(problem)


def without_what_is_beyond(spec: dict[str, Any]) -> dict[str, Any]:
    """All but the mounts, and but what NRI cannot carry."""
    spec = copy.deepcopy(spec)
    del spec["mounts"]
    spec["process"] = {key: value for key, value in spec["process"].items() if key not in BEYOND}
    variables = (each for each in spec["process"].get("env") or () if "=" in each)  # NRI loses what is none
    spec["process"]["env"] = dict(each.partition("=")[::2] for each in variables)
    spec.get("linux", {}).pop("devices", None)
    return spec


def is_nri(case: CorpusCase) -> bool:
    """Of an engine that has NRI, and a container that it tells plugins about."""
    return case.name.startswith("containerd") and not from_spec(case.spec, case.id).is_sandbox


@pytest.fixture(params=[case for case in cases() if is_nri(case)], ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> CorpusCase:
    given: CorpusCase = request.param
    return given


def test_corpus_by_nri_is_the_corpus_by_the_wrapper(case: CorpusCase) -> None:
    assert isinstance(case.spec, dict)
    nri, wrapper = by_nri(case.spec, Asked(), case.id), by_wrapper(case)
    if isinstance(nri, str) or isinstance(wrapper, str):
        assert nri == wrapper
        return
    assert seen(nri) == seen(wrapper)
    assert without_what_is_beyond(nri) == without_what_is_beyond(wrapper)


def test_corpus_by_nri_and_then_by_the_wrapper_is_as_by_nri(case: CorpusCase) -> None:
    """The wrapper, where both are on, finds nothing to do but what NRI could not."""
    assert isinstance(case.spec, dict)
    nri = by_nri(case.spec, Asked(), case.id)
    if isinstance(nri, dict):
        again = apply(nri, adjust(from_spec(nri, case.id), Settings(), World(links=dict(DEBIAN.links)).host()).edits)
        assert without_what_is_beyond(again) == without_what_is_beyond(nri)
        assert seen(again) == seen(nri)


def is_text(value: Any) -> bool:
    """Whether a spec holds nothing that no protobuf string holds."""
    if isinstance(value, dict):
        return all(is_text(each) for pair in value.items() for each in pair)
    if isinstance(value, list):
        return all(map(is_text, value))
    return not isinstance(value, str) or not any("\ud800" <= letter <= "\udfff" for letter in value)


def is_clear(spec: dict[str, Any]) -> bool:
    """Return whether each mount, variable and namespace of ours is there exactly once."""
    mounts = [each["destination"] for each in spec["mounts"]]
    namespaces = [each["type"] for each in (spec.get("linux") or {}).get("namespaces") or ()]
    env = [each.partition("=")[0] for each in (spec.get("process") or {}).get("env") or ()]
    ours = [each for each in env if each.startswith(("container", "TERM", "CREDENTIALS_DIRECTORY"))]
    return all(len(each) == len({*each}) for each in (mounts, namespaces, ours))


@given(specs(), worlds)
def test_nri_does_what_apply_does_in_the_order_of_the_runtime(spec: dict[str, Any], world: World) -> None:
    """On any spec, with any settings and host: the very same, once the mounts stand as the runtime sorts them."""
    assume(is_text([spec, world.id]) and is_clear(spec))
    world.links = None
    spec["mounts"] = sorted(spec["mounts"], key=order)
    spec["annotations"] = spec.get("annotations") or {}
    process = spec["process"]
    process["terminal"] = any(each.startswith("TERM=") for each in process.get("env") or ())  # as engines have it
    sandbox = from_spec(spec, world.id).is_sandbox
    assume(not sandbox)
    try:
        container = from_spec(spec, world.id)
        adjustment = adjust(container, world.chosen(), world.host())
        expected: Any = apply(spec, adjustment.edits)
    except Problem as problem:
        expected = str(problem)
    found = by_nri(spec, Asked(world.chosen(), world.host()), world.id)
    if isinstance(found, str) or isinstance(expected, str):
        assert found == expected
        return
    expected["mounts"] = sorted(expected["mounts"], key=order)
    assert [described(each) for each in found["mounts"]] == [described(each) for each in expected["mounts"]]
    assert ours(found) == ours(expected)
    assert unified(found) == unified(expected)
    assert without_what_is_beyond(found)["process"] == without_what_is_beyond(expected)["process"]


def unified(spec: dict[str, Any]) -> Any:
    return ((spec.get("linux") or {}).get("resources") or {}).get("unified") or {}


def ours(spec: dict[str, Any]) -> dict[str, str]:
    return {key: value for key, value in spec["annotations"].items() if is_for_us(key)}
