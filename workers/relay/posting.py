"""Posts one event to a receiver, signed as Standard Webhooks says.

That is an HMAC of a few lines. A redirect is not followed: it would lead to where nobody allowed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import time
import urllib.error
import urllib.request
from typing import NamedTuple

from version import VERSION
from workers.relay.webhooks import Delivery, Webhook

TIMEOUT_SECONDS = 10.0
"""A receiver that says nothing for so long has not taken it."""

_LATER = {408, 425, 429}
"""Refusals that say: not now."""


class Outcome(NamedTuple):
    """What came of it."""

    why: str | None = None
    """Why the receiver does not have it, in a sentence; None: it has."""
    refused: bool = False
    """Whether it is there, and does not want this event, whenever it is posted."""


def _made_opener() -> urllib.request.OpenerDirector:
    proxy = urllib.request.getproxies().get("https")
    found = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler({"https": proxy} if proxy else {}),  # none for what is in clear
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
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
    """Post it, and wait for the answer."""
    seconds = int(time.time())
    request = urllib.request.Request(  # noqa: S310  # `check_url` takes http and https alone
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
