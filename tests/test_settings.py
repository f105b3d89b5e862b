"""Settings: where each value comes from, and that a wrong one is refused with its name, value and remedy."""

import os
import traceback
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canary.model.credentials import without_credentials
from canary.model.errors import InvalidDocument
from canary.model.gate_documents import windows_of
from canary.settings import LogFormat, ReporterPolicy, Settings, load_settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("CANARY_"):
            monkeypatch.delenv(name)


def written(directory: Path, text: str) -> Path:
    path = directory / "settings.yaml"
    path.write_text(text)
    return path


def refusal(path: Path | None = None) -> str:
    with pytest.raises(InvalidDocument) as caught:
        load_settings(path)
    return str(caught.value)


def test_the_defaults_are_valid_and_each_setting_says_what_it_is() -> None:
    loaded = load_settings()
    assert loaded.kubeconfig is None
    assert loaded.prometheus_timeout == timedelta(seconds=10)
    assert loaded.metrics_delay == timedelta(seconds=2)
    assert loaded.identity
    assert all(field.description for field in Settings.model_fields.values())


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "namespace: shop\nprometheus_timeout: 3s\nworkers: 2\nistio_reporter: source\n")
    monkeypatch.setenv("CANARY_PROMETHEUS_TIMEOUT", "1500ms")
    monkeypatch.setenv("CANARY_LOG_FORMAT", "console")
    monkeypatch.setenv("CANARY_SETTINGS", str(path))
    for loaded in (load_settings(), load_settings(path)):
        assert (loaded.namespace, loaded.workers) == ("shop", 2)
        assert loaded.prometheus_timeout == timedelta(milliseconds=1500)
        assert loaded.log_format is LogFormat.CONSOLE
        assert loaded.istio_reporter is ReporterPolicy.SOURCE


def test_an_empty_variable_and_an_empty_file_are_as_if_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_KUBECONFIG", "")
    assert load_settings(written(tmp_path, "# nothing\n")).kubeconfig is None


def test_written_out_settings_are_read_back_the_same(tmp_path: Path) -> None:
    loaded = load_settings()
    path = written(tmp_path, yaml.safe_dump(loaded.model_dump(mode="json")))
    assert load_settings(path) == loaded


def test_everything_wrong_is_told_at_once_with_name_value_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "promtheus_url: http://x\nzebra: 1\nworkers: many\nmetrics_delay: 2\n")
    monkeypatch.setenv("CANARY_REQUEST_TIMEOUT", "10")
    monkeypatch.setenv("CANARY_PROMETHEUS_TIMOUT", "10s")
    told = refusal(path)
    assert "promtheus_url: there is no such setting; did you mean prometheus_url?" in told
    assert "zebra: there is no such setting; known settings are kubeconfig, " in told
    assert "CANARY_PROMETHEUS_TIMOUT: there is no such setting; did you mean CANARY_PROMETHEUS_TIMEOUT?" in told
    assert "workers = many: input should be a valid integer" in told
    assert "CANARY_REQUEST_TIMEOUT = 10: is not a duration; write a duration from 100ms to 2m" in told
    assert "metrics_delay = 2: is not a duration; write a duration from 0s to 5m with its unit, such as 2s" in told


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prometheus_url", "prometheus:9090"),
        ("prometheus_url", "http://"),
        ("prometheus_url", "http://x:port"),
        ("prometheus_url", "http://x/?query=1"),
        ("listen_address", "localhost"),
        ("listen_port", "65536"),
        ("workers", "0"),
        ("log_level", "loud"),
        ("istio_reporter", "both"),
        ("prometheus_timeout", "1h"),
        ("lease_renew", "15s"),
        ("lease_retry", "12s"),
        ("identity", ""),
    ],
)
def test_a_value_out_of_its_kind_or_bounds_is_refused(name: str, value: str, tmp_path: Path) -> None:
    told = refusal(written(tmp_path, f"{name}: {value!r}\n"))
    assert name in told or "lease_*: lease_retry must be shorter than lease_renew" in told


def test_a_password_is_not_repeated_in_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_PROMETHEUS_URL", "ftp://reader:hunter2@prometheus")
    with pytest.raises(InvalidDocument) as caught:
        load_settings()
    assert "CANARY_PROMETHEUS_URL = ftp://***@prometheus" in str(caught.value)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_variables_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CANARY_SERVICE_HOST", "CANARY_SERVICE_PORT", "CANARY_PORT", "CANARY_PORT_8080_TCP_ADDR"):
        monkeypatch.setenv(name, "tcp://10.0.0.1:80")
    monkeypatch.setenv("CANARY_CACHE_DIR", "/tmp/cache")  # noqa: S108 - never opened
    monkeypatch.setenv("CANARY_TEST_KUBECONFIG", "x")
    assert load_settings() == load_settings()


@pytest.mark.parametrize(
    ("text", "says"), [("- a list", "holds no settings"), ("a: [", "is not YAML"), ("\x80", "is not YAML")]
)
def test_a_file_that_is_no_settings_file_is_refused_with_its_path(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, text)
    assert f"{path}: {says}" in refusal(path)


def test_a_file_that_cannot_be_read_is_refused_with_its_path(tmp_path: Path) -> None:
    assert f"{tmp_path / 'none'}: cannot be read: No such file or directory" in refusal(tmp_path / "none")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\xff")
    assert "it is not text in UTF-8" in refusal(binary)


yaml_like = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(), max_size=2)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.dictionaries(st.sampled_from(sorted(Settings.model_fields)) | st.text(), yaml_like, max_size=4))
def test_any_document_is_settings_or_is_refused_in_words(tmp_path: Path, document: dict[str, object]) -> None:
    try:
        load_settings(written(tmp_path, yaml.safe_dump(document)))
    except InvalidDocument as error:
        assert len(str(error)) < 20_000  # noqa: PT017 - either end is right


def test_credentials_are_blotted_out_and_nothing_else() -> None:
    assert (
        without_credentials("see http://u:p@host/a?b=c and https://t@x.")
        == "see http://***@host/a?b=c and https://***@x."
    )
    assert without_credentials("http://h/?token=abc&page=2") == "http://h/?token=***&page=2"
    assert without_credentials("mail me@example.com") == "mail me@example.com"


def test_gates_can_be_set_for_all_canaries_in_the_file_and_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '[{from: "0 16 * * FRI", for: 64h, timeZone: Europe/Berlin}, {from: "0 0 24 12 *", for: 3d}]'
    in_file = load_settings(written(tmp_path, f"freeze: {text}\nmax_releases: 20\nmax_releases_per_namespace: 2\n"))
    monkeypatch.setenv("CANARY_FREEZE", text)
    monkeypatch.setenv("CANARY_MAX_RELEASES", "20")
    assert load_settings().freeze == in_file.freeze
    assert [window.zone for window in windows_of(in_file.freeze)] == ["Europe/Berlin", "UTC"]
    assert (in_file.max_releases, in_file.max_releases_per_namespace) == (20, 2)
    assert load_settings().max_releases_per_namespace is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'freeze: [{from: "0 16 * * FRI", for: 64h, timeZone: Mars/Base}]',
            "freeze[0].timeZone = 'Mars/Base': is not a time zone; write a name of the time zone database, such as",
        ),
        ('freeze: [{from: "0 99 * * *", for: 1h}]', "freeze[0].from = '0 99 * * *': is not a cron expression"),
        ('freeze: [{from: "0 0 * * *", for: 1}]', 'freeze[0].for = 1: has no unit; write "1s" for seconds'),
        ('freeze: [{from: "0 0 * * *"}]', "freeze[0].for: is missing"),
        ("freeze: Friday", "freeze = Friday"),
        ('freeze: "[a"', "freeze = [a: is not YAML"),
        ("max_releases: 0", "max_releases = 0"),
        ("max_releases_per_namespace: many", "max_releases_per_namespace = many"),
        ("hook_key: short", "hook_key = ***: is no text of 16 characters or more"),
    ],
)
def test_a_gate_that_is_wrong_is_refused_with_what_would_be_right(text: str, said: str, tmp_path: Path) -> None:
    assert said in refusal(written(tmp_path, text + "\n"))
