"""The label that tells Kubernetes which nodes have a handler, set by the node's own pod through the API server, and its message.

Law: one request, for one label of one node; what it needs is where the kubelet puts it for a pod's service account
(kubernetes.io/docs/tasks/run-application/access-api-from-pod).
"""

from __future__ import annotations

import json
import os
import ssl
import time
from contextlib import suppress
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from oci_systemd.core.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Collection

LABEL = "oci-systemd/handler"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MESSAGE = Path("/dev/termination-log")  # of a pod's container, terminationMessagePath's default; it holds 4096 bytes
PATIENCE = 30.0  # seconds
STARTS = 30.0  # seconds in which an API server that starts may refuse everybody
PAUSE = 2.0
REFUSED = (401, 403)
PASSING = (*REFUSED, 429, 500, 502, 503, 504)  # what may be otherwise in a moment
UNLIKE = 422  # a JSON patch whose test fails: the label is another's, or none (RFC 5789, section 2.2)


class Answer(NamedTuple):
    """What a patch is answered with: the status, the server's own words where it is a failure, and the node's labels else."""

    status: int
    said: str
    labels: dict[str, str]


class Unable(Problem):
    """The node's label stays as it is: the service account has no right to change it, or it is not ours to take."""


def label(node: str, handler: str) -> None:
    """Give `node` the label of `handler`. Unable where we may not; a Problem where that fails."""
    change = {"metadata": {"labels": {LABEL: handler}}}
    _check(node, _asked(node, "application/merge-patch+json", change), REFUSED)


def unlabel(node: str, handler: str) -> bool:
    """Take the label away from `node`; False where there is none. Unable where it is another handler's, or we may not."""
    place = f"/metadata/labels/{LABEL.replace('~', '~0').replace('/', '~1')}"
    change = [{"op": "test", "path": place, "value": handler}, {"op": "remove", "path": place}]
    answer = _asked(node, "application/json-patch+json", change)
    if answer.status == UNLIKE:
        return _check_unlike(node)
    _check(node, answer, REFUSED)
    return True


def _check_unlike(node: str) -> bool:
    """Return False where `node` has no label of ours. Unable where it has another's.

    The account may patch and not read, and a patch of nothing is answered with the node."""
    answer = _asked(node, "application/merge-patch+json", {})
    _check(node, answer, REFUSED)
    if other := answer.labels.get(LABEL):
        raise Unable(f"the label {LABEL} of node {node} is left as it is: it is {other!r}, another handler's")
    return False


def leave_message(sentences: Collection[str]) -> None:
    """Have `kubectl describe pod` show `sentences` as the container's message. It takes no right at all: an event or a node's
    condition would take one more."""
    with suppress(OSError):
        if sentences and MESSAGE.is_file():
            MESSAGE.write_text("\n".join(sentences))


def _check(node: str, answer: Answer, unable: Collection[int]) -> None:
    if answer.status in unable:
        raise Unable(f"the label {LABEL} of node {node} is left as it is: {answer.said}")
    if answer.status != 200:
        raise Problem(
            f"node {node} could not be labelled {LABEL}: the API server answers {answer.status}: {answer.said}"
        )


def _asked(node: str, kind: str, change: object) -> Answer:
    """The answer to a patch. An API server that was just restarted, with its node's engine, is away at first, and knows nobody's
    rights then: it is waited for."""
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{each}", "") for each in ("HOST", "PORT"))
    if not host or not (ACCOUNT / "token").exists():
        raise Problem(f"there is no API server to ask: --node is for a pod of the cluster, with the token in {ACCOUNT}")
    end = time.monotonic() + STARTS
    while True:
        try:
            answer = _patch(host, int(port or 443), f"/api/v1/nodes/{quote(node, safe='')}", kind, change)
            if answer.status not in PASSING or time.monotonic() > end:
                return answer
        except (OSError, HTTPException, ValueError) as error:
            if isinstance(error, ssl.SSLCertVerificationError) or time.monotonic() > end:
                raise Problem(f"the API server at {host}:{port} cannot be asked: {error}") from None
        time.sleep(PAUSE)


def _patch(host: str, port: int, path: str, kind: str, change: object) -> Answer:
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
        return _read(answer.status, answer.read())
    finally:
        connection.close()


def _read(status: int, said: bytes) -> Answer:
    try:
        given = json.loads(said)
        labels = (given.get("metadata") or {}).get("labels") or {}
        return Answer(status, str(given.get("message", "")), {**labels})
    except (ValueError, AttributeError, TypeError):
        return Answer(status, said[:200].decode(errors="replace"), {})
