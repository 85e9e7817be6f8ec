"""Puts another policy into force, on behalf of an operator.

As `cerrojo policy` does it: a record in the log of every partition in use, and the version raised.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec
from psycopg import AsyncConnection

from events.messages import Decision, Policy, SetPolicy, Verdict
from events.signing_keys import SETTING
from gateway.errors import NoPolicyKeyError, PolicyChangedError, RequestError, UnavailableError
from gateway.kafka.verdict_client import Destination, MakeRequest
from gateway.kafka.verdict_retry import seconds_until
from gateway.operators import By
from gateway.postgres.database import Queries
from gateway.postgres.policies import PolicyNow, nobody_else_changes, select_policy

LOOK_SECONDS = 0.5
"""The part of the deadline that is kept for a look at where the policy is in force."""


class Asks(Protocol):
    """Asks one partition for a verdict, as `verdict_client.VerdictClient` does."""

    @property
    def signs_policies(self) -> bool: ...
    async def ask(
        self, user: str, destination: Destination, seconds: float, request: MakeRequest
    ) -> Verdict: ...


class PolicyChange:
    """Changes of the policy, one at a time in the whole system."""

    def __init__(self, database: Queries, log: Asks) -> None:
        self._database = database
        self._log = log

    async def put(self, wanted: Policy, due: float, by: By) -> PolicyNow:
        """Put a policy into force, which has the version of the one that it was made from.

        What is in force at the end, and where not yet. One that is in force already is not put
        there again, so the same may be asked again after an UnavailableError. Raises
        NoPolicyKeyError, PolicyChangedError, and UnavailableError where no partition has it.
        """
        if not self._log.signs_policies:
            raise NoPolicyKeyError(
                f"The operator port's file in {SETTING} has no key that signs a policy. `cerrojo "
                "keys signing allow-policy FOLDER` gives it one; until then `cerrojo policy` "
                "changes the policy"
            )

        async def change(connection: AsyncConnection) -> PolicyNow:
            async with connection.transaction():
                if not await nobody_else_changes(connection):
                    raise UnavailableError(
                        "Somebody else is changing the policy or the partitions; try again later"
                    )
                return await self._change(connection, wanted, due, by)

        return await self._database.run(change, seconds_until(due))

    async def _change(
        self, connection: AsyncConnection, wanted: Policy, due: float, by: By
    ) -> PolicyNow:
        now = await _policy(connection)
        version = now.policy.version
        is_there = msgspec.structs.replace(wanted, version=version) == now.policy
        if wanted.version != version and not is_there:
            raise PolicyChangedError(
                f"Policy {version} is in force, and yours was made from {wanted.version}. Look at "
                "GET /policy, and send yours with its version"
            )
        if is_there and not now.behind:
            return now
        wanted = msgspec.structs.replace(wanted, version=version + 1)
        seconds = seconds_until(due - LOOK_SECONDS)
        answers = await asyncio.gather(
            *(
                self._ask(number, now.partitions, seconds, wanted, by)
                for number in range(now.partitions)
            ),
            return_exceptions=True,
        )
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, RequestError):
                raise answer
        then = await _policy(connection)
        if then.policy.version == version:
            raise UnavailableError(
                "No partition has the new policy in force yet, and it may come into force all the "
                "same; look at GET /policy"
            )
        # As one that was sent while no worker lived, and whose answer was 503.
        if then.policy != wanted or any(
            isinstance(answer, Verdict) and answer.decision != Decision.ACCEPTED
            for answer in answers
        ):
            raise PolicyChangedError(
                "Another policy came first in a log, where it waited for its worker. Look at "
                "GET /policy, and send yours with its version"
            )
        return then

    async def _ask(
        self, partition: int, partitions: int, seconds: float, policy: Policy, by: By
    ) -> Verdict:
        return await self._log.ask(
            "",
            Destination(partition, partitions),
            seconds,
            lambda id_, reply, _: SetPolicy(id_, reply, policy, *by),
        )


async def _policy(connection: AsyncConnection) -> PolicyNow:
    found = await select_policy(connection)
    if found is None:
        raise UnavailableError("No partition has a policy yet: workers bring the first one")
    return found
