"""The counts for Prometheus, in its text format, on a local address. Loaded only where that is asked for."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from oci_systemd.core.errors import Problem
from oci_systemd.nri.counts import BUCKETS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from oci_systemd.nri.plugin import Plugin

PREFIX = "oci_systemd_nri_"
COUNTERS = {
    "seen": "Containers that the runtime created.",
    "adjusted": "Containers that were adjusted.",
    "refused": "Containers whose creation failed because of what they asked for.",
    "missed": "Containers that ran unadjusted when the runtime was reached.",
}


class PluginCollector(Collector):
    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin

    def collect(self) -> Iterator[Metric]:
        counts = self._plugin.counts
        for name, help in COUNTERS.items():
            yield CounterMetricFamily(f"{PREFIX}containers_{name}", help, getattr(counts, name))
        bounds = [*map(str, BUCKETS), "+Inf"]
        histogram = HistogramMetricFamily(f"{PREFIX}create_seconds", "From a CreateContainer to its answer.")
        histogram.add_metric([], [*zip(bounds, accumulate(counts.durations), strict=True)], counts.seconds)
        yield histogram
        yield GaugeMetricFamily(f"{PREFIX}connected", "1 while a runtime is connected.", bool(self._plugin.runtime))


def serve(address: str, plugin: Plugin) -> None:
    """Answer at HOST:PORT, from a thread of its own. A Problem where that cannot be."""
    host, _, port = address.rpartition(":")
    registry = CollectorRegistry()
    registry.register(PluginCollector(plugin))
    try:
        start_http_server(int(port), host.strip("[]") or "127.0.0.1", registry)
    except (ValueError, OverflowError):
        raise Problem(f"--metrics {address!r} is no HOST:PORT, such as 127.0.0.1:9753") from None
    except OSError as error:
        raise Problem(f"--metrics {address!r} cannot be had: {error.strerror or error}") from None
