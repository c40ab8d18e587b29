"""The node's label: the request to the API server, and the use of its answer. The server is a real one, with TLS."""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from oci_systemd.core.errors import Problem
from oci_systemd.host import commands, kubernetes
from oci_systemd.installation import running, setup
from tests.shells.test_cli_install import LAUNCHER, TASK, config, files, run
from tests.shells.test_cli_install import root as root

NODE = "node-1"
DENIED = 'nodes "node-1" is forbidden: User cannot patch resource "nodes"'


class Api(HTTPServer):
    """An API server with one node that has `labels`, and that keeps the requests. A `status` other than 200 answers everything."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.labels = {"oci-systemd/handler": "systemd"}
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []


class Handler(BaseHTTPRequestHandler):
    server: Api

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.command, self.path, dict(self.headers.items()), body))
        status = self.server.status if self.server.status != 200 else self.changed(body)
        node = {"kind": "Node", "metadata": {"labels": self.server.labels}}
        answer = json.dumps(node if status == 200 else {"kind": "Status", "message": DENIED})
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def changed(self, body: Any) -> int:
        """Carry a patch out; 422 where the test in it fails (RFC 6902, section 4.6)."""
        if isinstance(body, dict):
            self.server.labels |= body.get("metadata", {}).get("labels", {})
            return 200
        if self.server.labels.get("oci-systemd/handler") != body[0]["value"]:
            return 422
        del self.server.labels["oci-systemd/handler"]
        return 200

    def log_message(self, *words: object) -> None:
        pass


# What a CA of today has, and what one of a cluster's first years may lack.
IDENTIFIERS = "subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\n"
EXTENSIONS = {
    "full": ("basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\n" + IDENTIFIERS, IDENTIFIERS),
    "bare": ("basicConstraints = CA:TRUE\n", ""),
}


def certificate(folder: Path, extensions: str = "full") -> tuple[Path, Path]:
    """The key and the certificate of a server at 127.0.0.1, signed by the CA whose certificate is `ca.crt` beside them."""
    (ca, ca_key), (own, key) = ((folder / f"{name}.crt", folder / f"{name}.key") for name in ("ca", "own"))
    of_ca, of_own = EXTENSIONS[extensions]
    sections = f"[ca]\n{of_ca}[own]\nsubjectAltName = IP:127.0.0.1\n{of_own}"
    conf = config(folder / "conf", f"[req]\ndistinguished_name = name\n[name]\n{sections}")
    new = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -config {conf}".split()
    by_ca = ["-CA", str(ca), "-CAkey", str(ca_key)]
    for name, more in (("ca", []), ("own", by_ca)):
        words = ["-extensions", name, "-subj", f"/CN={name}", "-keyout", f"{folder}/{name}.key", "-out"]
        subprocess.run([*new, *words, f"{folder}/{name}.crt", *more], check=True, capture_output=True)
    return key, own


def strict(**words: Any) -> ssl.SSLContext:
    """The default context since Python 3.13."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(**words)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


@pytest.fixture
def api(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Api]:
    """A server, and a service account for it where the kubelet would put one."""
    account = tmp_path_factory.mktemp("account")
    key, own = certificate(account, getattr(request, "param", "full"))
    monkeypatch.setattr(kubernetes, "STARTS", 0.3)
    monkeypatch.setattr(kubernetes, "PAUSE", 0.01)
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


PLACE = "/metadata/labels/oci-systemd~1handler"
PATCHES = {
    "label": ("merge-patch", {"metadata": {"labels": {"oci-systemd/handler": "systemd"}}}),
    "unlabel": (
        "json-patch",
        [{"op": "test", "path": PLACE, "value": "systemd"}, {"op": "remove", "path": PLACE}],
    ),
}


@pytest.mark.parametrize("what", PATCHES)
def test_one_label_of_one_node_is_patched(api: Api, what: str) -> None:
    getattr(kubernetes, what)(NODE, "systemd")
    kind, change = PATCHES[what]
    ((verb, path, headers, body),) = api.asked
    assert (verb, path, body) == ("PATCH", "/api/v1/nodes/node-1", change)
    assert headers["Authorization"] == "Bearer t0ken"
    assert headers["Content-Type"] == f"application/{kind}+json"


@pytest.mark.parametrize("api", EXTENSIONS, indirect=True)
def test_a_cluster_s_own_ca_is_trusted_whatever_it_lacks(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssl, "create_default_context", strict)
    kubernetes.label(NODE, "systemd")
    assert len(api.asked) == 1


@pytest.mark.parametrize("api", ["bare"], indirect=True)
def test_such_a_ca_is_one_that_python_refuses_by_itself(api: Api) -> None:
    with (
        socket.create_connection(api.server_address) as peer,
        pytest.raises(ssl.SSLCertVerificationError),
        strict(cafile=str(kubernetes.ACCOUNT / "ca.crt")).wrap_socket(peer, server_hostname="127.0.0.1"),
    ):
        pass


def test_a_name_stays_one_part_of_the_path(api: Api) -> None:
    kubernetes.label("../secrets/a b", "x")
    assert api.asked[0][1] == "/api/v1/nodes/..%2Fsecrets%2Fa%20b"


@pytest.mark.parametrize("status", [401, 403])
def test_without_the_right_it_is_told(api: Api, status: int) -> None:
    api.status = status
    with pytest.raises(kubernetes.Unable, match=r"node node-1: label oci-systemd/handler is unchanged: nodes"):
        kubernetes.label(NODE, "systemd")
    assert len(api.asked) > 1  # an API server that was just started says so to everybody


def test_a_refusal_that_ends_in_time_is_none(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.status = 403
    monkeypatch.setattr(kubernetes, "STARTS", 5)
    monkeypatch.setattr(kubernetes.time, "sleep", lambda _: setattr(api, "status", 200))
    kubernetes.label(NODE, "systemd")
    assert len(api.asked) == 2


def test_a_server_that_is_away_for_a_moment_is_waited_for(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    patch, answers = kubernetes._patch, iter([ConnectionRefusedError("refused"), TimeoutError("late")])

    def sometimes(*words: Any) -> kubernetes.Answer:
        for error in answers:
            raise error
        return patch(*words)

    monkeypatch.setattr(kubernetes, "_patch", sometimes)
    monkeypatch.setattr(kubernetes, "STARTS", 5)
    kubernetes.label(NODE, "systemd")
    assert len(api.asked) == 1


def test_the_label_of_another_handler_stays(api: Api) -> None:
    api.labels = {"oci-systemd/handler": "late"}
    with pytest.raises(
        kubernetes.Unable, match="node node-1: label oci-systemd/handler is unchanged: its value is 'late'"
    ):
        kubernetes.unlabel(NODE, "systemd")
    assert api.labels == {"oci-systemd/handler": "late"}


def test_a_label_that_is_gone_already_is_no_trouble(api: Api) -> None:
    assert kubernetes.unlabel(NODE, "systemd")
    assert not kubernetes.unlabel(NODE, "systemd")
    assert api.labels == {}


@pytest.mark.parametrize("what", ["label", "unlabel"])
def test_a_patch_that_cannot_be_carried_out_is_a_problem(api: Api, what: str) -> None:
    api.status = 422
    with pytest.raises(Problem, match="the API server answered 422"):
        getattr(kubernetes, what)(NODE, "systemd")


def test_any_other_answer_is_a_problem(api: Api) -> None:
    api.status = 404
    with pytest.raises(
        Problem, match=r"node node-1: cannot change label oci-systemd/handler: the API server answered 404"
    ):
        kubernetes.label(NODE, "systemd")


def test_a_server_that_the_cluster_did_not_sign_is_not_asked(api: Api, tmp_path: Path) -> None:
    _, other = certificate(tmp_path)
    (kubernetes.ACCOUNT / "ca.crt").write_text(other.read_text())
    with pytest.raises(Problem, match=r"cannot connect: .*certificate"):
        kubernetes.label(NODE, "systemd")
    assert api.asked == []


def test_outside_of_a_pod_it_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kubernetes, "ACCOUNT", tmp_path)
    with pytest.raises(Problem, match="--node works only in a pod of the cluster"):
        kubernetes.label(NODE, "systemd")


# By the commands


@pytest.fixture
def served(root: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The handlers that the node's engine tells it has."""
    names: set[str] = set()
    config(root / "run/containerd/containerd.sock", "")
    monkeypatch.setattr(running, "handlers", lambda *_: names)
    monkeypatch.setattr(running, "PATIENCE", 0.01)
    return names


def test_a_node_is_labelled_once_its_engine_has_the_handler(api: Api, root: Path, served: set[str]) -> None:
    words = ("install", "containerd", "--node", NODE)
    result = run(root, *words)
    assert ": not labelled yet; run `systemctl restart containerd`, then this command again" in result.stderr
    assert (result.exit_code, api.asked) == (0, [])
    result = run(root, *words)
    assert "running, but without the handler systemd" in result.stderr
    assert (result.exit_code, api.asked) == (2, [])
    served.add("systemd")
    result = run(root, *words)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith(f"node {NODE}: labelled oci-systemd/handler=systemd\n")
    assert len(api.asked) == 1


def test_a_node_whose_engine_cannot_be_asked_is_labelled_with_a_word(api: Api, root: Path) -> None:
    run(root, "install", "containerd")
    result = run(root, "install", "containerd", "--node", NODE)
    assert "/run/containerd/containerd.sock: not found; the engine cannot be asked" in result.stderr
    assert (result.exit_code, len(api.asked)) == (0, 1)


def test_a_node_that_may_not_be_labelled_has_the_handler_all_the_same(api: Api, root: Path, served: set[str]) -> None:
    served.add("systemd")
    run(root, "install", "containerd")
    api.status = 403
    result = run(root, "install", "containerd", "--node", NODE)
    assert (result.exit_code, "is unchanged" in result.stderr) == (0, True)


def test_the_label_goes_before_the_handler_does(api: Api, root: Path) -> None:
    run(root, "install", "containerd")
    before = files(root)
    api.status = 500
    assert run(root, "uninstall", "containerd", "--node", NODE).exit_code == 2
    assert files(root) == before
    api.status = 200
    assert run(root, "uninstall", "containerd", "--node", NODE).stdout.startswith(
        f"node {NODE}: removed label oci-systemd/handler=systemd\n"
    )


@pytest.mark.parametrize("words", [["install", "docker"], ["uninstall", "podman"]])
def test_a_node_has_no_label_for_an_engine_of_no_cluster(words: list[str], api: Api, root: Path) -> None:
    result = run(root, *words, "--node", NODE)
    assert (result.exit_code, "--node: unsupported with" in result.stderr, api.asked) == (2, True, [])


def test_a_dry_run_asks_nobody(api: Api, root: Path) -> None:
    run(root, "install", "--dry-run", "containerd", "--node", NODE)
    assert api.asked == []


# A removal that waits


def pod(root: Path, name: str) -> None:
    """A pod of two containers and a sandbox, as containerd leaves them."""
    for number in range(3):
        there = root / TASK / f"{name}-{number}"
        config(there / "runtime", f"/{LAUNCHER}")
        keys = {"container-type": "container", "sandbox-namespace": "shop", "sandbox-name": name}
        text = {"annotations": {f"io.kubernetes.cri.{key}": value for key, value in keys.items()}}
        config(there / "config.json", json.dumps(text))


def test_pods_are_counted_and_named_not_their_containers(root: Path) -> None:
    run(root, "install", "containerd")
    pod(root, "vm-0")
    assert "a pod still uses the wrapper (shop/vm-0), and" in run(root, "uninstall", "containerd").stderr
    pod(root, "vm-1")
    config(root / TASK / "alone/runtime", f"/{LAUNCHER}")
    said = run(root, "uninstall", "containerd").stderr
    assert "2 pods and a container of containerd still use the wrapper (shop/vm-0, shop/vm-1, alone)" in said


REMOVE = ("uninstall", "containerd", "--restart", "auto", "--node", NODE)


def test_a_removal_in_a_pod_waits_and_says_so_once(api: Api, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(root)
    run(root, "install", "containerd")
    pod(root, "vm-0")
    looks = iter(range(3))

    def sleep(_: float) -> None:
        if next(looks) == 2:
            shutil.rmtree(root / "run")

    monkeypatch.setattr(setup.time, "sleep", sleep)
    monkeypatch.setattr(commands, "check_systemd", lambda *_: None)
    monkeypatch.setattr(commands, "restart", lambda *_: None)
    result = run(root, *REMOVE)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[:2] == [
        f"node {NODE}: removed label oci-systemd/handler=systemd",
        "waiting: a pod still uses the wrapper (shop/vm-0); the node's files are unchanged until then",
    ]
    assert [line for line in lines if line.startswith("waiting")] == lines[1:2]
    shutil.rmtree(root / "run", ignore_errors=True)
    assert files(root) == before
    again = run(root, *REMOVE)
    assert (again.exit_code, again.stderr) == (0, "")
    assert f"node {NODE}: label oci-systemd/handler not found: already gone\n" in again.stdout
    assert "containerd: handler systemd is not installed: already gone; nothing to do\n" in again.stdout


def test_a_removal_that_waits_is_ended_by_sigterm(api: Api, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(root, "install", "containerd")
    pod(root, "vm-0")
    before = files(root)
    monkeypatch.setattr(setup.time, "sleep", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    result = run(root, *REMOVE)
    assert (result.exit_code, "stopped by SIGTERM while waiting" in result.stderr) == (2, True)
    assert (files(root), signal.getsignal(signal.SIGTERM)) == (before, signal.SIG_DFL)
