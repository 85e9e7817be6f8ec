"""A Cerrojo in memory, with the documented API and the default threshold, for clients' tests."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from urllib.parse import unquote

import httpx

TOKEN = "a-token-of-the-tests"
THRESHOLD = 5

Trouble = Callable[[httpx.Request], httpx.Response]


class FakeCerrojo:
    """Decides like the real one; ``trouble`` comes first, an entry for each request."""

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()
        self.requests: list[httpx.Request] = []
        self.trouble: list[Trouble] = []
        self.down = False
        self._first: dict[str, tuple[object, dict[str, object]]] = {}

    @property
    def bodies(self) -> list[dict[str, object]]:
        """What was sent to /attempts."""
        return [json.loads(r.content) for r in self.requests if r.method == "POST"]

    @property
    def keys(self) -> list[str]:
        """The Idempotency-Key of each request to /attempts."""
        return [r.headers["Idempotency-Key"] for r in self.requests if r.method == "POST"]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """As a handler of httpx.MockTransport."""
        self.requests.append(request)
        if self.down:
            return unavailable(request)
        if self.trouble:
            return self.trouble.pop(0)(request)
        return self.answer(request)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Without any trouble."""
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return error(401, "unauthorized")(request)
        if request.method == "GET":
            user = unquote(request.url.raw_path.decode().split("/")[2])
            blocked = self.failures[user] >= THRESHOLD
            return httpx.Response(
                200, json={"blocked": True, "retry_after": 1800} if blocked else {"blocked": False}
            )
        body = json.loads(request.content)
        if len(body["user"]) < 3:
            return error(400, "invalid", "The username is too short")(request)
        key = request.headers["Idempotency-Key"]
        if key in self._first:
            first, verdict = self._first[key]
            return httpx.Response(200, json=verdict) if first == body else KEY_REUSED(request)
        verdict = self._decide(body["user"], body["outcome"] == "right")
        self._first[key] = body, verdict
        return httpx.Response(200, json=verdict)

    def _decide(self, user: str, right: bool) -> dict[str, object]:
        if self.failures[user] >= THRESHOLD:
            return {"verdict": "blocked", "retry_after": 1800}
        if right:
            self.failures[user] = 0
            return {"verdict": "accepted"}
        self.failures[user] += 1
        return {"verdict": "rejected"}


def error(status: int, code: str, sentence: str = "for a test") -> Trouble:
    """An answer that decides nothing."""
    return lambda request: httpx.Response(status, json={"error": sentence, "code": code})


def unavailable(request: httpx.Request) -> httpx.Response:
    """503, without a Retry-After, so that no test waits a second for another try."""
    body = {"verdict": "undecided", "error": "for a test", "code": "unavailable"}
    return httpx.Response(503, json=body)


def answer_lost(fake: FakeCerrojo) -> Trouble:
    """The attempt is decided, and its connection breaks before the answer."""

    def lose(request: httpx.Request) -> httpx.Response:
        fake.answer(request)
        raise httpx.ReadError("broken")

    return lose


KEY_REUSED = error(409, "key_reused")

PATHS = (
    *("/login", "/login/", "/login//", "//login", "///login", "//login//", "/login\n", "/login\n/"),
    *("/login\r", "/login\r\n", "/login\x0b", "/login\x00", "/login ", "/ login", "/login\t"),
    *(
        "/./login",
        "/login/.",
        "/x/../login",
        "/login/..",
        "\\login",
        "/\\login",
        "/LOGIN",
        "/login;x",
    ),
    *(
        "login",
        "/login?x",
        "/login#x",
        "/login%0A",
        "/%2Flogin",
        "/log%69n",
        "/login\u2028",
        "/login\x85",
    ),
)
"""What some router might take for /login."""
