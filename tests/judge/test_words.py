"""Each verdict in the words that a release manager reads."""

from datetime import timedelta

import pytest
from judge_questions import BAD, GOOD, NEW, answer, counts, watch

from canary.judge.words import evidence, percent, points
from canary.model.evidence import NoData, QueryFailed


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0%"),
        (1, "100%"),
        (0.052, "5.2%"),
        (0.00123, "0.12%"),
        (0.1234, "12.3%"),
        (1e-5, "0.001%"),
        (1e-8, "less than 0.001%"),
    ],
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(("share", "text"), [(0.005, "0.5pp"), (0.05 / 3, "1.67pp"), (0.1, "10pp")])
def test_points(share: float, text: str) -> None:
    assert points(share) == text


@pytest.mark.parametrize(
    ("e_value", "text"), [(340.2, "340"), (20, "20"), (1.234, "1.2"), (0.0123, "0.012"), (1e30, "over 1,000,000")]
)
def test_evidence(e_value: float, text: str) -> None:
    assert evidence(e_value) == text


def test_fail() -> None:
    assert watch(NEW, [BAD] * 4)[-1].sentence == (
        "errors: canary fails 5.3% of 600 requests, stable 0.15% of 5,400: worse, with evidence 9,991 (needed: 100)"
    )


def test_pass() -> None:
    assert watch(NEW, [GOOD] * 4)[-1].sentence == (
        "errors: canary fails 0% of 600 requests, stable 0.15% of 5,400: a regression of 2pp or more is excluded, "
        "with evidence 28,699 (needed: 20)"
    )


def test_inconclusive_says_what_is_excluded_what_must_be_and_what_it_takes() -> None:
    result = watch(NEW, [((1350, 2), (150, 1))] * 4, next_weight=100)[-1]

    assert result.sentence == (
        "errors: not enough yet: canary fails 0.67% of 600 requests, stable 0.15% of 5,400; a regression of more "
        "than 2.66pp is excluded, 0.5pp must be; at most about 1,900 more canary requests, 4 min at this rate, if "
        "it is as good as stable"
    )
    assert result.metrics[0].requests_needed == 1894


def test_error_names_the_cause() -> None:
    assert answer(NEW, QueryFailed("HTTP 503 from http://prometheus:9090")).sentence == (
        "errors: the metrics store gave no usable answer, and nothing was counted: HTTP 503 from http://prometheus:9090"
    )


def test_nodata_names_the_cause() -> None:
    lost = answer(NEW, NoData("a gap of 7 minutes")).sentence
    passed = watch(NEW, [GOOD] * 4)[-1].evidence
    assert passed.watermark is not None
    idle = watch(passed, [((1350, 2), (0, 0))] * 5)[-1].sentence
    stale = answer(passed, None, now=passed.watermark + timedelta(minutes=2)).sentence

    assert lost == "errors: this measurement is lost: a gap of 7 minutes"
    assert idle == "errors: no requests to both versions since 2026-03-01 12:01:00 UTC"
    assert stale == "errors: metrics are stale: nothing has been measured since 2026-03-01 12:01:00 UTC"


def test_counted_but_not_judged() -> None:
    assert answer(NEW, counts((90, 0), (10, 0)), admissible=False).sentence == (
        "errors: not enough yet: canary requests counted: 10, none of them as evidence, because the canary warms up or "
        "the split has not settled"
    )


@pytest.mark.parametrize(
    ("share", "said"), [(1.0, "19 s"), (0.2, "2 min"), (0.1, "4 min"), (0.01, "32 min"), (0.0, None), (None, "4 min")]
)
def test_what_is_missing_is_told_in_time_too(share: float | None, said: str | None) -> None:
    """Where chosen users decide the share, by the requests that they make."""
    known = watch(NEW, [((1350, 2), (150, 1))] * 3, next_weight=100)[-1].evidence
    sentence = answer(known, counts((1350, 2), (150, 1)), next_weight=100, share=share).sentence

    assert ("at this rate" in sentence) == (said is not None)
    assert said is None or f"1,900 more canary requests, {said} at this rate, if" in sentence
