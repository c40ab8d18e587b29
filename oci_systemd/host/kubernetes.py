"""The label that tells Kubernetes which nodes have a handler, set by the node's own pod through the API server.

Law: one request, for one label of one node; what it needs is where the kubelet puts it for a pod's service account
(kubernetes.io/docs/tasks/run-application/access-api-from-pod).
"""

from __future__ import annotations

import json
import os
import ssl
import time
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from oci_systemd.core.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Collection

LABEL = "oci-systemd/handler"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PATIENCE = 30.0  # seconds
STARTS = 30.0  # seconds in which an API server that starts may refuse everybody
PAUSE = 2.0
REFUSED = (401, 403)
PASSING = (*REFUSED, 429, 500, 502, 503, 504)  # what may be otherwise in a moment
UNLIKE = 422  # a JSON patch whose test fails: the label is another's, or none (RFC 5789, section 2.2)


class Unable(Problem):
    """The node's label stays as it is: the service account has no right to change it, or it is not ours to take."""


def label(node: str, handler: str) -> None:
    """Give `node` the label of `handler`. Unable where we may not; a Problem where that fails."""
    status, said = _asked(node, "application/merge-patch+json", {"metadata": {"labels": {LABEL: handler}}})
    _check(node, status, said, REFUSED)


def unlabel(node: str, handler: str) -> None:
    """Take the label away from `node`, if it is that of `handler`. Unable where it is not, or we may not."""
    place = f"/metadata/labels/{LABEL.replace('~', '~0').replace('/', '~1')}"
    change = [{"op": "test", "path": place, "value": handler}, {"op": "remove", "path": place}]
    status, said = _asked(node, "application/json-patch+json", change)
    _check(node, status, said, (*REFUSED, UNLIKE))


def _check(node: str, status: int, said: str, unable: Collection[int]) -> None:
    if status in unable:
        raise Unable(f"the label {LABEL} of node {node} is left as it is: {said}")
    if status != 200:
        raise Problem(f"node {node} could not be labelled {LABEL}: the API server answers {status}: {said}")


def _asked(node: str, kind: str, change: object) -> tuple[int, str]:
    """The answer to a patch. An API server that was just restarted, with its node's engine, is away at first, and knows nobody's
    rights then: it is waited for."""
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{each}", "") for each in ("HOST", "PORT"))
    if not host or not (ACCOUNT / "token").exists():
        raise Problem(f"there is no API server to ask: --node is for a pod of the cluster, with the token in {ACCOUNT}")
    end = time.monotonic() + STARTS
    while True:
        try:
            answer = _patch(host, int(port or 443), f"/api/v1/nodes/{quote(node, safe='')}", kind, change)
            if answer[0] not in PASSING or time.monotonic() > end:
                return answer
        except (OSError, HTTPException, ValueError) as error:
            if isinstance(error, ssl.SSLCertVerificationError) or time.monotonic() > end:
                raise Problem(f"the API server at {host}:{port} cannot be asked: {error}") from None
        time.sleep(PAUSE)


def _patch(host: str, port: int, path: str, kind: str, change: object) -> tuple[int, str]:
    """The status that a patch is answered with, and the server's own words where it is a failure."""
    token = (ACCOUNT / "token").read_text().strip()
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    # The default since Python 3.13. Many a cluster's own CA lacks what it asks for (key identifiers, key usage).
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    connection = HTTPSConnection(host, port, context=context, timeout=PATIENCE)
    try:
        connection.request(
            "PATCH", path, json.dumps(change), {"Authorization": f"Bearer {token}", "Content-Type": kind}
        )
        answer = connection.getresponse()
        return answer.status, _message(answer.read())
    finally:
        connection.close()


def _message(said: bytes) -> str:
    try:
        return str(json.loads(said).get("message", ""))
    except (ValueError, AttributeError):
        return said[:200].decode(errors="replace")
