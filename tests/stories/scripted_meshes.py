"""What the proxies of each mesh call things, as the scripted Prometheus tells of them.

Istio's servers tell of requests too, and of the copies that only they hear of; of Linkerd's only the clients do.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

SERVER: Final = "destination"
"""What Istio calls the account of the server's own proxy."""


@dataclass(frozen=True)
class Mesh:
    """The words of one mesh.

    Attributes:
        requests: the counter.
        reporters: who is heard.
        selector: finds which namespaces, workloads and reporters a query is about.
        pods: a whole query about the past of one workload's pods.
        arm: the labels of a workload, of its namespace and name and of the reporter.
        result: the labels of requests that ended with a code.
    """

    requests: str
    reporters: tuple[str, ...]
    selector: re.Pattern[str]
    pods: re.Pattern[str]
    arm: Callable[[str, str, str], dict[str, str]]
    result: Callable[[str], dict[str, str]]


ISTIO: Final = Mesh(
    requests="istio_requests_total",
    reporters=("source", SERVER),
    selector=re.compile(
        r'\{destination_workload_namespace=~"(?P<namespaces>[^"]*)",destination_workload=~"(?P<names>[^"]*)",'
        r'reporter=~"(?P<reporters>[^"]*)"'
    ),
    pods=re.compile(
        r"(?P<sum>count by \(pod\)|sum by \(pod, response_code, response_flags, grpc_response_status\)) "
        r'\(istio_requests_total\{destination_workload_namespace=~"(?P<namespace>[^"]*)",'
        r'destination_workload=~"[^"]*",reporter=~"destination"(?:,pod=~"(?P<pods>[^"]*)")?\}\)'
    ),
    arm=lambda namespace, workload, reporter: {
        "reporter": reporter,
        "destination_workload_namespace": namespace,
        "destination_workload": workload,
    },
    result=lambda code: {"response_code": code, "response_flags": "-"},
)
_EXCLUDED: Final = ',target_port!="4191",route_name!="probe"'
LINKERD: Final = Mesh(
    requests="response_total",
    reporters=("outbound",),
    selector=re.compile(
        r'\{dst_namespace=~"(?P<namespaces>[^"]*)",dst_deployment=~"(?P<names>[^"]*)",'
        r'direction=~"(?P<reporters>[^"]*)"'
    ),
    pods=re.compile(
        r"(?P<sum>count by \(pod\)|sum by \(pod, status_code, classification, grpc_status\)) "
        r'\(response_total\{namespace=~"(?P<namespace>[^"]*)",deployment=~"[^"]*",direction=~"inbound"'
        rf'(?:,pod=~"(?P<pods>[^"]*)")?{_EXCLUDED}\}}\)'
    ),
    arm=lambda namespace, workload, reporter: {
        "direction": reporter,
        "dst_namespace": namespace,
        "dst_deployment": workload,
    },
    result=lambda code: {
        "status_code": code,
        "classification": "failure" if code.startswith("5") else "success",
    },
)
MESHES: Final = (ISTIO, LINKERD)
