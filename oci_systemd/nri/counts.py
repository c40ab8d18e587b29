"""What the plugin counts, for its metrics: plain numbers, which another thread may read at any moment."""

from __future__ import annotations

from bisect import bisect_left

BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1, 1.0)  # seconds, each its upper bound


class Counts:
    """Of CreateContainer: how many were `seen`, `adjusted`, `refused`; how many `missed` containers ran; how long each took."""

    __slots__ = ("adjusted", "durations", "missed", "refused", "seconds")

    def __init__(self) -> None:
        self.adjusted = 0
        self.refused = 0
        self.missed = 0
        self.durations = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0

    @property
    def seen(self) -> int:
        return sum(self.durations)

    def observe(self, seconds: float) -> None:
        """Count one call that took so long."""
        self.durations[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds
