"""Health: whether this process lives, has loaded everything, and whether logins can be decided."""

from __future__ import annotations

import asyncio
import time

from confluent_kafka import KafkaException
from psycopg import AsyncConnection
from quart import Blueprint, Response

from events.clients import reason
from gateway.errors import UnavailableError
from gateway.services import Services
from gateway.web import responses
from gateway.web.app import services
from gateway.web.operator_access import EVERYBODY, needs
from gateway.web.schemas import Alive, Readiness, Started, answers_with

alive = Blueprint("alive", __name__)
started = Blueprint("started", __name__)
ready = Blueprint("ready", __name__)

_ALIVE = responses.encode({"alive": True})
_STARTED = responses.encode({"started": True})

PATIENCE_SECONDS = 1.0  # for each dependency to answer


@needs(EVERYBODY)
@alive.get("/healthz")
@answers_with(Alive, 200)
async def healthz() -> Response:
    """Say that this process lives."""
    return responses.answer(200, _ALIVE)


@needs(EVERYBODY)
@started.get("/startz")
@answers_with(Started, 200, 503)
async def startz() -> Response:
    """Say that this process has loaded everything since its start, whatever is away now."""
    if not services().is_loaded:
        raise UnavailableError("This process has not loaded everything yet; try again later")
    return responses.answer(200, _STARTED)


@needs(EVERYBODY)
@ready.get("/readyz")
@answers_with(Readiness, 200)
@answers_with(Readiness, 503)
async def readyz() -> Response:
    """Say of each dependency of logins whether it works."""
    here = services()
    postgres, kafka = await asyncio.gather(_postgres(here), _kafka(here))
    parts = {"postgres": postgres, "kafka": kafka, "workers": _workers(here)}
    is_ready = all(part == "ok" for part in parts.values())
    return responses.answer(
        200 if is_ready else 503,
        responses.encode({"ready": is_ready, "parts": parts}),
        None if is_ready else {"Retry-After": "1"},
    )


async def _postgres(here: Services) -> str:
    async def one(connection: AsyncConnection) -> None:
        await connection.execute("SELECT 1")

    try:
        await here.database.run(one, PATIENCE_SECONDS)
    except UnavailableError as error:
        return str(error)
    return "ok"


async def _kafka(here: Services) -> str:
    try:
        await asyncio.to_thread(here.verdict_client.producer.reach, PATIENCE_SECONDS)
    except KafkaException as error:
        return f"Kafka does not answer: {reason(error)}"
    return "ok"


def _workers(here: Services) -> str:
    if not here.blocklist.partitions:
        return "it is not known yet how many partitions there are"
    silent = here.blocklist.silent(time.monotonic())
    if not silent:
        return "ok"
    numbers = ", ".join(map(str, silent))
    return f"no heartbeat from partition{'s' * (len(silent) > 1)} {numbers}"
