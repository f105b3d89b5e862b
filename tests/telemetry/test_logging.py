"""Log lines: one form for ours and the libraries', marked with the tick, in UTC, without credentials."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from canary.model.spec import ObjectKey
from canary.settings import LogFormat, LogLevel
from canary.telemetry.logging import bind_tick, configure_logging


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Leave the process' logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def configured(level: LogLevel = LogLevel.INFO, form: LogFormat = LogFormat.JSON) -> io.StringIO:
    stream = io.StringIO()
    configure_logging(level, form, stream)
    return stream


def test_a_line_of_ours_and_one_of_a_library_carry_canary_tick_and_utc_time() -> None:
    stream = configured()
    with bind_tick(ObjectKey("shop", "order"), "t-1"):
        structlog.get_logger("canary.controller").info("ticked", weight=10)
        logging.getLogger("somebody").warning("about %s", "this")
    structlog.get_logger().info("outside")
    ours, theirs, outside = lines(stream)
    assert ours["event"] == "ticked"
    assert ours["weight"] == 10
    assert theirs["event"] == "about this"
    for line in (ours, theirs):
        assert (line["canary"], line["tick"]) == ("shop/order", "t-1")
        assert str(line["time"]).endswith("Z")
        assert line["level"] in {"info", "warning"}
    assert "canary" not in outside


def test_the_level_holds_and_chatty_libraries_are_held_to_warnings() -> None:
    stream = configured(LogLevel.DEBUG)
    structlog.get_logger().debug("ours")
    logging.getLogger("urllib3.connectionpool").info("a request")
    logging.getLogger("urllib3.connectionpool").warning("a failure")
    assert [line["event"] for line in lines(stream)] == ["ours", "a failure"]
    stream = configured(LogLevel.ERROR)
    structlog.get_logger().warning("too little")
    logging.getLogger("urllib3").warning("too little")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("form", LogFormat)
def test_no_credentials_reach_the_stream_wherever_they_stand(form: LogFormat) -> None:
    stream = configured(form=form)
    address = "https://reader:hunter2@prometheus:9090/?access_token=hunter2&x=1"
    log = structlog.get_logger()
    log.info(address, url=address, nested={"urls": [address, (address,)]}, error=ValueError(address))
    logging.getLogger("somebody").warning("asked %s", address)
    log.error("failed", exc_info=RuntimeError(address))
    assert "hunter2" not in stream.getvalue()
    assert "prometheus:9090" in stream.getvalue()
    assert "RuntimeError" in stream.getvalue()


def test_a_value_that_holds_itself_ends() -> None:
    stream = configured()
    endless: list[object] = []
    endless.append(endless)
    structlog.get_logger().info("odd", value=endless, number=1.5, nothing=None, flag=True)
    (line,) = lines(stream)
    assert (line["number"], line["nothing"], line["flag"]) == (1.5, None, True)
