"""Rules between the fields of `spec.traffic.istio`, and by what its traffic can be judged; see `rules`.

Of tls and tcp routes Istio counts connections and bytes, and no requests: neither an error rate nor a latency can be
had of them, nor the share that the canary really gets. A Canary with such routes alone is judged by the team's own
queries, which is said here rather than by a release that waits for requests for ever. Counting connections as requests
was rejected: a connection that is closed with an error is nothing that Istio tells from one that ends well.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from canary.model.errors import Fault
from canary.model.faults import show

_OWN_FIELDS: Final = ("routes", "tlsRoutes", "tcpRoutes")
_REMEDY: Final = "give it a query of your own, as config/canaries/metrics.yaml does, or name an http route besides"


def broken_istio_rules(istio: Mapping[str, object], metrics: Sequence[object]) -> Iterator[Fault]:
    """Everything that is wrong between fields of which each may be right.

    Args:
        istio: what stands at `spec.traffic.istio`.
        metrics: what stands at `spec.analysis.metrics`, as far as it is a list; empty where the default applies.
    """
    at = "spec.traffic.istio"
    if istio.get("virtualServices") is not None:
        for field in _OWN_FIELDS:
            if istio.get(field):
                yield Fault(
                    path=f"{at}.{field}",
                    value="",
                    message="stands beside virtualServices, and does not say of which of them it speaks",
                    remedy=f"write {field} at the VirtualService that has them",
                )
    if _has_connections_only(istio):
        yield from _are_queries(metrics)


def _forms(istio: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Every VirtualService as it is written: the one, or those of the list."""
    several = istio.get("virtualServices")
    if not isinstance(several, list):
        return [istio]
    return [each if isinstance(each, Mapping) else {} for each in several]


def names_connections(istio: Mapping[str, object]) -> bool:
    """Whether any tls or tcp route is moved."""
    return any(map(_names_connections, _forms(istio)))


def _has_connections_only(istio: Mapping[str, object]) -> bool:
    forms = _forms(istio)
    return bool(forms) and not any(each.get("routes") or not _names_connections(each) for each in forms)


def _names_connections(written: Mapping[str, object]) -> bool:
    return any(isinstance(written.get(field), list) and bool(written[field]) for field in ("tlsRoutes", "tcpRoutes"))


def _are_queries(metrics: Sequence[object]) -> Iterator[Fault]:
    message = "counts requests, of which tls and tcp routes have none"
    if not metrics:
        path, missing = "spec.analysis.metrics", f"is missing, and the default {message}"
        yield Fault(path=path, value="", message=missing, remedy=f"add one, and {_REMEDY}")
    for index, metric in enumerate(metrics):
        if isinstance(metric, Mapping) and metric.get("query") is None:
            yield Fault(
                path=f"spec.analysis.metrics[{index}]", value=show(metric.get("name")), message=message, remedy=_REMEDY
            )
