"""VirtualServices as Envoy routes.

Istio's webhook would refuse a negative weight, its CRD does not, and neither does the lab's API: here such a resource
is refused by the pilot, which keeps serving what it had and says so, as istiod keeps its last good push.
"""

from typing import Any

from canary.lab.durations import parse_seconds
from canary.lab.envoy_config import TYPE
from canary.lab.envoy_routes import (
    DEFAULT_RETRIES,
    Destinations,
    TranslationError,
    refuse_unknown,
    resolve,
    retry_policy,
    weighted,
)
from canary.lab.kube_api import Document

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
MILLION = 1_000_000


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


def _routes(http: Document, namespace: str, destinations: Destinations) -> list[dict[str, Any]]:
    refuse_unknown(http, HONOURED, "")
    action: dict[str, Any] = {
        "weighted_clusters": {"clusters": _clusters(http, namespace, destinations)},
        "timeout": f"{parse_seconds(http.get('timeout', '0s'))}s",
    }
    retries = http.get("retries", {})
    if retries.get("attempts", DEFAULT_RETRIES) > 0:
        action["retry_policy"] = retry_policy(retries)
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
        name, destination = resolve(
            target["destination"]["host"], target["destination"].get("subset", ""), namespace, destinations
        )
        clusters.append(weighted(name, weight, destination))
    if sum(cluster["weight"] for cluster in clusters) == 0:
        raise ValueError("route: all weights are 0, so no destination would get traffic")
    return clusters


def _mirrors(http: Document, namespace: str, destinations: Destinations) -> list[dict[str, Any]]:
    wanted = [(mirror["destination"], mirror.get("percentage")) for mirror in http.get("mirrors", [])]
    if "mirror" in http:
        wanted.append((http["mirror"], http.get("mirrorPercentage") or http.get("mirror_percentage")))
    return [
        {
            "cluster": resolve(target["host"], target.get("subset", ""), namespace, destinations)[0],
            "runtime_fraction": {"default_value": _fraction(percentage, absent=100.0)},
        }
        for target, percentage in wanted
    ]


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
    refuse_unknown(match, HONOURED_MATCH, "match/")
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
