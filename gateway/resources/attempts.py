"""What was decided about an account."""

from __future__ import annotations

from psycopg import AsyncConnection
from quart import Blueprint, Response, request
from quart_schema import document_querystring

from events.messages import Decision
from gateway import answers
from gateway.app import services
from gateway.operations import DecisionRow, select_decisions
from gateway.profiles import username
from gateway.queries import OneUser, limit
from gateway.schemas import Attempts, Decided, answers_with
from gateway.times import iso

blueprint = Blueprint("attempts", __name__)

PAGE = 100
LARGEST_PAGE = 10_000


@blueprint.get("/attempts")
@document_querystring(OneUser)
@answers_with(Attempts, 200, 400, 503)
async def list_attempts() -> Response:
    """List what was decided about an account, the newest first."""
    here = services()
    name = username(request.args.get("user", ""))
    size = limit(request.args, PAGE, LARGEST_PAGE)

    async def query(connection: AsyncConnection) -> list[DecisionRow]:
        return await select_decisions(connection, name, size)

    rows = await here.database.run(query, here.settings.deadline_seconds)
    return answers.answer(200, answers.encode(Attempts([_decided(row) for row in rows])))


def _decided(row: DecisionRow) -> Decided:
    right = row.right_password
    return Decided(
        at=iso(row.appended_ms),
        partition=row.partition,
        generation=row.generation,
        offset=row.log_offset,
        kind=row.kind,
        outcome=None if right is None else "right" if right else "wrong",
        verdict=Decision(row.decision).name.lower(),
        policy=row.policy_version,
    )
