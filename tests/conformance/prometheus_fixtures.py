"""One Prometheus with the worked history for all conformance suites that ask it, in the words of each mesh."""

from collections.abc import Iterator

import pytest
from prometheus_history import running, store_history, worked_history
from prometheus_store import Store

from canary.model.spec import MeshTelemetry


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("prometheus")
    store_history(directory, worked_history())
    with running(directory, "{}") as url:
        yield url


@pytest.fixture(params=MeshTelemetry)
def store(address: str, request: pytest.FixtureRequest) -> Store:
    return Store(address, request.param)


@pytest.fixture
def istio(address: str) -> Store:
    return Store(address, MeshTelemetry.ISTIO)


@pytest.fixture
def linkerd(address: str) -> Store:
    return Store(address, MeshTelemetry.LINKERD)
