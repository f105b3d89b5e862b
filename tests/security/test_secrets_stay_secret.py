"""Passwords and tokens that are planted where they belong, and looked for everywhere else.

Each is carried through a path that fails, because errors are where secrets get out: an address in an exception, a line
of a file in a parser's complaint, an argument in a traceback, a header that a proxy echoes.
"""

import io
import json
import logging
import traceback
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote as percent_encode

import pytest
import stamina
import structlog
import yaml
from hostile_text import WELL_FORMED, Hostile, hostile_server

from canary.bootstrap import SystemClock, build_controller
from canary.cli.group import run
from canary.kube.client import KubeClient
from canary.kube.resources import CANARIES, DEPLOYMENTS
from canary.metrics.prometheus import PrometheusProvider
from canary.model.credentials import without_credentials
from canary.model.errors import CanaryError
from canary.model.evidence import NoData, QueryFailed
from canary.model.hooks import Call, Hook, HookPoint, Reply
from canary.model.resource import parse_canary
from canary.model.spec import STANDARD_ERRORS, MetricSource, ObjectKey, Signal
from canary.notify.webhooks import WebhookCaller
from canary.ports import HistoryQuery, MeasurementQuery
from canary.settings import LogFormat, LogLevel, Settings, load_settings
from canary.telemetry.logging import configure_logging

SECRET: Final = "hunter2-Zq8vXw"  # noqa: S105 (planted, to be looked for)
KEY: Final = ObjectKey("shop", "order-service")
NOW: Final = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)
ECHO: Final = b64encode(f"reader:{SECRET}".encode()).decode()


@pytest.fixture(params=list(LogFormat))
def log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """Everything that is logged at the most talkative level, libraries included."""
    root, chatty = logging.getLogger(), ("urllib3", "apscheduler", "kubernetes", "asyncio", "uvicorn")
    handlers, level, levels = root.handlers[:], root.level, [logging.getLogger(name).level for name in chatty]
    stream = io.StringIO()
    configure_logging(LogLevel.DEBUG, request.param, stream)
    yield stream
    root.handlers, root.level = handlers, level
    for name, before in zip(chatty, levels, strict=True):
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    with hostile_server() as server:
        yield server


def leaks(text: str) -> bool:
    """Whether the secret, or as much of it as would help, stands in a text, plain or as it is sent."""
    return SECRET[:8] in text or percent_encode(SECRET)[:8] in text or ECHO[:20] in text


def whole_story(error: BaseException) -> str:
    """An error as a traceback and as `repr` tell of it, causes included."""
    told, at = [*traceback.format_exception(error), repr(error)], error.__cause__
    while at is not None:
        told, at = [*told, repr(at), str(at)], at.__cause__
    return "\n".join(told)


ADDRESSES: Final = (
    "ftp://reader:{}@prometheus",
    "reader:{}@prometheus:9090",
    "http://reader:{}/x@prometheus",
    "http://reader:a/{}@prometheus",
    "http://reader:{}?x@prometheus",
    "http://reader:a b{}@prometheus",
    "http://reader:{}#@prometheus",
    "http://reader:{}@prometheus:port",
    "http://reader:{}@prometheus?token={}",
    "http://reader:{}\n@prometheus",
    "HTTPS://reader:a@b{}@",
    "http://[{}@prometheus",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_that_is_refused_is_shown_without_its_password(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = address.replace("{}", SECRET)
    monkeypatch.setenv("CANARY_PROMETHEUS_URL", written)
    with pytest.raises(CanaryError) as caught:
        load_settings()
    assert not leaks(whole_story(caught.value))
    monkeypatch.delenv("CANARY_PROMETHEUS_URL")
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump({"prometheus_url": written}))
    assert run(["run", "--settings", str(file)]) != 0
    shown = capsys.readouterr()
    assert "prometheus_url" in shown.err
    assert not leaks(shown.out + shown.err)


@pytest.mark.parametrize(
    "text",
    [
        f"prometheus_url: http://reader:{SECRET}@host: 1",
        f"prometheus_url: [http://reader:{SECRET}@host",
        f"prometheus_url: 'http://reader:{SECRET}@host",
        f"prometheus_url: {{http://reader:{SECRET}@host}}",
        f"\tprometheus_url: http://reader:{SECRET}@host",
        f"prometheus_url: http://reader:{SECRET}@host\nprometheus_url2: &{SECRET} *x",
        f"prometheus-url: http://reader:{SECRET}@host",
        f"prometheus_url: [{SECRET}]",
    ],
)
def test_a_file_that_is_refused_is_named_without_its_lines(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    assert run(["run", "--settings", str(file)]) != 0
    shown = capsys.readouterr()
    assert "settings" in shown.err
    assert not leaks(shown.out + shown.err)


def test_settings_can_be_shown_to_anybody(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CANARY_PROMETHEUS_URL", f"http://reader:{SECRET}@prometheus")
    settings = load_settings()
    assert settings.prometheus_url == f"http://reader:{SECRET}@prometheus"
    assert not leaks(f"{settings!r} {settings}")
    for arguments in (["--help"], ["run", "--help"], ["judge", "--help"], ["record", "--help"]):
        assert run(arguments) == 0
    assert not leaks("".join(capsys.readouterr()))


FAILING: Final[dict[str, tuple[int, bytes]]] = {
    "unauthorised": (401, b'{"status":"error","error":"no"}'),
    "echo of the header": (403, json.dumps({"error": f"bad credentials: Basic {ECHO}"}).encode()),
    "echo of the password": (403, json.dumps({"error": f"{SECRET} is wrong"}).encode()),
    "echo of the address": (500, json.dumps({"error": f"cannot fetch http://reader:{SECRET}@store"}).encode()),
    "warning": (200, json.dumps({"status": "success", "warnings": [f"http://u:{SECRET}@store is down"]}).encode()),
    "page": (200, f"<html>{SECRET}</html>".encode()),
    "no counts": (200, json.dumps({"status": "success", "data": {"result": [{"metric": {SECRET: 1}}]}}).encode()),
    "nothing": (200, b""),
}


def measured(url: str, log: io.StringIO) -> str:
    """Everything that is said about a Prometheus that cannot be asked."""
    provider = PrometheusProvider(url, timeout=timedelta(seconds=1))
    metrics = {"errors": STANDARD_ERRORS, "own": MetricSource(signal=Signal.VALUES, query="x{a='$workload'}")}
    query = MeasurementQuery(
        key=KEY, stable="s", canary="c", metrics=metrics, start=NOW - timedelta(seconds=15), end=NOW
    )
    samples = provider.measure([query])[KEY].samples
    history = provider.recall(HistoryQuery(key=KEY, stable="s", metrics={"errors": STANDARD_ERRORS}, end=NOW))
    told = [each for each in (*samples.values(), *history.values()) if isinstance(each, NoData | QueryFailed)]
    assert told
    structlog.get_logger().warning("held", reasons=[each.reason for each in told], provider=repr(provider))
    return repr(provider) + log.getvalue() + "".join(f"{each!r} {each.reason}" for each in told)


@pytest.mark.parametrize("how", FAILING)
def test_the_password_of_prometheus_is_not_told_when_it_fails(how: str, hostile: Hostile, log: io.StringIO) -> None:
    hostile.status, hostile.body = FAILING[how]
    assert not leaks(measured(f"http://reader:{SECRET}@127.0.0.1:{hostile.port}", log))


@pytest.mark.parametrize(
    "url",
    [
        "http://reader:{}@127.0.0.1:1",
        "http://reader:{}@host.invalid",
        "http://reader:{}@[::1",
        "http://reader:a b{}@127.0.0.1:1",
        "http://reader:a/{}@127.0.0.1:1",
        "http://reader:{}@127.0.0.1:99999",
        "http://reader:\u20ac{}@127.0.0.1:1",
        "http://reader:{}@",
    ],
)
def test_the_password_of_prometheus_is_not_told_when_it_cannot_be_reached(url: str, log: io.StringIO) -> None:
    assert not leaks(measured(url.replace("{}", SECRET), log))


def kubeconfig(folder: Path, server: str, user: object) -> Path:
    path = folder / "kubeconfig"
    config = {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.parametrize("status", [401, 403, 409, 422, 500, 200])
def test_a_token_is_not_told_when_the_api_server_refuses(
    status: int, hostile: Hostile, log: io.StringIO, tmp_path: Path
) -> None:
    hostile.status = status
    hostile.body = json.dumps({"message": f"who is Bearer {SECRET}{SECRET}?"}).encode()
    server = f"http://127.0.0.1:{hostile.port}"
    stamina.set_active(True)
    client = KubeClient.connect(kubeconfig(tmp_path, server, {"token": SECRET * 2}), timedelta(seconds=1))
    raised: list[CanaryError] = []
    for call in (
        lambda: client.get(DEPLOYMENTS, KEY),
        lambda: client.list_objects(CANARIES, None),
        lambda: client.replace(CANARIES, KEY, {"metadata": {}}, subresource="status"),
        lambda: list(client.watch(CANARIES, None, version="1", lifetime=timedelta(seconds=1))),
    ):
        try:
            call()
        except CanaryError as error:
            structlog.get_logger().exception("tick broken", error=str(error))
            raised.append(error)
    client.close()
    assert [error for error in raised if leaks(whole_story(error))] == []
    assert not leaks(log.getvalue() + repr(client) + client.server)
    assert log.getvalue()


@pytest.mark.parametrize(
    ("server", "user"),
    [
        ("http://127.0.0.1:1", {"token": SECRET}),
        (f"http://admin:{SECRET}@127.0.0.1:1", {}),
        ("http://127.0.0.1:1", {"username": "admin", "password": SECRET}),
        ("http://127.0.0.1:1", {"client-key-data": SECRET, "client-certificate-data": SECRET}),
        ("http://127.0.0.1:1", {"token": [SECRET]}),
        ("http://127.0.0.1:1", {"exec": {"command": "/absent", "args": [SECRET], "apiVersion": "v1"}}),
        ("http://127.0.0.1:1", {"auth-provider": {"name": "oidc", "config": {"id-token": SECRET}}}),
        ("http://127.0.0.1:1", SECRET),
    ],
)
def test_a_kubeconfig_that_leads_nowhere_is_not_quoted(
    server: str, user: object, log: io.StringIO, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = kubeconfig(tmp_path, server, user)
    with pytest.raises(CanaryError) as caught:
        build_controller(Settings(kubeconfig=path, request_timeout=timedelta(seconds=1)))
    assert not leaks(whole_story(caught.value))
    assert run(["get", "-A", "--kubeconfig", str(path)]) != 0
    assert not leaks("".join(capsys.readouterr()) + log.getvalue())


@pytest.mark.parametrize("text", ["users: [{{user: {{token: {}}}}}", "token: {}: x", "{}", "- {}", "users: &{} *b"])
def test_a_kubeconfig_that_cannot_be_read_is_not_quoted(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text.format(SECRET))
    with pytest.raises(CanaryError) as caught:
        KubeClient.connect(path, timedelta(seconds=1))
    assert not leaks(whole_story(caught.value))
    assert run(["get", "--kubeconfig", str(path)]) != 0
    assert not leaks("".join(capsys.readouterr()))


def test_a_traceback_in_a_log_holds_no_credentials_and_no_variables(log: io.StringIO) -> None:
    password = SECRET
    try:
        int(f"http://reader:{password}@host")
    except ValueError:
        structlog.get_logger().exception("broken", address=f"http://reader:{password}@host")
    assert "Traceback" in log.getvalue()
    assert not leaks(log.getvalue())


@pytest.mark.parametrize("text", ["at http://host/a, basic rights of the bearer suffice", "see a@b.example", "1/2@3"])
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert without_credentials(text) == text


def told_of_hooks(url: str, key: str, log: io.StringIO) -> str:
    """Everything that is said about a hook that does not say yes."""
    clock = SystemClock()
    asked = Hook(name="gate", at=HookPoint.CONFIRM_PROMOTION, url=url, timeout=timedelta(seconds=1), retries=0)
    call = Call(hook=asked, release="r", asked_step=0, revision="r", phase="Progressing", step=0, weight=1)
    caller = WebhookCaller(key, clock)
    reply, words = caller.call(KEY, call)
    assert reply is not Reply.YES
    structlog.get_logger().warning("held", words=words, call=repr(call), caller=repr(caller))
    return words + repr(call) + repr(caller) + log.getvalue()


@pytest.mark.parametrize("status", [301, 403, 429, 500])
def test_the_key_and_the_token_of_a_hook_are_not_told_when_it_refuses(
    status: int, hostile: Hostile, log: io.StringIO
) -> None:
    hostile.status, hostile.body = status, f"{SECRET * 2} is wrong, ask http://u:{SECRET}@gate?token={SECRET}".encode()
    assert not leaks(told_of_hooks(f"http://127.0.0.1:{hostile.port}/{SECRET}?token={SECRET}", SECRET * 2, log))


@pytest.mark.parametrize("host", ["127.0.0.1:1", "host.invalid", "[::1]:1"])
def test_the_key_and_the_token_of_a_hook_are_not_told_when_it_cannot_be_reached(host: str, log: io.StringIO) -> None:
    assert not leaks(told_of_hooks(f"http://{host}/{SECRET}?token={SECRET}", SECRET * 2, log))


@pytest.mark.parametrize("value", [SECRET, f"{SECRET}\n", [SECRET * 2], {SECRET: 1}])
def test_a_key_that_is_refused_is_not_shown(
    value: object, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump({"hook_key": value}))
    assert run(["run", "--settings", str(file)]) != 0
    monkeypatch.setenv("CANARY_HOOK_KEY", SECRET)
    with pytest.raises(CanaryError) as caught:
        load_settings()
    shown = capsys.readouterr()
    assert "hook_key" in shown.err
    assert not leaks(shown.out + shown.err + whole_story(caught.value))


def test_a_key_is_in_no_picture_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_HOOK_KEY", SECRET * 2)
    settings = load_settings()
    assert settings.hook_key is not None
    assert settings.hook_key.get_secret_value() == SECRET * 2
    assert not leaks(f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}")


def test_a_password_in_the_address_of_a_hook_is_refused_and_not_shown() -> None:
    hook = {"name": "gate", "at": "rollout", "url": f"http://u:{SECRET}@gate"}
    document = {**WELL_FORMED, "spec": {**WELL_FORMED["spec"], "hooks": [hook]}}
    with pytest.raises(CanaryError) as caught:
        parse_canary(document)
    assert "spec.hooks[0].url" in str(caught.value)
    assert not leaks(whole_story(caught.value))
