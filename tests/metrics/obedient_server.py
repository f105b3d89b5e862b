"""A server on loopback that answers as a test wants it to, and the answers of a Prometheus that is well."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

Answer = Callable[[BaseHTTPRequestHandler, dict[str, list[str]]], None]


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A server on loopback that answers every POST by `answer(handler, form)`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            answer(self, parse_qs(body))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://reader:secret@127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def saying(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    def answer(handler: BaseHTTPRequestHandler, _form: dict[str, list[str]]) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | (headers or {})).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def vector(*rows: tuple[str, str, str]) -> dict[str, object]:
    """An answer of (workload, part, value) rows."""
    result = [
        {
            "metric": {
                "reporter": "source",
                "destination_workload_namespace": "shop",
                "destination_workload": workload,
                **({"part": part} if part else {"response_code": "200"}),
            },
            "value": [1, value],
        }
        for workload, part, value in rows
    ]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


GOOD = vector(("s", "known", "1"), ("s", "present", "1"), ("s", "", "12"), ("c", "", "3"))
