"""One API server for all stories, one shop (a namespace of its own) and one Prometheus for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_prometheus import ScriptedPrometheus, running_prometheus
from shop import Shop

import canary.lab
from canary.lab.apiserver import running_apiserver
from canary.lab.kube_api import ApiServer
from canary.lab.manifest import apply, read_manifest
from canary.model.crd import custom_resource_definition

ISTIO = Path(canary.lab.__file__).parent / "manifests" / "istio-crds.yaml"


@pytest.fixture(scope="session")
def kubeconfig() -> Iterator[Path]:
    """An API server with Istio's definitions and ours."""
    with running_apiserver() as server:
        api = ApiServer(server.kubeconfig)
        apply(api, [*read_manifest(ISTIO), custom_resource_definition()])
        api.close()
        yield server.kubeconfig


@pytest.fixture(scope="session")
def permissive_kubeconfig() -> Iterator[Path]:
    """An API server whose definition of the Canary lets everything through, as an older one may."""
    definition = custom_resource_definition()
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    for version in definition["spec"]["versions"]:
        version["schema"]["openAPIV3Schema"]["properties"] |= {"spec": anything, "status": anything}
    with running_apiserver() as server:
        api = ApiServer(server.kubeconfig)
        apply(api, [*read_manifest(ISTIO), definition])
        api.close()
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
