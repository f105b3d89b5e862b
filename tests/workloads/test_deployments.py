"""A Deployment is read for what it is: serving, rolled out, or not yet; and any document at all is read without a fall."""

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
        "conditions": [{"type": "Progressing", "status": "True"}, {"type": "Available", "status": "True"}],
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


def test_a_settled_deployment_serves_and_is_rolled_out() -> None:
    found = seen(deployment())

    assert (found.replicas, found.serving, found.rolled_out) == (3, True, True)


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
    found = seen(deployment(**status))

    assert (found.serving, found.rolled_out) == (True, False)


def test_a_paused_deployment_is_never_rolled_out() -> None:
    document = deployment()
    document["spec"]["paused"] = True

    assert not seen(document).rolled_out


def test_nothing_serves_without_a_ready_pod_or_without_the_condition() -> None:
    assert not seen(deployment(readyReplicas=0)).serving
    assert not seen(deployment(conditions=[{"type": "Available", "status": "Unknown"}])).serving
    assert not seen(deployment(conditions=None)).serving


def test_no_pods_asked_for_is_neither_serving_nor_rolled_out() -> None:
    """Kubernetes calls a Deployment of zero pods Available."""
    document = deployment(replicas=0, updatedReplicas=None, readyReplicas=None, availableReplicas=None)
    document["spec"]["replicas"] = 0

    found = seen(document)

    assert (found.replicas, found.serving, found.rolled_out) == (0, False, False)


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
