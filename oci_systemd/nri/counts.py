"""The plugin's counts, for its metrics: plain numbers, which another thread may read at any time."""

from __future__ import annotations

from bisect import bisect_left

BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1, 1.0)  # seconds, upper bounds


class Counts:
    """CreateContainer calls `seen`, `adjusted` and `refused`; containers `missed`; and the durations of the calls."""

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
        """Count one call of this duration."""
        self.durations[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds
