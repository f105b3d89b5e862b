"""Where the edges to Kubernetes are tested: the lab's API server, and a real one if CANARY_TEST_KUBECONFIG names it.

A plugin of its own because the tests of the API server itself have their fixtures in `conftest`.
"""

import os
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from kube_cluster import DEFINITIONS, Witness
from kubernetes.config import new_client_from_config

from canary.kube.client import KubeClient
from canary.lab.apiserver.process import running_apiserver


@pytest.fixture(scope="session", params=["emulator", "real"])
def kube_target(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The kubeconfig of every target in turn."""
    if request.param == "real":
        path = os.environ.get("CANARY_TEST_KUBECONFIG")
        if not path:
            pytest.skip("name the kubeconfig of a real API server in CANARY_TEST_KUBECONFIG to run this against it too")
        yield Path(path)
        return
    with running_apiserver() as server:
        yield server.kubeconfig


@pytest.fixture(scope="session")
def witness(kube_target: Path) -> Iterator[Witness]:
    """The witness; the custom kinds are served."""
    with new_client_from_config(str(kube_target), persist_config=False) as api:  # type: ignore[no-untyped-call]  # vendor's
        found = Witness(api)
        for manifest in DEFINITIONS:
            found.install(manifest)
        yield found


@pytest.fixture(scope="session")
def kube(kube_target: Path, witness: Witness) -> Iterator[KubeClient]:  # noqa: ARG001 (the kinds must be served first)
    """What is under test stands on this."""
    found = KubeClient.connect(kube_target, timedelta(seconds=10))
    yield found
    found.close()


@pytest.fixture
def own_namespace(witness: Witness) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"canary-test-{uuid.uuid4().hex[:10]}"
    witness.core.create_namespace({"metadata": {"name": name}})
    yield name
    witness.core.delete_namespace(name)
