"""What tests of the Kubernetes edges get: the targets of `api_fixtures` that serve our kinds, a witness and a client.

A plugin of its own, so that the tests of the API server itself know nothing of our kinds.
"""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from api_target import ApiTarget
from kube_cluster import DEFINITIONS, Witness

from canary.kube.client import KubeClient

pytest_plugins = ("api_fixtures",)


@pytest.fixture(scope="session")
def witness(api: ApiTarget) -> Iterator[Witness]:
    """The witness; our kinds are served."""
    found = Witness(api.client)
    installed = [manifest["metadata"]["name"] for manifest in DEFINITIONS if found.install(manifest)]
    yield found
    for name in installed:
        found.extensions.delete_custom_resource_definition(name)


@pytest.fixture(scope="session")
def kube(api: ApiTarget, witness: Witness) -> Iterator[KubeClient]:  # noqa: ARG001 (our kinds must be served first)
    """What is under test stands on this."""
    found = KubeClient.connect(api.kubeconfig, timedelta(seconds=10))
    yield found
    found.close()
