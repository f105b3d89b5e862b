"""What an Envoy route is made of, whatever resource it was written as.

Two deviations from Istio's translation, both so that clients and tests can see more: a destination of weight 0 stays
in the route (Istio leaves it out), so what is served can be read back in full; and every destination puts the
workload's name into a response header, so that a client can lay even a failure made by the proxy at the right door.

A field that the lab cannot honour is refused: a simulator that ignores a line of a resource lies about all the others.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from canary.lab.destinations import Destination, qualify
from canary.lab.durations import parse_seconds
from canary.lab.envoy_config import TYPE
from canary.lab.kube_api import Document
from canary.lab.processes import LabError

WORKLOAD_HEADER = "x-lab-workload"
RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled"
DEFAULT_RETRIES = 2

Destinations = Mapping[tuple[str, str], Destination]


class TranslationError(LabError):
    """A resource cannot be honoured; the message names it and the path."""


def domains_of(hosts: Iterable[str], namespace: str) -> list[str]:
    """Return every name under which clients of the namespace may ask for these hosts."""
    domains: list[str] = []
    for host in hosts:
        full = qualify(host, namespace)
        service, _, rest = full.partition(".")
        short = [service, f"{service}.{rest.split('.')[0]}", f"{service}.{rest.split('.')[0]}.svc"]
        domains += [full, *(short if full.endswith(".svc.cluster.local") else [])]
    return list(dict.fromkeys(domains))


def plain_route(destination: Destination) -> dict[str, Any]:
    """Return the route of a Service that nothing speaks for."""
    return {
        "name": "default",
        "match": {"prefix": "/"},
        "route": {
            "weighted_clusters": {"clusters": [weighted(destination.cluster, 100, destination)]},
            "timeout": "0s",
            "retry_policy": retry_policy({}),
        },
    }


def resolve(host: str, subset: str, namespace: str, destinations: Destinations) -> tuple[str, Destination | None]:
    """Return the cluster's name, and the destination if there is one: without, Envoy answers 503 NC, as in Istio."""
    full = qualify(host, namespace)
    destination = destinations.get((full, subset))
    return (destination.cluster, destination) if destination else (f"outbound|80|{subset}|{full}", None)


def weighted(cluster: str, weight: int, destination: Destination | None) -> dict[str, Any]:
    """Return one cluster of a weighted route, whose answers tell by which workload they were made."""
    workloads = destination.workloads if destination else ()
    value = workloads[0] if len(workloads) == 1 else "%UPSTREAM_METADATA(istio:workload)%"
    header = {"header": {"key": WORKLOAD_HEADER, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return {"name": cluster, "weight": weight, "response_headers_to_add": [header]}


def retry_policy(retries: Document) -> dict[str, Any]:
    """Return Istio's retries, which are on unless they are switched off; `retries` is as in a VirtualService."""
    policy = {
        "retry_on": retries.get("retryOn") or RETRY_ON,
        "num_retries": retries.get("attempts", DEFAULT_RETRIES),
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {"@type": f"{TYPE}.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
            }
        ],
        "host_selection_retry_max_attempts": 5,
    }
    if "perTryTimeout" in retries:
        policy["per_try_timeout"] = f"{parse_seconds(retries['perTryTimeout'])}s"
    return policy


def refuse_unknown(document: Document, honoured: frozenset[str], where: str) -> None:
    """Raise ValueError when a part of a resource has a field that the lab does not honour."""
    unknown = sorted(document.keys() - honoured)
    if unknown:
        raise ValueError(f"{where}{unknown[0]} is not supported by the lab (it honours {', '.join(sorted(honoured))})")
