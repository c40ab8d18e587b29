"""What the manifests make of a cluster: they render, Kubernetes takes them, and they hold no right that is not explained."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import celpy
import kubernetes_validate
import pytest
import yaml
from celpy.adapter import json_to_cel
from celpy.celtypes import MessageType

from oci_systemd import __version__
from oci_systemd.host.kubernetes import LABEL

KUSTOMIZE = Path(__file__).parents[2] / "packaging/kustomize"
GUIDE = (KUSTOMIZE.parents[1] / "docs/operators.md").read_text()
OVERLAYS = sorted(each.name for each in (KUSTOMIZE / "overlays").iterdir())
KUBERNETES = "1.36.0"
WITH_COMPONENTS = 4  # of kustomize: Debian 12's kubectl has 2
NODE, ACCOUNT = "node-1", "system:serviceaccount:oci-systemd:oci-systemd-installer"

# Every container, with all that it may do beyond an ordinary one: user 0, capabilities, host paths, SELinux type, AppArmor
# profile, a token or none.
RIGHTS: dict[str, tuple[int, set[str], set[str], str, str, bool]] = {
    "plugin": (0, set(), {"/var/run/nri", "/etc/oci-systemd"}, "spc_t", "", False),
    "installer": (0, {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SYS_CHROOT"}, {"/"}, "spc_t", "Unconfined", True),
    "installed": (65532, set(), set(), "", "", False),
}
WRITABLE = {("installer", "host")}
ARGUMENTS = {
    "nri": ["nri"],
    "runtimeclass": ["install", "containerd", "--root=/host", "--restart=auto", "--node=$(NODE_NAME)"],
    "crio": ["install", "crio", "--root=/host", "--restart=auto", "--node=$(NODE_NAME)"],
    "k3s": [
        "install", "containerd", "--root=/host", "--restart=auto", "--node=$(NODE_NAME)",
        "--config=/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
    ],
    "remove": ["uninstall", "containerd", "--root=/host", "--restart=auto", "--node=$(NODE_NAME)"],
    "remove-crio": ["uninstall", "crio", "--root=/host", "--restart=auto", "--node=$(NODE_NAME)"],
}  # fmt: skip
# What each component that an operator may add brings along.
COMPONENTS = {
    "stop-signal": {"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"},
    "quota": {"ResourceQuota"},
    "gradual": set(),
    "inotify": set(),
}


@cache
def kubectl() -> str:
    """A kustomize with components; without one the test is skipped, in CI it fails."""
    program = shutil.which("kubectl") or ""
    said = subprocess.run([program, "version", "--client"], capture_output=True, text=True).stdout if program else ""
    found = re.search(r"Kustomize Version: v(\d+)", said)
    if found and int(found[1]) >= WITH_COMPONENTS:
        return program
    reason = "no kubectl whose kustomize knows components"
    assert os.environ.get("CI") != "true", reason
    pytest.skip(reason)


@cache
def rendered(folder: Path) -> tuple[dict[str, Any], ...]:
    done = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def overlay(name: str) -> tuple[dict[str, Any], ...]:
    return rendered(KUSTOMIZE / "overlays" / name)


def of_kind(objects: tuple[dict[str, Any], ...], kind: str) -> list[dict[str, Any]]:
    return [each for each in objects if each["kind"] == kind]


def pods(name: str) -> Iterator[dict[str, Any]]:
    return (each["spec"]["template"]["spec"] for each in of_kind(overlay(name), "DaemonSet"))


def containers(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for pod in pods(name):
        for container in (*pod.get("initContainers", []), *pod["containers"]):
            yield pod, container


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_object_is_one_that_kubernetes_knows(name: str) -> None:
    objects = overlay(name)
    assert objects
    for each in objects:
        kubernetes_validate.validate(each, KUBERNETES, strict=True)


def test_an_object_that_is_wrong_is_none(tmp_path: Path) -> None:
    wrong = json.loads(json.dumps(of_kind(overlay("nri"), "DaemonSet")[0]))
    wrong["spec"]["template"]["spec"]["containers"][0]["securityContext"]["capabilites"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def with_component(overlay: str, component: str, tmp_path: Path) -> tuple[dict[str, Any], ...]:
    """What an overlay makes that an operator added a component to."""
    shutil.copytree(KUSTOMIZE, tmp_path / "kustomize")
    folder = tmp_path / "kustomize/overlays" / overlay
    file = folder / "kustomization.yaml"
    given = yaml.safe_load(file.read_text())
    added = [*given.get("components", []), f"../../components/{component}"]
    file.write_text(yaml.safe_dump({**given, "components": added}))
    return rendered(folder)


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("name", OVERLAYS)
def test_each_component_fits_each_overlay(name: str, component: str, tmp_path: Path) -> None:
    objects = with_component(name, component, tmp_path)
    selector = {"oci-systemd/install": "true"} if component == "gradual" else {}
    for each in of_kind(objects, "DaemonSet"):
        chosen = each["spec"]["template"]["spec"]["nodeSelector"]
        installs = each["metadata"]["name"] == "oci-systemd-installer"
        assert {key: chosen.pop(key) for key in selector if installs} == (selector if installs else {})
        if component == "inotify" and installs:
            each["spec"]["template"]["spec"]["initContainers"][0]["args"].remove("--sysctl")
    assert [each for each in objects if each["kind"] not in COMPONENTS[component]] == [*overlay(name)]
    assert {each["kind"] for each in objects} - {each["kind"] for each in overlay(name)} == COMPONENTS[component]
    for each in objects:
        kubernetes_validate.validate(each, KUBERNETES, strict=True)


def test_every_component_is_in_the_table() -> None:
    assert {each.name for each in (KUSTOMIZE / "components").iterdir()} == {"image", *COMPONENTS}


def test_a_cluster_may_have_both(tmp_path: Path) -> None:
    shutil.copytree(KUSTOMIZE, tmp_path / "kustomize")
    both = tmp_path / "kustomize/overlays/both"
    both.mkdir()
    resources = [f"../../base/{each}" for each in ("namespace", "nri", "installer")]
    (both / "kustomization.yaml").write_text(
        yaml.safe_dump({"resources": resources, "components": ["../../components/image"]})
    )
    assert {each["metadata"]["name"] for each in of_kind(rendered(both), "DaemonSet")} == {
        "oci-systemd-nri",
        "oci-systemd-installer",
    }


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_namespace_is_made(name: str) -> None:
    used = {each["metadata"]["namespace"] for each in overlay(name) if "namespace" in each["metadata"]}
    assert used == {each["metadata"]["name"] for each in of_kind(overlay(name), "Namespace")}


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_image_is_this_version_s(name: str) -> None:
    images = {container["image"] for _, container in containers(name)}
    assert images == {f"ghcr.io/oci-systemd/oci-systemd:{__version__}"}


@pytest.mark.parametrize("name", OVERLAYS)
def test_each_overlay_runs_what_it_is_for(name: str) -> None:
    (pod,) = pods(name)
    first = (*pod.get("initContainers", []), *pod["containers"])[0]
    assert first["args"] == ARGUMENTS[name]


def test_every_overlay_is_in_the_table() -> None:
    assert sorted(ARGUMENTS) == OVERLAYS


# Rights


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_pod_has_a_namespace_of_the_host_s_or_a_token_by_itself(name: str) -> None:
    for pod in pods(name):
        assert not {"hostPID", "hostNetwork", "hostIPC"} & {*pod}
        assert pod["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_container_has_the_rights_of_the_table_and_no_other(name: str) -> None:
    for pod, container in containers(name):
        user, capabilities, paths, selinux, apparmor, token = RIGHTS[container["name"]]
        security = container["securityContext"]
        assert security["runAsUser"] == security["runAsGroup"] == user
        assert set(security["capabilities"].get("add", [])) == capabilities
        assert security["capabilities"]["drop"] == ["ALL"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert security.get("seLinuxOptions", {}) == ({"type": selinux} if selinux else {})
        assert security.get("appArmorProfile", {}) == ({"type": apparmor} if apparmor else {})
        assert "privileged" not in security and "procMount" not in security
        volumes = {each["name"]: each for each in pod["volumes"]}
        mounted = [volumes[mount["name"]] for mount in container.get("volumeMounts", [])]
        assert {each["hostPath"]["path"] for each in mounted if "hostPath" in each} == paths
        assert any("serviceAccountToken" in str(each) for each in mounted) == token


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_more_is_for_writing_than_the_node_that_is_installed_on(name: str) -> None:
    for _, container in containers(name):
        for mount in container.get("volumeMounts", []):
            assert mount.get("readOnly", False) == ((container["name"], mount["name"]) not in WRITABLE)


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_container_has_its_share_of_the_node(name: str) -> None:
    for pod, container in containers(name):
        assert {*container["resources"]["requests"]} == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        assert pod["priorityClassName"] == "system-node-critical"
        assert pod["tolerations"] == [{"operator": "Exists"}]


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_one_right_in_the_cluster_is_to_patch_nodes(name: str) -> None:
    roles = [each for kind in ("ClusterRole", "Role") for each in of_kind(overlay(name), kind)]
    wanted = [] if name == "nri" else [[{"apiGroups": [""], "resources": ["nodes"], "verbs": ["patch"]}]]
    assert [each["rules"] for each in roles] == wanted


def test_the_guide_explains_every_right() -> None:
    explained = GUIDE.partition("## What each pod may do, and why")[2].partition("\n## ")[0]
    for _, capabilities, paths, selinux, apparmor, _ in RIGHTS.values():
        for each in capabilities | paths | ({selinux, apparmor} - {""}):
            assert f"`{each}`" in explained, each
    assert "user 0" in explained and "token" in explained


# What belongs together


def test_the_runtime_class_selects_the_label_that_the_installer_sets() -> None:
    (runtime_class,) = of_kind(overlay("runtimeclass"), "RuntimeClass")
    assert runtime_class["scheduling"] == {"nodeSelector": {LABEL: runtime_class["handler"]}}
    assert runtime_class["handler"] == "systemd"  # the default of --handler


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_quota_is_for_the_priority_class_of_every_pod(name: str, tmp_path: Path) -> None:
    (quota,) = of_kind(with_component(name, "quota", tmp_path), "ResourceQuota")
    (scope,) = quota["spec"]["scopeSelector"]["matchExpressions"]
    assert (scope["scopeName"], scope["operator"]) == ("PriorityClass", "In")
    assert scope["values"] == [pod["priorityClassName"] for pod in pods(name)]


def test_every_probe_that_executes_has_time_on_a_busy_node() -> None:
    """The default is one second: on a loaded node the exec may not have started by then."""
    files = (KUSTOMIZE.parent / "kubernetes").rglob("*.yaml")
    given = [each for file in files for each in yaml.safe_load_all(file.read_text())]
    found = [*probes(given), *(probe for name in OVERLAYS for probe in probes([*overlay(name)]))]
    assert found
    assert [probe for probe in found if "exec" in probe and probe.get("timeoutSeconds", 1) < 5] == []


def probes(value: Any) -> list[dict[str, Any]]:
    """Every probe below."""
    if isinstance(value, list):
        return [found for each in value for found in probes(each)]
    if not isinstance(value, dict):
        return []
    own = [each for key, each in value.items() if key.endswith("Probe")]
    return [*own, *(found for each in value.values() for found in probes(each))]


def test_the_program_of_a_probe_is_in_the_image() -> None:
    (pod,) = pods("nri")
    for probe in ("startupProbe", "readinessProbe"):
        assert pod["containers"][0][probe]["exec"]["command"] == ["/opt/oci-systemd/bin/oci-systemd", "nri", "--check"]


# The policy that holds the installer to one label of its own node


@cache
def policy() -> dict[str, Any]:
    spec: dict[str, Any] = of_kind(overlay("runtimeclass"), "ValidatingAdmissionPolicy")[0]["spec"]
    return spec


def holds(expression: str, values: Mapping[str, Any]) -> bool:
    environment = celpy.Environment()
    program = environment.program(environment.compile(expression))
    return bool(program.evaluate({name: json_to_cel(value) for name, value in values.items()}))


def node(**metadata: Any) -> dict[str, Any]:
    labels = {"kubernetes.io/hostname": NODE, **metadata.pop("labels", {})}
    return {"metadata": {"name": NODE, "labels": labels, **metadata}, "spec": {"podCIDR": "10.0.0.0/24"}}


def allowed(old: dict[str, Any], new: dict[str, Any], user: str = ACCOUNT, of: str = NODE) -> bool:
    extra = {"authentication.kubernetes.io/node-name": [of]} if of else {"other": ["x"]}
    request = {"name": NODE, "userInfo": {"username": user, "extra": extra}}
    values = {"object": new, "oldObject": old, "request": request}
    if not all(holds(each["expression"], values) for each in policy()["matchConditions"]):
        return True
    return all(holds(each["expression"], values) for each in policy()["validations"])


SET = node(labels={LABEL: "systemd"})
CHANGES = {
    "the label": (node(), SET, True),
    "no label any more": (SET, node(), True),
    "nothing": (SET, SET, True),
    "the label beside annotations": (
        node(annotations={"a": "b"}),
        node(annotations={"a": "b"}, labels={LABEL: "x"}),
        True,
    ),
    "another label": (node(), node(labels={"node-role.kubernetes.io/control-plane": ""}), False),
    "another label's value": (node(labels={"zone": "a"}), node(labels={"zone": "b"}), False),
    "another label away": (node(labels={"zone": "a"}), node(), False),
    "another label beside it": (node(), node(labels={LABEL: "systemd", "zone": "a"}), False),
    "an annotation": (node(), node(annotations={"a": "b"}), False),
    "an annotation's value": (node(annotations={"a": "b"}), node(annotations={"a": "c"}), False),
    "a finalizer": (node(), node(finalizers=["a/b"]), False),
    "an owner": (node(), node(ownerReferences=[{"name": "x"}]), False),
    "a taint": (node(), {**node(), "spec": {"podCIDR": "10.0.0.0/24", "taints": []}}, False),
    "a cordon": (node(), {**node(), "spec": {"podCIDR": "10.0.0.0/24", "unschedulable": True}}, False),
}


@pytest.mark.parametrize(("old", "new", "good"), CHANGES.values(), ids=CHANGES)
def test_the_installer_may_change_its_label_alone(old: dict[str, Any], new: dict[str, Any], good: bool) -> None:
    assert allowed(old, new) == good


@pytest.mark.parametrize("of", ["node-2", ""])
def test_the_installer_may_change_its_own_node_alone(of: str) -> None:
    assert not allowed(node(), SET, of=of)


def test_nobody_else_is_held() -> None:
    assert allowed(node(), node(labels={"zone": "a"}), user="system:serviceaccount:kube-system:node-controller", of="")


def test_what_cannot_be_judged_is_refused() -> None:
    assert policy()["failurePolicy"] == "Fail"
    (binding,) = of_kind(overlay("runtimeclass"), "ValidatingAdmissionPolicyBinding")
    assert binding["spec"]["validationActions"] == ["Deny"]


# The policy that gives pods of the RuntimeClass their stop signal

STOP = "SIGRTMIN+3"
MESSAGE = re.compile(r"\bObject(?:\.\w+)*(?={)")


@cache
def mutating() -> dict[str, Any]:
    given = yaml.safe_load_all((KUSTOMIZE / "components/stop-signal/policy.yaml").read_text())
    spec: dict[str, Any] = next(given)["spec"]
    return spec


def patch(pod: dict[str, Any]) -> Any:
    """The apply configuration that the policy makes for a pod. celpy knows no names with dots: each object here is one of a class
    that is called as the expression has it."""
    expression = mutating()["mutations"][0]["applyConfiguration"]["expression"]
    names: Any = {name.replace(".", "_"): type(name, (MessageType,), {}) for name in MESSAGE.findall(expression)}
    environment = celpy.Environment(annotations=names)
    program = environment.program(
        environment.compile(MESSAGE.sub(lambda found: found[0].replace(".", "_"), expression))
    )
    return program.evaluate({"object": json_to_cel(pod)})


def misnamed(value: Any, path: str = "Object") -> list[str]:
    """Objects that are not called by the path of their field, which the API server refuses; a list adds nothing to the path
    (k8s.io/apiserver, pkg/cel/mutation/dynamic, CheckTypeNamesMatchFieldPathNames)."""
    if isinstance(value, list):
        return [name for each in value for name in misnamed(each, path)]
    if not isinstance(value, MessageType):
        return []
    found = [name for field, each in value.items() for name in misnamed(each, f"{path}.{field!s}")]
    return found if type(value).__name__ == path else [type(value).__name__, *found]


def merged(old: Any, new: Any) -> Any:
    """As server-side apply does it: objects by field, containers by name."""
    if isinstance(new, dict):
        return {**old, **{str(key): merged(old.get(str(key), {}), each) for key, each in new.items()}}
    if isinstance(new, list):
        given = {each["name"]: each for each in new}
        return [merged(each, given.get(each["name"], {})) for each in old]
    return str(new)


PODS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "none of its own": ([{"name": "a"}], [{"name": "a", "lifecycle": {"stopSignal": STOP}}]),
    "one of its own": ([{"name": "a", "lifecycle": {"stopSignal": "SIGTERM"}}],) * 2,
    "other hooks": (
        [{"name": "a", "image": "i", "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}],
        [{"name": "a", "image": "i", "lifecycle": {"preStop": {"sleep": {"seconds": 1}}, "stopSignal": STOP}}],
    ),
    "two, and one has its own": (
        [{"name": "a", "lifecycle": {"stopSignal": "SIGINT"}}, {"name": "b"}],
        [{"name": "a", "lifecycle": {"stopSignal": "SIGINT"}}, {"name": "b", "lifecycle": {"stopSignal": STOP}}],
    ),
}


@pytest.mark.parametrize(("given", "wanted"), PODS.values(), ids=PODS)
def test_containers_get_the_stop_signal_that_they_lack(
    given: list[dict[str, Any]], wanted: list[dict[str, Any]]
) -> None:
    pod = {"spec": {"runtimeClassName": "systemd", "containers": given}}
    made = patch(pod)
    assert misnamed(made) == []
    spec = {"runtimeClassName": "systemd", "os": {"name": "linux"}, "containers": wanted}
    assert merged(pod, made) == {"spec": spec}
    template = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}
    kubernetes_validate.validate({**template, "spec": spec}, KUBERNETES, strict=True)


@pytest.mark.parametrize(
    ("spec", "matched"),
    [({"runtimeClassName": "systemd"}, True), ({"runtimeClassName": "other"}, False), ({}, False)],
    ids=["of the class", "of another", "of none"],
)
def test_pods_of_the_runtime_class_alone_are_given_one(spec: dict[str, Any], matched: bool) -> None:
    values = {"object": {"spec": {"containers": [], **spec}}}
    assert all(holds(each["expression"], values) for each in mutating()["matchConditions"]) == matched
