"""A refusal says what was attempted, what the server said and what to do, and is of the kind that can be acted on."""

import pytest

from canary.kube.failures import Call, Expired, Invalid, NotFound, refusal, silence
from canary.kube.resources import DEPLOYMENTS, EVENTS
from canary.model.errors import Conflict, Refused, Transient
from canary.model.spec import ObjectKey

KEY = ObjectKey("shop", "order-service")
SCALE = Call(verb="patch", path="/x", resource=DEPLOYMENTS, key=KEY, subresource="scale")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Refused),
        (401, Refused),
        (403, Refused),
        (404, NotFound),
        (405, Refused),
        (408, Transient),
        (409, Conflict),
        (410, Expired),
        (415, Refused),
        (422, Invalid),
        (429, Transient),
        (500, Transient),
        (503, Transient),
        (599, Transient),
        (302, Refused),
    ],
)
def test_every_status_is_one_of_our_three_kinds(status: int, kind: type[Exception]) -> None:
    assert type(refusal(SCALE, status, b"")) is kind


def test_the_sentence_names_the_object_and_quotes_the_server() -> None:
    error = refusal(SCALE, 409, b'{"message": "the object has been modified"}')

    assert str(error).startswith(
        "patch Deployment shop/order-service (scale) failed: the object has been modified (409);"
    )


def test_a_missing_permission_names_the_rule_that_is_missing() -> None:
    assert 'the verb "patch" on "deployments/scale" in API group "apps"' in str(refusal(SCALE, 403, b"{}"))
    everywhere = Call(verb="list", path="/x", resource=EVENTS)
    assert 'the verb "list" on "events" in API group ""' in str(refusal(everywhere, 403, b"{}"))
    assert "list Event everywhere" in str(refusal(everywhere, 403, b"{}"))


def test_a_kind_that_is_not_served_asks_for_its_definition() -> None:
    call = Call(verb="list", path="/x", resource=DEPLOYMENTS, namespace="shop")

    assert "list Deployment in namespace shop" in str(refusal(call, 404, b""))
    assert "CustomResourceDefinition" in str(refusal(call, 404, b""))


@pytest.mark.parametrize("body", [b"<html>Bad Gateway</html>", b"", b"[]", b'"x"', b'{"message": null}', b"\xff\xfe"])
def test_whatever_a_proxy_answers_becomes_a_sentence(body: bytes) -> None:
    assert "(502)" in str(refusal(SCALE, 502, body))


def test_a_long_explanation_is_cut() -> None:
    assert len(str(refusal(SCALE, 422, b"x" * 100_000))) < 800


def test_silence_says_where_nobody_answered() -> None:
    error = silence(SCALE, "https://10.0.0.1:443", TimeoutError("timed out"))

    assert type(error) is Transient
    assert "https://10.0.0.1:443: timed out" in str(error)
