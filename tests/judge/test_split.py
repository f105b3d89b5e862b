"""The splits of a tick, in one call and in words."""

import numpy as np
import pytest
from judge_questions import ROW

from canary.judge.method import Batch
from canary.judge.methods.traffic_share import BOUND, METHOD
from canary.judge.split import SplitFinding, SplitQuestion, check_splits
from canary.model.evidence import ArmCounts, Counts, pack, unpack

SETTLED = SplitQuestion(
    state=b"",
    span=ArmCounts(stable=Counts(1350), canary=Counts(150)),
    is_settled=True,
    is_restarted=False,
    weight=10,
    steps=4,
    planned_spans=480,
)


def served(canary: int, requests: int) -> ArmCounts:
    return ArmCounts(stable=Counts(requests - canary), canary=Counts(canary))


def watch(question: SplitQuestion, spans: list[ArmCounts]) -> list[SplitFinding]:
    found = []
    for each in spans:
        question = question._replace(span=each)
        found.append(check_splits([question])[0])
        question = question._replace(state=found[-1].state)
    return found


def test_nothing_is_asked() -> None:
    assert check_splits([]) == []


def test_a_split_as_asked_is_carried_and_its_spans_are_comparable() -> None:
    for found in watch(SETTLED, [served(150, 1500), served(161, 1500), served(139, 1500)]):
        assert (found.is_carried, found.is_comparable, found.sentence) == (True, True, None)


def test_it_holds_when_the_canary_gets_nothing_and_says_where_to_look() -> None:
    (found,) = watch(SETTLED, [served(0, 1500)])

    assert (found.is_carried, found.is_comparable) == (False, False)
    assert found.evidence >= BOUND
    assert found.sentence == (
        "the mesh does not carry the split that was asked for: 0% of 1,500 requests went to the canary, 10% were asked "
        "for; is the VirtualService bound to the gateway or mesh of the callers, and do its subsets have endpoints?"
    )


def test_it_holds_when_the_canary_gets_too_much() -> None:
    found = watch(SETTLED, [served(300, 1500), served(291, 1500)])[-1]

    assert found.sentence == (
        "the mesh does not carry the split that was asked for: 19.7% of 3,000 requests went to the canary, 10% were "
        "asked for; ask for the routes that the callers' proxies have (istioctl proxy-config routes)"
    )


def test_a_mended_split_is_carried_again_and_is_counted_afresh() -> None:
    held = watch(SETTLED, [served(0, 1500)] * 40)[-1]

    mended = watch(SETTLED._replace(state=held.state), [served(150, 1500)] * 3)

    assert [found.is_carried for found in mended] == [True, True, True]
    assert METHOD.describe(np.array([unpack(mended[-1].state)]))[0].facts == (
        "10% of 4,500 requests went to the canary, 10% were asked for"
    )


def test_one_strange_span_is_no_evidence_while_the_split_as_a_whole_is_carried() -> None:
    found = watch(SETTLED, [served(10, 100)] * 10 + [served(28, 100)])[-1]

    assert (found.is_carried, found.is_comparable) == (True, False)
    assert found.sentence == (
        "this measurement is no evidence, because its split is not the one that was asked for: 28% of 100 requests "
        "went to the canary, 10% were asked for"
    )


def test_spans_in_which_weights_changed_say_nothing_of_the_split() -> None:
    (found,) = watch(SETTLED._replace(is_settled=False), [served(0, 150_000)])

    assert (found.is_carried, found.is_comparable, found.sentence) == (True, False, None)
    assert found.evidence == pytest.approx(1)


def test_a_hold_lasts_until_the_new_weight_has_been_seen() -> None:
    held = watch(SETTLED, [served(0, 1500)])[-1]
    edited = SETTLED._replace(state=held.state, weight=25, is_restarted=True)

    (waiting,) = watch(edited._replace(is_settled=False), [served(0, 0)])
    (seen,) = watch(edited, [served(375, 1500)])

    assert waiting.sentence == (
        "the mesh did not carry the split that was asked for, and nothing was counted yet at 25%"
    )
    assert (seen.is_carried, seen.sentence) == (True, None)


def test_memory_of_another_shape_is_not_read() -> None:
    assert check_splits([SETTLED._replace(state=pack((1.0, 2.0)))]) == check_splits([SETTLED])


def test_many_are_checked_as_each_alone_and_as_by_the_method() -> None:
    rng = np.random.default_rng(1)
    requests = np.round(10 ** rng.uniform(0, 6, 100)).astype(int)
    canary = rng.binomial(requests, 0.12)
    questions = [
        SETTLED._replace(span=served(int(x), int(n)), is_settled=bool(place % 5), is_restarted=place % 7 == 0)
        for place, (x, n) in enumerate(zip(canary, requests, strict=True))
    ]
    rows = [ROW._replace(admissible=question.is_settled, restarted=question.is_restarted) for question in questions]
    samples = [METHOD.read(question.span, METHOD.initial) for question in questions]

    together = check_splits(questions)
    outcome = METHOD.update(Batch.of([METHOD.initial] * 100, samples, [()] * 100, rows))

    assert together == [check_splits([question])[0] for question in questions]
    np.testing.assert_allclose([found.evidence for found in together], outcome.rollback_evidence, rtol=1e-12)
    np.testing.assert_allclose([unpack(found.state) for found in together], outcome.state, rtol=1e-12)
    assert [found.is_carried for found in together] == (outcome.promotion_peak > BOUND).tolist()
