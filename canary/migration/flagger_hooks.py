"""Flagger's webhooks, as hooks of ours: the same points, the same answers, and a body with the same fields.

What is different is what a failure means. Flagger counts failed checks of rollout and pre-rollout hooks towards a
rollback; here they hold, because only evidence of harm, a person or a rollback hook takes a release back. And no answer
is told apart from a no, also of those who may call a release off.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from pydantic import ValidationError

from canary.migration.draft import Draft, free_name, quoted
from canary.migration.source import Path, Source
from canary.migration.spans import read_span
from canary.model.faults import faults_of
from canary.model.gate_documents import MOST_HOOKS, MOST_RETRIES, HookDocument
from canary.model.hooks import HookPoint
from canary.model.quantities import format_duration

_USUAL: Final = HookPoint.ROLLOUT.value
_SHORTEST: Final = timedelta(milliseconds=100)
_LONGEST: Final = timedelta(minutes=5)
_COUNTED: Final = (HookPoint.ROLLOUT, HookPoint.PRE_ROLLOUT)
_HOLDS: Final = "a failure holds the release and says so; it is not counted towards a rollback"
_RECALLS: Final = "a yes rolls back as before; when it cannot be heard, the release goes no higher until it can"


def carry_hooks(source: Source, analysis: Path, draft: Draft) -> None:
    """Write the hooks, and say of each field what became of it.

    Raises:
        InvalidDocument: a field is of another kind than Flagger's.
    """
    hooks: list[dict[str, object]] = []
    for path in source.items(*analysis, "webhooks"):
        hook, reason = _convert(source, path, [str(each["name"]) for each in hooks])
        if len(hooks) >= MOST_HOOKS:
            reason = f"at most {MOST_HOOKS} hooks can be written: choose those that matter"
        if reason:
            source.leaves_out(path, reason)
            draft.decide(f"Webhook {quoted(source.at(*path, 'name'))} is not called: {reason}.")
            continue
        _account(source, path, hook, f"spec.hooks[{len(hooks)}]")
        hooks.append(hook)
    if hooks:
        draft.spec["hooks"] = hooks
    if any(hook["at"] in _COUNTED for hook in hooks):
        draft.decide(f"Of the hooks that Flagger counts as checks: {_HOLDS}.")


def _convert(source: Source, path: Path, taken: list[str]) -> tuple[dict[str, object], str]:
    """A hook, and why it cannot be written."""
    hook: dict[str, object] = {
        "name": free_name(source.text(*path, "name") or "", taken, "hook"),
        "at": source.text(*path, "type") or _USUAL,
        "url": source.text(*path, "url"),
        "timeout": _timeout(source, path),
        "retries": None if source.whole(*path, "retries") is None else _retries(source, path),
        "metadata": source.at(*path, "metadata"),
    }
    hook = {field: value for field, value in hook.items() if value is not None}
    try:
        HookDocument.model_validate(hook)
    except ValidationError as error:
        fault = faults_of(error, HookDocument)[0]
        return hook, f"its {fault.path} {fault.message}: {fault.remedy}"
    return hook, ""


def _timeout(source: Source, path: Path) -> str | None:
    text = source.text(*path, "timeout")
    found = read_span(text)
    return text if found is None else format_duration(min(max(found, _SHORTEST), _LONGEST))


def _retries(source: Source, path: Path) -> int:
    return min(max(source.whole(*path, "retries") or 0, 0), MOST_RETRIES)


def _account(source: Source, path: Path, hook: Mapping[str, object], into: str) -> None:
    """Say where each field went."""
    if hook["name"] == source.at(*path, "name"):
        source.exactly((*path, "name"), f"{into}.name")
    else:
        source.differently(
            (*path, "name"), f"{into}.name", "names are lower-case letters, digits and dashes, each once"
        )
    for field in ("url", "metadata"):
        source.exactly((*path, field), f"{into}.{field}")
    why = {HookPoint.ROLLBACK: _RECALLS, **dict.fromkeys(_COUNTED, _HOLDS)}.get(HookPoint(str(hook["at"])))
    if why is None:
        source.exactly((*path, "type"), f"{into}.at")
    else:
        source.differently((*path, "type"), f"{into}.at", why)
    if read_span(source.text(*path, "timeout")) == read_span(hook.get("timeout")):
        source.exactly((*path, "timeout"), f"{into}.timeout")
    else:
        source.differently((*path, "timeout"), f"{into}.timeout", "one answer is waited for from 100ms to 5m")
    if source.whole(*path, "retries") == hook.get("retries"):
        source.exactly((*path, "retries"), f"{into}.retries")
    else:
        source.differently((*path, "retries"), f"{into}.retries", f"a call is made again {MOST_RETRIES} times at most")
    source.leaves_out((*path, "disableTLS"), "certificates are verified: give the hook one that is trusted here")
    source.leaves_out((*path, "muteAlert"), "no messages are sent to chats, so there is none to mute")
