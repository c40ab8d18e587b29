"""Set the node label that tells Kubernetes which nodes have a handler. A pod on the node does it through the API server.

Law: one request, for one label of one node. Address and token are where the kubelet puts them for a pod's service account
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
STARTS = 30.0  # seconds in which a starting API server may refuse every request
PAUSE = 2.0
REFUSED = (401, 403)
PASSING = (*REFUSED, 429, 500, 502, 503, 504)  # statuses that may be temporary
UNLIKE = 422  # the test in a JSON patch failed: the label is missing or has another value (RFC 5789, section 2.2)


class Unable(Problem):
    """The node's label is unchanged: the service account may not change it, or it has another value."""


def label(node: str, handler: str) -> None:
    """Set the label of `node` to `handler`. Raise Unable if that is not permitted, a Problem if it fails."""
    status, said = _asked(node, "application/merge-patch+json", {"metadata": {"labels": {LABEL: handler}}})
    _check(node, status, said, REFUSED)


def unlabel(node: str, handler: str) -> None:
    """Remove the label from `node` if it is `handler`. Raise Unable if it is not, or if that is not permitted."""
    place = f"/metadata/labels/{LABEL.replace('~', '~0').replace('/', '~1')}"
    change = [{"op": "test", "path": place, "value": handler}, {"op": "remove", "path": place}]
    status, said = _asked(node, "application/json-patch+json", change)
    _check(node, status, said, (*REFUSED, UNLIKE))


def _check(node: str, status: int, said: str, unable: Collection[int]) -> None:
    if status in unable:
        raise Unable(f"node {node}: label {LABEL} is unchanged: {said}")
    if status != 200:
        raise Problem(f"node {node}: cannot change label {LABEL}: the API server answered {status}: {said}")


def _asked(node: str, kind: str, change: object) -> tuple[int, str]:
    """Return the answer to a patch. An API server that was just restarted with the node's engine is unreachable at first, and then
    refuses every request; wait for it."""
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{each}", "") for each in ("HOST", "PORT"))
    if not host or not (ACCOUNT / "token").exists():
        raise Problem(f"API server: not found; --node works only in a pod of the cluster, with a token in {ACCOUNT}")
    end = time.monotonic() + STARTS
    while True:
        try:
            answer = _patch(host, int(port or 443), f"/api/v1/nodes/{quote(node, safe='')}", kind, change)
            if answer[0] not in PASSING or time.monotonic() > end:
                return answer
        except (OSError, HTTPException, ValueError) as error:
            if isinstance(error, ssl.SSLCertVerificationError) or time.monotonic() > end:
                raise Problem(f"API server {host}:{port}: cannot connect: {error}") from None
        time.sleep(PAUSE)


def _patch(host: str, port: int, path: str, kind: str, change: object) -> tuple[int, str]:
    """Return the status of the answer to a patch, and the server's message if it is an error."""
    token = (ACCOUNT / "token").read_text().strip()
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    # The default since Python 3.13. The CAs of many clusters lack what it requires (key identifiers, key usage).
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
