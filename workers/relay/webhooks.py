"""The webhooks, which commands write, and what they are to get, in Postgres."""

from __future__ import annotations

import base64
import ipaddress
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, get_args
from urllib.parse import urlsplit

from psycopg import Connection
from psycopg.rows import class_row

from workers.relay import event, ocsf

Format = Literal["cerrojo", "ocsf"]
FORMATS = get_args(Format)

SECRET_BYTES = 32
LONGEST_NAME = 64
LONGEST_URL = 2_000

REMOVED_ROWS = 5_000
"""That are deleted in one transaction."""


class Webhook(NamedTuple):
    """A receiver."""

    name: str
    url: str
    format: str
    secret: bytes


class Delivery(NamedTuple):
    """An event that a receiver is to get."""

    number: int
    event_id: str
    body: bytes
    tries: int
    wait_seconds: float
    """Until it is to be posted; negative: it is due."""


class Listed(NamedTuple):
    """A webhook, and how it is with it."""

    name: str
    url: str
    format: str
    waiting: int
    dead: int
    oldest_at: datetime | None
    """When the first event came that it does not have; None: it has all but the dead letters."""
    failure: str | None
    """Why that was posted in vain the last time."""


class DeadLetter(NamedTuple):
    """An event that was given up."""

    number: int
    webhook: str
    event_id: str
    dead_at: datetime
    tries: int
    failure: str


def check_url(url: str, insecure: bool = False) -> str:
    """The same URL. Raises ValueError, with a sentence, for one that nothing may be posted to."""
    no_url = f"{url!r} is no URL of a receiver; give one as https://siem.example/hook"
    if not url.isascii():
        raise ValueError(f"{no_url}, with other letters than ASCII's as %C3%B1, or xn-- in a name")
    try:
        parts = urlsplit(url)
        (parts.hostname or "").encode("idna")
        good = parts.port != 0 and url.isprintable() and " " not in url and len(url) <= LONGEST_URL
    except ValueError:
        good = False
    if not good or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(no_url)
    if parts.username is not None or parts.fragment:
        raise ValueError(
            "A URL with a name, a password or a # is not taken: it is shown to everybody who lists "
            "webhooks. The receiver knows Cerrojo by the signature"
        )
    if parts.scheme == "http" and not insecure and not _is_loopback(parts.hostname):
        raise ValueError(
            f"{url!r} is not https: everybody on the way could read names and addresses. Give "
            "https, or --insecure where the way is safe otherwise"
        )
    return url


def shown_secret(secret: bytes) -> str:
    """The secret as Standard Webhooks has receivers keep it."""
    return "whsec_" + base64.b64encode(secret).decode()


def add(connection: Connection[Any], name: str, url: str, format_: Format) -> bytes | None:
    """Post events to this URL from now on; the secret. None where the name is taken."""
    secret = secrets.token_bytes(SECRET_BYTES)
    made = connection.execute(
        "INSERT INTO webhooks (name, url, format, secret) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        (name, url, format_, secret),
    )
    return secret if made.rowcount else None


def remove(connection: Connection[Any], name: str) -> bool:
    """Post nothing there any more, and forget what waits; whether there is one of this name.

    To be called outside a transaction: what waits goes in parts, each committed, as the relay can
    note no event while the webhook itself is being deleted, with what is left.
    """
    last: int | None = 0
    while last is not None:
        (last,) = connection.execute(
            "WITH part AS (DELETE FROM webhook_deliveries WHERE number = ANY (ARRAY("
            " SELECT number FROM webhook_deliveries WHERE webhook = %s AND number > %s"
            " ORDER BY number LIMIT %s)) RETURNING number) SELECT max(number) FROM part",
            (name, last, REMOVED_ROWS),
        ).fetchone() or (None,)
    return connection.execute("DELETE FROM webhooks WHERE name = %s", (name,)).rowcount == 1


def listed(connection: Connection[Any]) -> list[Listed]:
    """All of them, by name."""
    with connection.cursor(row_factory=class_row(Listed)) as cursor:
        return cursor.execute(
            "SELECT w.name, w.url, w.format, waiting, dead, first.noted_at AS oldest_at,"
            "       first.failure"
            "  FROM webhooks w,"
            "       LATERAL (SELECT count(*) FILTER (WHERE dead_at IS NULL) AS waiting,"
            "                       count(*) FILTER (WHERE dead_at IS NOT NULL) AS dead"
            "                  FROM webhook_deliveries d WHERE d.webhook = w.name) AS counted"
            "       LEFT JOIN LATERAL (SELECT noted_at, failure FROM webhook_deliveries d"
            "                           WHERE d.webhook = w.name AND dead_at IS NULL"
            "                           ORDER BY number LIMIT 1) AS first ON true"
            " ORDER BY w.name"
        ).fetchall()


def dead_letters(connection: Connection[Any], limit: int) -> list[DeadLetter]:
    """The first of them, in their order."""
    with connection.cursor(row_factory=class_row(DeadLetter)) as cursor:
        return cursor.execute(
            "SELECT number, webhook, event_id, dead_at, tries, failure FROM webhook_deliveries"
            " WHERE dead_at IS NOT NULL ORDER BY number LIMIT %s",
            (limit,),
        ).fetchall()


def resend(connection: Connection[Any], name: str, numbers: Sequence[int] | None) -> int:
    """Let dead letters of this webhook be posted again, before what still waits; how many."""
    return connection.execute(
        "UPDATE webhook_deliveries"
        "   SET dead_at = NULL, tries = 0, refusals = 0, failing_since = NULL, next_at = now()"
        " WHERE webhook = %s AND dead_at IS NOT NULL"
        "   AND number = ANY(coalesce(%s, ARRAY[number]))",
        (name, numbers),
    ).rowcount


def drop(connection: Connection[Any], name: str, numbers: Sequence[int] | None) -> int:
    """Forget dead letters of this webhook; how many."""
    return connection.execute(
        "DELETE FROM webhook_deliveries"
        " WHERE webhook = %s AND dead_at IS NOT NULL"
        "   AND number = ANY(coalesce(%s, ARRAY[number]))",
        (name, numbers),
    ).rowcount


def all_webhooks(connection: Connection[Any]) -> list[Webhook]:
    """Those that there are, with their secrets."""
    with connection.cursor(row_factory=class_row(Webhook)) as cursor:
        return cursor.execute("SELECT name, url, format, secret FROM webhooks").fetchall()


class Bodies(NamedTuple):
    """What is posted of an event, in each format; None: nothing."""

    event_id: str
    cerrojo: bytes
    ocsf: bytes | None


def bodies(events: Iterable[event.AnyEvent]) -> list[Bodies]:
    """What is posted of these."""
    return [Bodies(each.id, event.encode(each), ocsf.encode(each)) for each in events]


def enqueue(connection: Connection[Any], waiting: Sequence[Bodies]) -> None:
    """Note these for every webhook. To be called in the transaction that moves the cursors."""
    connection.execute(
        "INSERT INTO webhook_deliveries (webhook, event_id, body)"
        " SELECT name, event_id, body"
        "   FROM unnest(%s::text[], %s::bytea[], %s::bytea[]) WITH ORDINALITY"
        "        AS e (event_id, cerrojo, ocsf, nth),"
        "        LATERAL (VALUES ('cerrojo', cerrojo), ('ocsf', ocsf)) AS b (format, body)"
        "   JOIN webhooks USING (format)"
        "  WHERE body IS NOT NULL ORDER BY nth, name",
        [list(column) for column in zip(*waiting, strict=True)],
    )


def next_delivery(connection: Connection[Any], name: str) -> Delivery | None:
    """What this webhook is to get next; None where it has everything."""
    with connection.cursor(row_factory=class_row(Delivery)) as cursor:
        return cursor.execute(
            "SELECT number, event_id, body, tries,"
            "       extract(epoch FROM next_at - clock_timestamp())::float8 AS wait_seconds"
            "  FROM webhook_deliveries WHERE webhook = %s AND dead_at IS NULL"
            " ORDER BY number LIMIT 1",
            (name,),
        ).fetchone()


def delivered(connection: Connection[Any], number: int) -> None:
    """The receiver has it."""
    connection.execute("DELETE FROM webhook_deliveries WHERE number = %s", (number,))


def failed(
    connection: Connection[Any],
    number: int,
    why: str,
    refused: bool,
    wait_seconds: float,
    most_seconds: float,
    most_refusals: int,
) -> bool:
    """It was posted in vain: post it again later, or give it up; whether that.

    It is given up where it has failed for `most_seconds`, or was refused so often.
    """
    row = connection.execute(
        "UPDATE webhook_deliveries"
        "   SET tries = tries + 1, refusals = refusals + %s, failure = %s,"
        "       failing_since = coalesce(failing_since, now()),"
        "       next_at = now() + make_interval(secs => %s),"
        "       dead_at = CASE WHEN refusals + %s >= %s OR now() - coalesce(failing_since, now())"
        "                           >= make_interval(secs => %s) THEN now() END"
        " WHERE number = %s RETURNING dead_at IS NOT NULL",
        (
            *(int(refused), why, wait_seconds),
            *(int(refused), most_refusals, most_seconds, number),
        ),
    ).fetchone()
    return bool(row and row[0])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
