"""Parts of the world die in the middle of a release or fall silent: the verdict, the steps and the end are the same.

The controller is killed thirty times elsewhere (`test_kills`); here everything that it depends on is, and both at once.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Final

import pytest
import yaml
from flight_recorder import FlightRecorder

from canary.cli.flight.cockpit import CANARY_FILE, CONTROLLER, Cockpit, taken_off
from canary.cli.flight.demo import BAD, GOOD
from canary.cli.flight.release import Version
from canary.cli.screen.view import Rollout
from canary.lab.kube_api import DEPLOYMENTS, ApiError, Document, Kind
from canary.lab.lab import CANARY, NAMESPACE, STABLE, LabOptions
from canary.model.state import Phase
from canary.model.status import read_state
from canary.model.verdict import Verdict

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

EVENTS: Final = Kind(group="", version="v1", plural="events")
STEPS: Final = [(90, 10), (50, 50)]
TO_THE_END: Final = [(0, 100), (100, 0)]
NOTICED_SECONDS: Final = 30
ENDS_SECONDS: Final = 100
FAILURES: Final = 60
SILENCE_SECONDS: Final = 60

KILLS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "the gateway": (("gateway",),),
    "every sidecar": (("sidecar",),),
    "Prometheus": (("prometheus",),),
    "the API server, alone and with the controller": (("apiserver",), ("apiserver", CONTROLLER)),
}
"""What is killed at each of the steps."""


@pytest.fixture(scope="module")
def cockpit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cockpit]:
    """A lab with a Canary of two quick steps."""
    document = yaml.safe_load(CANARY_FILE.read_text(encoding="utf-8"))
    document["spec"]["steps"] = [{"weight": canary, "hold": "1s"} for _, canary in STEPS]
    document["spec"]["canary"]["scaleDownDelay"] = "1s"
    errors = {"name": "errors", "margin": "2pp", "assumedNoise": "0%"}
    document["spec"]["analysis"] |= {"warmup": "1s", "metrics": [errors]}
    file: Path = tmp_path_factory.mktemp("flight") / "canary.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    with taken_off(LabOptions(rate=500), canary_file=file) as flying:
        flying.wait_until_measured()
        yield flying


@dataclass(frozen=True, slots=True)
class Release:
    """A version on its way, in a world that is not always there."""

    cockpit: Cockpit
    revision_before: str | None

    @classmethod
    def ship(cls, cockpit: Cockpit, version: Version, name: str) -> "Release":
        release = cls(cockpit, cockpit.look().revision)
        cockpit.lab.deploy(version.behaviour, version=name)
        return release

    def look(self) -> Rollout | None:
        """Nothing while the API server is away, or has not told of this release."""
        try:
            rollout = self.cockpit.look()
        except ApiError as error:
            if error.status:
                raise
            return None
        return None if rollout.revision == self.revision_before else rollout

    def wait_until(self, is_there: Callable[[Rollout], bool], what: str, *, within_seconds: float) -> Rollout:
        def there() -> bool:
            rollout = self.look()
            return rollout is not None and is_there(rollout)

        self.cockpit.lab.wait_until(there, what=what, deadline_seconds=within_seconds)
        return self.cockpit.look()

    def wait_for_step(self, step: int) -> bool:
        """Whether the step came, before the end did."""
        weight = STEPS[step][1]

        def there(rollout: Rollout) -> bool:
            return rollout.is_over or (rollout.phase is Phase.PROGRESSING and rollout.weight == weight)

        return not self.wait_until(there, f"step {step + 1}", within_seconds=ENDS_SECONDS).is_over

    def wait_for_end(self) -> Rollout:
        return self.wait_until(lambda rollout: rollout.is_over, "the end of the release", within_seconds=ENDS_SECONDS)

    def crash(self, *parts: str) -> None:
        """Kill parts, wait until somebody has noticed, and start them again."""
        lab = self.cockpit.lab
        noticed = self._notice_of(parts[0])
        programs = [lab.kill(part) for part in parts]
        lab.wait_until(noticed, what=f"anybody who misses {parts[0]}", deadline_seconds=NOTICED_SECONDS)
        for program in programs:
            lab.restart(program)

    def _notice_of(self, part: str) -> Callable[[], bool]:
        """What tells that a part is missed: clients who fail, a verdict, the controller's log."""
        lab = self.cockpit.lab
        failed, log = lab.client_counts().failed, lab.part(CONTROLLER).log
        size = log.stat().st_size

        def is_missed_by_the_controller() -> bool:
            with log.open("rb") as lines:
                lines.seek(size)
                return b"got no answer from the API server" in lines.read() or CONTROLLER not in lab.parts()

        def is_unmeasured() -> bool:
            rollout = self.look()
            return rollout is not None and (rollout.verdict == Verdict.ERROR or rollout.is_over)

        if part == "apiserver":
            return is_missed_by_the_controller
        if part == "prometheus":
            return is_unmeasured
        return lambda: lab.client_counts().failed > failed + FAILURES


def template_and_size(document: Document) -> tuple[str, int]:
    container = document["spec"]["template"]["spec"]["containers"][0]
    return container["image"].rpartition(":")[2], document["spec"]["replicas"]


def events_told(cockpit: Cockpit, since: int) -> Counter[str]:
    """How often each reason was told after a version of the cluster."""
    told: Counter[str] = Counter()
    for event in cockpit.lab.api.get(EVENTS.path(NAMESPACE))["items"]:
        if int(event["metadata"]["resourceVersion"]) > since:
            told[event["reason"]] += event["count"]
    return told


def version_now(cockpit: Cockpit) -> int:
    return int(cockpit.lab.api.get(EVENTS.path(NAMESPACE))["metadata"]["resourceVersion"])


@pytest.mark.parametrize("version", [GOOD, BAD], ids=lambda version: version.name)
@pytest.mark.parametrize("killed", KILLS)
def test_what_is_killed_in_the_middle_changes_no_verdict_and_no_step(
    cockpit: Cockpit, killed: str, version: Version
) -> None:
    is_good, since = version is GOOD, version_now(cockpit)
    name = f"{version.name}-{list(KILLS).index(killed)}"
    before = template_and_size(cockpit.lab.deployment(STABLE))
    with FlightRecorder(cockpit.lab) as recorder:
        weights = recorder.follow_weights()
        stable = recorder.follow(DEPLOYMENTS, STABLE, template_and_size)
        canary = recorder.follow(DEPLOYMENTS, CANARY, template_and_size)
        release = Release.ship(cockpit, version, name)
        for step, parts in enumerate(KILLS[killed]):
            if release.wait_for_step(step):
                release.crash(*parts)
        rollout = release.wait_for_end()
        cockpit.lab.wait_until(
            lambda: weights[-1:] == [(100, 0)] and canary[-1:] == [(name, 0)], what="the records", deadline_seconds=10
        )

    assert rollout.phase is (Phase.SUCCEEDED if is_good else Phase.FAILED), rollout.message
    climbed = [each for each in weights if each in STEPS]
    assert climbed == STEPS[: len(climbed)]
    assert climbed
    assert weights == ([*STEPS, *TO_THE_END] if is_good else [*climbed, (100, 0)])
    assert [each for each in stable if each != before] == ([(name, before[1])] if is_good else [])
    assert {size for _, size in canary} <= {0, 1, before[1]}
    assert rises_and_falls_once([size for _, size in canary]), canary
    told = events_told(cockpit, since)
    assert told[rollout.phase.value] == 1
    of_metrics = {"MetricsUnavailable", "MetricsAvailable", "NoData"}
    assert {reason for reason, count in told.items() if count > 1} <= of_metrics


def rises_and_falls_once(sizes: list[int]) -> bool:
    """Whether no size is asked for again once another has been."""
    top = sizes.index(max(sizes))
    return sizes[: top + 1] == sorted(sizes[: top + 1]) and sizes[top:] == sorted(sizes[top:], reverse=True)


def test_a_prometheus_that_is_silent_for_a_minute_holds_the_release_and_no_more(cockpit: Cockpit) -> None:
    lab, since = cockpit.lab, version_now(cockpit)
    served = lab.client_counts().responses.get(CANARY, {})
    with FlightRecorder(lab) as recorder:
        weights = recorder.follow_weights()
        release = Release.ship(cockpit, GOOD, "v2-silence")
        assert release.wait_for_step(0)
        lab.part("prometheus").send(SIGSTOP)
        try:
            lab.wait(SILENCE_SECONDS)
            rollout = cockpit.look()
        finally:
            lab.part("prometheus").send(SIGCONT)
        assert (rollout.phase, rollout.weight, rollout.verdict) == (Phase.PROGRESSING, 10, Verdict.ERROR)
        assert "did not answer within" in rollout.message
        assert weights == STEPS[:1]
        assert release.wait_for_end().phase is Phase.SUCCEEDED
        lab.wait_until(lambda: weights[-1:] == [(100, 0)], what="the records", deadline_seconds=10)

    assert weights == [*STEPS, *TO_THE_END]
    assert events_told(cockpit, since)["MetricsUnavailable"] == 1
    counted = read_state(cockpit.read_canary()["status"]).evidence.totals.canary.requests
    assert 0 < counted <= sum(lab.client_counts().responses[CANARY].values()) - sum(served.values())
