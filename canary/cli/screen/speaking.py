"""How a command is given: look whether it means anything, say what it will do, write it, wait until it is obeyed.

The annotation is written without a fence. It names the release and the step that were seen, so it means nothing if they
are gone by the time it is written, and the wait tells so.
"""

import threading
from collections.abc import Mapping
from datetime import timedelta
from time import monotonic
from typing import Any, Final, NamedTuple

import click

from canary.cli.cluster import context_user
from canary.cli.screen.reading import read_one
from canary.cli.screen.sayings import Order, describe_effect, find_refusal, make_order
from canary.controller.commands import read_commands, write_command
from canary.kube.client import KubeClient
from canary.kube.resources import CANARIES
from canary.machine.obedience import CONDITION
from canary.model.command import Verb
from canary.model.errors import CanaryError, Transient
from canary.model.quantities import format_duration
from canary.model.quoting import quote, spell_out
from canary.model.resource import parse_canary
from canary.model.spec import CanarySpec, ObjectKey
from canary.model.state import RolloutState
from canary.model.status import parse_status, read_state

_PERIOD: Final = timedelta(milliseconds=500)
_LONGEST_QUOTE: Final = 300


class Answer(NamedTuple):
    """What became of a command, in words."""

    is_obeyed: bool
    words: str


def speak(
    client: KubeClient,
    key: ObjectKey,
    verb: Verb,
    *,
    from_step: int | None,
    reason: str,
    kubeconfig: str | None,
    limit: timedelta,
) -> bool:
    """Give a command; whether it was obeyed, or (where that is not waited for) given.

    Raises:
        NotFound: there is no such Canary.
        Refused: the cluster refuses, to look or to write.
        Transient: the cluster does not answer.
        InvalidDocument: the Canary, or its status, cannot be read.
    """
    document = read_one(client, key.namespace, key.name)
    spec, state = _understand(document)
    order = make_order(verb, spec, state, from_step=from_step)
    refusal = _find_refusal(document, spec, state, order)
    if refusal is not None:
        click.echo(f"canary: {verb.value} of {key} is refused: {refusal}", err=True)
        return False
    order = make_order(verb, spec, state, from_step=from_step, by=_read_name(client, kubeconfig), reason=reason)
    name, value = write_command(order)
    click.echo(f"{key} {describe_effect(spec, state, order)}")
    client.patch_merge(CANARIES, key, {"metadata": {"annotations": {name: value}}})
    answer = _wait(client, key, order, limit) if limit else Answer(is_obeyed=True, words=f"said: {name}={value}")
    click.echo(answer.words if answer.is_obeyed else f"canary: {answer.words}", err=not answer.is_obeyed)
    return answer.is_obeyed


def _wait(client: KubeClient, key: ObjectKey, order: Order, limit: timedelta) -> Answer:
    deadline, trouble = monotonic() + limit.total_seconds(), "no controller has answered"
    while True:
        try:
            document = read_one(client, key.namespace, key.name)
        except Transient as error:
            trouble = str(error)
        else:
            answer = _find_answer(document, order)
            if answer is not None:
                return answer
            trouble = _message(document) or trouble
        left = min(_PERIOD.total_seconds(), deadline - monotonic())
        if left <= 0:
            break
        threading.Event().wait(left)
    remedy = f"kubectl annotate -n {key.namespace} canary/{key.name} {write_command(order)[0]}-"
    words = f"not obeyed within {format_duration(limit)}: {trouble}\nIt stands, and is obeyed as soon as it can be."
    return Answer(is_obeyed=False, words=f"{words} To take it back: {remedy}")


def _find_answer(document: Mapping[str, Any], order: Order) -> Answer | None:
    """What became of it; None while that is open."""
    spec, state = _understand(document)
    obeyed = next((each for each in state.obeyed if (each.verb, each.target) == (order.verb, order.target)), None)
    if obeyed is not None:
        return Answer(is_obeyed=True, words=f"obeyed at {obeyed.at:%H:%M:%S} UTC: {_message(document)}")
    name, value = write_command(order)
    standing = (document["metadata"].get("annotations") or {}).get(name)
    if standing != value:
        said = "has taken it back" if standing is None else f"has said {quote(standing, _LONGEST_QUOTE)} instead"
        return Answer(is_obeyed=False, words=f"not obeyed: somebody {said}")
    refusal = _find_refusal(document, spec, state, order)
    return None if refusal is None else Answer(is_obeyed=False, words=f"not obeyed: {refusal}")


def _find_refusal(document: Mapping[str, Any], spec: CanarySpec, state: RolloutState, order: Order) -> str | None:
    """Why it means nothing here; in the controller's words, where that has refused the same already."""
    if document["metadata"].get("deletionTimestamp"):
        return "the Canary is deleted: it gives its traffic back and goes"
    refusal = find_refusal(spec, state, order)
    if refusal is not None:
        return refusal
    standing = read_commands(document["metadata"].get("annotations") or {}).find(order.verb)
    if standing is None or standing.target != order.target:
        return None
    conditions = parse_status(document.get("status") or {}).conditions
    told = (c.message for c in conditions if (c.type, c.reason) == (CONDITION, order.verb.value.capitalize()))
    return next(map(spell_out, told), None)


def _understand(document: Mapping[str, Any]) -> tuple[CanarySpec, RolloutState]:
    """What is asked for, and where it stands."""
    return parse_canary(document), read_state(document.get("status") or {})


def _message(document: Mapping[str, Any]) -> str:
    return spell_out(str((document.get("status") or {}).get("message", "")))


def _read_name(client: KubeClient, kubeconfig: str | None) -> str:
    """What the API server calls us; where it does not say, what the kubeconfig does."""
    try:
        return client.read_username()
    except CanaryError:
        return context_user(kubeconfig) or ""
