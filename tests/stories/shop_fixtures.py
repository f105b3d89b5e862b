"""One API server for all stories, one shop (a namespace of its own) and one Prometheus for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_prometheus import ScriptedPrometheus, running_prometheus
from shop import Shop
from shop_cluster import install_definitions

from canary.lab.apiserver import running_apiserver


@pytest.fixture(scope="session")
def kubeconfig() -> Iterator[Path]:
    """An API server with Istio's definitions and ours."""
    with running_apiserver() as server:
        install_definitions(server.kubeconfig)
        yield server.kubeconfig


@pytest.fixture(scope="session")
def permissive_kubeconfig() -> Iterator[Path]:
    """An API server that refuses no Canary."""
    with running_apiserver() as server:
        install_definitions(server.kubeconfig, permissive=True)
        yield server.kubeconfig


@pytest.fixture
def prometheus() -> Iterator[ScriptedPrometheus]:
    with running_prometheus() as scripted:
        yield scripted


@pytest.fixture
def shop(kubeconfig: Path, prometheus: ScriptedPrometheus) -> Iterator[Shop]:
    """Not open yet: the story says what the Canary looks like."""
    found = Shop(kubeconfig, prometheus)
    yield found
    found.closes()


@pytest.fixture
def lax_shop(permissive_kubeconfig: Path, prometheus: ScriptedPrometheus) -> Iterator[Shop]:
    """A shop where the API server refuses no Canary: what is refused, the controller has refused."""
    found = Shop(permissive_kubeconfig, prometheus)
    yield found
    found.closes()
