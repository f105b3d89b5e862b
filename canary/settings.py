"""The controller's own settings: from the environment, or a YAML file, or a default that suits a cluster.

One flat model; a setting's name in the file is its environment variable's without `CANARY_`, in lower case. The
environment wins, because a Deployment overrides a mounted file and not the other way round. What belongs to a release
is not here but in the Canary resource: these settings belong to whoever runs the controller.

A misspelt key would silently leave a default standing, so a file with an unknown key is refused, with the near miss.
The environment is shared with others (Kubernetes adds `CANARY_SERVICE_HOST` to every pod beside a Service called
`canary`), so there only a near miss of a setting is refused; for the same reason no setting is called plain `port`
or `service_...`.

Rejected: nested sections (two spellings for every variable), a command line flag for each setting (a third place).
"""

import difflib
import os
import re
import socket
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Self

import yaml
from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from canary.model.credentials import without_credentials
from canary.model.errors import Fault, InvalidDocument
from canary.model.faults import fault_of
from canary.model.gate_documents import MOST_WINDOWS
from canary.model.quantities import format_duration
from canary.model.quoting import quote
from canary.model.setting_fields import Address, Duration, Key, Url, Windows

PREFIX: Final = "CANARY_"
FILE_VARIABLE: Final = f"{PREFIX}SETTINGS"
_NOT_SETTINGS: Final = (FILE_VARIABLE, f"{PREFIX}CACHE_DIR", f"{PREFIX}LAB_", f"{PREFIX}TEST_")
"""Variables of this project, or the beginnings of their names, that set something else."""
_SERVICE_LINK: Final = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT(_\d+_(TCP|UDP|SCTP)|$)")
_BEFORE_HOST: Final = re.compile(r"(?s)^([a-z]{1,10}://)?.*@")
_LONGEST_VALUE_SHOWN: Final = 80


class LogFormat(StrEnum):
    """How a log line looks."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The least serious line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class ReporterPolicy(StrEnum):
    """Whose account of a request is counted; see `metrics.dialect`."""

    AUTO = "auto"
    SOURCE = "source"
    WAYPOINT = "waypoint"
    DESTINATION = "destination"


def _default_identity() -> str:
    return f"{socket.gethostname()}_{os.getpid()}"


class Settings(BaseSettings):
    """Everything that can be set about one controller process; see each description."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True, hide_input_in_errors=True
    )

    kubeconfig: Path | None = Field(
        default=None, description="path of a kubeconfig file; unset means the pod's own service account"
    )
    namespace: str = Field(default="", description="the one namespace whose Canaries are handled; empty means all")
    controller_namespace: str = Field(
        default="canary-system", min_length=1, description="namespace of the Leases by which replicas share the work"
    )
    identity: str = Field(
        default_factory=_default_identity,
        min_length=1,
        description="this replica's name, unlike any other's; default: host name and process id",
    )
    lease_name: str = Field(
        default="canary-controller",
        min_length=1,
        max_length=63,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        description="what the replicas that share the work have in common; each one's Lease begins with it",
    )
    lease_duration: Duration = Field(
        default=timedelta(seconds=15),
        ge=timedelta(seconds=1),
        le=timedelta(minutes=10),
        description="how long a replica that is not heard of still keeps its share of the Canaries",
    )
    lease_renew: Duration = Field(
        default=timedelta(seconds=10),
        ge=timedelta(milliseconds=500),
        le=timedelta(minutes=10),
        description="how long a replica tries to renew its Lease before it stops; shorter than lease_duration",
    )
    lease_retry: Duration = Field(
        default=timedelta(seconds=2),
        ge=timedelta(milliseconds=100),
        le=timedelta(minutes=1),
        description="time between two attempts to renew and to look at the others; shorter than lease_renew",
    )
    request_timeout: Duration = Field(
        default=timedelta(seconds=10),
        ge=timedelta(milliseconds=100),
        le=timedelta(minutes=2),
        description="longest wait for one answer of the Kubernetes API",
    )
    resync_interval: Duration = Field(
        default=timedelta(minutes=5),
        ge=timedelta(seconds=1),
        le=timedelta(days=1),
        description="every object is looked at again after this long, whether or not a watch has told of it",
    )
    status_interval: Duration = Field(
        default=timedelta(minutes=1),
        ge=timedelta(0),
        le=timedelta(minutes=4),
        description="how often evidence that decided nothing is written to a Canary's status; what a crash loses is "
        "counted again, so this only spares the API server",
    )
    workers: int = Field(default=8, ge=1, le=256, description="threads that handle Canaries at the same time")
    tick_groups: int = Field(
        default=4,
        ge=1,
        le=60,
        description="into how many groups the Canaries of one interval are cut, which are ticked one after the other; "
        "more make lower peaks and as many times the queries",
    )
    prometheus_url: Url = Field(
        default="http://prometheus.istio-system:9090",
        repr=False,  # a password may stand in it
        description="address of Prometheus (or of what speaks its query API), with its path prefix if it has one",
    )
    prometheus_timeout: Duration = Field(
        default=timedelta(seconds=10),
        ge=timedelta(milliseconds=100),
        le=timedelta(minutes=2),
        description="longest wait for all counts of one tick",
    )
    prometheus_scrape_interval: Duration = Field(
        default=timedelta(minutes=1),
        ge=timedelta(milliseconds=100),
        le=timedelta(minutes=2),
        description="the longest scrape interval among the mesh's proxies: a version is measured once Prometheus has "
        "known stable for this long",
    )
    metrics_delay: Duration = Field(
        default=timedelta(seconds=2),
        ge=timedelta(0),
        le=timedelta(minutes=5),
        description="how long after an instant its counts can be asked for: a scrape carries the time it began at and "
        "is stored when it has ended",
    )
    istio_reporter: ReporterPolicy = Field(
        default=ReporterPolicy.AUTO,
        description="whose account is counted; auto prefers the client's proxy (of Linkerd, source is outbound and "
        "destination inbound)",
    )
    max_releases: int | None = Field(
        default=None, ge=1, le=100_000, description="how many releases may be under way at once; unset means any number"
    )
    max_releases_per_namespace: int | None = Field(
        default=None, ge=1, le=100_000, description="how many of one namespace may be; unset means any number"
    )
    freeze: Annotated[Windows, NoDecode] = Field(
        default=(),
        max_length=MOST_WINDOWS,
        description="times in which no release begins, climbs or is promoted, such as "
        '[{from: "0 16 * * FRI", for: 64h, timeZone: Europe/Berlin}]',
    )
    hook_key: Key | None = Field(
        default=None,
        description="what calls of hooks are signed with, 16 characters or more (openssl rand -hex 32); unset means "
        "that they are not signed",
    )
    listen_address: Address = Field(
        default="127.0.0.1",
        description="address that /healthz, /readyz and /metrics are served on; a pod needs 0.0.0.0 for its probes",
    )
    listen_port: int = Field(default=8080, ge=0, le=65535, description="port for the same; 0 takes any free one")
    log_format: LogFormat = Field(default=LogFormat.JSON, description="json for machines, console for people")
    log_level: LogLevel = Field(default=LogLevel.INFO, description="the least serious line that is written")

    @model_validator(mode="after")
    def _lease_times_are_in_order(self) -> Self:
        if not self.lease_retry < self.lease_renew < self.lease_duration:
            raise ValueError("lease_retry must be shorter than lease_renew, and that shorter than lease_duration")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings passes it by name
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it by name
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment first, then the file (handed in as arguments); nothing else."""
        return env_settings, init_settings


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings.

    Args:
        path: the YAML file; None means the one that `CANARY_SETTINGS` names, or none at all.

    Raises:
        InvalidDocument: with everything that is wrong, each with name, value and remedy.
    """
    if path is None and (named := os.environ.get(FILE_VARIABLE)):
        path = Path(named)
    subject = f"settings ({path} and {PREFIX}* variables)" if path else f"settings ({PREFIX}* variables)"
    document = _read_file(path) if path else {}
    faults = [*_unknown_keys(document), *_misspelt_variables(os.environ)]
    known = {key: value for key, value in document.items() if key in Settings.model_fields}
    try:
        settings = Settings(**known)  # type: ignore[arg-type]  # whatever the file holds; pydantic is the check
    except ValidationError as error:
        faults += _faults_of(error)
        raise InvalidDocument(subject, faults) from None
    if faults:
        raise InvalidDocument(subject, faults)
    return settings


def _read_file(path: Path) -> dict[str, object]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not text in UTF-8"
        raise _file_fault(path, f"cannot be read: {reason}", f"name a readable YAML file by {FILE_VARIABLE}") from error
    except yaml.YAMLError as error:
        raise _file_fault(path, f"is not YAML: {_place(error)}", "correct the file at that place") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise _file_fault(path, "holds no settings", "write one `name: value` a line")
    return {str(key): value for key, value in document.items()}


def _place(error: yaml.YAMLError) -> str:
    """What is wrong and where, without the line itself that YAML would quote: a password may stand in it."""
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or "it cannot be read as YAML")
    return f"{problem} (line {mark.line + 1}, column {mark.column + 1})" if mark else problem


def _file_fault(path: Path, message: str, remedy: str) -> InvalidDocument:
    return InvalidDocument("settings", [Fault(path=str(path), value="", message=message, remedy=remedy)])


def _unknown_keys(document: Mapping[str, object]) -> list[Fault]:
    known = tuple(Settings.model_fields)
    faults = []
    for key in document:
        if key in Settings.model_fields:
            continue
        near = difflib.get_close_matches(key.lower(), known, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"known settings are {', '.join(known)}"
        faults.append(
            Fault(path=quote(key, _LONGEST_VALUE_SHOWN), value="", message="there is no such setting", remedy=remedy)
        )
    return faults


def _misspelt_variables(environment: Mapping[str, str]) -> list[Fault]:
    variables = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    faults = []
    for name in sorted(environment):
        if not name.startswith(PREFIX) or name.startswith(_NOT_SETTINGS) or _SERVICE_LINK.search(name):
            continue
        near = difflib.get_close_matches(name, variables, n=1, cutoff=0.85)
        if near and near[0] != name:
            remedy = f"did you mean {near[0]}?"
            faults.append(Fault(path=name, value="", message="there is no such setting", remedy=remedy))
    return faults


def _faults_of(error: ValidationError) -> list[Fault]:
    faults = []
    for detail in error.errors(include_url=False):
        message = detail["msg"].removeprefix("Value error, ")
        if not detail["loc"]:
            remedy = "the defaults 2s, 10s and 15s are those of Kubernetes' own controllers"
            faults.append(Fault(path="lease_*", value="", message=message, remedy=remedy))
            continue
        name = str(detail["loc"][0])
        if len(detail["loc"]) > 1:
            faults.append(fault_of(detail, Settings))
            continue
        variable = f"{PREFIX}{name.upper()}"
        faults.append(
            Fault(
                path=variable if os.environ.get(variable) else name,
                value=_shown(name, detail["input"]),
                message=message[:1].lower() + message[1:],
                remedy=_remedy(name),
            )
        )
    return faults


def _shown(name: str, value: object) -> str:
    """A value that is refused; of an address only what follows the last @, whatever form it has."""
    if name.endswith("_key"):
        return "***"
    if not name.endswith("_url"):
        return quote(without_credentials(str(value)), _LONGEST_VALUE_SHOWN)
    if not isinstance(value, str):
        return type(value).__name__
    return quote(without_credentials(_BEFORE_HOST.sub(r"\1***@", value)), _LONGEST_VALUE_SHOWN)


def _remedy(name: str) -> str:
    """What would be right, taken from the field itself, so that it cannot age."""
    field = Settings.model_fields[name]
    default = field.get_default()
    if isinstance(default, timedelta):
        bounds = {type(bound).__name__: bound for bound in field.metadata}
        low, high = (getattr(bounds.get(kind), kind.lower(), None) for kind in ("Ge", "Le"))
        span = (
            f" from {format_duration(low)} to {format_duration(high)}" if low is not None and high is not None else ""
        )
        return f"write a duration{span} with its unit, such as {format_duration(default)} ({field.description})"
    return f"an example is {default!s} ({field.description})" if default not in (None, "") else f"{field.description}"
