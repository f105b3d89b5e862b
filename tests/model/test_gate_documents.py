"""Hooks and freeze windows: read whole, or refused with path, value and what would be right."""

from datetime import timedelta
from typing import Any

import pytest
from rollouts import with_spec

from canary.model.calendar import FreezeWindow
from canary.model.errors import InvalidDocument
from canary.model.hooks import Hook, HookPoint
from canary.model.resource import parse_canary
from canary.model.spec import CanarySpec

HOOK: dict[str, Any] = {"name": "board", "at": "confirm-promotion", "url": "https://gate.shop.svc/confirm?x=1"}
WINDOW: dict[str, Any] = {"from": "0 16 * * FRI", "for": "64h", "timeZone": "Europe/Berlin"}


def test_a_hook_needs_three_words_and_has_defaults_for_the_rest() -> None:
    [hook] = parse_canary(with_spec(hooks=[HOOK])).hooks
    assert hook == Hook(
        name="board",
        at=HookPoint.CONFIRM_PROMOTION,
        url="https://gate.shop.svc/confirm?x=1",
        timeout=timedelta(seconds=10),
        retries=1,
        metadata=(),
    )
    assert str(hook) == "hook board (confirm-promotion)"
    assert "gate.shop" not in repr(hook), "an address may hold a token"


def test_a_canary_without_gates_has_none() -> None:
    spec = parse_canary(with_spec())
    assert (spec.hooks, spec.freeze) == ((), ())
    assert all(spec.hooks_at(point) == () for point in HookPoint)


def test_hooks_are_found_by_their_point_in_the_order_of_the_spec() -> None:
    hooks = [HOOK, HOOK | {"name": "a", "at": "event"}, HOOK | {"name": "b", "metadata": {"k": "v"}}]
    spec: CanarySpec = parse_canary(with_spec(hooks=hooks))
    assert [hook.name for hook in spec.hooks_at(HookPoint.CONFIRM_PROMOTION)] == ["board", "b"]
    assert spec.hooks[2].metadata == (("k", "v"),)


def test_a_window_is_read() -> None:
    assert parse_canary(with_spec(freeze=[WINDOW])).freeze == (
        FreezeWindow(starts="0 16 * * FRI", length=timedelta(hours=64), zone="Europe/Berlin"),
    )
    [in_utc] = parse_canary(with_spec(freeze=[{"from": "0 0 1 1 *", "for": "1d"}])).freeze
    assert in_utc.zone == "UTC"


@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        ({"hooks": [HOOK | {"at": "confirm-rolout"}]}, "spec.hooks[0].at", "did you mean 'confirm-rollout'?"),
        ({"hooks": [HOOK | {"url": "gate"}]}, "spec.hooks[0].url", "write one such as https://gate.shop.svc/confirm"),
        ({"hooks": [HOOK | {"url": "file:///etc/passwd"}]}, "spec.hooks[0].url", "not the address of a web server"),
        ({"hooks": [HOOK | {"url": "http://gate\r\nX: y"}]}, "spec.hooks[0].url", "not the address of a web server"),
        ({"hooks": [HOOK | {"url": "http://g\u00e4te"}]}, "spec.hooks[0].url", "percent-encoded"),
        ({"hooks": [HOOK | {"url": 1}]}, "spec.hooks[0].url", "not the address of a web server"),
        ({"hooks": [HOOK | {"url": "http://gate/" + "a" * 2000}]}, "spec.hooks[0].url", "not the address"),
        ({"hooks": [HOOK | {"timeout": "6m"}]}, "spec.hooks[0].timeout", "write a duration from 100ms to 5m"),
        ({"hooks": [HOOK | {"timeout": 10}]}, "spec.hooks[0].timeout", 'write "10s" for seconds'),
        ({"hooks": [HOOK | {"retries": 6}]}, "spec.hooks[0].retries", "write at most 5"),
        ({"hooks": [HOOK | {"metadata": {"a": 1}}]}, "spec.hooks[0].metadata", "is not a mapping of texts"),
        ({"hooks": [HOOK | {"metadata": {"a": "b" * 2001}}]}, "spec.hooks[0].metadata", "is too large"),
        ({"hooks": [HOOK, HOOK]}, "spec.hooks[1].name", "stands twice"),
        ({"hooks": [HOOK | {"name": f"h{number}"} for number in range(21)]}, "spec.hooks", "give at most 20"),
        ({"hooks": [{"name": "a", "at": "event"}]}, "spec.hooks[0].url", "is missing"),
        ({"freeze": [WINDOW | {"from": "0 25 * * *"}]}, "spec.freeze[0].from", "is not a cron expression (bad hour)"),
        ({"freeze": [WINDOW | {"from": "* * */20 * 1L"}]}, "spec.freeze[0].from", "never begins"),
        ({"freeze": [WINDOW | {"from": "@weekly"}]}, "spec.freeze[0].from", "five fields"),
        ({"freeze": [WINDOW | {"for": "91d"}]}, "spec.freeze[0].for", "write a duration from 1m to 90d"),
        ({"freeze": [WINDOW | {"for": "64"}]}, "spec.freeze[0].for", "is not a duration"),
        ({"freeze": [WINDOW | {"timeZone": "Europe/Berln"}]}, "spec.freeze[0].timeZone", "such as Europe/Berlin"),
        ({"freeze": [WINDOW | {"until": "x"}]}, "spec.freeze[0].until", "is not a known field"),
        ({"freeze": [{"for": "1h"}]}, "spec.freeze[0].from", "is missing"),
        ({"freeze": [WINDOW] * 21}, "spec.freeze", "give at most 20"),
    ],
)
def test_what_is_wrong_is_refused_with_its_path_and_what_would_be_right(
    fields: dict[str, Any], path: str, words: str
) -> None:
    with pytest.raises(InvalidDocument) as caught:
        parse_canary(with_spec(**fields))
    [fault] = [fault for fault in caught.value.faults if fault.path == path]
    assert words in str(fault)
