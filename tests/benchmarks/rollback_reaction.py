"""How long a bad version keeps its traffic once the evidence against it is sufficient.

Measured in the lab, from the scrape that made the evidence sufficient to the moment at which Envoy serves weight 0; the
aim is one interval plus half a second. The scrape is the newest one that the deciding tick could see: counts are asked
for up to an instant of the interval's grid, and the tick before, an interval earlier, did not find enough.

Run by `make benchmark-reaction`. It is no test: it depends on what else the machine does.
"""

import statistics
import sys
import time
from datetime import datetime
from typing import Final

import requests

from canary.cli.flight.cockpit import Cockpit, taken_off
from canary.cli.flight.demo import BAD
from canary.lab.lab import LabOptions
from canary.model.state import Phase
from canary.model.status import parse_status

ROLLOUTS: Final = 10
POLL_SECONDS: Final = 0.005
RELEASE_SECONDS: Final = 60.0


def react(cockpit: Cockpit, version: str) -> tuple[float, float]:
    """Ship a bad version; seconds from the deciding instant, and from the last scrape before it, to weight 0."""
    lab, revision = cockpit.lab, cockpit.look().revision
    lab.deploy(BAD.behaviour, version=version)
    lab.wait_until(
        lambda: cockpit.look().revision != revision and lab.served_weights().get("canary", 0) > 0,
        what="the first step",
        deadline_seconds=RELEASE_SECONDS,
    )
    gone_at, deadline = 0.0, time.monotonic() + RELEASE_SECONDS
    while not gone_at and time.monotonic() < deadline:
        if lab.served_weights().get("canary") == 0:
            gone_at = time.time()
        lab.wait(POLL_SECONDS)
    status = parse_status(cockpit.read_canary()["status"])
    if status.phase is not Phase.ROLLING_BACK or status.analysis is None or status.analysis.watermark is None:
        raise SystemExit(f"{version} was not rolled back but is {status.phase}: {status.message}")
    instant = status.analysis.watermark
    lab.wait_until(lambda: cockpit.look().is_over, what="the end of the rollback", deadline_seconds=RELEASE_SECONDS)
    return gone_at - instant.timestamp(), gone_at - last_scrape(cockpit, instant)


def last_scrape(cockpit: Cockpit, instant: datetime) -> float:
    """Unix time of the newest sample of the gateway that an evaluation at `instant` sees."""
    query = {"query": 'max(timestamp(istio_requests_total{reporter="source"}))', "time": str(instant.timestamp())}
    answer = requests.get(f"{cockpit.lab.prometheus_url}/api/v1/query", params=query, timeout=5).json()
    return float(answer["data"]["result"][0]["value"][1])


def main() -> None:
    """Roll back ten bad versions and print how long each kept its traffic."""
    with taken_off(LabOptions(rate=300)) as cockpit:
        cockpit.wait_until_measured()
        pairs = []
        for number in range(1, ROLLOUTS + 1):
            pairs.append(react(cockpit, f"bad-{number}"))
            sys.stdout.write(f"rollback {number:2}: {pairs[-1][0]:.3f} s after the deciding instant, ")
            sys.stdout.write(f"{pairs[-1][1]:.3f} s after the last scrape before it\n")
    from_instant, from_scrape = ([pair[index] for pair in pairs] for index in (0, 1))
    sys.stdout.write(
        f"median {statistics.median(from_instant):.3f} s (worst {max(from_instant):.3f} s) after the instant; "
        f"median {statistics.median(from_scrape):.3f} s (worst {max(from_scrape):.3f} s) after the scrape; "
        f"aim: 1.5 s after the scrape (interval 1 s + 0.5 s)\n"
    )


if __name__ == "__main__":
    main()
