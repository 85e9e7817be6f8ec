"""The workers' own small HTTP port: /metrics, /healthz and /readyz."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from processes.metrics import exposition
from workers import metrics


def serve(host: str, port: int, readiness: Callable[[], tuple[bool, str]]) -> ThreadingHTTPServer:
    """Serve from a thread until ``shutdown()``; raises ``OSError`` where the port is taken."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            if self.path == "/metrics":
                body, content_type = exposition(metrics.LAG, metrics.NEXT_OFFSET)
                self._answer(HTTPStatus.OK, body, content_type)
            elif self.path == "/healthz":
                self._answer_json(HTTPStatus.OK, {"alive": True})
            elif self.path == "/readyz":
                ready, why = readiness()
                status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
                self._answer_json(status, {"ready": ready, "parts": {"workers": why}})
            else:
                there_is = "There is /metrics, /healthz and /readyz"
                self._answer_json(HTTPStatus.NOT_FOUND, {"error": there_is})

        def _answer_json(self, status: HTTPStatus, answer: dict[str, object]) -> None:
            self._answer(status, json.dumps(answer).encode(), "application/json")

        def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """A scrape every few seconds is no news."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="status", daemon=True).start()
    return server
