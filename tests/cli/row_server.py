"""A Prometheus on loopback that answers each query with the rows that a test makes of it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

Rows = list[dict[str, object]]
Form = dict[str, list[str]]


@contextmanager
def serving(answer: Callable[[Form], tuple[int, Rows]]) -> Iterator[str]:
    """Its address; `answer` makes a status and rows of a query's form, which has a `start` if it is about a range."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            status, rows = answer(form)
            kind = "matrix" if "start" in form else "vector"
            body = json.dumps({"status": "success", "data": {"resultType": kind, "result": rows}}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
