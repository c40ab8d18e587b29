"""The facts read from a spec: bad input, and the names of the container."""

from __future__ import annotations

from typing import Any

import pytest

from oci_systemd.core.container import from_spec
from oci_systemd.core.errors import SpecError

# Go takes a key for the field in any spelling (encoding/json), C in the right one alone.
ODD_KEYS: dict[str, tuple[dict[str, Any], str]] = {
    "beside": ({"linux": {}, "Linux": {}}, "linux and Linux"),
    "alone": ({"Linux": {}}, "linux: the key has wrong upper and lower case"),
    "in the process": ({"process": {"args": [], "Args": []}}, "args and Args"),
    "alone in the process": ({"process": {"ENV": []}}, "process.env: the key has wrong upper and lower case"),
    "of a mount": (
        {"mounts": [{"Destination": "/run"}]},
        "mounts[0].destination: the key has wrong upper and lower case",
    ),
    "of the cgroup": ({"linux": {"cgroupspath": "/"}}, "linux.cgroupsPath: the key has wrong upper and lower case"),
    "of limits": (
        {"linux": {"resources": {"Unified": {}}}},
        "linux.resources.unified: the key has wrong upper and lower case",
    ),
    "of a field that is not read": ({"hostname": "a", "hostName": "b"}, "hostname and hostName"),
    "with another letter that folds": ({"proce\u017f\u017f": {}}, "process: the key has wrong upper and lower case"),
    "of a namespace": (
        {"linux": {"namespaces": [{"type": "pid", "Path": "/x"}]}},
        "linux.namespaces[0].path: the key has wrong upper and lower case",
    ),
}


@pytest.mark.parametrize(("spec", "said"), ODD_KEYS.values(), ids=ODD_KEYS)
def test_keys_in_another_case_are_bad_input(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as raised:
        from_spec(spec)
    assert said in str(raised.value)


def test_keys_of_maps_stand_for_themselves() -> None:
    maps = {"annotations": {"a": "1", "A": "2"}, "linux": {"resources": {"unified": {"x": "1", "X": "2"}}}}
    found = from_spec(maps)
    assert (dict(found.annotations), dict(found.unified)) == ({"a": "1", "A": "2"}, {"x": "1", "X": "2"})


BY_CONTAINERD = {
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.container-name": "main",
    "io.kubernetes.cri.sandbox-uid": "uid",
    "io.kubernetes.cri.sandbox-name": "web",
    "io.kubernetes.cri.sandbox-namespace": "shop",
}
BY_CRIO = {
    "io.kubernetes.cri-o.ContainerType": "container",
    "io.kubernetes.container.name": "main",
    "io.kubernetes.pod.uid": "uid",
    "io.kubernetes.pod.name": "web",
    "io.kubernetes.pod.namespace": "shop",
}
# What a pod's author may write beside it, to be taken for another.
FORGED = {
    "io.kubernetes.cri.container-name": "etcd",
    "io.kubernetes.cri.sandbox-uid": "another",
    "io.kubernetes.cri.sandbox-name": "etcd-master",
    "io.kubernetes.cri.sandbox-namespace": "kube-system",
}
FORGED_TYPE = {"io.kubernetes.cri.container-type": "container"}
IDENTITIES: dict[str, tuple[dict[str, str], str]] = {
    "containerd": (BY_CONTAINERD, "/kubepods/podx/abc"),
    "CRI-O": (BY_CRIO, "kubepods.slice:crio:abc"),
    "CRI-O, forged": (BY_CRIO | FORGED, "kubepods.slice:crio:abc"),
    "CRI-O, forged with the type": (BY_CRIO | FORGED | FORGED_TYPE, "kubepods.slice:crio:abc"),
    "CRI-O with cgroupfs, forged with the type": (BY_CRIO | FORGED | FORGED_TYPE, "/kubepods/podx/crio-abc"),
    "containerd, forged": (
        BY_CONTAINERD | dict.fromkeys(BY_CRIO, "another"),
        "kubepods.slice:cri-containerd:abc",
    ),
}


@pytest.mark.parametrize(("annotations", "path"), IDENTITIES.values(), ids=IDENTITIES)
def test_container_is_named_by_the_engine_that_wrote_the_spec(annotations: dict[str, str], path: str) -> None:
    found = from_spec({"annotations": annotations, "linux": {"cgroupsPath": path}})
    assert (found.name, found.pod_uid, found.pod) == ("main", "uid", "shop/web")
