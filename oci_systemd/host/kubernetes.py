"""The label that tells Kubernetes which nodes have a handler, set by the node's own pod through the API server.

Law: one request, for one label of one node; what it needs is where the kubelet puts it for a pod's service account
(kubernetes.io/docs/tasks/run-application/access-api-from-pod).
"""

from __future__ import annotations

import json
import os
import ssl
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import quote

from oci_systemd.core.errors import Problem

LABEL = "oci-systemd/handler"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PATIENCE = 30.0  # seconds
REFUSED = (401, 403)


class Unable(Problem):
    """The service account has no right to label the node."""


def label(node: str, value: str | None) -> None:
    """Give `node` the label with `value`, or take it away. Unable where we may not; a Problem where that fails."""
    status, said = _patch(f"/api/v1/nodes/{quote(node, safe='')}", {"metadata": {"labels": {LABEL: value}}})
    if status in REFUSED:
        raise Unable(f"the label {LABEL} of node {node} is left as it is: {said}")
    if status != 200:
        raise Problem(f"node {node} could not be labelled {LABEL}: the API server answers {status}: {said}")


def _patch(path: str, change: object) -> tuple[int, str]:
    """The status that a merge patch is answered with, and the server's own words where it is a failure."""
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{each}", "") for each in ("HOST", "PORT"))
    try:
        token = (ACCOUNT / "token").read_text().strip()
        context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        connection = HTTPSConnection(host, int(port or 443), context=context, timeout=PATIENCE)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json"}
        connection.request("PATCH", path, json.dumps(change), headers)
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
    except (OSError, HTTPException, ValueError) as error:
        raise Problem(
            f"the API server at {host}:{port} cannot be asked: {error}; --node is for a pod of the cluster"
        ) from None
    return answer.status, _message(said)


def _message(said: bytes) -> str:
    try:
        return str(json.loads(said).get("message", ""))
    except (ValueError, AttributeError):
        return said[:200].decode(errors="replace")
