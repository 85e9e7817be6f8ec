"""What is sent, when it is sent again and what the answers mean, without any sending.

A conversation is a generator: it yields a request to send or the seconds to wait, is sent the
response (or the error where there was none), and returns Cerrojo's answer. So the two clients share
all of it, and a test needs no clock.
"""

from __future__ import annotations

import logging
import math
import random
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import httpx

logger = logging.getLogger("cerrojo_client")

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
CONNECT_SECONDS = 2.0
"""A host that takes longer to accept a connection is down; another one may be behind the name."""
ANSWER_SECONDS = 6.0
"""A gateway answers within its deadline, 5 seconds; one that is silent for longer is down."""

_MOST_SECONDS = {"connect": CONNECT_SECONDS, "read": ANSWER_SECONDS}
_AGAIN = {408, 425, 429, 500, 502, 503, 504}  # of Cerrojo, or of a proxy before it
_TOO_LONG = {413, 414, 431}  # what came from the person, for Cerrojo or for a proxy before it


class CerrojoError(Exception):
    """Cerrojo does not serve this caller: a mistake in the set-up, which no retry mends."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(f"Cerrojo answered {status} ({code}): {sentence}")
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Decided:
    """The body of a 200."""

    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unusable:
    """Cerrojo takes no such name, with its reason."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Undecided:
    """The deadline passed without a decision; it is worth trying again after these seconds."""

    retry_after: int


Answer = Decided | Unusable | Undecided
Step = httpx.Request | float
Heard = httpx.Response | httpx.RequestError | None
"""What comes of a step: nothing of a wait."""
Conversation = Generator[Step, Heard, Answer]


class TimeLeft(dict[str, float]):
    """httpx' timeouts, looked up at the beginning of each step: what is left until ``due``."""

    def __init__(self, due: float, clock: Callable[[], float]) -> None:
        super().__init__()
        self._due = due
        self._clock = clock

    def get(self, key: str, default: Any = None) -> float:
        """Seconds for this step: of the pool, connect, write or read."""
        left = max(self._due - self._clock(), 0.001)
        return min(left, _MOST_SECONDS.get(key, left))


def converse(request: httpx.Request, due: float, clock: Callable[[], float]) -> Conversation:
    """Ask until there is an answer, or until ``due``, each time with the same request."""
    request.extensions["timeout"] = TimeLeft(due, clock)
    pause = FIRST_PAUSE_SECONDS
    while True:
        asked, heard = None, (yield request)
        if isinstance(heard, httpx.Response):
            answer = _read(heard)
            if answer is not None:
                return answer
            asked = _retry_after(heard)
        if asked is None:
            wait = random.uniform(0, pause)  # noqa: S311  # no secret
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        else:
            wait = asked + random.uniform(0, FIRST_PAUSE_SECONDS)  # noqa: S311  # no secret
        if clock() + wait >= due:
            logger.warning("Cerrojo decided nothing before the deadline: %r", heard)
            return Undecided(max(1, math.ceil(asked or 1)))
        yield wait


def _read(response: httpx.Response) -> Answer | None:
    """The answer; None if it is to be asked again. Raises CerrojoError."""
    body = _json(response)
    if response.status_code == 200 and body is not None:
        return Decided(body)
    code, sentence = (
        str((body or {}).get(name) or default)
        for name, default in (("code", "unknown"), ("error", "no reason was given"))
    )
    if response.status_code in _TOO_LONG or (response.status_code == 400 and body is not None):
        return Unusable(sentence)
    if response.status_code in _AGAIN:
        logger.info("Cerrojo answered %d (%s): %s", response.status_code, code, sentence)
        return None
    if body is None:
        raise unexpected(response.status_code)
    raise CerrojoError(response.status_code, code, sentence)


def unexpected(status: int) -> CerrojoError:
    """For an answer that is none of Cerrojo's."""
    return CerrojoError(status, "unexpected", "is the URL that of Cerrojo's login port?")


def _json(response: httpx.Response) -> dict[str, Any] | None:
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds; None where there are none, or a date."""
    value = response.headers.get("Retry-After", "")
    return float(value) if re.fullmatch(r"[0-9]{1,9}", value) else None
