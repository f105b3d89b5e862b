"""A replay as a person reads it, and as a script does.

A person sees the moments at which something changed, and the judge's own sentence at the end of each release; a script
gets every moment.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich import box
from rich.table import Table

from canary.cli.screen.console import open_console
from canary.cli.screen.table import verdict_text
from canary.cli.screen.words import NOTHING, rate, requests, rough
from canary.judge.replay import Moment, RecordedSpan, changes
from canary.model.spec import CanarySpec
from canary.model.verdict import MetricVerdict, Verdict

_MOST_SHOWN: Final = 1_000_000


def show_replay(spec: CanarySpec, spans: Sequence[RecordedSpan], moments: Sequence[Moment]) -> None:
    """Print the changes and the ends."""
    console = open_console()
    if not spans:
        console.print(f"Canary {spec.key}: there is nothing to judge; no span was recorded.")
        return
    first, last = spans[0].measurement.start, spans[-1].measurement.end
    console.print(f"Canary {spec.key}, {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC: {len(spans):,} spans")
    if not moments:
        console.print("There is nothing to judge: the canary had no traffic. Give --step to judge it all the same.")
        return
    metric = _decisive(moments[-1])
    control = "STABLE" if spec.baseline_deployment is None else "BASELINE"
    console.print("", _table(changes(moments), control), "", sep="\n")
    console.print(
        f"AGAINST: evidence that the canary is worse; {metric.metric} condemns at {metric.rollback_bound:,.0f}. "
        f"FOR: evidence that it is not worse by the step's margin; passes at {metric.promotion_bound:,.0f}.",
        style="dim",
    )
    for release in sorted({moment.release for moment in moments}):
        console.print(_ending([moment for moment in moments if moment.release == release]), soft_wrap=False)


def _table(shown: Sequence[Moment], control: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    for title in ("TIME", "STEP", "VERDICT"):
        table.add_column(title, no_wrap=True)
    for title in ("CANARY", control, "AGAINST", "FOR"):
        table.add_column(title, justify="right", no_wrap=True)
    for moment in shown:
        decisive = _decisive(moment)
        counts = decisive.counts
        table.add_row(
            f"{moment.end:%H:%M:%S}",
            f"{moment.step + 1} ({moment.weight}%)",
            verdict_text(moment.result.verdict.value),
            f"{rate(counts.canary)} of {requests(counts.canary.requests)}" if counts.canary.requests else NOTHING,
            rate(counts.stable),
            _evidence(decisive.rollback_evidence),
            _evidence(decisive.promotion_evidence),
        )
    return table


def _evidence(value: float) -> str:
    return f"{value:,.0f}" if 100 <= value < _MOST_SHOWN else f"{value:.2g}" if value < _MOST_SHOWN else ">1e6"


def _decisive(moment: Moment) -> MetricVerdict:
    """The metric that the verdict is from; the first one where it is nobody's (the guard)."""
    metrics, verdict = moment.result.metrics, moment.result.verdict
    return next((each for each in metrics if each.verdict is verdict), metrics[0])


def _ending(moments: Sequence[Moment]) -> str:
    """How one release ended; a condemned one ended where it was condemned."""
    condemned = next((moment for moment in moments if moment.result.verdict is Verdict.FAIL), None)
    end = condemned or moments[-1]
    what = "condemned, and would have been rolled back" if condemned else f"{end.result.verdict.value} at the end"
    return (
        f"Release {end.release} from {end.began:%H:%M:%S}: {what}, after {rough(end.end - end.began)} at "
        f"{end.weight}%. {end.result.sentence}"
    )


def document_of(spec: CanarySpec, spans: Sequence[RecordedSpan], moments: Sequence[Moment]) -> dict[str, object]:
    """Every moment, for a script."""
    return {
        "canary": str(spec.key),
        "spans": len(spans),
        "start": _instant(spans[0].measurement.start) if spans else None,
        "end": _instant(spans[-1].measurement.end) if spans else None,
        "verdict": moments[-1].result.verdict.value if moments else None,
        "sentence": moments[-1].result.sentence if moments else None,
        "moments": [_moment(moment) for moment in moments],
    }


def _moment(moment: Moment) -> dict[str, object]:
    return {
        "start": _instant(moment.start),
        "end": _instant(moment.end),
        "release": moment.release,
        "step": moment.step + 1,
        "weight": moment.weight,
        "admissible": moment.admissible,
        "verdict": moment.result.verdict.value,
        "sentence": moment.result.sentence,
        "metrics": [_metric(metric) for metric in moment.result.metrics],
    }


def _metric(metric: MetricVerdict) -> dict[str, object]:
    return {
        "metric": metric.metric,
        "verdict": metric.verdict.value,
        "estimate": metric.estimate,
        "interval": None if metric.interval is None else list(metric.interval),
        "rollbackEvidence": metric.rollback_evidence,
        "rollbackBound": metric.rollback_bound,
        "promotionEvidence": metric.promotion_evidence,
        "promotionBound": metric.promotion_bound,
        "requestsNeeded": metric.requests_needed,
    }


def _instant(instant: datetime) -> str:
    return instant.isoformat()
