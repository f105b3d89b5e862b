"""The lab replaces pods by Kubernetes' rules, and reports it in Kubernetes' words."""

from dataclasses import replace
from typing import Any

import pytest

from canary.lab.rollout import Plan, PodFacts, Strategy, format_time, plan, status, template_hash

NOW = 1_000_000.0


def deployment(replicas: int = 4, *, generation: int = 1, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": [{"name": "shop", "image": "shop:1"}]}}
    return {
        "metadata": {"name": "shop", "namespace": "default", "generation": generation},
        "spec": {"replicas": replicas, "template": template, **spec},
    }


def pod(name: str, *, current: bool = True, ready: bool = True, terminating: bool = False) -> PodFacts:
    return PodFacts(
        name=name,
        current=current,
        ready_since=NOW - 100 if ready else None,
        created_at=NOW - 200,
        terminating=terminating,
    )


def strategy(replicas: int = 4, **spec: Any) -> Strategy:
    return Strategy.parse(deployment(replicas, **spec))


@pytest.mark.parametrize(("replicas", "surge", "unavailable"), [(1, 1, 0), (2, 1, 0), (4, 1, 1), (10, 3, 2)])
def test_a_quarter_is_rounded_as_in_kubernetes(replicas: int, surge: int, unavailable: int) -> None:
    parsed = strategy(replicas)
    assert (parsed.surge, parsed.unavailable) == (surge, unavailable)


def test_neither_surge_nor_unavailable_would_stand_still() -> None:
    parsed = strategy(4, strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}})
    assert parsed.unavailable == 1


def test_a_new_deployment_gets_all_its_pods_at_once() -> None:
    move = plan(strategy(4), [], now=NOW)
    assert (move.create, move.delete) == (4, ())


def test_new_pods_are_ready_before_old_ones_go() -> None:
    one = strategy(1)
    old = pod("old", current=False)
    assert plan(one, [old], now=NOW).create == 1
    unready = pod("new", ready=False)
    assert plan(one, [old, unready], now=NOW) == Plan(create=0, delete=())
    assert plan(one, [old, pod("new")], now=NOW).delete == ("old",)


def test_a_rollout_ends_with_only_new_pods_and_never_too_few() -> None:
    wanted = strategy(4)
    pods = [pod(f"old-{number}", current=False) for number in range(4)]
    for step in range(20):
        move = plan(wanted, pods, now=NOW)
        if not move.create and not move.delete:
            break
        pods = [p for p in pods if p.name not in move.delete]
        assert sum(p.ready_since is not None for p in pods) >= 3
        pods += [pod(f"new-{step}-{number}", ready=False) for number in range(move.create)]
        assert len(pods) <= 5
        pods = [replace(p, ready_since=NOW - 1) for p in pods]
    assert [p.current for p in pods] == [True] * 4


def test_unready_old_pods_go_first() -> None:
    pods = [pod("old-good", current=False), pod("old-bad", current=False, ready=False), pod("new", ready=False)]
    assert plan(strategy(2), pods, now=NOW).delete == ("old-bad",)


def test_scaling_down_spares_the_ready_ones() -> None:
    pods = [pod("a"), pod("b", ready=False), pod("c")]
    assert plan(strategy(2), pods, now=NOW).delete == ("b",)
    assert set(plan(strategy(0), pods, now=NOW).delete) == {"a", "b", "c"}


def test_terminating_pods_count_for_nothing() -> None:
    pods = [pod("going", terminating=True), pod("here")]
    assert plan(strategy(2), pods, now=NOW).create == 1
    assert status(deployment(2), pods, now=NOW)["replicas"] == 1


def test_recreate_ends_the_old_before_it_starts_the_new() -> None:
    recreate = strategy(2, strategy={"type": "Recreate"})
    pods = [pod("a", current=False), pod("b", current=False)]
    move = plan(recreate, pods, now=NOW)
    assert (move.create, set(move.delete)) == (0, {"a", "b"})


def test_ready_is_not_available_before_min_ready_seconds() -> None:
    document = deployment(1, minReadySeconds=500)
    counts = status(document, [pod("a")], now=NOW)
    assert (counts["readyReplicas"], counts["availableReplicas"], counts["unavailableReplicas"]) == (1, 0, 1)


def test_a_stuck_rollout_exceeds_its_deadline_and_says_so_until_it_moves() -> None:
    document = deployment(1, progressDeadlineSeconds=60)
    stuck = [pod("new", ready=False)]
    document["status"] = status(document, stuck, now=NOW)
    assert progressing(document) == ("True", "ReplicaSetUpdated")
    document["status"] = status(document, stuck, now=NOW + 59)
    assert progressing(document) == ("True", "ReplicaSetUpdated")
    document["status"] = status(document, stuck, now=NOW + 62)
    assert progressing(document) == ("False", "ProgressDeadlineExceeded")
    document["status"] = status(document, stuck, now=NOW + 63)
    assert progressing(document) == ("False", "ProgressDeadlineExceeded")
    document["status"] = status(document, [pod("new")], now=NOW + 64)
    assert progressing(document) == ("True", "NewReplicaSetAvailable")


def test_a_new_template_starts_the_deadline_anew() -> None:
    document = deployment(1, progressDeadlineSeconds=60)
    document["status"] = status(document, [pod("new", ready=False)], now=NOW)
    document["metadata"]["generation"] = 2
    document["status"] = status(document, [pod("new", ready=False)], now=NOW + 120)
    assert progressing(document) == ("True", "ReplicaSetUpdated")
    assert document["status"]["observedGeneration"] == 2


def test_a_condition_that_does_not_turn_keeps_its_time() -> None:
    document = deployment(1)
    document["status"] = status(document, [pod("a")], now=NOW)
    later = status(document, [pod("a")], now=NOW + 1000)
    assert {c["lastTransitionTime"] for c in later["conditions"]} == {format_time(NOW)}


def test_the_hash_follows_the_template_and_nothing_else() -> None:
    first = deployment(1)
    assert template_hash(first) == template_hash(deployment(9, generation=7))
    other = deployment(1)
    other["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "LAB_LATENCY_MS", "value": "9"}]
    assert template_hash(first) != template_hash(other)


def progressing(document: dict[str, Any]) -> tuple[str, str]:
    condition = next(c for c in document["status"]["conditions"] if c["type"] == "Progressing")
    return condition["status"], condition["reason"]
