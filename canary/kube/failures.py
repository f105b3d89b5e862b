"""The API server's refusals and silences as the project's own errors, with a sentence for a person. Pure.

Translated once, here, so that nobody upstairs knows a status code. The sentence says what was attempted on which
object, what the server said and what to do; for a 403 that is the one rule missing from the role, which is what an SRE
looks for at that moment. What the server or a proxy before it says is quoted (`model.quoting`) and rid of credentials
here, where it enters; both must come before anything is cut.
"""

import json
from dataclasses import dataclass
from typing import Final, Literal

from canary.kube.resources import Resource
from canary.model.credentials import without_credentials
from canary.model.errors import CanaryError, Conflict, Refused, Transient
from canary.model.quoting import quote
from canary.model.spec import ObjectKey

Verb = Literal["get", "list", "watch", "create", "update", "patch", "delete"]
"""What is done, in the words of RBAC."""

_LONGEST_QUOTE: Final = 500
_PASSING: Final = frozenset({408, 425, 429})


class NotFound(Refused):
    """The object, its namespace or its kind does not exist."""


class Invalid(Refused):
    """The document, or what a patch would make of it, breaks a rule of its kind."""


class Expired(Transient):
    """The history that was asked for is gone: list again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What was attempted, for messages and logs.

    Attributes:
        verb: in the words of RBAC.
        resource: the kind; None for discovery.
        path: the path of the request.
        key: the object; None for a collection.
        namespace: the namespace of a collection; None for all of them.
        subresource: `status` or `scale`; empty for the object itself.
    """

    verb: Verb
    path: str
    resource: Resource | None = None
    key: ObjectKey | None = None
    namespace: str | None = None
    subresource: str = ""

    def __str__(self) -> str:
        if self.resource is None:
            return f"{self.verb} {self.path}"
        part = f" ({self.subresource})" if self.subresource else ""
        where = (
            self.key if self.key is not None else f"in namespace {self.namespace}" if self.namespace else "everywhere"
        )
        return f"{self.verb} {self.resource.kind} {where}{part}"


def refusal(call: Call, status: int, body: bytes) -> CanaryError:
    """Translate an answer that is not a success.

    Args:
        call: what was attempted.
        status: HTTP status code.
        body: what came with it: a Status document, or whatever a proxy answers.
    """
    said = f"{call} failed: {_quoted(body)} ({status})"
    match status:
        case 401:
            return Refused(f"{said}; check the token or the kubeconfig that canary uses")
        case 403:
            return Refused(f"{said}; {_missing_rule(call)}")
        case 404 if call.key is None and call.verb in ("list", "watch"):
            return NotFound(f"{said}; install the CustomResourceDefinition that serves it")
        case 404:
            return NotFound(f"{said}; it does not exist, or not any more")
        case 409:
            return Conflict(f"{said}; somebody else wrote first: it is read and decided anew")
        case 410:
            return Expired(f"{said}; it is listed anew")
        case 422:
            return Invalid(f"{said}; correct what the API server names")
        case _ if status in _PASSING or status >= 500:
            return Transient(f"{said}; the API server is busy or restarting: it is asked again")
        case _:
            return Refused(f"{said}; the API server, or a proxy before it, does not understand the request")


def silence(call: Call, server: str, cause: BaseException) -> Transient:
    """Translate a call that got no whole answer: nothing listens, time ran out, the connection broke.

    A write may have happened all the same; only reading tells.
    """
    why = brief(str(cause)) or type(cause).__name__
    return Transient(
        f"{call} got no answer from the API server at {server}: {why}; check that it runs and is reachable"
    )


def _missing_rule(call: Call) -> str:
    if call.resource is None:
        return "let the account that canary runs as use API discovery (ClusterRole system:discovery)"
    target = f"{call.resource.plural}/{call.subresource}" if call.subresource else call.resource.plural
    return (
        f'grant the account that canary runs as the verb "{call.verb}" on "{target}" '
        f'in API group "{call.resource.group}"'
    )


def _quoted(body: bytes) -> str:
    """What the server said, in its own words."""
    text = body.decode("utf-8", errors="replace").strip()
    try:
        message = json.loads(text)["message"]
    except (ValueError, TypeError, KeyError):
        message = text
    return brief(str(message or "no explanation"))


def brief(text: str) -> str:
    """What others say, as a part of a sentence of ours."""
    return quote(without_credentials(text), _LONGEST_QUOTE)
