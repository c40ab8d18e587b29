"""Set the node label that tells Kubernetes which nodes have a handler, and the message of the pod that does it.

Law: one request, for one label of one node. Address and token are where the kubelet puts them for a pod's service account
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
STARTS = 30.0  # seconds in which a starting API server may refuse every request
PAUSE = 2.0
REFUSED = (401, 403)
PASSING = (*REFUSED, 429, 500, 502, 503, 504)  # statuses that may be temporary
UNLIKE = 422  # the test in a JSON patch failed: the label is missing or has another value (RFC 5789, section 2.2)


class Answer(NamedTuple):
    """The answer to a patch: its status, the server's message if it failed, and the node's labels if not."""

    status: int
    said: str
    labels: dict[str, str]


class Unable(Problem):
    """The node's label is unchanged: the service account may not change it, or it has another value."""


def label(node: str, handler: str) -> None:
    """Set the label of `node` to `handler`. Raise Unable if that is not permitted, a Problem if it fails."""
    change = {"metadata": {"labels": {LABEL: handler}}}
    _check(node, _asked(node, "application/merge-patch+json", change), REFUSED)


def unlabel(node: str, handler: str) -> bool:
    """Remove the label from `node`; return False if it has none. Raise Unable if its value is another, or if not permitted."""
    place = f"/metadata/labels/{LABEL.replace('~', '~0').replace('/', '~1')}"
    change = [{"op": "test", "path": place, "value": handler}, {"op": "remove", "path": place}]
    answer = _asked(node, "application/json-patch+json", change)
    if answer.status == UNLIKE:
        return _check_unlike(node)
    _check(node, answer, REFUSED)
    return True


def _check_unlike(node: str) -> bool:
    """Return False if `node` has no such label. Raise Unable if it has another value.

    The account may patch but not read; the answer to an empty patch has the node."""
    answer = _asked(node, "application/merge-patch+json", {})
    _check(node, answer, REFUSED)
    if other := answer.labels.get(LABEL):
        raise Unable(f"node {node}: label {LABEL} is unchanged: its value is {other!r}, another handler")
    return False


def leave_message(sentences: Collection[str]) -> None:
    """Make `kubectl describe pod` show `sentences` as the container's message. That needs no permission; an event or a node
    condition would."""
    with suppress(OSError):
        if sentences and MESSAGE.is_file():
            MESSAGE.write_text("\n".join(sentences))


def _check(node: str, answer: Answer, unable: Collection[int]) -> None:
    if answer.status in unable:
        raise Unable(f"node {node}: label {LABEL} is unchanged: {answer.said}")
    if answer.status != 200:
        raise Problem(
            f"node {node}: cannot change label {LABEL}: the API server answered {answer.status}: {answer.said}"
        )


def _asked(node: str, kind: str, change: object) -> Answer:
    """Return the answer to a patch. An API server that was just restarted with the node's engine is unreachable at first, and then
    refuses every request; wait for it."""
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{each}", "") for each in ("HOST", "PORT"))
    if not host or not (ACCOUNT / "token").exists():
        raise Problem(f"API server: not found; --node works only in a pod of the cluster, with a token in {ACCOUNT}")
    end = time.monotonic() + STARTS
    while True:
        try:
            answer = _patch(host, int(port or 443), f"/api/v1/nodes/{quote(node, safe='')}", kind, change)
            if answer.status not in PASSING or time.monotonic() > end:
                return answer
        except (OSError, HTTPException, ValueError) as error:
            if isinstance(error, ssl.SSLCertVerificationError) or time.monotonic() > end:
                raise Problem(f"API server {host}:{port}: cannot connect: {error}") from None
        time.sleep(PAUSE)


def _patch(host: str, port: int, path: str, kind: str, change: object) -> Answer:
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
