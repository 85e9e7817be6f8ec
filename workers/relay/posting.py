"""Posts one event to a receiver, signed as Standard Webhooks says.

That is an HMAC of a few lines. A redirect is not followed: it would lead to where nobody allowed.
A post has one deadline for all of it. The timeout of a socket begins anew with each byte, and none
bounds the lookup of a name; so it goes on in a thread of its own, which is given up.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import socket
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from version import VERSION
from workers.relay.webhooks import Delivery, Webhook

TIMEOUT_SECONDS = 10.0
"""A receiver whose answer is not there after so long has not taken it."""

_LATER = {408, 425, 429}
"""Refusals that say: not now."""


class Outcome(NamedTuple):
    """What came of it."""

    why: str | None = None
    """Why the receiver does not have it, in a sentence; None: it has."""
    refused: bool = False
    """Whether it is there, and does not want this event, whenever it is posted."""


class _Post(urllib.request.Request):
    """A request that can be given up."""

    connection: http.client.HTTPConnection | None = None
    given_up = False

    def give_up(self) -> None:
        """End it. What waits for a name's address or a handshake ends later, and posts nothing."""
        self.given_up = True
        sock = self.connection.sock if self.connection else None
        if sock is not None:
            with suppress(OSError):  # it has no connection, or none any more
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _Connection(http.client.HTTPConnection):
    def __init__(self, host: str, post: _Post, timeout: float) -> None:
        super().__init__(host, timeout=timeout)
        self._post = post
        post.connection = self

    def connect(self) -> None:
        super().connect()
        if self._post.given_up:
            raise TimeoutError


class _SecureConnection(_Connection, http.client.HTTPSConnection):
    pass


class _Handler(urllib.request.AbstractHTTPHandler):
    """Opens what is posted."""

    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_

    def http_open(self, request: _Post) -> http.client.HTTPResponse:
        return self.do_open(partial(_Connection, post=request), request)

    def https_open(self, request: _Post) -> http.client.HTTPResponse:
        return self.do_open(partial(_SecureConnection, post=request), request)


def _made_opener() -> urllib.request.OpenerDirector:
    proxy = urllib.request.getproxies().get("https")
    found = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler({"https": proxy} if proxy else {}),  # none for what is in clear
        _Handler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        found.add_handler(handler)
    return found


_opener = _made_opener()


def signature(secret: bytes, id_: str, seconds: int, body: bytes) -> str:
    """What the header webhook-signature has."""
    signed = f"{id_}.{seconds}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


def post(webhook: Webhook, delivery: Delivery) -> Outcome:
    """Post it, and wait for the answer until the deadline."""
    seconds = int(time.time())
    request = _Post(
        webhook.url,
        data=delivery.body,
        method="POST",
        headers={
            "Content-Type": "application/json",
            "User-Agent": f"Cerrojo/{VERSION}",
            "webhook-id": delivery.event_id,
            "webhook-timestamp": str(seconds),
            "webhook-signature": signature(
                webhook.secret, delivery.event_id, seconds, delivery.body
            ),
        },
    )
    outcome: Future[Outcome] = Future()
    threading.Thread(
        target=_run, args=(request, outcome), name=f"post to {webhook.name}", daemon=True
    ).start()
    try:
        return outcome.result(TIMEOUT_SECONDS)
    except TimeoutError:
        request.give_up()
        return Outcome("it cannot be reached: timed out")


def _run(request: _Post, outcome: Future[Outcome]) -> None:
    try:
        outcome.set_result(_posted(request))
    except Exception as error:  # `post` raises it
        outcome.set_exception(error)


def _posted(request: _Post) -> Outcome:
    try:
        _opener.open(request, timeout=TIMEOUT_SECONDS).close()  # the status is the answer
    except urllib.error.HTTPError as error:
        with error:
            return Outcome(
                f"it answered {error.code}", 300 <= error.code < 500 and error.code not in _LATER
            )
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return Outcome(f"it cannot be reached: {_printable(str(reason))}"[:500])
    return Outcome()


def _printable(text: str) -> str:
    """The text as Postgres and people can have it: it may be of bytes of the receiver's."""
    return "".join(each if each.isprintable() else "?" for each in text)
