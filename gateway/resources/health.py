"""Whether this process lives, and whether the whole can do its work."""

from __future__ import annotations

import asyncio
import time

from confluent_kafka import KafkaException
from psycopg import AsyncConnection
from quart import Blueprint, Response
from quart_schema import document_response

from gateway import answers
from gateway.app import services
from gateway.errors import UnavailableError
from gateway.kafka import reason
from gateway.schemas import Alive, Readiness, answers_with
from gateway.services import Services

alive = Blueprint("alive", __name__)
ready = Blueprint("ready", __name__)

_ALIVE = answers.encode({"alive": True})

PATIENCE = 1.0  # seconds for each part to answer


@alive.get("/healthz")
@answers_with(Alive, 200)
async def healthz() -> Response:
    """Say that this process lives."""
    return answers.answer(200, _ALIVE)


@ready.get("/readyz")
@document_response(Readiness, 200)
@document_response(Readiness, 503)
async def readyz() -> Response:
    """Say of each part that logins depend on whether it does its work."""
    here = services()
    postgres, kafka = await asyncio.gather(_postgres(here), _kafka(here))
    parts = {"postgres": postgres, "kafka": kafka, "workers": _workers(here)}
    is_ready = all(part == "ok" for part in parts.values())
    return answers.answer(
        200 if is_ready else 503,
        answers.encode({"ready": is_ready, "parts": parts}),
        None if is_ready else {"Retry-After": "1"},
    )


async def _postgres(here: Services) -> str:
    async def one(connection: AsyncConnection) -> None:
        await connection.execute("SELECT 1")

    try:
        await here.database.run(one, PATIENCE)
    except UnavailableError as error:
        return str(error)
    return "ok"


async def _kafka(here: Services) -> str:
    try:
        await asyncio.to_thread(here.journal.reach, PATIENCE)
    except KafkaException as error:
        return f"Kafka does not answer: {reason(error)}"
    return "ok"


def _workers(here: Services) -> str:
    if not here.view.partitions:
        return "it is not known yet how many partitions there are"
    silent = here.view.silent(time.monotonic())
    if not silent:
        return "ok"
    numbers = ", ".join(map(str, silent))
    return f"no heartbeat from partition{'s' * (len(silent) > 1)} {numbers}"
