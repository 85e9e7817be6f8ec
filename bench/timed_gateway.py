"""`python -m bench.timed_gateway login N`: a login process that says what its hash took.

Only here: a client of the real gateway is told nothing about the time of a hash.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar

from hypercorn.typing import ASGISendCallable

from gateway import metrics, process
from gateway.web import responses
from gateway.web.responses import Answer
from gateway.web.responses import send as send_answer

_hash_seconds: ContextVar[float] = ContextVar("hash_seconds")


class TimedHistogram:
    """Notes the time that a request's hash took in its thread."""

    def observe(self, seconds: float) -> None:
        """In place of the metric."""
        _hash_seconds.set(seconds)


async def send_timed(answer: Answer, send: ASGISendCallable) -> None:
    """Say it in a header. A request is a task, and so has a value of its own."""
    if seconds := _hash_seconds.get(0.0):
        timing = f"hash;dur={seconds * 1000:.3f}".encode()
        answer = answer._replace(headers=[*answer.headers, (b"server-timing", timing)])
    await send_answer(answer, send)


if __name__ == "__main__":
    vars(metrics)["HASH_SECONDS"] = TimedHistogram()
    vars(responses)["send"] = send_timed
    sys.exit(process.main())
