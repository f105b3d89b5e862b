"""A release in an object of a team's own: byte for byte as it was but for our two weights, and in the end those too.

Fields that nobody here knows stand everywhere: in the spec, in routes of every kind, beside weights, in further routes
and destinations. Text is compared, in canonical form, because that is what a GitOps tool compares.
"""

import copy
import json
from collections.abc import Callable, Sequence
from typing import Any

import jsonpatch
from hypothesis import given
from hypothesis import strategies as st

from canary.model.connection_routes import TcpRoute, TlsRoute
from canary.model.observation import Problem
from canary.model.spec import ObjectKey
from canary.model.traffic import Backend, Destination, GatewayTraffic, IstioTraffic, RouteKind
from canary.routing.gateway_patch import locate_backends
from canary.routing.istio_patch import locate_weights
from canary.routing.weights import Weights, weight_patch

Document = dict[str, Any]
Locate = Callable[[Document, Sequence[int]], Weights | Problem]
KEY = ObjectKey("shop", "orders")
ISTIO = IstioTraffic(
    virtual_service="orders",
    routes=("ours",),
    destination_rule=None,
    stable=Destination(subset="stable"),
    canary=Destination(subset="canary"),
    tls_routes=(TlsRoute(sni_hosts=("ours",)),),
    tcp_routes=(TcpRoute(port=7),),
)
GATEWAY = GatewayTraffic(
    kind=RouteKind.HTTP, name="orders", rules=("ours",), stable=Backend(service="old"), canary=Backend(service="new")
)

SCALAR = st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab/~é", max_size=3)
ANYTHING = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("xyz", max_size=2), inner, max_size=2)
)
UNKNOWN = st.dictionaries(
    st.sampled_from(("x-new", "retries", "headers", "mirror", "fault", "filters", "a/b", "c~d")), ANYTHING, max_size=3
)


@st.composite
def shared(draw: st.DrawFn, stable: Document, canary: Document, thirds: Sequence[Document]) -> list[Document]:
    """Destinations in any order; the two have 100, or as much as a third one leaves them."""
    weighted = [dict(third, weight=draw(st.integers(0, 300))) for third in draw(st.permutations(thirds))]
    whole = draw(st.sampled_from((100, 200, 700))) if any(each["weight"] for each in weighted) else 100
    ours = [{**stable, "weight": whole, **draw(UNKNOWN)}, {**canary, "weight": 0, **draw(UNKNOWN)}]
    return draw(st.permutations([*ours, *weighted]))


def subset(name: str) -> Document:
    return {"destination": {"host": "orders", "subset": name}}


@st.composite
def virtual_services(draw: st.DrawFn) -> Document:
    def route(**known: Any) -> Document:
        thirds = [subset("beta"), {"destination": {"host": "legacy"}}][: draw(st.integers(0, 2))]
        return {**draw(UNKNOWN), **known, "route": draw(shared(subset("stable"), subset("canary"), thirds))}

    others = st.lists(UNKNOWN.map(lambda fields: {**fields, "route": [{**subset("stable"), "weight": 3}]}), max_size=2)
    sections = {
        "http": route(name="ours", match=[{"uri": {"prefix": "/"}}]),
        "tls": route(match=[{"sniHosts": ["ours"], "x-new": 1}]),
        "tcp": route(match=[{"port": 7}]),
    }
    spec = {name: [*draw(others), ours, *draw(others)] for name, ours in sections.items()}
    return {"kind": "VirtualService", "spec": {**draw(UNKNOWN), "hosts": ["orders"], **spec}, "x": draw(ANYTHING)}


@st.composite
def http_routes(draw: st.DrawFn) -> Document:
    thirds = [{"name": "legacy", "filters": draw(ANYTHING)}][: draw(st.integers(0, 1))]
    refs = draw(shared({"name": "old"}, {"name": "new"}, thirds))
    ours = {
        **draw(UNKNOWN),
        "name": "ours",
        "backendRefs": refs,
        "filters": [{"type": "NoOneKnows", "x": draw(ANYTHING)}],
    }
    others = [{**draw(UNKNOWN), "name": f"other-{place}"} for place in range(draw(st.integers(0, 2)))]
    return {"kind": "HTTPRoute", "spec": {**draw(UNKNOWN), "rules": draw(st.permutations([ours, *others]))}}


def canonical(document: Document) -> str:
    return json.dumps(document, sort_keys=True, ensure_ascii=False)


def without(document: Document, paths: Sequence[str]) -> str:
    """The text of a document in which our weights are hidden."""
    hidden = copy.deepcopy(document)
    for path in paths:
        jsonpatch.apply_patch(hidden, [{"op": "replace", "path": path, "value": "ours"}], in_place=True)
    return canonical(hidden)


def check_release(document: Document, locate: Locate, steps: Sequence[int], *, is_promoted: bool) -> None:
    """Up the steps, and then to the end and back, or back at once."""
    before, standing = canonical(document), copy.deepcopy(document)
    for weight in (*steps, *([100] if is_promoted else []), 0):
        found = locate(standing, steps)
        assert isinstance(found, Weights), found
        ours = [path for both in found.paths for path in both]
        patch = weight_patch(found.split, found.paths, found.totals, weight)
        moved = jsonpatch.apply_patch(standing, patch)
        assert without(moved, ours) == without(standing, ours)
        read = locate(moved, steps)
        assert isinstance(read, Weights)
        assert read.split.stands_at(weight)
        assert weight_patch(read.split, read.paths, read.totals, weight) == ()
        standing = moved
    assert canonical(standing) == before


STEPS = st.lists(st.integers(1, 99), max_size=4, unique=True).map(sorted)


@given(document=virtual_services(), steps=STEPS, is_promoted=st.booleans())
def test_a_virtual_service_comes_out_of_a_release_as_it_went_in(
    document: Document, steps: list[int], *, is_promoted: bool
) -> None:
    check_release(
        document, lambda each, ladder: locate_weights(each, ISTIO, KEY, ladder), steps, is_promoted=is_promoted
    )


@given(document=http_routes(), steps=STEPS, is_promoted=st.booleans())
def test_a_route_of_the_gateway_api_comes_out_of_a_release_as_it_went_in(
    document: Document, steps: list[int], *, is_promoted: bool
) -> None:
    check_release(
        document, lambda each, ladder: locate_backends(each, GATEWAY, KEY, ladder), steps, is_promoted=is_promoted
    )
