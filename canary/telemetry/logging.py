"""One stream of log lines for ours and for the libraries', each with UTC time, canary= and tick=.

Events are constant words with key/value pairs, so that lines can be counted; `bind_tick` puts the Canary and the tick
into context variables, which every line written in that context carries, a library's too. What libraries log through
the standard library takes the same way out, because two formats in one stream can be parsed by nobody.

The last step before rendering blots out credentials in URLs, wherever in a line they stand, tracebacks included: a
Prometheus address with a password in it is common, and exceptions quote addresses. It also spells out what cannot be
printed and bounds every text, tracebacks included, so that nobody who is quoted in a line can forge or hide another.

Rejected: formatted messages (no two lines alike), a log file (the container's runtime keeps the stream), dictConfig.
"""

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from canary.model.credentials import without_credentials
from canary.model.quoting import spell_out
from canary.model.spec import ObjectKey
from canary.settings import LogFormat, LogLevel

_CHATTY: Final = ("urllib3", "apscheduler", "kubernetes", "asyncio", "uvicorn")
_DEEPEST: Final = 6
_LONGEST_TEXT: Final = 16_384
"""Characters of one value: enough for a traceback, and a line that any collector of logs takes."""
_KEPT: Final = _LONGEST_TEXT // 2 - len(" ... ")


def configure_logging(level: LogLevel, form: LogFormat, stream: TextIO | None = None) -> None:
    """Send every log line of this process to `stream` (standard error by default); calling it again replaces it.

    Libraries that tell of every request are held to warnings, whatever `level` says.
    """
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # a test and a restart of the settings configure again
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=before, processors=_rendering(form, handler.stream))
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))


@contextmanager
def bind_tick(canary: ObjectKey, tick: str) -> Iterator[None]:
    """Mark every line written inside with the Canary and the id of its tick."""
    with structlog.contextvars.bound_contextvars(canary=str(canary), tick=tick):
        yield


def redact_credentials(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Blot out credentials in URLs in every text of a line (a structlog processor)."""
    return {key: _redacted(value, _DEEPEST) for key, value in event.items()}


def _redacted(value: object, depth: int) -> object:
    """The same value without credentials; what is neither plain data nor shallow becomes text, as it would anyway."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth == 0 or not isinstance(value, str | Mapping | list | tuple):
        return _legible(str(value))
    if isinstance(value, str):
        return _legible(value)
    if isinstance(value, Mapping):
        return {_legible(str(key)): _redacted(item, depth - 1) for key, item in value.items()}
    return [_redacted(item, depth - 1) for item in value]


def _legible(text: str) -> str:
    """Without credentials, printable, and of bounded length; what is said about it at its end is kept."""
    shown = spell_out(without_credentials(text))
    return shown if len(shown) <= _LONGEST_TEXT else f"{shown[:_KEPT]} ... {shown[-_KEPT:]}"


def _rendering(form: LogFormat, stream: TextIO) -> list[Processor]:
    """The traceback becomes text first, so that it is redacted like any other."""
    first: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redact_credentials,
    ]
    if form is LogFormat.JSON:
        return [*first, structlog.processors.JSONRenderer()]
    return [*first, structlog.dev.ConsoleRenderer(colors=stream.isatty())]
