"""Istio's standard metrics, made by Envoy itself.

Istio's proxies count requests in a filter of their own (istio_stats), which plain Envoy does not have. Envoy's stats
access logger counts at the same moment, the end of the request, and can put the same labels on a counter and a
histogram, so a query written for Istio reads the lab unchanged: names, labels and bucket bounds are Istio's,
including those that are always `unknown` here.

What a label says when it cannot be known follows Istio as well: the destination workload comes from the *endpoint*,
not from the cluster, so a request that failed before an endpoint was chosen (flags UH, NR, FI) has
destination_workload=unknown, while a refused connection (UF) names the workload that refused it. A canary without
ready pods is therefore invisible by workload, and the controller must find out by readiness.

Rejected: relabelling Envoy's cluster statistics (no response code on the histogram, no destination reporter) and
metrics exported by the workloads (they never see a refused connection).
"""

from collections.abc import Mapping
from typing import Any

SCOPE = "istiocustom"  # Envoy wants a prefix; Prometheus takes it off again
DURATION_BUCKETS_MS = (
    0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
)  # fmt: skip
BYTES_BUCKETS = (1, 10, 100, 1000, 10000, 100000, 1000000)
GATEWAY = "istio-ingressgateway"
GATEWAY_NAMESPACE = "istio-system"
UNKNOWN = "unknown"

SOURCE_GATEWAY: Mapping[str, str] = {
    "source_workload": GATEWAY,
    "source_workload_namespace": GATEWAY_NAMESPACE,
    "source_principal": UNKNOWN,
    "source_app": GATEWAY,
    "source_version": UNKNOWN,
    "source_cluster": "Kubernetes",
    "source_canonical_service": GATEWAY,
    "source_canonical_revision": "latest",
}
FROM_ENDPOINT: Mapping[str, str] = {
    "destination_workload": "workload",
    "destination_workload_namespace": "namespace",
    "destination_app": "app",
    "destination_version": "version",
    "destination_canonical_service": "canonical_service",
    "destination_canonical_revision": "canonical_revision",
}
FROM_CLUSTER: Mapping[str, str] = {
    "destination_service": "host",
    "destination_service_name": "service",
    "destination_service_namespace": "service_namespace",
}
RELABELLED = (*FROM_ENDPOINT, *FROM_CLUSTER)


def source_log() -> dict[str, Any]:
    """Return the access log of the gateway: reporter=source, the destination read from the endpoint that was chosen."""
    return _stats_log(
        {
            "reporter": "source",
            **SOURCE_GATEWAY,
            **{label: f"%UPSTREAM_METADATA(istio:{key})%" for label, key in FROM_ENDPOINT.items()},
            **{label: f"%CLUSTER_METADATA(istio:{key})%" for label, key in FROM_CLUSTER.items()},
            "connection_security_policy": UNKNOWN,  # only the server knows it, in Istio too
        }
    )


def destination_log(*, endpoint: Mapping[str, str], cluster: Mapping[str, str], pod: str) -> dict[str, Any]:
    """Return the access log of one pod's inbound listener: reporter=destination.

    In a cluster every pod is a scrape target of its own; here one process stands for all sidecars, so the pod's name
    is a label of the metric. The series vanish with the listener, as they vanish with a pod.

    Args:
        endpoint: the values behind FROM_ENDPOINT, by key.
        cluster: the values behind FROM_CLUSTER, by key.
        pod: the pod's name.
    """
    return _stats_log(
        {
            "reporter": "destination",
            **SOURCE_GATEWAY,
            **{label: endpoint[key] for label, key in FROM_ENDPOINT.items()},
            **{label: cluster[key] for label, key in FROM_CLUSTER.items()},
            "connection_security_policy": "none",
            "namespace": endpoint["namespace"],
            "pod": pod,
        }
    )


def stats_config() -> dict[str, Any]:
    """Return the bootstrap part that gives Envoy's histograms Istio's bucket bounds."""
    return {
        "use_all_default_tags": True,
        "histogram_bucket_settings": [
            {"match": {"safe_regex": {"regex": ".*duration_milliseconds.*"}}, "buckets": list(DURATION_BUCKETS_MS)},
            {"match": {"safe_regex": {"regex": ".*istio.*bytes.*"}}, "buckets": list(BYTES_BUCKETS)},
        ],
    }


def _stats_log(labels: Mapping[str, str]) -> dict[str, Any]:
    tags = {
        **labels,
        "destination_principal": UNKNOWN,
        "destination_cluster": "Kubernetes",
        "request_protocol": "http",
        "response_code": "%RESPONSE_CODE%",
        "grpc_response_status": "%GRPC_STATUS_NUMBER%",
        "response_flags": "%RESPONSE_FLAGS%",
    }

    def stat(name: str) -> dict[str, Any]:
        return {"name": name, "tags": [{"name": label, "value_format": text} for label, text in tags.items()]}

    return {
        "name": "envoy.access_loggers.stats",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stats.v3.Config",
            "stats_scope": {"prefix": SCOPE},
            "counters": [{"stat": stat("istio_requests_total"), "value_fixed": 1}],
            "histograms": [
                {
                    "stat": stat("istio_request_duration_milliseconds"),
                    "unit": "Milliseconds",
                    "value_format": "%DURATION%",
                },
                {"stat": stat("istio_request_bytes"), "unit": "Bytes", "value_format": "%BYTES_RECEIVED%"},
                {"stat": stat("istio_response_bytes"), "unit": "Bytes", "value_format": "%BYTES_SENT%"},
            ],
        },
    }
