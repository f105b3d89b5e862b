"""What must hold for each statistical method that is found, whatever it does inside."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from judge_questions import BAD, BROKEN, GOOD, NEW, ROW, TRIALS, Pair, answer, ask, watch

from canary.judge.judge import GUARD_KEY, ROLLBACK_KEY, judge
from canary.judge.method import Batch, Method, Outcome, Row
from canary.judge.methods import discover
from canary.judge.methods.latency import MOST_BOUNDS
from canary.model.evidence import Evidence, pack, unpack
from canary.model.verdict import AnalysisResult, Verdict

METHODS = list(discover().values())
every_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
GATES = {"traffic-share"}
"""Asked of every release and named by no spec. A gate condemns nobody, so nothing is said here of its verdicts; that
one version has no requests is what it looks for, one span may be enough, and its two versions are not alike. What
stands in the place of these rules is in its own tests."""
every_metric = pytest.mark.parametrize(
    "method", [method for method in METHODS if method.name not in GATES], ids=lambda method: method.name
)
every_test = pytest.mark.parametrize(
    "method",
    [method for method in METHODS if method.share > 0 and method.name not in GATES],
    ids=lambda method: method.name,
)
"""Without the rules that have no error rate: their evidence is 1 or certain, so it jumps, at as few spans as the rule
says, and half a span is not half of it."""
every_count = pytest.mark.parametrize(
    "method",
    [method for method in METHODS if method.share > 0 and method.name not in {*GATES, "mean-difference"}],
    ids=lambda method: method.name,
)
"""Of these, those whose samples are counts: an average over half a span is as large as one over the whole."""

COUNTED = ((1350, 2), (150, 1))
NOTHING = ((0, 0), (0, 0))
CONDEMNED = {method.name: watch(NEW, [BAD] * 60, method.name)[-1].evidence for method in METHODS}


@st.composite
def pairs(draw: st.DrawFn, largest: int = 10**9) -> Pair:
    """(requests, errors) of one version in one span, small counts as often as huge ones."""
    requests = draw(st.one_of(st.integers(0, 5), st.integers(0, 3000), st.integers(0, largest)))
    errors = draw(st.one_of(st.just(0), st.just(requests), st.integers(0, requests)))
    return requests, errors


spans = st.lists(st.tuples(pairs(), pairs()), min_size=1, max_size=8)


def row_of(method: Method, **changes: float) -> Row:
    """A margin and a limit that the method can mean: half a point, or a tenth longer; one failure in 100."""
    limit = 0.01 if TRIALS[method.name].is_alone else 0.0
    is_part = method.name in {"latency", "mean-difference"}
    return ROW._replace(margin=0.1 if is_part else 0.005, limit=limit)._replace(**changes)


def put(
    method: Method,
    spans: Sequence[tuple[Pair, Pair]],
    states: Sequence[tuple[float, ...]] | None = None,
    rows: Sequence[Row] | None = None,
    scale: float = 1,
) -> Outcome:
    """Many Canaries, one span each: (requests, how many went wrong) of stable and canary."""
    states = states or [method.initial] * len(spans)
    columns = method.read([TRIALS[method.name].sample(*span) for span in spans], np.array(states))
    assert not columns.lost
    noises = [(0.0,) * len(method.assume_noise(None))] * len(spans)
    batch = Batch.of(states, columns.numbers, noises, rows or [row_of(method)] * len(spans))
    kept = batch.sample.copy()
    kept[:, scaled(method)] *= scale
    return method.update(replace(batch, sample=kept))


def scaled(method: Method) -> slice:
    """The columns that are counts."""
    return slice(MOST_BOUNDS, None) if method.name == "latency" else slice(None)


def states_of(outcome: Outcome) -> list[tuple[float, ...]]:
    return [tuple(state) for state in outcome.state.tolist()]


def carry(method: Method, spans: Sequence[tuple[Pair, Pair]], rows: Sequence[Row] | None = None) -> Outcome:
    """One Canary, span after span."""
    rows = rows or [row_of(method)] * len(spans)
    outcome = put(method, spans[:1], rows=rows[:1])
    for span, row in zip(spans[1:], rows[1:], strict=True):
        outcome = put(method, [span], states_of(outcome), [row])
    return outcome


@every_metric
def test_metric_name_is_free_for_evidence(method: Method) -> None:
    metric = TRIALS[method.name].analysis.metrics[0].name
    assert metric not in (GUARD_KEY, ROLLBACK_KEY)
    assert method.share >= 0


@every_metric
def test_no_data_gives_no_evidence(method: Method) -> None:
    stable, canary = COUNTED
    is_alone = TRIALS[method.name].is_alone  # then stable is not missed

    outcome = carry(method, [NOTHING, (stable, (0, 0)), NOTHING if is_alone else ((0, 0), canary), NOTHING] * 50)

    assert outcome.rollback_evidence[0] == pytest.approx(1, abs=1e-12)
    assert outcome.promotion_peak[0] == 1


@every_metric
def test_inadmissible_spans_give_no_evidence(method: Method) -> None:
    outcome = carry(method, [BROKEN, COUNTED] * 50, [row_of(method, admissible=0)] * 100)

    assert outcome.rollback_evidence[0] == pytest.approx(1, abs=1e-12)
    assert outcome.promotion_peak[0] == 1


@every_metric
@pytest.mark.parametrize(("span", "verdict"), [(GOOD, Verdict.PASS), (BAD, Verdict.FAIL)])
def test_more_of_the_same_evidence_never_reverses_a_verdict(
    method: Method, span: tuple[Pair, Pair], verdict: Verdict
) -> None:
    verdicts = [result.verdict for result in watch(NEW, [span] * 200, method.name)]

    reached = verdicts.index(verdict)
    assert set(verdicts[reached:]) == {verdict}
    assert set(verdicts[:reached]) <= {Verdict.INCONCLUSIVE}


@every_metric
@settings(max_examples=60)
@given(after=spans)
def test_a_condemned_version_stays_condemned(method: Method, after: list[tuple[Pair, Pair]]) -> None:
    assert {result.verdict for result in watch(CONDEMNED[method.name], after, method.name, step=3)} == {Verdict.FAIL}


@every_metric
@settings(max_examples=60)
@given(history=spans)
@example(history=[((603832, 603832), (0, 0)), ((17726762, 0), (1, 0))])  # after an outage: the guess is near 1
def test_swapping_the_labels_swaps_the_sign_and_lets_no_condemnation_stand(
    method: Method, history: list[tuple[Pair, Pair]]
) -> None:
    as_is = watch(NEW, history, method.name)
    swapped = watch(NEW, [(canary, stable) for stable, canary in history], method.name)

    for one, other in zip(as_is, swapped, strict=True):
        (ours,), (theirs,) = one.metrics, other.metrics
        # latency's evidence begins, and its edges are chosen, by what is known of the version that is called stable
        is_compared = not TRIALS[method.name].is_alone
        is_the_same = is_compared and (ours.edge_ms, ours.counts.stable.requests) == (
            theirs.edge_ms,
            theirs.counts.canary.requests,
        )
        if ours.estimate is not None and theirs.estimate is not None and is_the_same:
            if TRIALS[method.name].is_ratio:
                assert np.sign(ours.estimate) == -np.sign(theirs.estimate)
            else:
                assert ours.estimate == -theirs.estimate
    if TRIALS[method.name].is_alone:
        return  # both versions may break a limit
    if len(history) == 1 or all(span == history[0] for span in history):
        assert Verdict.FAIL not in {as_is[-1].verdict} & {swapped[-1].verdict}


@every_metric
@pytest.mark.parametrize("span", [BAD, BROKEN, ((150, 40), (150, 1))])
def test_what_condemns_a_version_acquits_it_when_the_labels_are_swapped(
    method: Method, span: tuple[Pair, Pair]
) -> None:
    stable, canary = span
    verdicts = {watch(NEW, [pair] * 60, method.name)[-1].verdict for pair in ((stable, canary), (canary, stable))}

    assert verdicts == {Verdict.FAIL, Verdict.PASS}


@every_method
@settings(max_examples=60)
@given(history=spans, following=spans)
def test_state_read_back_from_json_continues_identically(
    method: Method, history: list[tuple[Pair, Pair]], following: list[tuple[Pair, Pair]]
) -> None:
    evidence = watch(NEW, history, method.name)[-1].evidence
    kept = {name: unpack(packed) for name, packed in evidence.tests.items()}
    written = json.loads(json.dumps(kept, allow_nan=False))
    read = replace(evidence, tests={name: pack(numbers) for name, numbers in written.items()})

    assert read == evidence
    assert watch(read, following, method.name) == watch(evidence, following, method.name)


@every_method
def test_many_are_judged_as_each_alone(method: Method) -> None:
    rng = np.random.default_rng(5)
    requests = np.exp(rng.uniform(0, np.log(1e7), (200, 2))).astype(int)
    errors = rng.binomial(requests, rng.uniform(0, 1, (200, 1)) ** 3)
    spans = [
        ((int(n_stable), int(x_stable)), (int(n_canary), int(x_canary)))
        for (n_stable, n_canary), (x_stable, x_canary) in zip(requests, errors, strict=True)
    ]
    rows = [
        row_of(
            method,
            restarted=float(place % 7 == 0),
            next_weight=0.05 + 0.09 * (place % 11),
            interval_seconds=(5.0, 15.0, 60.0)[place % 3],
            agreeing_spans=(3.0, 3.0, 2.0)[place % 3],
        )
        for place in range(len(spans))
    ]
    states = states_of(put(method, spans, rows=rows))

    together = put(method, spans, states, rows)
    alone = [put(method, [span], [state], [row]) for span, state, row in zip(spans, states, rows, strict=True)]

    for name in ("state", "rollback_evidence", "promotion_peak", "requests_needed", "step_margin"):
        apart = np.concatenate([getattr(outcome, name) for outcome in alone])
        np.testing.assert_allclose(getattr(together, name), apart, rtol=1e-12, atol=0)


@every_method
def test_answers_do_not_depend_on_the_company_a_question_keeps(method: Method) -> None:
    evidences = [watch(NEW, [span] * length, method.name)[-1].evidence for span in (GOOD, BAD) for length in (1, 2, 9)]
    questions = [ask(evidence, TRIALS[method.name].sample(*GOOD), method.name) for evidence in evidences]

    together = judge(questions)

    for result, question in zip(together, questions, strict=True):
        _assert_same(result, judge([question])[0])


def _assert_same(one: AnalysisResult, other: AnalysisResult) -> None:
    assert (one.verdict, one.sentence) == (other.verdict, other.sentence)
    for name, packed in one.evidence.tests.items():
        assert unpack(packed) == pytest.approx(unpack(other.evidence.tests[name]), rel=1e-12, abs=0)


@every_count
def test_splitting_a_span_in_two_changes_the_evidence_by_half_a_nat_at_most(method: Method) -> None:
    """Beyond that, two halves may add as much as two spans may, for what one may add to the rollback is capped.

    Before the release itself has shown noise: what requests are worth under noise depends on how many a span has.
    """
    rng = np.random.default_rng(3)
    n_stable, n_canary = 2 * rng.integers(20, 500, 2000), 2 * rng.integers(5, 100, 2000)
    base, harm = np.exp(rng.uniform(np.log(1e-3), np.log(0.2), 2000)), rng.choice([0, 0, 0.01, 0.05], 2000)

    def drawn() -> list[tuple[Pair, Pair]]:
        x_stable = rng.binomial(n_stable // 2, base) * 2
        x_canary = rng.binomial(n_canary // 2, base + harm) * 2
        columns = np.stack([n_stable, x_stable, n_canary, x_canary], axis=1).tolist()
        return [((a, b), (c, d)) for a, b, c, d in columns]

    settled = put(method, drawn())
    for _ in range(3):
        settled = put(method, drawn(), states_of(settled))
    one_span = drawn()

    whole = put(method, one_span, states_of(settled))
    first = put(method, one_span, states_of(settled), scale=0.5)
    halves = put(method, one_span, states_of(first), scale=0.5)

    change = np.log(halves.rollback_evidence) - np.log(whole.rollback_evidence)
    assert np.all(change >= -0.5)
    assert np.all(change <= np.log(100) / 2 + 0.5)
    risen = np.log(halves.promotion_peak) - np.log(whole.promotion_peak)
    assert np.all(np.abs(risen) <= 0.5)


@every_method
@settings(max_examples=150)
@given(history=spans, restarts=st.sets(st.integers(0, 7), max_size=3))
def test_any_counts_give_finite_evidence(method: Method, history: list[tuple[Pair, Pair]], restarts: set[int]) -> None:
    """With as many changes of step as four steps have."""
    outcome = None
    for place, span in enumerate(history):
        row = row_of(method, restarted=place in restarts)
        outcome = put(method, [span], None if outcome is None else states_of(outcome), [row])

        assert np.all(np.isfinite(outcome.state))
        assert outcome.rollback_evidence[0] > 0
        assert outcome.promotion_peak[0] >= 1
        assert not outcome.requests_needed[0] < 0


@every_test
@settings(max_examples=150)
@given(
    worst=st.lists(st.tuples(pairs(), pairs()), min_size=3, max_size=12), level=st.sampled_from([0.5, 0.1, 0.01, 1e-4])
)
def test_fewer_than_three_spans_never_lead_from_no_evidence_to_a_rollback(
    method: Method, worst: list[tuple[Pair, Pair]], level: float
) -> None:
    evidence, states = [1.0], [method.initial]
    for span in worst:
        outcome = put(method, [span], states, [row_of(method, false_rollback=level)])
        states = states_of(outcome)
        evidence.append(float(outcome.rollback_evidence[0]))

    for place, value in enumerate(evidence):
        if value * level >= 1:
            assert min(evidence[max(place - 2, 0) : place]) > 1


@every_method
def test_memory_of_another_shape_is_not_read(method: Method) -> None:
    metric = TRIALS[method.name].analysis.metrics[0].name
    strange = replace(NEW, tests={metric: pack((1.0, 2.0))}, noise={metric: (3.0,) * 99})
    unknown = replace(NEW, noise={})

    sample = TRIALS[method.name].sample(*GOOD)

    assert answer(strange, sample, method.name).evidence.tests == answer(unknown, sample, method.name).evidence.tests


@every_method
def test_state_is_small(method: Method) -> None:
    evidence: Evidence = watch(NEW, [GOOD] * 200 + [BAD] * 200, method.name)[-1].evidence

    assert len(json.dumps({name: unpack(packed) for name, packed in evidence.tests.items()})) < 2048
