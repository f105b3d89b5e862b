"""HTTPRoutes of the Gateway API as Envoy routes, as Istio's pilot makes them.

A route that is attached to a Service speaks for that Service's clients (the mesh); one that is attached to a Gateway
speaks for its own host names. The lab has one proxy that stands for both.

Other than in a VirtualService, the order in which matches are tried is not the order in which they are written: the
more specific one comes first, as the Gateway API demands. Within one route that is done here; two routes for one host
follow each other by name. GRPCRoutes are left out: no workload of the lab speaks gRPC.
"""

from typing import Any

from canary.lab.destinations import qualify
from canary.lab.durations import parse_seconds
from canary.lab.envoy_routes import (
    Destinations,
    TranslationError,
    refuse_unknown,
    resolve,
    retry_policy,
    weighted,
)
from canary.lab.kube_api import Document

HONOURED = frozenset({"name", "matches", "backendRefs", "timeouts"})
HONOURED_BACKEND = frozenset({"group", "kind", "name", "namespace", "port", "weight"})
HONOURED_MATCH = frozenset({"path", "headers", "method", "queryParams"})
HONOURED_TIMEOUTS = frozenset({"request"})
ANY_PATH = {"type": "PathPrefix", "value": "/"}


def hosts_of(route: Document) -> list[str]:
    """Return the full names of the hosts that an HTTPRoute speaks for."""
    namespace, spec = route["metadata"]["namespace"], route["spec"]
    hosts: list[str] = []
    for parent in spec.get("parentRefs", []):
        if parent.get("kind") == "Service":
            hosts.append(qualify(parent["name"], parent.get("namespace", namespace)))
        else:
            hosts += [qualify(host, namespace) for host in spec.get("hostnames", [])]
    return list(dict.fromkeys(hosts))


def routes_of_http_route(route: Document, destinations: Destinations) -> list[dict[str, Any]]:
    """Return the Envoy routes of an HTTPRoute, the most specific match first.

    Raises:
        TranslationError: a value is wrong, or a field is not supported by the lab.
    """
    meta = route["metadata"]
    found: list[tuple[tuple[int, ...], dict[str, Any]]] = []
    for index, rule in enumerate(route["spec"].get("rules", [])):
        try:
            found += _routes(rule, meta["namespace"], destinations)
        except (ValueError, KeyError, TypeError) as error:
            where = f"HTTPRoute {meta['namespace']}/{meta['name']}: /spec/rules/{index}"
            raise TranslationError(f"{where}: {error}; the last good routes stay in place") from error
    return [translated for _, translated in sorted(found, key=lambda each: each[0], reverse=True)]


def _routes(rule: Document, namespace: str, destinations: Destinations) -> list[tuple[tuple[int, ...], dict[str, Any]]]:
    """Return a route for each match, with how specific it is; of equals the first stays the first."""
    refuse_unknown(rule, HONOURED, "")
    timeouts = rule.get("timeouts", {})
    refuse_unknown(timeouts, HONOURED_TIMEOUTS, "timeouts/")
    action = {
        "weighted_clusters": {"clusters": _clusters(rule, namespace, destinations)},
        "timeout": f"{parse_seconds(timeouts.get('request', '0s'))}s",
        "retry_policy": retry_policy({}),
    }
    name = rule.get("name", "")
    return [
        (_specificity(match), {"name": name, "match": _match(match), "route": action})
        for match in rule.get("matches") or [{}]
    ]


def _clusters(rule: Document, namespace: str, destinations: Destinations) -> list[dict[str, Any]]:
    clusters = []
    for index, ref in enumerate(rule["backendRefs"]):
        refuse_unknown(ref, HONOURED_BACKEND, f"backendRefs/{index}/")
        if ref.get("kind", "Service") != "Service":
            raise ValueError(f"backendRefs/{index}/kind is {ref['kind']}; the lab has Services only")
        cluster, destination = resolve(ref["name"], "", ref.get("namespace", namespace), destinations)
        clusters.append(weighted(cluster, ref.get("weight", 1), destination))
    if sum(cluster["weight"] for cluster in clusters) == 0:
        raise ValueError("backendRefs: all weights are 0, so no backend would get traffic")
    return clusters


def _specificity(match: Document) -> tuple[int, ...]:
    """Return what orders matches: an exact path, a long prefix, a method, many headers, many parameters."""
    path = match.get("path", ANY_PATH)
    is_exact = path.get("type") == "Exact"
    counts = (len(match.get(field, [])) for field in ("headers", "queryParams"))
    return (int(is_exact), 0 if is_exact else len(path["value"]), int("method" in match), *counts)


def _match(match: Document) -> dict[str, Any]:
    refuse_unknown(match, HONOURED_MATCH, "matches/")
    headers = [{"name": rule["name"], "string_match": _string(rule)} for rule in match.get("headers", [])]
    if "method" in match:
        headers.append({"name": ":method", "string_match": {"exact": match["method"]}})
    parameters = [{"name": rule["name"], "string_match": _string(rule)} for rule in match.get("queryParams", [])]
    return {**_path(match.get("path", ANY_PATH)), "headers": headers, "query_parameters": parameters}


def _path(path: Document) -> dict[str, Any]:
    kind, value = path.get("type", "PathPrefix"), path["value"]
    if kind == "Exact":
        return {"path": value}
    if kind == "RegularExpression":
        return {"safe_regex": {"regex": value}}
    return {"path_separated_prefix": value.rstrip("/")} if value.rstrip("/") else {"prefix": "/"}


def _string(rule: Document) -> dict[str, Any]:
    is_regex = rule.get("type") == "RegularExpression"
    return {"safe_regex": {"regex": rule["value"]}} if is_regex else {"exact": rule["value"]}
