"""The seam between counting and a mesh: what its series are called, who tells of a request, and what became of it.

How counters are subtracted, which reporter is believed and what is refused is the same for every mesh, and knows none
(`counter_queries`, `counter_answers`, `pod_history`). A dialect says the rest: the names of metrics and labels, the
reporters in their order of preference, and what one row of an answer says of the requests it counts.

Meshes differ most in how the workload is named that got the request. Istio's proxies all name it by the same labels.
Linkerd's client names the server by labels of its own and the server names itself by what Prometheus adds to every
scrape. So each reporter brings its labels; those that share them are asked in one selector, others in one of their own,
and one query joins them: their rows differ in the label that names the reporter.

A dialect is one file in `canary.metrics.dialects` and one word in `model.spec.MeshTelemetry`, which is what a person
writes and the API server's schema enforces.

Rejected: labels made alike in PromQL (a `label_replace` over every series of every pod, four times for each metric); a
provider for each mesh (how a store is asked, bounded and believed would stand twice); names of labels as a setting
(which a slip turns into a question about something else, answered with zero failures).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from canary.model.spec import MeshTelemetry
from canary.settings import ReporterPolicy

POD: Final = "pod"
"""The pod whose proxy was scraped, as every usual configuration of Prometheus calls it."""
NO_RESPONSE: Final = "0"
"""The code of a request that got no response at all."""


class NotAnAnswer(Exception):
    """The store's answer is not of the form that it promises; the text says in what."""


class Result(NamedTuple):
    """What became of some requests.

    Attributes:
        code: HTTP's, as text; "0" is no response at all.
        grpc_status: its number, as text; empty when it was no gRPC.
        is_failure: whether the version failed, by the standard set of the mesh.
    """

    code: str
    grpc_status: str
    is_failure: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """One of those that tell of a request.

    Attributes:
        role: where it stands; what a person may prescribe.
        value: of the label that tells reporters apart.
        namespace: the label that it names the namespace of the workload by that got the request.
        workload: the label that it names that workload by.
    """

    role: ReporterPolicy
    value: str
    namespace: str
    workload: str

    @property
    def labels(self) -> tuple[str, str]:
        """By which it names a workload: namespace and name."""
        return self.namespace, self.workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one mesh tells of requests.

    Attributes:
        telemetry: what a person calls it.
        proxies: what must be scraped, and what should be known of it where nothing is found; ends a sentence.
        requests: the counter of requests.
        durations: the buckets of their histogram, in milliseconds.
        reporter: the label that tells reporters apart.
        reporters: in order of preference; one of them is the server's own proxy (`DESTINATION`).
        results: the labels that `read_result` reads.
        read_result: what a row's labels say of the requests that it counts; None when they are not to be counted.
            Raises `NotAnAnswer` when they do not say it.
        excluded: (label, value) of series that are nobody's requests, such as a mesh's own.
        is_forgetful: whether proxies drop series of the silent: a sum over several that fell is then no restart.
    """

    telemetry: MeshTelemetry
    proxies: str
    requests: str
    durations: str
    reporter: str
    reporters: tuple[Reporter, ...]
    results: tuple[str, ...]
    read_result: Callable[[Mapping[str, str]], Result | None]
    excluded: tuple[tuple[str, str], ...] = ()
    is_forgetful: bool = False

    def told_by(self, policy: ReporterPolicy) -> tuple[Reporter, ...]:
        """The reporters that may tell, in order of preference; none when the mesh has not the one prescribed."""
        return tuple(each for each in self.reporters if policy in (ReporterPolicy.AUTO, each.role))


def by_labels(reporters: Iterable[Reporter]) -> list[tuple[Reporter, ...]]:
    """The reporters that name a workload by the same labels, together and in their order."""
    found: dict[tuple[str, str], list[Reporter]] = {}
    for reporter in reporters:
        found.setdefault(reporter.labels, []).append(reporter)
    return [tuple(each) for each in found.values()]
