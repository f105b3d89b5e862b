"""The Kubernetes API servers under test: the lab's emulator always, a real one where CANARY_TEST_KUBECONFIG names it.

What the suite says must be true of both, so it uses only what a bare kube-apiserver does by itself: no controllers,
hence no cascades, no disappearing namespaces and no pods (admission wants a service account first).
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_target import WIDGETS, ApiTarget

from canary.lab.apiserver import running_apiserver


@pytest.fixture(scope="session", params=["emulator", "real"])
def api(request: pytest.FixtureRequest) -> Iterator[ApiTarget]:
    """Every target in turn; the widgets are served."""
    if request.param == "real":
        path = os.environ.get("CANARY_TEST_KUBECONFIG")
        if not path:
            pytest.skip("name the kubeconfig of a real API server in CANARY_TEST_KUBECONFIG to run this against it too")
        yield from _with_widgets(Path(path))
        return
    with running_apiserver() as server:
        yield from _with_widgets(server.kubeconfig)


def _with_widgets(kubeconfig: Path) -> Iterator[ApiTarget]:
    with ApiTarget(kubeconfig) as target:
        target.install(WIDGETS)
        yield target
        target.delete(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{WIDGETS['metadata']['name']}")


@pytest.fixture
def space(api: ApiTarget) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"canary-api-{uuid.uuid4().hex[:10]}"
    api.post("/api/v1/namespaces", {"metadata": {"name": name}}).raise_for_status()
    yield name
    api.delete(f"/api/v1/namespaces/{name}")
