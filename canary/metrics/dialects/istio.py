"""Istio's standard metrics.

Which requests failed, by what the client got:

- 5xx, and no response at all (code 0), except where the client hung up (code 0 with flag DC): such a request tells
  nothing about the version and is not counted at all.
- gRPC, which travels in HTTP 200: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE and DATA_LOSS, the
  set that OpenTelemetry holds against a server. UNIMPLEMENTED is gRPC's 501: a canary that lost a method has failed.
  RESOURCE_EXHAUSTED is its 429: a quota that did its work, an answer like any 4xx.

The client's proxy (reporter=source) sees what the server's never hears of: refused connections, ejections, time-outs.
So it is preferred, then the waypoint, then the server's own.

Durations are those of all requests: one that failed or was given up took the time it took.

Rejected: 4xx as failures (the caller's doing; a regression that answers 404 is real, but no count of 404s can tell it
from a crawler).
"""

from collections.abc import Mapping
from typing import Final

from canary.metrics.dialect import NO_RESPONSE, Dialect, Reporter, Result
from canary.model.spec import MeshTelemetry
from canary.settings import ReporterPolicy

GRPC_SERVER_FAULTS: Final = frozenset({"2", "4", "12", "13", "14", "15"})
_HTTP_CODE: Final = "response_code"
_FLAGS: Final = "response_flags"
_GRPC_STATUS: Final = "grpc_response_status"
_CLIENT_HUNG_UP: Final = "DC"


def _read_result(labels: Mapping[str, str]) -> Result | None:
    code, grpc_status = labels.get(_HTTP_CODE, ""), labels.get(_GRPC_STATUS, "")
    if code == NO_RESPONSE and _CLIENT_HUNG_UP in labels.get(_FLAGS, "").split(","):
        return None
    is_server_error = len(code) == len("500") and code.startswith("5")
    return Result(code, grpc_status, is_server_error or code == NO_RESPONSE or grpc_status in GRPC_SERVER_FAULTS)


DIALECT: Final = Dialect(
    telemetry=MeshTelemetry.ISTIO,
    proxies="Istio's proxies",
    requests="istio_requests_total",
    durations="istio_request_duration_milliseconds_bucket",
    reporter="reporter",
    reporters=tuple(
        Reporter(
            role=role, value=role.value, namespace="destination_workload_namespace", workload="destination_workload"
        )
        for role in (ReporterPolicy.SOURCE, ReporterPolicy.WAYPOINT, ReporterPolicy.DESTINATION)
    ),
    results=(_HTTP_CODE, _FLAGS, _GRPC_STATUS),
    read_result=_read_result,
)
