"""A receiver of webhooks, which takes, refuses, or keeps waiting."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


class Receiver:
    """Serves on a port of its own, or on the one of a receiver that has gone."""

    def __init__(self, port: int = 0) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        """The requests that it has taken: headers in small letters, and body."""
        self.asked = 0
        """All requests."""
        self.refused = 0
        """Those that it answered with 400 to 499."""
        self.answer = 200
        """The status of its answers."""
        self.location: str | None = None
        self.raw: bytes | None = None
        """What it says instead, where that is no answer."""
        self.stalls = False
        """Whether its answers stop before their bodies, until it is away."""
        self._away = threading.Event()
        self.speaks = threading.Event()
        """While it is not set, nothing is said; who has waited for that gets no answer then."""
        self.speaks.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                """Take or refuse it."""
                receiver._handle(self)

            do_GET = do_POST  # noqa: N815  # as a redirect would have it

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}
        )
        self._thread.start()

    @property
    def ids(self) -> list[str]:
        """Of the events that it has taken, in their order."""
        return [headers["webhook-id"] for headers, _ in self.got]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """Those that it has taken."""
        return [json.loads(body) for _, body in self.got]

    def close(self) -> None:
        """Be away: nobody listens there any more."""
        self.speaks.set()
        self._away.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Receiver:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Be away."""
        self.close()

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("content-length", "0")))
        self.asked += 1
        if not self.speaks.is_set():
            self.speaks.wait()
            return
        if self.raw is not None:
            request.wfile.write(self.raw)
            return
        if self.answer < 300:
            headers = {name.lower(): value for name, value in request.headers.items()}
            self.got.append((headers, body))
        self.refused += 400 <= self.answer < 500
        request.send_response(self.answer)
        if self.location:
            request.send_header("Location", self.location)
        request.end_headers()
        if self.stalls:
            self._away.wait()
