"""The splits of a tick, in one call and in words."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
from judge_questions import ROW

from canary.judge.method import Batch
from canary.judge.methods.traffic_share import BOUND, METHOD, Shares
from canary.judge.split import check_splits
from canary.model.evidence import ArmCounts, Counts, pack, unpack


class Asked(NamedTuple):
    """One Canary at one tick, on the second of four steps."""

    state: bytes = b""
    span: ArmCounts = ArmCounts(stable=Counts(1350), canary=Counts(150))
    is_settled: bool = True
    is_restarted: bool = False
    weight: int = 10


class Found(NamedTuple):
    """What was found of it; `sentence` is None when there is nothing to say."""

    state: bytes
    evidence: float
    is_carried: bool
    is_comparable: bool
    sentence: str | None


SETTLED = Asked()


def check(asked: Sequence[Asked]) -> list[Found]:
    canary = np.array([float(each.span.canary_requests) for each in asked])
    span = Shares(
        canary=canary,
        requests=canary + np.array([each.span.stable_requests for each in asked]),
        weight=np.array([each.weight for each in asked]) / 100,
        counts=np.array([each.is_settled for each in asked]),
        restarted=np.array([each.is_restarted for each in asked]),
        steps=np.full(len(asked), 4.0),
        planned_spans=np.full(len(asked), 480.0),
    )
    states, evidence, carried, comparable, sentences = check_splits([each.state for each in asked], span)
    columns = states, evidence.tolist(), carried.tolist(), comparable.tolist(), map(sentences.get, range(len(asked)))
    return list(map(Found, *columns))


def served(canary: int, requests: int) -> ArmCounts:
    return ArmCounts(stable=Counts(requests - canary), canary=Counts(canary))


def watch(question: Asked, spans: list[ArmCounts]) -> list[Found]:
    found = []
    for each in spans:
        question = question._replace(span=each)
        found.append(check([question])[0])
        question = question._replace(state=found[-1].state)
    return found


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
    assert METHOD.describe(unpack(mended[-1].state)).facts == (
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
    assert check([SETTLED._replace(state=pack((1.0, 2.0)))]) == check([SETTLED])


def test_many_are_checked_as_each_alone_and_as_by_the_method() -> None:
    rng = np.random.default_rng(1)
    requests = np.round(10 ** rng.uniform(0, 6, 100)).astype(int)
    canary = rng.binomial(requests, 0.12)
    questions = [
        SETTLED._replace(span=served(int(x), int(n)), is_settled=bool(place % 5), is_restarted=place % 7 == 0)
        for place, (x, n) in enumerate(zip(canary, requests, strict=True))
    ]
    rows = [ROW._replace(admissible=question.is_settled, restarted=question.is_restarted) for question in questions]
    columns = METHOD.read([question.span for question in questions], np.array([METHOD.initial] * 100))

    together = check(questions)
    outcome = METHOD.update(Batch.of([METHOD.initial] * 100, columns.numbers, [()] * 100, rows))

    assert together == [check([question])[0] for question in questions]
    np.testing.assert_allclose([found.evidence for found in together], outcome.rollback_evidence, rtol=1e-12)
    np.testing.assert_allclose([unpack(found.state) for found in together], outcome.state, rtol=1e-12)
    assert [found.is_carried for found in together] == (outcome.promotion_peak > BOUND).tolist()
