"""A Deployment is read for what it is (available, rolled out, or not yet), and any document at all is read."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.model.observation import Problem, Workload
from canary.model.spec import ObjectKey
from canary.workloads.deployments import assess

KEY = ObjectKey("shop", "order-service")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def deployment(**status: object) -> dict[str, Any]:
    settled: dict[str, object] = {
        "observedGeneration": 4,
        "replicas": 3,
        "updatedReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
    }
    return {
        "metadata": {"name": "order-service", "generation": 4},
        "spec": {
            "replicas": 3,
            "template": {
                "metadata": {"labels": {"app": "order-service"}},
                "spec": {"containers": [{"name": "app", "image": "order:1"}]},
            },
        },
        "status": {name: value for name, value in (settled | status).items() if value is not None},
    }


def seen(document: dict[str, Any]) -> Workload:
    found = assess(document, KEY)
    assert isinstance(found, Workload), found
    return found


def test_a_settled_deployment_is_available_and_rolled_out() -> None:
    found = seen(deployment())

    assert (found.replicas, found.available, found.rolled_out) == (3, 3, True)


@pytest.mark.parametrize(
    "status",
    [
        {"observedGeneration": 3},
        {"observedGeneration": None},
        {"updatedReplicas": 2},
        {"readyReplicas": 2},
        {"availableReplicas": 2},
        {"availableReplicas": None},
        {"replicas": 4},
    ],
    ids=repr,
)
def test_it_is_not_rolled_out_while_anything_is_outstanding(status: dict[str, object]) -> None:
    assert not seen(deployment(**status)).rolled_out


def test_a_paused_deployment_is_never_rolled_out_and_may_be_available() -> None:
    document = deployment()
    document["spec"]["paused"] = True

    assert (seen(document).rolled_out, seen(document).available) == (False, 3)


def test_a_deployment_that_nobody_has_looked_at_yet_has_nothing() -> None:
    document = deployment()
    del document["status"]

    assert (seen(document).available, seen(document).rolled_out) == (0, False)


def test_no_pods_asked_for_is_not_rolled_out() -> None:
    document = deployment(replicas=0, updatedReplicas=None, readyReplicas=None, availableReplicas=None)
    document["spec"]["replicas"] = 0

    assert (seen(document).replicas, seen(document).available, seen(document).rolled_out) == (0, 0, False)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec",), None),
        (("spec", "template"), []),
        (("spec", "template", "spec", "containers"), "app"),
        (("spec", "replicas"), "3"),
        (("status", "readyReplicas"), True),
        (("metadata", "generation"), 1.5),
    ],
)
def test_a_document_that_makes_no_sense_is_a_problem(path: tuple[str, ...], value: object) -> None:
    document = deployment()
    part = document
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value

    found = assess(document, KEY)

    assert isinstance(found, Problem)
    assert found.reason == "DeploymentMalformed"
    assert "shop/order-service" in found.message


@given(JSON, st.sampled_from(["metadata", "spec", "status", "template", "containers", "conditions", "annotations"]))
def test_any_json_anywhere_gives_a_workload_or_a_problem(wild: object, place: str) -> None:
    document = copy.deepcopy(deployment())
    template = document["spec"]["template"]
    parts = {"template": document["spec"], "containers": template["spec"], "annotations": template["metadata"]}
    parts |= {"conditions": document["status"]}
    parts.get(place, document)[place] = wild

    assert isinstance(assess(document, KEY), Workload | Problem)
