"""The parts of an Envoy configuration that do not depend on Istio objects: bootstrap and listeners, as plain JSON.

Everything that changes while the lab runs (routes, clusters, inbound listeners) is delivered by file, because a
rename takes effect in milliseconds and needs no server of ours; the bootstrap itself is written once.
Rejected: REST xDS (polls, a hundred times slower) and gRPC xDS (its Python package overwrites the one that carries
the binary).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from canary.lab import telemetry
from canary.lab.ports import LOOPBACK

ROUTES = "http.80"
TYPE = "type.googleapis.com/envoy"
HTTP_MANAGER = f"{TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def gateway_bootstrap(directory: Path, *, port: int, admin_port: int) -> dict[str, Any]:
    """Return the gateway: one listener, routes and clusters by file from `directory`."""
    manager = {
        "stat_prefix": "ingress",
        "rds": {"route_config_name": ROUTES, "config_source": _from_file(directory / "rds.json")},
        "http_filters": [
            _http_filter("envoy.filters.http.fault", f"{TYPE}.extensions.filters.http.fault.v3.HTTPFault"),
            _router(),
        ],
        "access_log": [telemetry.source_log()],
    }
    return {
        **_bootstrap("gateway", admin_port),
        "dynamic_resources": {"cds_config": _from_file(directory / "cds.json")},
        "static_resources": {"listeners": [_listener("ingress", port, manager)]},
    }


def sidecar_bootstrap(directory: Path, *, admin_port: int) -> dict[str, Any]:
    """Return the process that stands for all sidecars: listeners and clusters by file from `directory`."""
    return {
        **_bootstrap("sidecar", admin_port),
        "dynamic_resources": {
            "cds_config": _from_file(directory / "cds.json"),
            "lds_config": _from_file(directory / "lds.json"),
        },
    }


def inbound_listener(*, name: str, port: int, cluster: str, access_log: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pod's inbound listener, which hands every request to the pod's own cluster."""
    manager = {
        "stat_prefix": "inbound",
        "route_config": {
            "name": name,
            # the cluster may arrive a moment after the listener: two files are two watches
            "validate_clusters": False,
            "virtual_hosts": [
                {
                    "name": name,
                    "domains": ["*"],
                    # the client's timeout decides, as in Istio; a server that gives up first would hide it
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "0s"}}],
                }
            ],
        },
        "http_filters": [_router()],
        "access_log": [dict(access_log)],
    }
    return {"@type": f"{TYPE}.config.listener.v3.Listener", **_listener(name, port, manager)}


def cluster(name: str, endpoints: list[dict[str, Any]], **more: object) -> dict[str, Any]:
    """Return a static cluster over `endpoints` (see `endpoint`); `more` is merged into it."""
    return {
        "@type": f"{TYPE}.config.cluster.v3.Cluster",
        "name": name,
        "connect_timeout": "1s",
        "type": "STATIC",
        "lb_policy": "LEAST_REQUEST",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        **more,
    }


def endpoint(port: int, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return a loopback endpoint that carries `metadata` for the access log."""
    return {"endpoint": {"address": _address(port)}, "metadata": istio_metadata(metadata)}


def istio_metadata(values: Mapping[str, str]) -> dict[str, Any]:
    """Return metadata in the name space that the access log reads."""
    return {"filter_metadata": {"istio": dict(values)}}


def route_configuration(virtual_hosts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the gateway's only route configuration."""
    return {
        "@type": f"{TYPE}.config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "ignore_port_in_host_matching": True,
        "validate_clusters": False,
        "virtual_hosts": virtual_hosts,
    }


def discovery_response(version: str, resources: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a file for Envoy holds: resources under a version that can be read back."""
    return {"version_info": version, "resources": resources}


def _bootstrap(name: str, admin_port: int) -> dict[str, Any]:
    return {
        "node": {"id": name, "cluster": name},
        "admin": {"address": _address(admin_port)},
        "stats_config": telemetry.stats_config(),
        "stats_flush_interval": "0.5s",  # histograms appear only after a flush, and Prometheus comes every second
    }


def _listener(name: str, port: int, manager: Mapping[str, Any]) -> dict[str, Any]:
    config = {"@type": HTTP_MANAGER, "codec_type": "AUTO", "generate_request_id": False, **manager}
    return {
        "name": name,
        "address": _address(port),
        "enable_reuse_port": False,  # a port taken twice must be an error, not a lottery
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": config}]}
        ],
    }


def _router() -> dict[str, Any]:
    return _http_filter("envoy.filters.http.router", f"{TYPE}.extensions.filters.http.router.v3.Router")


def _http_filter(name: str, type_url: str) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": type_url}}


def _from_file(path: Path) -> dict[str, Any]:
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}
