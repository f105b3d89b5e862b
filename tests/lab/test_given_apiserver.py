"""The lab on an API server that it has not started: `canary lab up --kubeconfig FILE`."""

import pytest

from canary.lab.apiserver import running_apiserver
from canary.lab.kube_api import VIRTUAL_SERVICES
from canary.lab.lab import NAMESPACE, Lab, LabOptions

pytestmark = pytest.mark.lab


def test_the_lab_runs_on_any_api_server_and_leaves_it_running() -> None:
    with running_apiserver() as server:
        with Lab(LabOptions(kubeconfig=server.kubeconfig, rate=50)) as lab:
            assert "apiserver" not in lab.parts()
            lab.wait_until(lambda: lab.client_counts().finished > 20, what="answers", deadline_seconds=60)
            assert lab.client_counts().failed == 0
            assert lab.served_weights() == {"stable": 100, "canary": 0}
        with Lab(LabOptions(kubeconfig=server.kubeconfig)) as again:
            names = [each["metadata"]["name"] for each in again.api.get(VIRTUAL_SERVICES.path(NAMESPACE))["items"]]
            assert names == ["order-service"]
