"""Everything there is to say about one Canary: its page, what it was asked to do, and its conditions."""

from datetime import timedelta
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from canary.cli.screen.page import draw_page
from canary.cli.screen.view import Rollout
from canary.cli.screen.words import NOTHING
from canary.model.command import describe_speaker
from canary.model.metric_documents import FOREIGN_METHODS
from canary.model.metric_rules import BUILT_IN
from canary.model.quantities import format_duration
from canary.model.spec import CanarySpec, MeshTelemetry, MetricSpec, Signal
from canary.model.traffic import GatewayTraffic, IstioTraffic, SeveralVirtualServices, Traffic

_LABEL_WIDTH: Final = 17


def draw_description(rollout: Rollout, width: int) -> RenderableType:
    """The page of a Canary, followed by its spec with all defaults applied and by its conditions."""
    parts = [draw_page(rollout, width)]
    if rollout.spec:
        parts += [_titled("Objects", _draw_objects(rollout.spec)), _titled("Steps", _draw_steps(rollout.spec))]
        parts += [_titled("Analysis", _draw_analysis(rollout.spec))]
    if rollout.commands:
        parts.append(_titled("Commands", _draw_commands(rollout)))
    if rollout.conditions:
        parts.append(_titled("Conditions", _draw_conditions(rollout)))
    return Group(*parts)


def _titled(title: str, body: RenderableType) -> RenderableType:
    return Padding(Group(Text(title, style="bold"), Padding(body, (0, 0, 0, 2))), (1, 0, 0, 0))


def _draw_rows(*rows: tuple[str, str]) -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=_LABEL_WIDTH, style="dim")
    grid.add_column()
    for label, value in rows:
        grid.add_row(label, value)
    return grid


def _draw_objects(spec: CanarySpec) -> Table:
    traffic, pods = spec.traffic, spec.canary.replicas
    baseline = spec.baseline_deployment
    return _draw_rows(
        ("stable", f"Deployment {spec.stable_deployment}, {traffic.stable}"),
        *([("baseline", f"Deployment {baseline}, {traffic.stable}: the control")] if baseline else []),
        ("canary", f"Deployment {spec.canary.deployment}, {traffic.canary}"),
        ("canary pods", "as many as stable" if pods is None else f"{pods} to start with"),
        *_traffic_rows(traffic),
    )


def _traffic_rows(traffic: Traffic) -> tuple[tuple[str, str], ...]:
    match traffic:
        case SeveralVirtualServices():
            rule = traffic.objects[0].destination_rule or NOTHING
            return (*(row for each in traffic.objects for row in _route_rows(each)), ("destination rule", rule))
        case IstioTraffic():
            return (*_route_rows(traffic), ("destination rule", traffic.destination_rule or NOTHING))
        case GatewayTraffic():
            return (
                (traffic.kind.value, traffic.name),
                ("rules", ", ".join(traffic.rules) or "every one that names both Services"),
            )


def _route_rows(traffic: IstioTraffic) -> tuple[tuple[str, str], ...]:
    return (
        ("virtual service", traffic.virtual_service),
        *([("routes", ", ".join(traffic.routes) or "the only one with both destinations")] if traffic.is_http else []),
        *(("tls route", str(each)) for each in traffic.tls_routes),
        *(("tcp route", str(each) or "the only one") for each in traffic.tcp_routes),
    )


def _draw_steps(spec: CanarySpec) -> Table:
    rows = []
    for index, step in enumerate(spec.steps):
        approval = ", then a person must approve" if step.approval else ""
        pods = f", by {step.replicas} pods or more" if step.replicas else ""
        pods = ", by its part of stable's pods" if step.scaled_by_weight else pods
        words = f"{step.exposure.brief}{pods} for at least {format_duration(step.hold)}{approval}"
        rows.append((f"{index + 1}/{len(spec.steps)}", words))
    return _draw_rows(*rows)


def _draw_analysis(spec: CanarySpec) -> Table:
    analysis = spec.analysis
    return _draw_rows(
        ("metrics", "\n".join(map(_describe_metric, analysis.metrics))),
        *([("telemetry", analysis.telemetry.value)] if analysis.telemetry is not MeshTelemetry.ISTIO else []),
        ("interval", format_duration(analysis.interval)),
        ("warm-up", format_duration(analysis.warmup)),
        ("false rollback", f"{analysis.false_rollback:g} over the whole release"),
        ("false promotion", f"{analysis.false_promotion:g} at each step"),
        ("no answer after", f"{format_duration(analysis.max_duration)}: {analysis.on_inconclusive.value}"),
        ("pods ready within", format_duration(spec.progress_deadline)),
    )


def _describe_metric(metric: MetricSpec) -> str:
    """`errors (margin 0.5pp)`, `tail (latency, at most 500ms at p99)`: what is measured, and how it is judged."""
    source, judged = metric.source, []
    if source.query is not None:
        judged.append(" per ".join(" ".join(query.split()) for query in (source.query, source.per) if query))
    elif source.codes:
        judged.append(" ".join(source.codes))
    elif metric.name not in BUILT_IN:
        judged.append("latency" if source.signal is Signal.DURATIONS else "errors")
    if metric.margin is not None:
        judged.append(f"margin {metric.margin}")
        judged += [f"from p{metric.quantile * 100:g} on"] if metric.quantile else []
    elif metric.limit is not None:
        limit = format_duration(metric.limit) if isinstance(metric.limit, timedelta) else metric.limit
        judged.append(f"at most {limit}{f' at p{metric.quantile * 100:g}' if metric.quantile else ''}")
    if metric.method in FOREIGN_METHODS:
        judged.append(f"method {metric.method}{f', {metric.failures} failures' if metric.failures else ''}")
    return f"{metric.name} ({', '.join(judged)})"


def _draw_commands(rollout: Rollout) -> Table:
    """What people said; who that was nobody has verified."""
    rows = []
    for each in rollout.commands:
        release, _, number = each.target.partition("/")
        who = describe_speaker(each.by or "", each.reason or "")
        about = f"{who}, of release {release} at {each.obeyed_at:%Y-%m-%d %H:%M:%S} UTC"
        rows.append((f"{each.command.value} {number}".rstrip(), about))
    return _draw_rows(*rows)


def _draw_conditions(rollout: Rollout) -> Table:
    return _draw_rows(
        *(
            (c.type, f"{c.status} ({c.reason}) since {c.last_transition_time:%Y-%m-%d %H:%M:%S} UTC")
            for c in rollout.conditions
        )
    )
