"""Verdicts for services: logins elsewhere that check their passwords themselves."""

from __future__ import annotations

import time
from typing import cast

from quart import Blueprint, Response, request

from events.messages import Attempt, Verdict
from gateway import metrics, request_ids
from gateway.admission.account_turns import ClientGone
from gateway.errors import (
    BlockedError,
    BlockedForGoodError,
    RequestError,
    UnavailableError,
    WrongPasswordError,
)
from gateway.kafka.verdict_retry import seconds_until
from gateway.keyed_attempts import ServiceAttempt, id_of
from gateway.passwords.precis import username
from gateway.services import LoginServices
from gateway.tokens import Scope
from gateway.web import responses
from gateway.web.app import services
from gateway.web.direct_request import DirectRequest
from gateway.web.errors import UNAVAILABLE, refusal_of
from gateway.web.json_body import read_body
from gateway.web.password_check import conclude
from gateway.web.responses import Answer
from gateway.web.schemas import (
    BODY_ERRORS,
    ServiceVerdict,
    StandingBlock,
    Undecided,
    answers_with,
)
from gateway.web.service_attempts import CheckedPassword, ServiceHeaders, key_of, parse

blueprint = Blueprint("verdicts", __name__)

_ACCEPTED = responses.plain(200, responses.encode({"verdict": "accepted"}))
_REJECTED = responses.plain(200, responses.encode({"verdict": "rejected"}))


@blueprint.post("/attempts")
@answers_with(Undecided, 503)
@answers_with(
    *(ServiceVerdict, 200, *BODY_ERRORS, 401, 403, 409),
    body=CheckedPassword,
    headers=ServiceHeaders,
    of_services=True,
)
async def attempt() -> Response:
    """Give the verdict on an attempt whose password the service has checked; as for a login.

    The service lets a person in only with a right password and the verdict accepted. Rejected says
    that the attempt counted as a wrong one, and blocked that it counted for nothing.

    503 decides nothing as far as anybody knows. Send the request again with the same
    Idempotency-Key: then it is the same attempt, whichever gateway gets it, and has its first
    verdict. A key is known for 30 seconds at least.
    """
    # The login port serves `answer_attempt` itself, without Quart; this only documents it.
    raise AssertionError("POST /attempts is answered without Quart")


@blueprint.get("/attempts/<username:user>/block")
@answers_with(Undecided, 503)
@answers_with(StandingBlock, 200, 400, 401, 403, of_services=True)
async def show_block(user: str) -> Response:
    """Say whether the account is blocked, so that no hash need be spent.

    From what this gateway knows, without Kafka and Postgres. Where it says that there is no block,
    the verdict on the attempt may still say that there is one.
    """
    here = cast(LoginServices, services())
    try:
        here.tokens.service_of(request.headers.get("Authorization", "").encode(), Scope.BLOCK)
        due = time.monotonic() + here.settings.deadline_seconds
        await here.refuse_what_is_blocked(username(user), due)
        if not here.blocklist.knows(time.monotonic()):
            raise UnavailableError("This gateway does not know now who is blocked; try again later")
    except (BlockedError, BlockedForGoodError) as error:
        found = StandingBlock(blocked=True, retry_after=_seconds(error))
        return responses.answer(200, responses.encode(found))
    except UnavailableError as error:
        return responses.response(responses.undecided(error))
    return responses.answer(200, responses.encode(StandingBlock(blocked=False)))


async def answer_attempt(here: LoginServices, request: DirectRequest) -> Answer:
    """The answer to a service that asks for a verdict."""
    due = time.monotonic() + here.settings.deadline_seconds
    result = UNAVAILABLE
    limits, source, user = here.source_limits, None, ""
    try:
        service = here.tokens.service_of(request.header(b"authorization"), Scope.ATTEMPTS)
        key = key_of(request.header(b"idempotency-key"))
        attempt = parse(await read_body(request))
        user, source = attempt.user, limits.source_of_service(attempt.source)
        verdict = await _verdict(here, service, key, attempt, due, request.gone)
        conclude(verdict, attempt.right, here.clock_ms())
        result = "accepted"
        limits.succeeded(source, user)
        return _ACCEPTED
    except WrongPasswordError:
        result = "rejected"
        limits.failed(source, user)
        return _REJECTED
    except (BlockedError, BlockedForGoodError) as error:
        result = "blocked"
        limits.refused(source, user)
        found = ServiceVerdict("blocked", _seconds(error))
        return responses.plain(200, responses.encode(found))
    except UnavailableError as error:
        result = refusal_of(error).result
        return responses.undecided(error)
    except RequestError as error:
        result = refusal_of(error).result
        return responses.plain_refusal(error)
    finally:
        metrics.SERVICE_ATTEMPTS.labels(result).inc()


async def _verdict(
    here: LoginServices,
    service: str,
    key: bytes | None,
    attempt: ServiceAttempt,
    due: float,
    client_gone: ClientGone,
) -> Verdict:
    user, right, source, user_agent = attempt
    own_id = None if key is None else id_of(service, user, key)
    if own_id is not None:
        request_ids.adopt(own_id)

    async def ask() -> Verdict:
        await here.refuse_what_is_blocked(user, due)
        # Whoever asks again with the key waits for the same turn.
        gone: ClientGone = client_gone if key is None else lambda: None
        async with here.account_turns.turn(user, seconds_until(due), gone):
            await here.refuse_what_is_blocked(user, due)  # others' attempts may have blocked it
            return await here.log.ask(
                user,
                due,
                lambda id_, reply, partitions, expires_ms: Attempt(
                    *(own_id or id_, reply, user, right, partitions),
                    # A wrong password counts, however late it comes into the log.
                    *(expires_ms if right else 0, source, user_agent),
                    lists=True,
                ),
            )

    if own_id is None:
        return await ask()
    return await here.keyed_attempts.decide(own_id, attempt, due, ask)


def _seconds(error: BlockedError | BlockedForGoodError) -> int | None:
    return error.seconds if isinstance(error, BlockedError) else None
