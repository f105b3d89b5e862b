"""Learning, once per release, what each metric's method wants to know of stable's own pods.

The arithmetic is in `canary.judge.pod_noise`. This is apart from the judge, because it is asked once per release and
with a hundred thousand numbers, and apart from the arithmetic, because methods use that and this uses the methods.
"""

from collections.abc import Mapping, Sequence

from canary.judge.baseline import UNKNOWN, Usual
from canary.judge.ledger import GUARDED
from canary.judge.methods import discover, error_proportion
from canary.model.evidence import Evidence
from canary.model.history import PodHistory
from canary.model.spec import MetricSpec


def calibrate(
    metrics: Sequence[MetricSpec], history: Mapping[str, PodHistory], canary_pods: int
) -> Mapping[str, tuple[float, ...]]:
    """What `Evidence.noise` is to hold: of each metric what its method learned; without enough history it is not there.

    Args:
        metrics: that are compared.
        history: of stable's pods, by metric.
        canary_pods: how many pods the canary has.
    """
    methods = discover()
    learned = {
        metric.name: methods[metric.method].calibrate(metric, history[metric.name], canary_pods)
        for metric in metrics
        if metric.name in history
    }
    return {name: numbers for name, numbers in learned.items() if numbers is not None}


def is_calibrated(metric: MetricSpec) -> bool:
    """Whether the metric's method wants to know of noise at all; limits, rules and values do not."""
    return bool(discover()[metric.method].assume_noise(None))


def known_usual(metrics: Sequence[MetricSpec], evidence: Evidence) -> Usual:
    """What stable did before the release, as far as the metric that the absolute guard looks at has learned it."""
    learned = evidence.noise.get(GUARDED)
    if learned is None:
        return UNKNOWN
    is_compared = any(metric.name == GUARDED and metric.method == error_proportion.METHOD.name for metric in metrics)
    return error_proportion.usual_of(learned) if is_compared else UNKNOWN


def known_level_seconds(metrics: Sequence[MetricSpec], evidence: Evidence) -> float:
    """Of the noise of one version in what the absolute guard looks at; 0 where none was learned."""
    learned = evidence.noise.get(GUARDED)
    is_compared = any(metric.name == GUARDED and metric.method == error_proportion.METHOD.name for metric in metrics)
    return learned[0] if learned and is_compared else 0.0


def quiet(metrics: Sequence[MetricSpec]) -> Mapping[str, tuple[float, ...]]:
    """What a long history would have taught of a service whose noise all of its pods share: none belongs to one."""
    methods = discover()
    sizes = {metric.name: len(methods[metric.method].assume_noise(None)) for metric in metrics}
    return {name: (0.0,) * size for name, size in sizes.items() if size}
