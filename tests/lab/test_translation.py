"""Istio's resources become the Envoy configuration that Istio itself would write, or are refused with a reason."""

from typing import Any

import pytest

from canary.lab.destinations import gateway_clusters, gather_destinations, qualify, sidecar_resources
from canary.lab.durations import parse_seconds
from canary.lab.envoy_routes import TranslationError, domains_of
from canary.lab.kube_api import covers
from canary.lab.virtual_services import routes_of

HOST = "order-service.shop.svc.cluster.local"
SERVICE: dict[str, Any] = {
    "metadata": {"name": "order-service", "namespace": "shop"},
    "spec": {"selector": {"app": "order-service"}, "ports": [{"port": 80}]},
}
RULE: dict[str, Any] = {
    "metadata": {"name": "order-service", "namespace": "shop"},
    "spec": {
        "host": "order-service",
        "trafficPolicy": {"connectionPool": {"http": {"http1MaxPendingRequests": 7}}},
        "subsets": [
            {"name": "stable", "labels": {"version": "stable"}},
            {
                "name": "canary",
                "labels": {"version": "canary"},
                "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}},
            },
        ],
    },
}


def pod(name: str, version: str, *, port: int, ready: bool = True, **meta: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "labels": {"app": "order-service", "version": version},
            "annotations": {
                "lab.canary.delivery/app-port": str(port),
                "lab.canary.delivery/inbound-port": str(port + 1),
            },
            "ownerReferences": [{"kind": "Deployment", "name": f"order-service-{version}", "controller": True}],
            **meta,
        },
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }


def deployment(version: str) -> dict[str, Any]:
    labels = {"app": "order-service", "version": version}
    return {
        "metadata": {"name": f"order-service-{version}", "namespace": "shop"},
        "spec": {"template": {"metadata": {"labels": labels}}},
    }


PODS = [
    pod("stable-1", "stable", port=1000),
    pod("stable-2", "stable", port=1010, ready=False),
    pod("canary-1", "canary", port=1020),
    pod("canary-2", "canary", port=1030, deletionTimestamp="2026-01-01T00:00:00Z"),
]
DEPLOYMENTS = [deployment("stable"), deployment("canary")]


def destinations() -> Any:
    return gather_destinations([SERVICE], [RULE], PODS, DEPLOYMENTS)


def ports(cluster: dict[str, Any]) -> list[int]:
    endpoints = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    return [e["endpoint"]["address"]["socket_address"]["port_value"] for e in endpoints]


def virtual_service(*http: dict[str, Any]) -> dict[str, Any]:
    meta = {"name": "order-service", "namespace": "shop"}
    return {"metadata": meta, "spec": {"hosts": ["order-service"], "http": list(http)}}


def route(stable: int = 100, canary: int = 0, **more: Any) -> dict[str, Any]:
    targets = (("stable", stable), ("canary", canary))
    return {
        "route": [{"destination": {"host": "order-service", "subset": s}, "weight": w} for s, w in targets],
        **more,
    }


def translate(**more: Any) -> dict[str, Any]:
    [translated] = routes_of(virtual_service(route(**more)), destinations())
    return translated


def test_only_ready_pods_that_stay_are_endpoints() -> None:
    clusters = {cluster["name"]: ports(cluster) for cluster in gateway_clusters(destinations().values())}
    assert clusters == {
        f"outbound|80||{HOST}": [1001, 1021],
        f"outbound|80|stable|{HOST}": [1001],
        f"outbound|80|canary|{HOST}": [1021],
    }


def test_every_pod_has_a_listener_as_long_as_it_exists() -> None:
    listeners, clusters = sidecar_resources(list(destinations().values()))
    assert [listener["name"] for listener in listeners] == [
        "inbound|shop/stable-1",
        "inbound|shop/stable-2",
        "inbound|shop/canary-1",
        "inbound|shop/canary-2",
    ]
    assert [ports(cluster) for cluster in clusters] == [[1000], [1010], [1020], [1030]]


def test_a_subset_inherits_the_policy_of_its_host() -> None:
    clusters = {cluster["name"].split("|")[2]: cluster for cluster in gateway_clusters(destinations().values())}
    limits = [clusters[s]["circuit_breakers"]["thresholds"][0]["max_pending_requests"] for s in ("", "canary")]
    assert limits == [7, 7]
    assert [clusters[s]["lb_policy"] for s in ("stable", "canary")] == ["LEAST_REQUEST", "RANDOM"]


def test_outlier_detection_without_a_minimum_may_eject_all() -> None:
    rule = {**RULE, "spec": {**RULE["spec"], "trafficPolicy": {"outlierDetection": {"consecutive5xxErrors": 3}}}}
    cluster = gateway_clusters(gather_destinations([SERVICE], [rule], PODS, DEPLOYMENTS).values())[0]
    assert cluster["outlier_detection"]["consecutive_5xx"] == 3
    assert cluster["common_lb_config"] == {"healthy_panic_threshold": {"value": 0}}


def test_a_weight_of_zero_stays_visible_and_the_workload_is_named() -> None:
    stable, canary = translate()["route"]["weighted_clusters"]["clusters"]
    assert (stable["weight"], canary["weight"]) == (100, 0)
    names = [cluster["response_headers_to_add"][0]["header"]["value"] for cluster in (stable, canary)]
    assert names == ["order-service-stable", "order-service-canary"]


def test_a_destination_of_several_workloads_is_named_by_its_endpoint() -> None:
    whole = {"route": [{"destination": {"host": "order-service"}}]}
    [translated] = routes_of(virtual_service(whole), destinations())
    [cluster] = translated["route"]["weighted_clusters"]["clusters"]
    assert cluster["weight"] == 100
    assert cluster["response_headers_to_add"][0]["header"]["value"] == "%UPSTREAM_METADATA(istio:workload)%"


def test_an_unknown_destination_is_a_cluster_that_does_not_exist() -> None:
    lost = {"route": [{"destination": {"host": "lost"}}]}
    [translated] = routes_of(virtual_service(lost), destinations())
    [cluster] = translated["route"]["weighted_clusters"]["clusters"]
    assert cluster["name"] == "outbound|80||lost.shop.svc.cluster.local"


def test_istios_defaults_for_timeout_and_retries() -> None:
    action = translate()["route"]
    assert action["timeout"] == "0.0s"
    assert action["retry_policy"]["num_retries"] == 2
    assert action["retry_policy"]["retry_on"] == "connect-failure,refused-stream,unavailable,cancelled"


def test_retries_can_be_shaped_and_switched_off() -> None:
    policy = translate(retries={"attempts": 5, "perTryTimeout": "250ms", "retryOn": "5xx"})["route"]["retry_policy"]
    assert (policy["num_retries"], policy["per_try_timeout"], policy["retry_on"]) == (5, "0.25s", "5xx")
    assert "retry_policy" not in translate(retries={"attempts": 0})["route"]


def test_a_mirror_percentage_is_exact() -> None:
    mirror = {"host": "order-service", "subset": "canary"}
    [policy] = translate(mirror=mirror, mirrorPercentage={"value": 12.5})["route"]["request_mirror_policies"]
    assert policy["cluster"] == f"outbound|80|canary|{HOST}"
    assert policy["runtime_fraction"]["default_value"] == {"numerator": 125_000, "denominator": "MILLION"}


def test_several_matches_are_several_routes() -> None:
    matches = [{"uri": {"exact": "/a"}}, {"headers": {"x-user": {"prefix": "test-"}}, "method": {"exact": "GET"}}]
    first, second = routes_of(virtual_service(route(match=matches, name="primary")), destinations())
    assert first["match"] == {"path": "/a", "headers": [], "query_parameters": []}
    assert second["match"]["prefix"] == "/"
    assert [header["name"] for header in second["match"]["headers"]] == ["x-user", ":method"]
    assert (first["name"], second["name"]) == ("primary", "primary")


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"canary": -5}, "route/1/weight is -5; it must be 0 or more"),
        ({"stable": 0}, "all weights are 0"),
        ({"timeout": "5"}, "'5' is no duration"),
        ({"corsPolicy": {}}, "corsPolicy is not supported by the lab"),
        ({"match": [{"sourceLabels": {}}]}, "match/sourceLabels is not supported by the lab"),
        ({"mirror": {"host": "a"}, "mirrorPercentage": {"value": 101}}, "percentage is 101"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_its_path(more: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TranslationError, match=f"VirtualService shop/order-service: /spec/http/0: .*{complaint}"):
        translate(**more)


@pytest.mark.parametrize(
    ("text", "seconds"), [("1.5s", 1.5), ("100ms", 0.1), ("1m30s", 90.0), ("1h", 3600.0), ("0s", 0.0)]
)
def test_durations_are_gos(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "5x", "1.5.s", "-1s", "1s junk"])
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_seconds(text)


@pytest.mark.parametrize("host", ["order-service", "order-service.shop", "order-service.shop.svc", HOST])
def test_short_names_mean_the_namespace_of_the_resource(host: str) -> None:
    assert qualify(host, "shop") == HOST


def test_a_host_outside_the_cluster_has_no_short_names() -> None:
    assert domains_of(["api.example.com"], "shop") == ["api.example.com"]
    assert domains_of([HOST], "")[-1] == "order-service.shop.svc"


def test_a_stored_document_may_say_more_than_was_written() -> None:
    stored = {"replicas": 2, "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": None}]}
    assert covers(stored, {"replicas": 2, "unavailableReplicas": 0, "conditions": [{"type": "Ready"}]})
    assert not covers(stored, {"replicas": 3})
    assert not covers(stored, {"conditions": []})
    assert not covers(None, {"replicas": 1})
