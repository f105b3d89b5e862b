"""What the clients of the lab saw: the ground truth that metrics are compared with.

Everything is counted at the client, by the workload that the gateway named in its answer, so that a failure made by a
proxy is laid at the right door. Latency is kept in logarithmic bins of about five per cent instead of single values:
memory stays bounded however long the lab runs, and a quantile is good to half a bin.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

NO_ANSWER = 0
"""Status of a request that never got a response: connection refused, closed, or timed out."""
NOBODY = "unknown"
BIN_RATIO = 1.05
SMALLEST_MS = 0.05
_LOG_RATIO = math.log(BIN_RATIO)


@dataclass(slots=True)
class Census:
    """Counts of one load generator; all counts are since its start."""

    users: int
    sent: int = 0
    dropped: int = 0
    """Requests that were due but not sent, because too many were in flight."""
    responses: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By workload and status."""
    versions: Counter[str] = field(default_factory=Counter)
    latency_bins: dict[str, Counter[int]] = field(default_factory=dict)
    testers: Counter[str] = field(default_factory=Counter)
    """Answers to users who say that they are testers, by workload."""
    hurt: set[int] = field(default_factory=set)
    """Users who saw a 5xx or no answer at least once."""

    def record(
        self, *, workload: str, version: str, status: int, latency_ms: float, user: int, is_tester: bool = False
    ) -> None:
        """Count one finished request."""
        self.responses[workload, status] += 1
        if is_tester:
            self.testers[workload] += 1
        if version:
            self.versions[version] += 1
        if status == NO_ANSWER or status >= 500:
            self.hurt.add(user)
        bins = self.latency_bins.setdefault(workload, Counter())
        bins[math.ceil(math.log(max(latency_ms, SMALLEST_MS) / SMALLEST_MS) / _LOG_RATIO)] += 1

    def finished(self) -> int:
        """Return how many requests ended, one way or the other."""
        return self.responses.total()

    def in_flight(self) -> int:
        """Return how many requests are still without an end."""
        return self.sent - self.finished()

    def quantile_ms(self, workload: str, quantile: float) -> float | None:
        """Return a latency quantile of a workload in milliseconds, None without a request."""
        bins = self.latency_bins.get(workload)
        if not bins:
            return None
        rank = quantile * bins.total()
        below = 0
        for number in sorted(bins):
            below += bins[number]
            if below >= rank:
                return float(SMALLEST_MS * BIN_RATIO ** (number - 0.5))
        raise AssertionError("a quantile of at most 1 lies in some bin")

    def snapshot(self, *, at: float, rate: float, final: bool) -> dict[str, Any]:
        """Return the counts as JSON.

        Args:
            at: Unix time in seconds.
            rate: requests per second asked for.
            final: nothing will be sent any more, and nothing is in flight.
        """
        workloads: dict[str, dict[str, int]] = {}
        for (workload, status), count in sorted(self.responses.items()):
            workloads.setdefault(workload, {})[str(status)] = count
        return {
            "at": at,
            "rate": rate,
            "final": final,
            "sent": self.sent,
            "finished": self.finished(),
            "in_flight": self.in_flight(),
            "dropped": self.dropped,
            "responses": workloads,
            "versions": dict(self.versions),
            "testers": dict(self.testers),
            "latency_ms": {
                workload: {
                    name: self.quantile_ms(workload, q) for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
                }
                for workload in self.latency_bins
            },
            "users": self.users,
            "users_hurt": len(self.hurt),
        }
