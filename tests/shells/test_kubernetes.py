"""The node's label: what the API server is asked for, and what is made of its answer. The server is a real one, with TLS."""

import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from oci_systemd.core.errors import Problem
from oci_systemd.host import kubernetes
from tests.shells.test_cli_install import files, run
from tests.shells.test_cli_install import root as root

NODE = "node-1"
DENIED = 'nodes "node-1" is forbidden: User cannot patch resource "nodes"'


class Api(HTTPServer):
    """An API server that answers `status` to everything, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []


class Handler(BaseHTTPRequestHandler):
    server: Api

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.command, self.path, dict(self.headers.items()), body))
        answer = json.dumps({"kind": "Status", "message": DENIED} if self.server.status != 200 else {"kind": "Node"})
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *words: object) -> None:
        pass


def certificate(folder: Path) -> tuple[Path, Path]:
    """A key and a certificate that signs itself, for 127.0.0.1."""
    key, own = folder / "key", folder / "ca.crt"
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "1",
    ]
    words += ["-subj", "/CN=api", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(own)]
    subprocess.run(words, check=True, capture_output=True)
    return key, own


@pytest.fixture
def api(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """A server, and a service account for it where the kubelet would put one."""
    account = tmp_path_factory.mktemp("account")
    key, own = certificate(account)
    (account / "token").write_text("t0ken\n")
    monkeypatch.setattr(kubernetes, "ACCOUNT", account)
    with Api() as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.server_address[1]))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("value", ["systemd", None])
def test_one_label_of_one_node_is_patched(api: Api, value: str | None) -> None:
    kubernetes.label(NODE, value)
    ((verb, path, headers, body),) = api.asked
    assert (verb, path, body) == (
        "PATCH",
        "/api/v1/nodes/node-1",
        {"metadata": {"labels": {"oci-systemd/handler": value}}},
    )
    assert headers["Authorization"] == "Bearer t0ken"
    assert headers["Content-Type"] == "application/merge-patch+json"


def test_a_name_stays_one_part_of_the_path(api: Api) -> None:
    kubernetes.label("../secrets/a b", "x")
    assert api.asked[0][1] == "/api/v1/nodes/..%2Fsecrets%2Fa%20b"


@pytest.mark.parametrize("status", [401, 403])
def test_without_the_right_it_is_told(api: Api, status: int) -> None:
    api.status = status
    with pytest.raises(
        kubernetes.Unable, match=r"the label oci-systemd/handler of node node-1 is left as it is: nodes"
    ):
        kubernetes.label(NODE, "systemd")


def test_any_other_answer_is_a_problem(api: Api) -> None:
    api.status = 404
    with pytest.raises(
        Problem, match=r"node node-1 could not be labelled oci-systemd/handler: the API server answers 404"
    ):
        kubernetes.label(NODE, "systemd")


def test_a_server_that_the_cluster_did_not_sign_is_not_asked(api: Api, tmp_path: Path) -> None:
    _, other = certificate(tmp_path)
    (kubernetes.ACCOUNT / "ca.crt").write_text(other.read_text())
    with pytest.raises(Problem, match=r"cannot be asked: .*certificate"):
        kubernetes.label(NODE, "systemd")
    assert api.asked == []


def test_outside_of_a_pod_it_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kubernetes, "ACCOUNT", tmp_path)
    with pytest.raises(Problem, match="--node is for a pod of the cluster"):
        kubernetes.label(NODE, "systemd")


# By the commands


def test_a_node_is_labelled_once_it_has_the_handler(api: Api, root: Path) -> None:
    result = run(root, "install", "containerd", "--node", NODE)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith(f"node {NODE} is labelled oci-systemd/handler=systemd\n")
    assert run(root, "install", "containerd", "--node", NODE).exit_code == 0
    assert len(api.asked) == 2


def test_a_node_that_may_not_be_labelled_has_the_handler_all_the_same(api: Api, root: Path) -> None:
    api.status = 403
    result = run(root, "install", "containerd", "--node", NODE)
    assert (result.exit_code, "is left as it is" in result.stderr) == (0, True)


def test_the_label_goes_before_the_handler_does(api: Api, root: Path) -> None:
    run(root, "install", "containerd")
    before = files(root)
    api.status = 500
    assert run(root, "uninstall", "containerd", "--node", NODE).exit_code == 2
    assert files(root) == before
    api.status = 200
    assert run(root, "uninstall", "containerd", "--node", NODE).stdout.startswith(
        f"node {NODE} has lost oci-systemd/handler\n"
    )


def test_a_dry_run_asks_nobody(api: Api, root: Path) -> None:
    run(root, "install", "--dry-run", "containerd", "--node", NODE)
    assert api.asked == []
