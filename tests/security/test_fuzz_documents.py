"""Documents of a cluster and of files, whatever is in them, get a verdict or a clear error of ours, and no other."""

import json
from copy import deepcopy
from typing import Any, Final

from fuzzing import (
    EXAMPLES,
    FEWEST,
    INPUTS,
    KEY,
    LONGEST,
    NOW,
    START,
    WELL,
    fuzz,
    is_in_words,
    judged,
    refusal_of,
    status_of,
)
from hostile_text import is_legible
from hypothesis import given
from hypothesis import strategies as st
from mutations import anything, bad_documents, from_schema, mutants, scalars, text

from canary.cli.screen.view import view_of
from canary.controller.commands import read_commands
from canary.judge.ledger import GUARDED
from canary.kube.canaries import canary_object
from canary.metrics.recording import read_recording
from canary.model.command import Verb
from canary.model.crd import custom_resource_definition
from canary.model.evidence import ArmCounts, ArmHistograms, ArmValues, Counts, Evidence, Histogram, Measurement, Sample
from canary.model.manifest import documents_in
from canary.model.observation import Problem
from canary.model.resource import parse_canary
from canary.model.spec import Signal
from canary.model.status import read_state
from canary.model.traffic import Backend, Destination, GatewayTraffic, IstioTraffic, RouteKind
from canary.model.verdict import Verdict
from canary.routing.gateway_patch import locate_backends
from canary.routing.istio_patch import locate_weights
from canary.routing.weights import weight_patch
from canary.workloads.deployments import assess


@fuzz
@given(bad_documents(*EXAMPLES))
def test_a_canary_is_read_or_refused_in_words(document: dict[str, Any]) -> None:
    assert is_in_words(refusal_of(lambda: parse_canary(document)))


@fuzz
@given(bad_documents(*EXAMPLES).map(lambda document: json.dumps(document).encode()) | st.binary(max_size=60))
def test_a_file_is_read_or_refused_in_words(content: bytes) -> None:
    found: list[object] = []
    assert is_in_words(refusal_of(lambda: found.extend(documents_in(content, "file"))))
    assert all(isinstance(document, dict) for document in found)


@fuzz
@given(
    st.fixed_dictionaries(
        {"metadata": anything | st.dictionaries(st.sampled_from(("name", "uid", "annotations")), anything)},
        optional={"spec": anything, "status": anything},
    )
)
def test_an_object_of_a_watch_is_a_canary_or_refused(document: dict[str, Any]) -> None:
    assert is_in_words(refusal_of(lambda: canary_object(document)))


@fuzz
@given(
    st.dictionaries(
        st.sampled_from([f"canary.delivery/{verb.value}" for verb in Verb]) | text,
        text | st.from_regex(r"[0-9a-f]{2}(\.[0-9])?(/[0-9])?( by .*)?( because .*)?", fullmatch=True),
        max_size=3,
    )
)
def test_annotations_ask_for_something_that_can_be_compared_or_for_nothing(annotations: dict[str, str]) -> None:
    commands = read_commands(annotations)
    for command in commands.given:
        assert annotations[f"canary.delivery/{command.verb.value}"].startswith(command.revision)
        assert (command.number or 1) >= 1


ROUTES: Final = [
    {"match": [{"uri": {"prefix": "/x"}}], "redirect": {"uri": "/"}},
    {
        "name": "primary",
        "route": [
            {"destination": {"host": "orders", "subset": "stable"}, "weight": 90},
            {"destination": {"host": "orders.shop.svc.cluster.local", "subset": "canary"}, "weight": 10},
            {"destination": {"host": "legacy"}, "weight": 0},
        ],
    },
]
VIRTUAL_SERVICE: Final = {"metadata": {"name": "vs", "resourceVersion": "1"}, "spec": {"http": ROUTES}}


@fuzz
@given(bad_documents(VIRTUAL_SERVICE), st.sampled_from(((), ("primary",), ("primary", "\x1b"))), st.integers(0, 100))
def test_a_virtual_service_has_weights_or_a_problem(document: dict[str, Any], routes: tuple[str, ...], to: int) -> None:
    before = deepcopy(document)
    traffic = IstioTraffic(
        virtual_service="vs",
        routes=routes,
        destination_rule=None,
        stable=Destination(host=None, subset="stable"),
        canary=Destination(host=None, subset="canary"),
    )
    found = locate_weights(document, traffic, KEY, (to,))
    assert repr(document) == repr(before), "reading changes nothing"
    if isinstance(found, Problem):
        assert is_legible(found.message, LONGEST)
        return
    for operation in weight_patch(found.split, found.paths, found.totals, to):
        assert str(operation["path"]).endswith("/weight")
        assert operation["value"] in {share * total // 100 for total in found.totals for share in (to, 100 - to)}


HTTP_ROUTE: Final = {
    "metadata": {"name": "route", "resourceVersion": "1"},
    "spec": {
        "rules": [
            {"filters": [{"type": "RequestRedirect"}]},
            {
                "name": "primary",
                "backendRefs": [
                    {"name": "orders", "port": 80, "weight": 9},
                    {"name": "orders-v2", "namespace": "shop", "weight": 1},
                    {"group": "example.com", "kind": "Bucket", "name": "legacy", "weight": 0},
                ],
            },
        ]
    },
}


@fuzz
@given(bad_documents(HTTP_ROUTE), st.sampled_from(((), ("primary",), ("primary", "\x1b"))), st.integers(0, 100))
def test_a_route_has_weights_or_a_problem(document: dict[str, Any], rules: tuple[str, ...], to: int) -> None:
    before = deepcopy(document)
    traffic = GatewayTraffic(
        kind=RouteKind.HTTP,
        name="route",
        rules=rules,
        stable=Backend(service="orders"),
        canary=Backend(service="orders-v2"),
    )
    found = locate_backends(document, traffic, KEY, (to,))
    assert repr(document) == repr(before), "reading changes nothing"
    if isinstance(found, Problem):
        assert is_legible(found.message, LONGEST)
        return
    operations = weight_patch(found.split, found.paths, found.totals, to)
    assert all(str(operation["path"]).endswith("/weight") for operation in operations)
    for stable, canary, total in zip(operations[::2], operations[1::2], found.totals, strict=False):
        assert isinstance(stable["value"], int)
        assert isinstance(canary["value"], int)
        assert stable["value"] + canary["value"] in found.totals
        assert total * to % 100 == 0


DEPLOYMENT: Final = {
    "metadata": {"generation": 3, "resourceVersion": "7"},
    "spec": {
        "replicas": 2,
        "template": {
            "metadata": {"labels": {"app": "x"}, "annotations": {"a": "b"}},
            "spec": {"containers": [{"name": "x", "image": "x:1"}], "volumes": [{"emptyDir": {}}]},
        },
    },
    "status": {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2},
}


@fuzz
@given(bad_documents(DEPLOYMENT))
def test_a_deployment_is_assessed_or_a_problem(document: dict[str, Any]) -> None:
    found = assess(document, KEY)
    if isinstance(found, Problem):
        assert is_legible(found.message, LONGEST)


COUNTS_OF_ONE: Final = Counts(900, 9)
HISTOGRAM: Final = Histogram((1.0, 5.0), (10, 800, 90))
SAMPLES: Final[dict[Signal, Sample]] = {
    Signal.REQUESTS: ArmCounts(stable=COUNTS_OF_ONE, canary=COUNTS_OF_ONE),
    Signal.DURATIONS: ArmHistograms(stable=HISTOGRAM, canary=HISTOGRAM),
    Signal.VALUES: ArmValues(stable=5.0, canary=5.0),
}
(VERSION,) = custom_resource_definition()["spec"]["versions"]
SCHEMA: Final = VERSION["schema"]["openAPIV3Schema"]["properties"]["spec"]


@fuzz
@given(from_schema(SCHEMA), st.lists(st.integers(1, 100), max_size=4, unique=True))
def test_what_the_schema_lets_pass_is_judged_or_refused_in_words(spec: dict[str, Any], weights: list[int]) -> None:
    if weights:  # steps that climb, and names that do not collide, are too much to hope for
        spec |= {name: WELL["spec"][name] for name in ("stable", "canary", "traffic")}
        spec["steps"] = [{"weight": weight} for weight in sorted(weights)]
    document = WELL | {"spec": spec}
    refusal = refusal_of(lambda: parse_canary(document))
    assert is_in_words(refusal)
    assert is_in_words("\n".join(view_of(document, NOW).trouble))
    if not refusal:
        analysis = parse_canary(document).analysis
        samples = {metric.name: SAMPLES[metric.source.signal] for metric in analysis.metrics}
        counted = Measurement(start=START, end=NOW, samples={GUARDED: SAMPLES[Signal.REQUESTS]} | samples)
        assert judged(counted, analysis).verdict in Verdict


WHOLE_STATUS: Final = json.loads(json.dumps(status_of(judged(None), Evidence(watermark=START))))


@fuzz
@given(mutants(WHOLE_STATUS, most=4))
def test_a_status_is_read_or_refused_and_can_be_looked_at(status: Any) -> None:
    assert is_in_words(refusal_of(lambda: read_state(status)))
    rollout = view_of(EXAMPLES[0] | {"status": status}, NOW)
    assert is_in_words("\n".join((*rollout.trouble, rollout.message, rollout.step or "")))


SPAN_LINE: Final = {
    "start": START.isoformat(),
    "end": NOW.isoformat(),
    "weight": 5,
    "samples": {
        "errors": {"ArmCounts": {"stable": {"requests": 9, "errors": 1}, "canary": {"requests": 9, "errors": 0}}},
        "memory": {"ArmValues": {"stable": 1.0, "canary": 2.0}},
        "latency": {"ArmHistograms": {arm: {"bounds": [1.0], "counts": [1, 2]} for arm in ("stable", "canary")}},
    },
}
HEADER: Final = {"recording": 1, "canary": EXAMPLES[-1], "noise": {"errors": [0.1, 2.0]}}


@fuzz
@given(mutants(HEADER), st.lists(mutants(SPAN_LINE) | scalars, max_size=2))
def test_a_recording_is_read_or_refused_in_words(header: Any, spans: list[Any]) -> None:
    lines = [json.dumps(line) for line in (header, *spans)]
    assert is_in_words(refusal_of(lambda: read_recording(lines, "file")))


def test_there_are_as_many_inputs_as_promised() -> None:
    assert sum(INPUTS.values()) >= FEWEST
