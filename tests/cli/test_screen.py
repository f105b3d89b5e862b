"""The pictures on file, at 80 and at 160 columns. Look at them when they change: REWRITE_GOLDEN=1 pytest tests/cli."""

import io
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from pictures import NOW, SITUATIONS, STATE, canary_at, climbing, judgment
from rich.console import Console, RenderableType

from canary.cli.screen.description import draw_description
from canary.cli.screen.following import describe_line
from canary.cli.screen.page import draw_page
from canary.cli.screen.table import draw_table
from canary.cli.screen.view import view_of
from canary.cli.screen.words import evidence, rough
from canary.model.evidence import ArmCounts
from canary.model.resource import parse_canary
from canary.model.status import write_status

CONFIG: Final = Path(__file__).parents[2] / "config"
GOLDEN: Final = Path(__file__).parent / "golden"
WIDTHS: Final = (80, 160)


def picture(drawing: RenderableType, width: int) -> str:
    """What a terminal without colours shows."""
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None, highlight=False).print(drawing)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def compare(drawn: str, name: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("REWRITE_GOLDEN"):
        path.write_text(drawn, encoding="utf-8")
    assert drawn == path.read_text(encoding="utf-8"), f"{path} differs; REWRITE_GOLDEN=1 writes it anew"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("make", SITUATIONS.values(), ids=SITUATIONS)
def test_a_page_looks_as_on_file(make: Callable[[], dict[str, Any]], width: int) -> None:
    drawn = picture(draw_page(view_of(make(), NOW), width), width)
    assert max(map(len, drawn.splitlines())) <= width
    compare(drawn, f"page-{make.__name__}-{width}")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("with_namespace", [False, True])
def test_a_table_looks_as_on_file(width: int, with_namespace: bool) -> None:  # noqa: FBT001 (a parameter of the test)
    rollouts = [view_of(make(), NOW) for make in SITUATIONS.values()]
    drawn = picture(draw_table(rollouts, width, with_namespace=with_namespace), width)
    assert max(map(len, drawn.splitlines())) <= width
    compare(drawn, f"table-{'all' if with_namespace else 'one'}-{width}")


@pytest.mark.parametrize("width", WIDTHS)
def test_a_description_looks_as_on_file(width: int) -> None:
    compare(picture(draw_description(view_of(climbing(), NOW), width), width), f"description-{width}")


def test_a_description_names_every_virtual_service_with_its_routes() -> None:
    name = CONFIG / "canaries" / "several-virtual-services.yaml"
    document = yaml.safe_load(name.read_text(encoding="utf-8"))
    drawn = picture(draw_description(view_of(document, NOW), 120), 120)
    rows = [line.split(maxsplit=2) for line in drawn.splitlines()]
    told = [row[2] for row in rows if row[:2] in (["virtual", "service"], ["tls", "route"], ["tcp", "route"])]
    assert told == ["ledger", "on port 9000", "ledger-edge", "for ledger.example.com on port 443"]


def test_a_description_says_of_every_metric_what_is_measured_and_how_it_is_judged() -> None:
    document = yaml.safe_load((CONFIG / "canaries" / "metrics.yaml").read_text(encoding="utf-8"))
    drawn = picture(draw_description(view_of(document, NOW), 200), 200)
    for words in (
        "errors (margin 0.5pp)",
        "latency (margin 10%)",
        "tail (latency, margin 25%, from p99 on)",
        "rejections (429 RESOURCE_EXHAUSTED, margin 1pp)",
        'memory-per-pod (avg(container_memory_working_set_bytes{namespace="$namespace", pod=~"$workload-.*", ',
        ' per sum(payment_orders_total{namespace="$namespace", pod=~"$workload-.*"}), margin 20%)',
        "objective (5xx UNAVAILABLE, at most 1%)",
        "fast-enough (latency, at most 500ms at p95)",
        "flagger-success-rate (errors, at most 1%, method threshold, 5 failures)",
        "kayenta-latency (latency, method mann-whitney)",
    ):
        assert words in " ".join(drawn.split())


def test_values_are_shown_as_parts_of_what_stable_does_and_without_requests() -> None:
    document = climbing()
    document["spec"]["analysis"] = {"metrics": [{"name": "queue", "query": "queue{a='$workload'}", "margin": "10%"}]}
    sentence = "canary 14.2, stable 12.9 on average over 38 measurements, 10.1% more; 40% more must be excluded"
    judged = judgment(
        metric="queue",
        sentence=f"not enough yet: {sentence}",
        counts=ArmCounts(),
        estimate=0.1008,
        interval=(-0.021, 0.2226),
        step_margin=0.4,
        requests_needed=None,
    )
    document["status"] = write_status(
        {},
        state=STATE,
        spec=parse_canary(document),
        reason=f"queue: not enough yet: {sentence}",
        result=judged,
        weight=10,
        share=0.1,
        problem=None,
        generation=2,
        now=NOW,
    )
    drawn = " ".join(picture(draw_page(view_of(document, NOW), 80), 80).split())
    assert "queue difference +10.1%, between -2.1% and +22.3% evidence 1.53" in drawn
    assert "3.25 that it is not worse by 40%: passes at 20" in drawn
    assert sentence in drawn
    assert "requests" not in drawn


def test_beside_a_baseline_the_control_is_called_by_its_name() -> None:
    document = climbing()
    document["spec"]["baseline"] = {"deployment": "order-service-baseline"}
    beside = canary_at(spec=parse_canary(document))
    beside["spec"] = document["spec"]
    drawn = " ".join(picture(draw_description(view_of(beside, NOW), 120), 120).split())
    assert "baseline 8,120 8" in drawn
    assert "stable 8,120" not in drawn
    assert "baseline Deployment order-service-baseline, subset stable: the control" in drawn


def test_a_route_of_the_gateway_api_is_described_by_its_own_words() -> None:
    document = climbing()
    backends = {"stable": {"service": "orders"}, "canary": {"service": "orders-v2", "port": 80}}
    document["spec"]["traffic"] = {"gatewayAPI": {"grpcRoute": "orders", **backends}}
    drawn = " ".join(picture(draw_description(view_of(document, NOW), 120), 120).split())
    assert "canary Deployment order-service-canary, Service orders-v2 port 80" in drawn
    assert "GRPCRoute orders rules every one that names both Services" in drawn


def test_a_hold_runs_down_and_ends_at_nothing() -> None:
    def left(after: timedelta) -> timedelta | None:
        return view_of(climbing(), NOW + after).hold_left

    assert left(timedelta(0)) == timedelta(minutes=1, seconds=20)
    assert left(timedelta(minutes=1)) == timedelta(seconds=20)
    assert left(timedelta(minutes=2)) == timedelta(0)


def test_a_status_of_another_version_is_shown_as_far_as_it_goes() -> None:
    document = climbing()
    document["status"]["canaryWeight"] = 3
    rollout = view_of(document, NOW)
    assert rollout.trouble
    assert "canaryWeight" in rollout.trouble[0]
    assert picture(draw_page(rollout, 80), 80)


def test_nothing_that_an_object_says_is_taken_for_markup() -> None:
    document = canary_at(reason="[bold]not[/bold] [/red] markup", result=judgment(sentence="[/nor this]"))
    rollout = view_of(document, NOW)
    for drawing in (draw_page(rollout, 80), draw_table([rollout], 160, with_namespace=True)):
        assert "[bold]not[/bold] [/red] markup" in picture(drawing, 160)


def test_a_line_says_where_a_release_stands() -> None:
    assert describe_line(view_of(climbing(), NOW)) == (
        "shop/order-service  Progressing  step 2/4  weight 10%  INCONCLUSIVE  not enough yet: a regression of 4.1pp is "
        "excluded, 2pp must be; about 1,240 more canary requests"
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0s"), (59, "59s"), (60, "1m"), (432, "7m12s"), (3600, "1h"), (90_061, "1d1h"), (8_640_000, "100d")],
)
def test_a_duration_is_told_in_its_two_largest_units(seconds: int, words: str) -> None:
    assert rough(timedelta(seconds=seconds)) == words


def test_evidence_is_told_as_far_as_it_means_something() -> None:
    assert [evidence(value) for value in (1e300, 12345.6, 31.41, 0.0123, 1e-9)] == [
        "over 1,000,000",
        "12,346",
        "31.4",
        "0.0123",
        "0",
    ]
