"""`/healthz`, `/readyz` and `/metrics`: for the kubelet, for Prometheus, and for a person with curl.

Alive and ready are different questions: a process that is not ready (no member yet, caches not filled, API server out
of reach) must not be restarted for it, so only what a restart would mend belongs among the liveness checks. A check is
a callable of its owner that answers at once from what it already knows; it asks nobody over the network, because the
kubelet's patience is one second. The answer is plain text, one line a check, so that `kubectl describe` shows it.

Rejected: JSON (nobody parses it, and people must), a 200 with "degraded" in it (the kubelet reads only the status).
"""

from collections.abc import Callable, Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

Check = Callable[[], tuple[bool, str]]
"""Whether something is in order, and a sentence for a person."""

Exposition = Callable[[], tuple[bytes, str]]
"""The metrics as Prometheus reads them, and their content type."""

_FRESH = {"Cache-Control": "no-store"}


def health_app(*, alive: Mapping[str, Check], ready: Mapping[str, Check], exposition: Exposition) -> Starlette:
    """Build the application.

    Args:
        alive: by name, what only a restart would mend.
        ready: by name, what must be in order before this replica counts as available.
        exposition: `telemetry.metrics.Telemetry.exposition`.
    """

    def healthz(_request: Request) -> Response:
        return _answer(alive)

    def readyz(_request: Request) -> Response:
        return _answer(ready)

    def metrics(_request: Request) -> Response:
        body, content_type = exposition()
        return Response(body, headers=_FRESH, media_type=content_type)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)])


def _answer(checks: Mapping[str, Check]) -> Response:
    answers = [(name, *check()) for name, check in checks.items()]
    lines = [f"{'ok' if good else 'NOT OK'} {name}: {message}" for name, good, message in answers]
    good = all(good for _, good, _ in answers)
    return PlainTextResponse("\n".join([*lines, ""]) or "ok\n", status_code=200 if good else 503, headers=_FRESH)
