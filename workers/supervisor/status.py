"""The workers' own small HTTP port: /metrics, /healthz and /readyz."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Collection
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog

from processes.host_header import is_ours
from processes.metrics import exposition
from workers import metrics

logger = structlog.get_logger()


class StatusServer(ThreadingHTTPServer):
    """One thread for each connection."""

    daemon_threads = True

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        """Listen there, by IPv4 or IPv6. Raises ``OSError``."""
        address: Any
        self.address_family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        super().__init__(address, handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log what went wrong, but for clients that leave, which nobody need know."""
        error = sys.exception()
        if not isinstance(error, OSError):
            logger.error("A request to the workers' port failed", exc_info=error)


def serve(
    host: str,
    port: int,
    readiness: Callable[[], tuple[bool, str]],
    names: Collection[str] = (),
) -> StatusServer:
    """Serve from a thread until ``shutdown()``. Raises ``OSError`` where it cannot.

    ``names`` are those in a Host header that it answers to, beside addresses and localhost.
    """
    ours = {host, *names}

    class Handler(BaseHTTPRequestHandler):
        timeout = 5
        error_content_type = "application/json"
        error_message_format = '{"error": "This is no request that this port knows (%(code)d)"}\n'

        def do_GET(self) -> None:
            if not is_ours(self.headers.get("Host", ""), ours):
                self._answer_json(
                    HTTPStatus.MISDIRECTED_REQUEST,
                    {
                        "error": "The Host header names somebody else. Use an IP address or "
                        "localhost, or add the name to CERROJO_ALLOWED_HOSTS"
                    },
                )
            elif self.path == "/metrics":
                body, content_type = exposition(metrics.LAG, metrics.NEXT_OFFSET)
                self._answer(HTTPStatus.OK, body, content_type)
            elif self.path == "/healthz":
                self._answer_json(HTTPStatus.OK, {"alive": True})
            elif self.path == "/readyz":
                ready, why = readiness()
                status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
                self._answer_json(status, {"ready": ready, "parts": {"workers": why}})
            else:
                self._answer_json(
                    HTTPStatus.NOT_FOUND,
                    {"error": "Unknown path; use /metrics, /healthz or /readyz"},
                )

        def _answer_json(self, status: HTTPStatus, answer: dict[str, object]) -> None:
            self._answer(status, json.dumps(answer).encode(), "application/json")

        def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Cross-Origin-Resource-Policy", "same-origin")
            self.end_headers()
            self.wfile.write(body)

        def version_string(self) -> str:
            """Not which Python this is."""
            return "cerrojo"

        def log_message(self, *_: object) -> None:
            """Log nothing: Prometheus scrapes every few seconds."""

    server = StatusServer(host, port, Handler)
    threading.Thread(target=server.serve_forever, name="status", daemon=True).start()
    return server
