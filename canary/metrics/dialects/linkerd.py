"""What Linkerd's proxies count: `response_total` and `response_latency_ms`.

Each proxy tells of both directions. Outbound it is the client's, names the server's pod as the control plane knows it
(`dst_namespace`, `dst_deployment`), and sees broken connections and time-outs; so it is preferred. Inbound it is the
server's own, and only Prometheus says whose it is: `namespace`, `deployment` and `pod` come from the scrape
configuration that Linkerd documents, and a configuration that leaves `deployment` out finds nothing.

Which requests failed is what Linkerd has classified itself (`classification`), because it knows what no code tells: a
stream that broke after its 200, a response that never came (no `status_code`), and the classes that a team has written
into a ServiceProfile. Without those it is 5xx, and gRPC's UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE and
DATA_LOSS. UNIMPLEMENTED is not among them, as it is with Istio: who fears for a lost method writes a metric with codes
of its own. The documentation calls the label of gRPC `grpc_status_code`; the proxies write `grpc_status`.

A client that hung up before the response began is not counted by the proxy, and one that did later is by the status it
saw. A retried request counts once for each attempt.

Three kinds of requests are nobody's. A proxy counts scrapes of its own metrics and the probes that Kubernetes makes of
it (port 4191), and the probes that it lets through to the service (`route_name="probe"`). Per pod they are as many for
the canary with one percent of the traffic as for stable, so both are left out: they would thin out its failures and
bend the measured split. An admin port of another number, and scrapes of the service's own metrics by a Prometheus
within the mesh, look like requests of users. Where nobody else within the mesh calls the service, the latter would be
the only account of a client; then the server's should be prescribed.

Durations end with the first byte of the response, in buckets of whole milliseconds: 25 bounds from 1 ms to 50 s, of
which newer proxies have kept 11 up to 10 s. A request without a response has none, so there may be fewer durations than
requests.

Proxies forget a peer that has been silent for ten minutes. A service without any requests for that long is therefore
NODATA, not zero requests; the first span after such a silence is not counted; and a sum over series that fell may mean
one of them was forgotten (`is_forgetful`).

Rejected: `route_response_total` and `outbound_http_route_*` (they tell of routes and Services, and not which
Deployment's pod answered); a table of codes in the place of the classification (see above).
"""

from collections.abc import Mapping
from typing import Final

from canary.metrics.dialect import NO_RESPONSE, Dialect, NotAnAnswer, Reporter, Result
from canary.model.spec import MeshTelemetry
from canary.settings import ReporterPolicy

_STATUS: Final = "status_code"
_GRPC_STATUS: Final = "grpc_status"
_CLASSIFICATION: Final = "classification"
_IS_FAILURE: Final = {"success": False, "failure": True}


def _read_result(labels: Mapping[str, str]) -> Result:
    is_failure = _IS_FAILURE.get(labels.get(_CLASSIFICATION, ""))
    if is_failure is None:
        raise NotAnAnswer(f"the series {dict(labels)} has no {_CLASSIFICATION} of {' or '.join(_IS_FAILURE)}")
    return Result(labels.get(_STATUS) or NO_RESPONSE, labels.get(_GRPC_STATUS, ""), is_failure)


DIALECT: Final = Dialect(
    telemetry=MeshTelemetry.LINKERD,
    proxies="Linkerd's proxies, which forget a service without requests after ten minutes",
    requests="response_total",
    durations="response_latency_ms_bucket",
    reporter="direction",
    reporters=(
        Reporter(role=ReporterPolicy.SOURCE, value="outbound", namespace="dst_namespace", workload="dst_deployment"),
        Reporter(role=ReporterPolicy.DESTINATION, value="inbound", namespace="namespace", workload="deployment"),
    ),
    results=(_STATUS, _CLASSIFICATION, _GRPC_STATUS),
    read_result=_read_result,
    excluded=(("target_port", "4191"), ("route_name", "probe")),
    is_forgetful=True,
)
