"""Traffic of which no requests are counted: values are all that a version is judged by, and their absence is told."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from judge_questions import NEW, ask

from canary.judge.judge import judge
from canary.judge.ledger import GUARDED
from canary.judge.plan import make_plan
from canary.judge.service import Traffic
from canary.model.errors import InvalidDocument
from canary.model.evidence import ArmCounts, ArmValues, Evidence, NoData, Sample
from canary.model.resource import parse_canary
from canary.model.verdict import AnalysisResult, Verdict

NOTHING = NoData("stable is not known to the mesh")
METHOD = "mean-difference"


def answer(evidence: Evidence, value: Sample, *, counted: Sample = NOTHING, is_counted: bool = False) -> AnalysisResult:
    question = ask(evidence, ArmValues(stable=1, canary=1), METHOD, is_counted=is_counted)
    assert question.measurement is not None
    (name,) = question.measurement.samples.keys() - {GUARDED}
    measurement = replace(question.measurement, samples={name: value, GUARDED: counted})
    return judge([replace(question, measurement=measurement)])[0].worded()


def after(spans: int, value: Sample, *, counted: Sample = NOTHING, is_counted: bool = False) -> AnalysisResult:
    result = answer(NEW, value, counted=counted, is_counted=is_counted)
    for _ in range(spans - 1):
        result = answer(result.evidence, value, counted=counted, is_counted=is_counted)
    return result


@pytest.mark.parametrize("counted", [NOTHING, ArmCounts()], ids=["unknown", "none"])
def test_values_alone_pass_a_version_that_is_as_good_and_condemn_one_that_is_worse(counted: Sample) -> None:
    assert after(40, ArmValues(stable=5, canary=5), counted=counted).verdict is Verdict.PASS
    assert after(40, ArmValues(stable=5, canary=50), counted=counted).verdict is Verdict.FAIL


def test_where_requests_are_counted_values_without_any_request_pass_nothing() -> None:
    found = after(40, ArmValues(stable=5, canary=5), is_counted=True)
    assert found.verdict is Verdict.NODATA
    assert "no requests yet" in found.sentence


def test_the_last_values_are_remembered_and_grow_stale() -> None:
    result = after(3, ArmValues(stable=5, canary=5))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.evidence.data_at == result.evidence.watermark
    missing = after(1, NoData("the query gave nothing"))
    assert (missing.verdict, missing.evidence.data_at) == (Verdict.NODATA, None)
    question = ask(result.evidence, None, METHOD, is_counted=False)
    stale = judge([replace(question, now=question.now + timedelta(minutes=10))])[0].worded()
    assert stale.verdict is Verdict.NODATA
    assert "metrics are stale" in stale.sentence


def test_between_two_measurements_it_is_told_since_when_no_query_has_given_a_number() -> None:
    def idle(result: AnalysisResult) -> str:
        between = judge([replace(ask(result.evidence, None, METHOD, is_counted=False), settled=False)])[0].worded()
        assert between.verdict is Verdict.NODATA
        return between.sentence

    result = after(3, ArmValues(stable=5, canary=5))
    for _ in range(12):
        result = answer(result.evidence, NoData("the query gave nothing"))
    assert "no query has given a number for each version since" in idle(result)
    assert "no query has given a number for each version in this release yet" in idle(after(1, NoData("nothing")))


def test_a_plan_does_not_advise_what_would_be_refused() -> None:
    lag = {"name": "lag", "query": "max(lag{workload='$workload'})", "margin": "10%"}
    spec = {
        "stable": {"deployment": "a"},
        "canary": {"deployment": "b"},
        "traffic": {"istio": {"virtualService": "broker", "tcpRoutes": [{"port": 9092}]}},
        "analysis": {"metrics": [lag]},
    }
    document = {
        "apiVersion": "canary.delivery/v1alpha1",
        "kind": "Canary",
        "metadata": {"name": "broker"},
        "spec": spec,
    }
    with pytest.raises(InvalidDocument, match="release it without a plan"):
        make_plan(parse_canary(document), Traffic(rps=10, error_rate=0.01), np.random.default_rng(1))
