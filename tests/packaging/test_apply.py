"""A second `kubectl apply` of each manifest says `unchanged`, and `kubectl diff` nothing.

kubectl sends the difference between the manifest and the live object (kubectl, pkg/cmd/apply/patcher.go): objects field by field,
lists with a merge key element by element, every other list whole. A field that the API server adds makes no difference but in an
element of such a list. The schema says which lists have a key.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.packaging.test_kustomize import COMPONENTS, KUBERNETES, KUSTOMIZE, OVERLAYS, of_kind, overlay, with_component

SCHEMAS = Path(kubernetes_validate.__file__).parent / f"kubernetes-json-schema/v{KUBERNETES}-local"
MERGE_KEY = "x-kubernetes-patch-merge-key"

# What the API server adds to each type that lacks it: kubernetes, pkg/apis/{core,apps,rbac}/v1/defaults.go and
# pkg/apis/admissionregistration/{v1,v1beta1}/defaults.go. Types with nothing to add are here where a list is sent whole.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "admissionregistration.v1.ApplyConfiguration": {},
    "admissionregistration.v1.MatchResources": {
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {},
    },
    "admissionregistration.v1.NamedRuleWithOperations": {"scope": "*"},
    "admissionregistration.v1.Validation": {},
    "admissionregistration.v1.Mutation": {},
    "apps.v1.DaemonSetSpec": {"revisionHistoryLimit": 10},
    "apps.v1.DaemonSetUpdateStrategy": {"type": "RollingUpdate"},
    "apps.v1.RollingUpdateDaemonSet": {"maxUnavailable": 1, "maxSurge": 0},
    "core.v1.ConfigMapProjection": {},
    "core.v1.Container": {
        "imagePullPolicy": "IfNotPresent",
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    },
    "core.v1.HostPathVolumeSource": {"type": ""},
    "core.v1.KeyToPath": {},
    "core.v1.ObjectFieldSelector": {"apiVersion": "v1"},
    "core.v1.PodSpec": {
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    },
    "core.v1.Probe": {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
    "core.v1.ProjectedVolumeSource": {"defaultMode": 0o644},
    "core.v1.ScopedResourceSelectorRequirement": {},
    "core.v1.ServiceAccountTokenProjection": {"expirationSeconds": 3600},
    "core.v1.Toleration": {},
    "core.v1.VolumeProjection": {},
    "rbac.v1.PolicyRule": {},
    "rbac.v1.RoleRef": {"apiGroup": "rbac.authorization.k8s.io"},
    "rbac.v1.Subject": {},
}


@cache
def definitions() -> Any:
    return json.loads((SCHEMAS / "_definitions.json").read_text())["$defs"]


def schema_of(given: Mapping[str, Any]) -> tuple[str, Any]:
    """The name of the type that a manifest is of, and its schema."""
    group, _, version = given["apiVersion"].rpartition("/")
    end = f"{group.split('.')[0] or 'core'}.{version}.{given['kind']}"
    name = next(each for each in definitions() if each == f"io.k8s.api.{end}")
    return end, definitions()[name]


def resolved(schema: Mapping[str, Any]) -> tuple[str, Any]:
    """The type that a field's schema names, "" where it has none of its own."""
    for each in (schema, *schema.get("allOf", ()), *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        if reference := each.get("$ref", "").rpartition("/$defs/")[2]:
            return reference.removeprefix("io.k8s.api."), definitions()[reference]
    return "", schema


def fields(value: Mapping[str, Any], schema: Any) -> Iterator[tuple[str, Any, Any]]:
    for key, inner in value.items():
        yield key, inner, schema.get("properties", {}).get(key, {})


def live(value: Any, name: str, schema: Any) -> Any:
    """What the API server makes of a manifest's part."""
    if isinstance(value, list):
        return [live(each, *resolved(schema.get("items", {}))) for each in value]
    if not isinstance(value, dict):
        return value
    whole = {**copy.deepcopy(dict(DEFAULTS.get(name, {}))), **value}
    return {
        key: live(inner, *resolved(field)) if key in value else inner for key, inner, field in fields(whole, schema)
    }


def sent(wanted: Any, there: Any, schema: Any, path: str = "") -> list[str]:
    """The fields that kubectl sends, where the object is `there`."""
    if isinstance(wanted, dict) and isinstance(there, dict):
        return [
            each
            for key, inner, field in fields(wanted, schema)
            for each in sent(inner, there.get(key), _whole(field), f"{path}.{key}")
        ]
    if isinstance(wanted, list) and (key := schema.get(MERGE_KEY)) and isinstance(there, list):
        known = {each.get(key): each for each in there}
        item = resolved(schema.get("items", {}))[1]
        return [found for each in wanted for found in sent(each, known.get(each[key]), item, f"{path}[{each[key]}]")]
    return [] if wanted == there else [path]


def _whole(field: Mapping[str, Any]) -> Any:
    """A field's own schema, with what its type says."""
    return {**resolved(field)[1], **field}


def whole_lists(value: Any, schema: Any, inside: bool = False) -> Iterator[str]:
    """The types of all that is below a list that is sent whole."""
    name, own = resolved(schema)
    merged = {**own, **schema}
    if isinstance(value, dict):
        if inside and name:
            yield name
        for _, inner, field in fields(value, own):
            yield from whole_lists(inner, field, inside)
    elif isinstance(value, list):
        for each in value:
            yield from whole_lists(each, merged.get("items", {}), inside or MERGE_KEY not in merged)


def again(given: Mapping[str, Any]) -> list[str]:
    """What a second apply of a manifest sends."""
    name, schema = schema_of(given)
    return sent(given, live(given, name, schema), schema)


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_second_apply_sends_nothing(name: str) -> None:
    assert {each["metadata"]["name"]: again(each) for each in overlay(name) if again(each)} == {}


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_second_apply_with_a_component_sends_nothing(component: str, tmp_path: Path) -> None:
    assert [again(each) for each in with_component("runtimeclass", component, tmp_path) if again(each)] == []


def test_a_default_that_is_missing_in_a_whole_list_is_sent_each_time() -> None:
    (policy,) = copy.deepcopy(of_kind(overlay("runtimeclass"), "ValidatingAdmissionPolicy"))
    del policy["spec"]["matchConstraints"]["resourceRules"][0]["scope"]
    assert again(policy) == [".spec.matchConstraints.resourceRules"]


def test_a_default_in_a_list_with_a_key_is_not_sent() -> None:
    (daemonset,) = of_kind(overlay("nri"), "DaemonSet")
    name, schema = schema_of(daemonset)
    (container,) = live(daemonset, name, schema)["spec"]["template"]["spec"]["containers"]
    assert container["terminationMessagePath"] == "/dev/termination-log"
    assert container["readinessProbe"]["successThreshold"] == 1
    assert again(daemonset) == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_type_in_a_whole_list_is_in_the_table(name: str) -> None:
    """Who adds one looks up first what the API server adds to it."""
    found = {type for each in overlay(name) for type in whole_lists(each, schema_of(each)[1])}
    found |= {
        type
        for file in (KUSTOMIZE / "components").glob("*/*.yaml")
        for each in yaml.safe_load_all(file.read_text())
        if "metadata" in each
        for type in whole_lists(each, schema_of(each)[1])
    }
    assert found - DEFAULTS.keys() == set()
