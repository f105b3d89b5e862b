"""VirtualServices as Envoy routes.

Two deviations from Istio's translation, both so that clients and tests can see more: a destination of weight 0 stays
in the route (Istio leaves it out), so what is served can be read back in full; and every destination puts the
workload's name into a response header, so that a client can lay even a failure made by the proxy at the right door.

Istio's webhook would refuse a negative weight, its CRD does not, and neither does the lab's API: here such a resource
is refused by the pilot, which keeps serving what it had and says so, as istiod keeps its last good push. A field that
the lab cannot honour is refused as well: a simulator that ignores a line of a resource lies about all the others.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from canary.lab.destinations import Destination, qualify
from canary.lab.durations import parse_seconds
from canary.lab.envoy_config import TYPE
from canary.lab.kube_api import Document
from canary.lab.processes import LabError

WORKLOAD_HEADER = "x-lab-workload"
HONOURED = frozenset(
    {
        "name",
        "match",
        "route",
        "timeout",
        "retries",
        "fault",
        "mirror",
        "mirrorPercentage",
        "mirror_percentage",
        "mirrors",
    }
)
HONOURED_MATCH = frozenset({"name", "uri", "headers", "method", "queryParams"})
RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled"
DEFAULT_RETRIES = 2
MILLION = 1_000_000

Destinations = Mapping[tuple[str, str], Destination]


class TranslationError(LabError):
    """A VirtualService cannot be honoured; the message names it and the path."""


def routes_of(virtual_service: Document, destinations: Destinations) -> list[dict[str, Any]]:
    """Return the Envoy routes of a VirtualService, in its order.

    Raises:
        TranslationError: a value is wrong, or a field is not supported by the lab.
    """
    meta = virtual_service["metadata"]
    routes: list[dict[str, Any]] = []
    for index, http in enumerate(virtual_service["spec"].get("http", [])):
        try:
            routes += _routes(http, meta["namespace"], destinations)
        except (ValueError, KeyError, TypeError) as error:
            where = f"VirtualService {meta['namespace']}/{meta['name']}: /spec/http/{index}"
            raise TranslationError(f"{where}: {error}; the last good routes stay in place") from error
    return routes


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
    """Return the route of a Service that no VirtualService speaks for."""
    return {
        "name": "default",
        "match": {"prefix": "/"},
        "route": {
            "weighted_clusters": {"clusters": [_weighted(destination.cluster, 100, destination)]},
            "timeout": "0s",
            "retry_policy": _retries({}),
        },
    }


def _routes(http: Document, namespace: str, destinations: Destinations) -> list[dict[str, Any]]:
    _refuse_unknown(http, HONOURED, "")
    action: dict[str, Any] = {
        "weighted_clusters": {"clusters": _clusters(http, namespace, destinations)},
        "timeout": f"{parse_seconds(http.get('timeout', '0s'))}s",
    }
    retries = http.get("retries", {})
    if retries.get("attempts", DEFAULT_RETRIES) > 0:
        action["retry_policy"] = _retries(retries)
    if mirrors := _mirrors(http, namespace, destinations):
        action["request_mirror_policies"] = mirrors
    extra = {}
    if fault := http.get("fault"):
        extra["typed_per_filter_config"] = {"envoy.filters.http.fault": _fault(fault)}
    matches = http.get("match") or [{}]
    return [{"name": http.get("name", ""), "match": _match(match), "route": action, **extra} for match in matches]


def _clusters(http: Document, namespace: str, destinations: Destinations) -> list[dict[str, Any]]:
    targets = http["route"]
    clusters = []
    for index, target in enumerate(targets):
        weight = target.get("weight", 100 if len(targets) == 1 else 0)
        if weight < 0:
            raise ValueError(f"route/{index}/weight is {weight}; it must be 0 or more")
        name, destination = _resolve(target["destination"], namespace, destinations)
        clusters.append(_weighted(name, weight, destination))
    if sum(cluster["weight"] for cluster in clusters) == 0:
        raise ValueError("route: all weights are 0, so no destination would get traffic")
    return clusters


def _resolve(target: Document, namespace: str, destinations: Destinations) -> tuple[str, Destination | None]:
    """Return the cluster's name, and the destination if there is one: without, Envoy answers 503 NC, as in Istio."""
    host, subset = qualify(target["host"], namespace), target.get("subset", "")
    destination = destinations.get((host, subset))
    return (destination.cluster, destination) if destination else (f"outbound|80|{subset}|{host}", None)


def _weighted(cluster: str, weight: int, destination: Destination | None) -> dict[str, Any]:
    workloads = destination.workloads if destination else ()
    value = workloads[0] if len(workloads) == 1 else "%UPSTREAM_METADATA(istio:workload)%"
    header = {"header": {"key": WORKLOAD_HEADER, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return {"name": cluster, "weight": weight, "response_headers_to_add": [header]}


def _mirrors(http: Document, namespace: str, destinations: Destinations) -> list[dict[str, Any]]:
    wanted = [(mirror["destination"], mirror.get("percentage")) for mirror in http.get("mirrors", [])]
    if "mirror" in http:
        wanted.append((http["mirror"], http.get("mirrorPercentage") or http.get("mirror_percentage")))
    return [
        {
            "cluster": _resolve(target, namespace, destinations)[0],
            "runtime_fraction": {"default_value": _fraction(percentage, absent=100.0)},
        }
        for target, percentage in wanted
    ]


def _retries(retries: Document) -> dict[str, Any]:
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


def _fault(fault: Document) -> dict[str, Any]:
    config: dict[str, Any] = {"@type": f"{TYPE}.extensions.filters.http.fault.v3.HTTPFault"}
    if delay := fault.get("delay"):
        config["delay"] = {
            "fixed_delay": f"{parse_seconds(delay['fixedDelay'])}s",
            "percentage": _fraction(delay.get("percentage"), absent=100.0),
        }
    if abort := fault.get("abort"):
        config["abort"] = {
            "http_status": abort["httpStatus"],
            "percentage": _fraction(abort.get("percentage"), absent=100.0),
        }
    return config


def _fraction(percentage: Document | None, *, absent: float) -> dict[str, Any]:
    percent = absent if percentage is None else float(percentage.get("value", 0.0))
    if not 0 <= percent <= 100:
        raise ValueError(f"percentage is {percent:g}; it must be between 0 and 100")
    return {"numerator": round(percent * MILLION / 100), "denominator": "MILLION"}


def _match(match: Document) -> dict[str, Any]:
    _refuse_unknown(match, HONOURED_MATCH, "match/")
    headers = [_header(name, rule) for name, rule in match.get("headers", {}).items()]
    if "method" in match:
        headers.append(_header(":method", match["method"]))
    return {
        **_path(match.get("uri", {"prefix": "/"})),
        "headers": headers,
        "query_parameters": [
            {"name": name, "string_match": _string(rule)} for name, rule in match.get("queryParams", {}).items()
        ],
    }


def _path(rule: Document) -> dict[str, Any]:
    if "exact" in rule:
        return {"path": rule["exact"]}
    if "prefix" in rule:
        return {"prefix": rule["prefix"]}
    return {"safe_regex": {"regex": rule["regex"]}}


def _header(name: str, rule: Document) -> dict[str, Any]:
    return {"name": name, "string_match": _string(rule)} if rule else {"name": name, "present_match": True}


def _string(rule: Document) -> dict[str, Any]:
    if "regex" in rule:
        return {"safe_regex": {"regex": rule["regex"]}}
    kind = "exact" if "exact" in rule else "prefix"
    return {kind: rule[kind]}


def _refuse_unknown(document: Document, honoured: frozenset[str], where: str) -> None:
    unknown = sorted(document.keys() - honoured)
    if unknown:
        raise ValueError(f"{where}{unknown[0]} is not supported by the lab (it honours {', '.join(sorted(honoured))})")
