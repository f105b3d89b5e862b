"""Rules between the fields of a Canary, over the raw document.

Each rule looks only at values of the right type and skips the rest, which `resource` reports on its own: that is how
one reading names every fault, and why these are no validators of the models.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from canary.model.errors import Fault
from canary.model.faults import show
from canary.model.istio_rules import broken_istio_rules, names_connections
from canary.model.metric_rules import broken_metric_rules
from canary.model.step_rules import broken_step_rules

_LONGEST_LIST: Final = 100
"""Beyond the bound of every list; what comes after it is refused anyway."""


def broken_rules(document: Mapping[str, object]) -> Iterator[Fault]:
    """Everything that is wrong between fields of which each may be right."""
    yield from _deployments_differ(document)
    yield from _has_one_of(document, ("istio", "gatewayAPI"), "spec", "traffic")
    yield from _destinations_differ(document)
    if isinstance(_at(document, "spec", "traffic", "gatewayAPI"), Mapping):
        yield from _has_one_of(document, ("httpRoute", "grpcRoute"), "spec", "traffic", "gatewayAPI")
    yield from _backends_differ(document)
    yield from broken_step_rules(_list(document, "spec", "steps"), _find_weights_only(document))
    metrics = _list(document, "spec", "analysis", "metrics")
    istio = _at(document, "spec", "traffic", "istio")
    if isinstance(istio, Mapping):
        yield from _has_one_of(document, ("virtualService", "virtualServices"), "spec", "traffic", "istio")
        yield from broken_istio_rules(istio, metrics)
    for index, metric in enumerate(metrics):
        if isinstance(metric, Mapping):
            yield from broken_metric_rules(metric, f"spec.analysis.metrics[{index}]")
            yield from _are_unique(_list(metric, "codes"), f"spec.analysis.metrics[{index}].codes[{{index}}]")
    names = [metric.get("name") if isinstance(metric, Mapping) else None for metric in metrics]
    yield from _are_unique(names, "spec.analysis.metrics[{index}].name")
    hooks = [hook.get("name") if isinstance(hook, Mapping) else None for hook in _list(document, "spec", "hooks")]
    yield from _are_unique(hooks, "spec.hooks[{index}].name")
    for provider, parts in (("istio", "routes"), ("gatewayAPI", "rules")):
        path = f"spec.traffic.{provider}.{parts}[{{index}}]"
        yield from _are_unique(_list(document, "spec", "traffic", provider, parts), path)
    several = _list(document, "spec", "traffic", "istio", "virtualServices")
    yield from _are_unique([_at(each, "name") for each in several], "spec.traffic.istio.virtualServices[{index}].name")
    for place, each in enumerate(several):
        path = f"spec.traffic.istio.virtualServices[{place}].routes[{{index}}]"
        yield from _are_unique(_list(each, "routes"), path)


def _find_weights_only(document: Mapping[str, object]) -> str | None:
    """Why nothing but weights can lead requests to the canary there; None where mirrors and chosen users can, too."""
    if _at(document, "spec", "traffic", "gatewayAPI") is not None:
        return "needs a VirtualService of Istio (spec.traffic.istio)"
    istio = _at(document, "spec", "traffic", "istio")
    if isinstance(istio, Mapping) and names_connections(istio):
        return "is of requests, and tls and tcp routes carry connections, which cannot be copied or chosen by headers"
    return None


def _deployments_differ(document: Mapping[str, object]) -> Iterator[Fault]:
    stable, canary, baseline = (_at(document, "spec", arm, "deployment") for arm in ("stable", "canary", "baseline"))
    if isinstance(stable, str) and stable == canary:
        yield Fault(
            path="spec.canary.deployment",
            value=show(canary),
            message="is the stable Deployment too",
            remedy="name a second Deployment: stable and canary run side by side",
        )
    if isinstance(baseline, str) and baseline in (stable, canary):
        yield Fault(
            path="spec.baseline.deployment",
            value=show(baseline),
            message=f"is the {'stable' if baseline == stable else 'canary'} Deployment too",
            remedy="name a third Deployment, or leave the baseline out and the canary is compared with stable itself",
        )


def _has_one_of(document: Mapping[str, object], fields: tuple[str, str], *path: str) -> Iterator[Fault]:
    """Of two fields that exclude each other, one must be there."""
    written = _at(document, *path)
    if not isinstance(written, Mapping):
        return
    found = [field for field in fields if written.get(field) is not None]
    if len(found) == 1:
        return
    both, either = " and ".join(fields), " or ".join(fields)
    yield Fault(
        path=".".join(path),
        value="",
        message=f"has both {both}" if found else f"has neither {fields[0]} nor {fields[1]}",
        remedy=f"keep the one that splits the traffic, {either}" if found else f"add {either}",
    )


def _backends_differ(document: Mapping[str, object]) -> Iterator[Fault]:
    """Two backends are told apart by their Services, or by two ports of one."""
    (stable, port), (canary, canary_port) = (_backend(document, arm) for arm in ("stable", "canary"))
    if not isinstance(stable, str) or stable != canary:
        return
    if isinstance(port, int) and isinstance(canary_port, int) and port != canary_port:
        return
    yield Fault(
        path="spec.traffic.gatewayAPI.canary",
        value=f"service: {show(canary)}",
        message="cannot be told apart from the stable backend",
        remedy="name a second Service that selects the canary's pods only, or give both a port, and not the same one",
    )


def _backend(document: Mapping[str, object], arm: str) -> tuple[object, object]:
    written = _at(document, "spec", "traffic", "gatewayAPI", arm)
    return (written.get("service"), written.get("port")) if isinstance(written, Mapping) else (None, None)


def _destinations_differ(document: Mapping[str, object]) -> Iterator[Fault]:
    """Two destinations are told apart by hosts that differ or by subsets that differ, and by nothing else."""
    if _at(document, "spec", "traffic", "istio") is None:
        return
    stable, canary = (_destination(document, arm) for arm in ("stable", "canary"))
    if stable is None or canary is None:
        return
    told_apart = any(a is not None and b is not None and a != b for a, b in zip(stable, canary, strict=True))
    if not told_apart:
        yield Fault(
            path="spec.traffic.istio.canary",
            value=", ".join(f"{word}: {part}" for word, part in zip(("host", "subset"), canary, strict=True) if part),
            message="cannot be told apart from the stable destination",
            remedy="give both a host or both a subset, and not the same one",
        )


def _destination(document: Mapping[str, object], arm: str) -> tuple[str | None, str | None] | None:
    """Host and subset of one version with the default applied; None if it is not readable."""
    written = _at(document, "spec", "traffic", "istio", arm)
    if written is None:
        return None, arm
    if not isinstance(written, Mapping):
        return None
    host, subset = written.get("host"), written.get("subset")
    if host is None and subset is None:
        return None, arm
    if not isinstance(host, str | None) or not isinstance(subset, str | None):
        return None
    return host, subset


def _are_unique(values: Sequence[object], path: str) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, value in enumerate(values):
        if not isinstance(value, str):
            continue
        if value in seen:
            yield Fault(path=path.format(index=index), value=show(value), message="stands twice", remedy="remove one")
        seen.add(value)


def _list(document: object, *path: str) -> Sequence[object]:
    value = _at(document, *path)
    return value[:_LONGEST_LIST] if isinstance(value, list) else []


def _at(document: object, *path: str) -> object:
    """What stands at a path; None if nothing does or the way there is no mapping."""
    for part in path:
        if not isinstance(document, Mapping):
            return None
        document = document.get(part)
    return document
