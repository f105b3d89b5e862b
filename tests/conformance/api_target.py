"""A Kubernetes API server as the suite sees it: plain HTTP for exact answers, the official client for what clients do.

Plain HTTP is most of it, because status codes, content types and bodies are the contract; a client library would hide
them. Credentials and certificates come from the kubeconfig by way of the official client, so a real cluster works too.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests
from kubernetes.client import ApiClient
from kubernetes.config import new_client_from_config

Document = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
GROUP = "canary-conformance.test"
DEADLINE_SECONDS = 30.0
SIZE = {"type": "integer", "minimum": 0, "maximum": 100}
WIDGETS: Document = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"widgets.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wdg"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"},
                },
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                    {
                        "name": "Ready",
                        "type": "string",
                        "jsonPath": '.status.conditions[?(@.type=="Ready")].status',
                    },
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "description": "A widget has a size.",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["size"],
                                "properties": {
                                    "size": SIZE,
                                    "mode": {"type": "string", "enum": ["fast", "slow"], "default": "slow"},
                                    "hold": {"type": "string", "pattern": "^[0-9]+s$"},
                                    "surge": {"x-kubernetes-int-or-string": True},
                                    "extra": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                                    "limits": {"type": "object", "additionalProperties": {"type": "integer"}},
                                    "steps": {"type": "array", "items": {"type": "object", "properties": {"w": SIZE}}},
                                    "parts": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["name"],
                                        "items": {
                                            "type": "object",
                                            "required": ["name"],
                                            "properties": {"name": {"type": "string"}, "count": {"type": "integer"}},
                                        },
                                    },
                                },
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


def widget(name: str, size: int = 1, **metadata: Any) -> Document:
    """Return a small, valid widget."""
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Widget",
        "metadata": {"name": name, **metadata},
        "spec": {"size": size},
    }


def deployment(name: str, image: str = "shop:1") -> Document:
    """Return the smallest Deployment."""
    container = {"name": "app", "image": image}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
        },
    }


def widgets_in(space: str, name: str = "") -> str:
    """Return the path of a namespace's widgets, or of one."""
    return f"/apis/{GROUP}/v1/namespaces/{space}/widgets" + (f"/{name}" if name else "")


def deployments_in(space: str, name: str = "") -> str:
    """Return the path of a namespace's Deployments, or of one."""
    return f"/apis/apps/v1/namespaces/{space}/deployments" + (f"/{name}" if name else "")


class ApiTarget:
    """One API server.

    Args:
        kubeconfig: How to reach it.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.client: ApiClient = new_client_from_config(str(kubeconfig), persist_config=False)  # type: ignore[no-untyped-call]  # vendor's
        found = self.client.configuration
        self._host = found.host
        self._session = requests.Session()
        self._session.verify = found.ssl_ca_cert or found.verify_ssl
        if found.cert_file:
            self._session.cert = (found.cert_file, found.key_file)
        if token := found.get_api_key_with_prefix("BearerToken"):
            self._session.headers["Authorization"] = token

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()
        self.client.close()  # type: ignore[no-untyped-call]  # vendor's

    def call(self, method: str, path: str, body: object = None, media: str = "", **query: Any) -> requests.Response:
        """Send one request."""
        headers = {"Content-Type": media or "application/json", "User-Agent": "suite/1.0"}
        data = None if body is None else json.dumps(body)
        return self._session.request(
            method, self._host + path, data=data, headers=headers, params=query, timeout=DEADLINE_SECONDS
        )

    def get(self, path: str, **query: Any) -> requests.Response:
        """GET."""
        return self.call("GET", path, **query)

    def table(self, path: str) -> Document:
        """GET as the table that kubectl prints."""
        accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        answer = self._session.get(self._host + path, headers=accept, timeout=DEADLINE_SECONDS)
        found: Document = answer.json()
        return found

    def post(self, path: str, body: object, **query: Any) -> requests.Response:
        """POST."""
        return self.call("POST", path, body, **query)

    def put(self, path: str, body: object, **query: Any) -> requests.Response:
        """PUT."""
        return self.call("PUT", path, body, **query)

    def patch(self, path: str, body: object, media: str = MERGE_PATCH, **query: Any) -> requests.Response:
        """PATCH."""
        return self.call("PATCH", path, body, media, **query)

    def apply(self, path: str, body: object, manager: str, **query: Any) -> requests.Response:
        """Apply on the server's side."""
        return self.call("PATCH", path, body, APPLY_PATCH, fieldManager=manager, **query)

    def delete(self, path: str, body: object = None, **query: Any) -> requests.Response:
        """DELETE."""
        return self.call("DELETE", path, body, **query)

    def watch(self, path: str, **query: Any) -> list[Document]:
        """Watch until the server ends it, and return the events."""
        answer = self.get(path, watch="true", **query)
        answer.raise_for_status()
        return [json.loads(line) for line in answer.text.splitlines()]

    @contextmanager
    def open_watch(self, path: str, **query: Any) -> Iterator[Iterator[Document]]:
        """Open a watch and hand out its events as they come."""
        answer = self._session.get(
            self._host + path, params={"watch": "true"} | query, stream=True, timeout=DEADLINE_SECONDS
        )
        with answer:
            answer.raise_for_status()
            yield (json.loads(line) for line in answer.iter_lines(chunk_size=1))

    def install(self, definition: Document) -> None:
        """Create a definition, or take the one that is there, and wait until its resource is served."""
        name, group = definition["metadata"]["name"], definition["spec"]["group"]
        root = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        self.wait_until(lambda: self._is_defined(root, definition), f"{name} is defined")
        version, plural = definition["spec"]["versions"][0]["name"], definition["spec"]["names"]["plural"]
        self.wait_until(lambda: self.get(f"/apis/{group}/{version}/{plural}").ok, f"{name} is served")

    def _is_defined(self, root: str, definition: Document) -> bool:
        """Create a definition; one of that name may be there, unless it is on its way out."""
        answer = self.post(root, definition)
        assert answer.status_code in {201, 409}, answer.text
        if answer.status_code == 201:
            return True
        standing = self.get(f"{root}/{definition['metadata']['name']}")
        return standing.ok and "deletionTimestamp" not in standing.json()["metadata"]

    @staticmethod
    def wait_until(holds: Callable[[], bool], what: str) -> None:
        """Wait for a condition, with a deadline."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not holds():
            assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS:.0f} s: {what}"
            threading.Event().wait(0.02)
