"""The Canary that is being written, with what a person must decide about it.

Its metrics are checked one by one as they are added, by the very rules that will read them: a metric that cannot be
written here is told of its source's metric, and does not make the whole Canary invalid.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from pydantic import ValidationError

from canary.model.faults import faults_of, show
from canary.model.metric_documents import MetricDocument
from canary.model.metric_rules import BUILT_IN, RESERVED, broken_metric_rules
from canary.model.quantities import format_duration
from canary.model.resource import API_VERSION, KIND

MOST_METRICS: Final = 10
MOST_STEPS: Final = 50
LONGEST_NAME: Final = 63
HEAVIEST: Final = 99
MOST_FAILURES: Final = 100
LONGEST_INTERVAL: Final = timedelta(minutes=5)
"""The bounds of our resource; `parse_canary` holds them, and a conversion that misses one does not pass it."""
ASSUMED_MARGIN: Final = "10%"
"""Of a value that was kept below a number, until a person chooses."""
LONGEST_UNASKED: Final = timedelta(hours=1)
"""Holds up to half of the default maxDuration leave a release as long again for its evidence."""

_NO_LABEL: Final = re.compile(r"[^a-z0-9]+")


class Draft:
    """A Canary in the making.

    Attributes:
        name: of the object.
        decisions: sentences for the head of the file.
        metrics: in their order.
        spec: all but the analysis.
        analysis: all but the metrics.
    """

    def __init__(self, name: str, namespace: str | None) -> None:
        self.name: Final = name
        self.decisions: list[str] = []
        self.metrics: list[Mapping[str, object]] = []
        self.spec: dict[str, Any] = {}
        self.analysis: dict[str, Any] = {}
        self._metadata: dict[str, Any] = {"name": name} | ({"namespace": namespace} if namespace is not None else {})

    def decide(self, sentence: str) -> None:
        """Ask a person something, once."""
        if sentence not in self.decisions:
            self.decisions.append(sentence)

    def lose_metric(self, name: str, reason: str) -> None:
        """Tell a person that a metric is judged no more."""
        self.decide(f"Metric {quoted(name)} is not carried over: it {reason}.")

    def label(self, labels: Mapping[str, str]) -> None:
        """Give it labels."""
        self._metadata["labels"] = dict(labels)

    def add_metric(self, name: str, fields: Mapping[str, object]) -> tuple[str, str]:
        """Add a metric, under a name that is legal and free.

        Returns:
            Its path and an empty reason, or an empty path and why it cannot be added.
        """
        if len(self.metrics) >= MOST_METRICS:
            return "", f"a release is judged by at most {MOST_METRICS} metrics: choose those that matter"
        metric = {"name": self._free_name(name), **fields}
        path = f"spec.analysis.metrics[{len(self.metrics)}]"
        faults = list(broken_metric_rules(metric, path))
        try:
            MetricDocument.model_validate(metric)
        except ValidationError as error:
            faults = [*faults_of(error, MetricDocument), *faults]
        if faults:
            return "", f"cannot be written here, because its {faults[0].path} {faults[0].message}: {faults[0].remedy}"
        self.metrics.append(metric)
        return path, ""

    def compare_value(self, name: str, query: str, high: float) -> tuple[str, str]:
        """Add a metric of a query that was to stay below a number, and that has no unit; as `add_metric`."""
        where, reason = self.add_metric(name, {"query": query, "margin": ASSUMED_MARGIN})
        if where:
            self.decide(
                f"Metric {self.metrics[-1]['name']} was to be {high:g} at most; here it is compared with stable's,"
                f" within a margin of {ASSUMED_MARGIN}, which you should choose. Its value must not grow with a"
                " version's share of the traffic: ask per pod or per request."
            )
        return where, reason

    def ask_for_comparison(self) -> None:
        """Say so where no metric looks at stable."""
        if self.metrics and not any("margin" in metric for metric in self.metrics):
            self.decide(
                "These metrics look at the canary alone and count failed checks, as they did: that knows no stable"
                " version and no chance of being wrong. Add {name: errors, margin: 0.5pp} to spec.analysis.metrics to"
                " compare both."
            )

    def allow_time(self, holds: timedelta) -> None:
        """Set maxDuration where the holds would use up most of the default."""
        if holds > LONGEST_UNASKED:
            self.analysis["maxDuration"] = format_duration(2 * holds)
            self.decide(
                "maxDuration is twice the sum of all holds: the default of 2h would leave evidence little time."
            )

    def complete(self) -> None:
        """Give it a metric if it has none, and say so: a release is never judged by nothing."""
        if not self.metrics:
            self.metrics.append({"name": "errors", "margin": "0.5pp"})
            self.decide(
                "No metric could be carried over. A rise of the error rate by 0.5 percentage points is looked for"
                " instead, which is this project's default: see config/canaries/metrics.yaml for what else can be."
            )

    def document(self) -> dict[str, Any]:
        """The whole object, in the order that people expect."""
        spec: dict[str, Any] = {key: self.spec[key] for key in _ORDER if key in self.spec}
        spec["analysis"] = {**self.analysis, "metrics": self.metrics}
        spec |= {key: value for key, value in self.spec.items() if key not in spec}
        return {"apiVersion": API_VERSION, "kind": KIND, "metadata": self._metadata, "spec": spec}

    def _free_name(self, wanted: str) -> str:
        name = free_name(wanted, (), "metric")
        name += "-limit" if name in (*BUILT_IN, *RESERVED) else ""
        return free_name(name, [str(metric["name"]) for metric in self.metrics], "metric")


_ORDER: Final[tuple[str, ...]] = ("stable", "canary", "traffic", "steps")


def free_name(wanted: str, taken: Sequence[str], otherwise: str) -> str:
    """A legal name like the one that is wanted, unlike those that are taken."""
    name = _NO_LABEL.sub("-", wanted[: 4 * LONGEST_NAME].lower()).strip("-")[: LONGEST_NAME - 4].strip("-")
    name = name or otherwise
    numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(each for each in numbered if each not in taken)


def quoted(value: object) -> str:
    """A name in a sentence."""
    return show(value)[1:-1] if isinstance(value, str) else show(value)


def share_of_requests(share: float) -> str | None:
    """A share as a limit is written; None for nothing, for all, and for what is too small to be written."""
    text = f"{share * 100:.6f}".rstrip("0").rstrip(".")
    return f"{text}%" if text != "0" and share < 1 else None
