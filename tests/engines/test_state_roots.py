"""By what a container's state tells its engine, and that the tables are what the code that walks them takes them for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from oci_systemd.engines.state_roots import OPTIONS, ROOTS, engine_of

CORPUS = Path(__file__).parents[1] / "corpus"
ID = "c0ffee" * 10 + "beef"
TASK = "io.containerd.runtime.v2.task"

ENGINES = {
    "containerd": ({}, f"/run/containerd/{TASK}/k8s.io/{ID}", "containerd"),
    "containerd in another place": ({}, f"/srv/containerd/{TASK}/default/{ID}", "containerd"),
    "Docker by the machine's containerd": ({}, f"/run/containerd/{TASK}/moby/{ID}", "docker"),
    "Docker by its own": ({}, f"/var/run/docker/containerd/daemon/{TASK}/moby/{ID}", "docker"),
    "k3s": ({}, f"/run/k3s/containerd/{TASK}/k8s.io/{ID}", "k3s"),
    "k0s": ({}, f"/run/k0s/containerd/{TASK}/k8s.io/{ID}", "k0s"),
    "microk8s": ({}, f"/var/snap/microk8s/common/run/containerd/{TASK}/k8s.io/{ID}", "microk8s"),
    "CRI-O": (
        {"io.container.manager": "cri-o"},
        f"/run/containers/storage/overlay-containers/{ID}/userdata",
        "crio",
    ),
    "podman": (
        {"io.container.manager": "libpod"},
        f"/var/lib/containers/storage/overlay-containers/{ID}/userdata",
        "podman",
    ),
    "another one of containers/storage": ({}, f"/var/lib/containers/storage/overlay-containers/{ID}/userdata", "none"),
    "an unknown one": ({"io.container.manager": "x\x1b"}, "/b", "none"),
    "a runtime that was called by hand": ({}, "/root/bundle", "none"),
    "no bundle": ({}, "", "none"),
}


@pytest.mark.parametrize(("annotations", "bundle", "engine"), ENGINES.values(), ids=ENGINES)
def test_the_engine_of(annotations: dict[str, str], bundle: str, engine: str) -> None:
    assert engine_of(annotations, bundle) == engine


@pytest.mark.parametrize(
    "path", sorted(CORPUS.glob("podman*/*.json")), ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_podman_says_so_in_each_of_its_own(path: Path) -> None:
    assert engine_of(json.loads(path.read_bytes())["annotations"], "") == "podman"


@pytest.mark.parametrize("pattern", [*ROOTS, *OPTIONS])
def test_a_pattern_is_a_clean_absolute_path(pattern: str) -> None:
    assert pattern.startswith("/")
    assert not {"", ".", "..", "**"} & {*pattern[1:].split("/")}


@pytest.mark.parametrize("pattern", OPTIONS)
def test_the_namespace_is_the_third_name_from_the_end(pattern: str) -> None:
    assert pattern.split("/")[-3] == "*"
