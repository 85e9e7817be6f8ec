"""The decisions of the log: about an account or about all, by page or a whole day."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from weakref import WeakSet

import msgspec
from quart import Blueprint, Response, request

from events.messages import Decision
from gateway.errors import InvalidInputError, OverloadedError, UnavailableError
from gateway.operators import Role
from gateway.passwords.precis import username
from gateway.postgres import audit_slices
from gateway.postgres.operator_queries import DecisionRow, WantedDecisions
from gateway.services import Services
from gateway.timestamps import iso, now_ms
from gateway.web import responses
from gateway.web.app import current_request, services
from gateway.web.cursors import Number, after, cursor
from gateway.web.errors import CutOffError
from gateway.web.operator_access import needs
from gateway.web.query_parameters import (
    DAY_MS,
    Asked,
    address,
    arguments,
    day,
    limit,
    moment,
    text,
    verdict,
)
from gateway.web.schemas import Attempts, AuditedRequest, answers_with

blueprint = Blueprint("attempts", __name__)

PAGE = 100
LARGEST_PAGE = 10_000

MOST_EXPORTS = 2
"""Whole days that one process gives at the same time: each has a connection to Postgres for a part
of the time, and others ask, too."""

EXPORT_SECONDS = 3_600.0
"""A whole day has to be read by then."""

LATEST_MS = 2**62

_place = msgspec.msgpack.Decoder(tuple[Number, Number, Number, Number])


class _Export:
    """A day that is read."""


_exports: WeakSet[_Export] = WeakSet()
"""One whose answer is never begun, as its client has left, ends with it."""


@needs(Role.READ)
@blueprint.get("/attempts")
@answers_with(Attempts, 200, 400, 503, query=Asked)
async def list_attempts() -> Response:
    """List what the log decided, newest first: about an account, by an operator, or all of it.

    `next` leads to the next page, as `Link` does. Without either of them, an answer looks at as
    much of the audit as it has the time for, so a page may be short, or even empty, before the last
    one.

    With `day` and `Accept: application/x-ndjson` the whole day comes, oldest first, as a line of
    JSON for each decision. An answer that is not whole is cut off, and does not end as HTTP says.
    It has to be read within an hour.
    """
    here = services()
    asked = arguments(request)
    wanted = _wanted(asked)
    if responses.NDJSON in request.headers.get("Accept", ""):
        return await _export(here, asked, wanted)
    size = limit(asked, PAGE, LARGEST_PAGE)
    rows, end = await audit_slices.newest_first(
        here.database, wanted, after(asked, _place), size, here.settings.deadline_seconds, now_ms()
    )
    page = Attempts([_decided(row) for row in rows], end and cursor(end))
    return responses.answer(200, responses.encode(page), responses.next_page(request, page.next))


def _wanted(asked: Mapping[str, str]) -> WantedDecisions:
    user = username(asked["user"]) if "user" in asked else None
    begin, end = moment(asked, "from"), moment(asked, "to")
    first = day(asked)
    if first is not None:
        if begin is not None or end is not None:
            raise InvalidInputError("Give either day, or from and to")
        begin, end = first, first + DAY_MS
    return WantedDecisions(
        user,
        address(asked, "source"),
        verdict(asked),
        max(0, begin or 0),
        LATEST_MS if end is None else min(end, LATEST_MS),
        text(asked, "operator") if "operator" in asked else None,
    )


async def _export(here: Services, asked: Mapping[str, str], wanted: WantedDecisions) -> Response:
    if "day" not in asked or "limit" in asked or "after" in asked:
        raise InvalidInputError(
            f"{responses.NDJSON} needs day, and no limit or after: all of a day comes"
        )
    if len(_exports) >= MOST_EXPORTS:
        raise OverloadedError(
            f"{MOST_EXPORTS} days are being read already; try again when one of them is done"
        )
    headers = responses.HEADERS | {"Content-Type": responses.NDJSON}
    if request.method == "HEAD":
        return Response(b"", 200, headers)
    this, until = _Export(), time.monotonic() + EXPORT_SECONDS
    _exports.add(this)
    gone = current_request().gone()
    found = audit_slices.oldest_first(here.database, wanted, here.settings.deadline_seconds)
    try:
        first = await anext(found, ())  # a Postgres that is away is known before the answer begins
    except BaseException:
        _exports.discard(this)
        raise

    async def lines(export: _Export, rows: Sequence[DecisionRow]) -> AsyncIterator[bytes]:
        try:
            yield _lines.encode_lines([_decided(row) for row in rows])
            async for rows in found:
                if gone.done():
                    return
                if time.monotonic() > until:
                    raise CutOffError(f"The day was not read within {EXPORT_SECONDS:g} s")
                yield _lines.encode_lines([_decided(row) for row in rows])
        except UnavailableError as error:
            raise CutOffError(str(error)) from error
        finally:
            _exports.discard(export)

    return Response(lines(this, first), 200, headers)


_lines = msgspec.json.Encoder()
_DECIDED = (Decision.ACCEPTED, Decision.REJECTED)


def _decided(row: DecisionRow) -> AuditedRequest:
    # Behind a block nothing is revealed, not even to who looks at the audit: what was guessed there
    # is still the owner's password. The rest was not decided.
    right = row.right_password if row.decision in _DECIDED else None
    return AuditedRequest(
        at=iso(row.appended_ms),
        partition=row.partition,
        generation=row.generation,
        offset=row.log_offset,
        kind=row.kind,
        user=row.username,
        outcome=None if right is None else "right" if right else "wrong",
        verdict=Decision(row.decision).name.lower(),
        policy=row.policy_version,
        source=row.source,
        user_agent=row.user_agent,
        id=row.id.hex(),
        delayed_ms=row.delayed_ms,
        device=None if row.device is None else row.device.hex(),
        operator=row.operator,
        reason=row.reason,
    )
