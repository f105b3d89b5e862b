"""One API server for all stories, one shop (a namespace of its own) and one Prometheus for each.

The controller has the rights that deploy/ grants it and no others, so that no story passes on more.
"""

from collections.abc import Iterator

import pytest
from deployed_rights import ACCOUNT, grant_rights, requests_of
from scripted_prometheus import ScriptedPrometheus, running_prometheus
from shop import Shop
from shop_cluster import install_definitions

from canary.lab.apiserver import Apiserver, running_apiserver
from canary.settings import LogFormat, LogLevel
from canary.telemetry.logging import configure_logging


@pytest.fixture(scope="session", autouse=True)
def logs() -> None:
    """Lines are written as `canary run` writes them: to draw each traceback, as structlog does, takes a second."""
    configure_logging(LogLevel.INFO, LogFormat.JSON)


@pytest.fixture(scope="session")
def apiserver() -> Iterator[Apiserver]:
    """An API server with Istio's definitions and ours."""
    with running_apiserver(accounts=[ACCOUNT]) as server:
        install_definitions(server.kubeconfig)
        grant_rights(server.kubeconfig)
        yield server
        assert [each for each in requests_of(server.audit_log) if not each.allowed] == []


@pytest.fixture(scope="session")
def permissive_apiserver() -> Iterator[Apiserver]:
    """An API server that refuses no Canary."""
    with running_apiserver(accounts=[ACCOUNT]) as server:
        install_definitions(server.kubeconfig, permissive=True)
        grant_rights(server.kubeconfig)
        yield server
        assert [each for each in requests_of(server.audit_log) if not each.allowed] == []


def shop_on(server: Apiserver, prometheus: ScriptedPrometheus) -> Shop:
    """A shop whose controller has the rights of deploy/."""
    return Shop(server.kubeconfig, prometheus, account=server.accounts[ACCOUNT])


@pytest.fixture
def prometheus() -> Iterator[ScriptedPrometheus]:
    with running_prometheus() as scripted:
        yield scripted


@pytest.fixture
def shop(apiserver: Apiserver, prometheus: ScriptedPrometheus) -> Iterator[Shop]:
    """Not open yet: the story says what the Canary looks like."""
    found = shop_on(apiserver, prometheus)
    yield found
    found.closes()


@pytest.fixture
def lax_shop(permissive_apiserver: Apiserver, prometheus: ScriptedPrometheus) -> Iterator[Shop]:
    """A shop where the API server refuses no Canary: what is refused, the controller has refused."""
    found = shop_on(permissive_apiserver, prometheus)
    yield found
    found.closes()
