"""One release as the clients lived through it: ship a version, follow it to its end, and count on both sides."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from canary.cli.flight.cockpit import Cockpit
from canary.cli.screen.view import Rollout
from canary.lab.lab import CANARY, ClientCounts
from canary.lab.processes import LabError
from canary.model.state import Phase
from canary.model.status import parse_status

POLL_SECONDS: Final = 0.1
RELEASE_SECONDS: Final = 120.0
_VERDICT_REACHED: Final = frozenset({Phase.PROMOTING, Phase.ROLLING_BACK, Phase.SUCCEEDED, Phase.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version of the order-service: its name, how it behaves, and what to say about it."""

    name: str
    description: str
    behaviour: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How one release went.

    Attributes:
        version: what was shipped.
        phase: how it ended.
        seconds_to_verdict: from shipping it until it was being promoted or rolled back.
        seconds: from shipping it to the end.
        weight: the largest share of the traffic, in percent, that it had before the verdict.
        requests: answered to clients by both versions during the release.
        canary_requests: of these, by the canary's pods, as the clients counted them.
        canary_errors: of these, failed.
        judged_requests: the canary's requests as the controller counted them.
        users_hurt: users who saw an error for the first time during the release.
        sentence: the verdict in words.
    """

    version: Version
    phase: Phase
    seconds_to_verdict: float
    seconds: float
    weight: int
    requests: int
    canary_requests: int
    canary_errors: int
    judged_requests: int
    users_hurt: int
    sentence: str


def fly(cockpit: Cockpit, version: Version, show: Callable[[Rollout, ClientCounts], None]) -> Report:
    """Ship a version and follow its release to the end.

    Args:
        cockpit: the lab, with nothing being released.
        version: what to ship.
        show: told what there is to see, several times a second.

    Raises:
        LabError: the release did not end in time, or a part of the lab died.
    """
    before, revision_before = cockpit.lab.client_counts(), cockpit.look().revision
    shipped_at = time.monotonic()
    cockpit.lab.deploy(version.behaviour, version=version.name)
    weight, sentence, verdict_at = 0, "", 0.0
    while True:
        rollout = cockpit.look()
        elapsed = time.monotonic() - shipped_at
        show(rollout, cockpit.lab.client_counts())
        if rollout.revision != revision_before and rollout.phase is not None:
            if rollout.phase in _VERDICT_REACHED and not verdict_at:
                verdict_at, sentence = elapsed, _sentence(rollout)
            elif not verdict_at:
                weight = max(weight, rollout.weight or 0)
            if rollout.is_over:
                break
        if elapsed > RELEASE_SECONDS:
            raise LabError(f"the release of {version.name} did not end within {RELEASE_SECONDS:g} s: {rollout.message}")
        cockpit.lab.wait(POLL_SECONDS)
    after = cockpit.lab.client_counts()
    return Report(
        version=version,
        phase=rollout.phase,
        seconds_to_verdict=verdict_at,
        seconds=elapsed,
        weight=weight,
        requests=after.finished - before.finished,
        canary_requests=sum(_canary(after).values()) - sum(_canary(before).values()),
        canary_errors=_errors(after) - _errors(before),
        judged_requests=_judged_requests(cockpit),
        users_hurt=after.users_hurt - before.users_hurt,
        sentence=sentence,
    )


def _sentence(rollout: Rollout) -> str:
    return rollout.comparisons[0].sentence if rollout.comparisons else rollout.message


def _canary(counts: ClientCounts) -> Mapping[int, int]:
    return counts.responses.get(CANARY, {})


def _errors(counts: ClientCounts) -> int:
    return sum(count for status, count in _canary(counts).items() if status == 0 or status >= 500)


def _judged_requests(cockpit: Cockpit) -> int:
    analysis = parse_status(cockpit.read_canary()["status"]).analysis
    return analysis.totals.canary.requests if analysis else 0
