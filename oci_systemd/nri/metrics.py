"""Serve the counts to Prometheus, in its text format, on a local address. Loaded only with --metrics.

Law: clients cannot slow down the plugin: at most MOST connections are open at once, each for PATIENCE seconds.
"""

from __future__ import annotations

import socket
import time
from itertools import accumulate
from socketserver import ThreadingMixIn
from threading import BoundedSemaphore, Thread
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from oci_systemd.core.errors import Problem
from oci_systemd.nri.counts import BUCKETS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from oci_systemd.nri.plugin import Plugin

MOST = 8  # connections at once
PATIENCE = 5.0  # seconds for one connection
PAUSE = 0.1  # seconds before another try to accept one
PREFIX = "oci_systemd_nri_"
COUNTERS = {
    "seen": "Containers that the runtime created.",
    "adjusted": "Containers that were adjusted.",
    "refused": "Containers that were refused.",
    "missed": "Containers that ran unadjusted when the plugin connected.",
}


class PluginCollector(Collector):
    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin

    def collect(self) -> Iterator[Metric]:
        counts = self._plugin.counts
        for name, help in COUNTERS.items():
            yield CounterMetricFamily(f"{PREFIX}containers_{name}", help, getattr(counts, name))
        bounds = [*map(str, BUCKETS), "+Inf"]
        histogram = HistogramMetricFamily(f"{PREFIX}create_seconds", "Duration of a CreateContainer call.")
        histogram.add_metric([], [*zip(bounds, accumulate(counts.durations), strict=True)], counts.seconds)
        yield histogram
        yield GaugeMetricFamily(f"{PREFIX}connected", "1 while a runtime is connected.", bool(self._plugin.runtime))


class Handler(WSGIRequestHandler):
    """One connection: one request, which must arrive within PATIENCE."""

    timeout = PATIENCE

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: the plugin's log is for containers."""


class Server(ThreadingMixIn, WSGIServer):
    """Connections beyond MOST are closed at once."""

    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        self._room = BoundedSemaphore(MOST)
        super().__init__(*args)

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return super().get_request()
        except OSError:  # no descriptor is left, and select would report the client again at once
            time.sleep(PAUSE)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: the client has disconnected."""


class ServerOfIPv6(Server):
    address_family = socket.AF_INET6


def serve(address: str, plugin: Plugin) -> None:
    """Answer at HOST:PORT, in separate threads. Raise a Problem if that is impossible."""
    host, _, port = address.rpartition(":")
    registry = CollectorRegistry()
    registry.register(PluginCollector(plugin))
    kind = ServerOfIPv6 if ":" in host else Server
    try:
        server = make_server(host.strip("[]") or "127.0.0.1", int(port), make_wsgi_app(registry), kind, Handler)
    except (ValueError, OverflowError):
        raise Problem(f"--metrics {address!r}: invalid value; use HOST:PORT, such as 127.0.0.1:9753") from None
    except OSError as error:
        raise Problem(f"--metrics {address!r}: cannot listen: {error.strerror or error}") from None
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()
