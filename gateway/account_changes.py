"""Makes, changes and deletes accounts, and lifts through the log what stood against them.

An account is in Postgres, what stands against its name follows from the log, and no commit is in
both. Each change says which of them comes first, and so what a failure in between leaves.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from psycopg import AsyncConnection

from events.messages import (
    Decision,
    Deleted,
    DevicesForgotten,
    Disabled,
    Enabled,
    PasswordChanged,
    Registered,
    Unblock,
    Verdict,
)
from gateway.errors import NameTakenError, NotFoundError, UnavailableError
from gateway.kafka.verdict_retry import MakeExpiring, seconds_until
from gateway.operators import By
from gateway.postgres.accounts import (
    GOOD_SECONDS,
    KnownAccount,
    change_disabled,
    change_password_hash,
    change_version,
    insert_account,
    select_account,
)
from gateway.postgres.database import Queries

COMMIT_SECONDS = 0.1
"""The part of the deadline that is kept for the commit, if the verdict comes at the last moment."""

TIMER_SECONDS = 0.01
"""More than a timer may come too early."""

AGAIN_SECONDS = 0.25
"""Until a deletion is asked for again that passed over an account which somebody has locked."""

NOBODY = By()
"""Of changes by people themselves."""

NO_ACCOUNT = "There is no account of this name"


class Log(Protocol):
    """Asks for verdicts, as `verdict_retry.VerdictRetry` does."""

    async def reach(self, user: str, due: float) -> object: ...
    async def ask(self, user: str, due: float, request: MakeExpiring) -> Verdict: ...


class AccountChanges:
    """The changes of accounts. Each raises UnavailableError where it is not done by `due`."""

    def __init__(self, database: Queries, log: Log, connections: int) -> None:
        """`connections` are those that the database has."""
        self._database = database
        self._log = log
        # Making an account holds one while it waits for its verdict; logins need some, too.
        self._creating = asyncio.Semaphore(max(1, connections // 2))

    async def create(self, user: str, password_hash: str, due: float, by: By = NOBODY) -> None:
        """Make an account, against which nothing stands. Raises NameTakenError.

        It becomes visible when the log has cleared the name's failures: without its verdict in time
        the transaction ends with nothing done.
        """

        async def insert_and_tell(connection: AsyncConnection) -> None:
            async with connection.transaction():
                if not await insert_account(connection, user, password_hash):
                    raise NameTakenError("This user exists already")
                await self._log.ask(
                    user,
                    due - COMMIT_SECONDS,
                    lambda id_, reply, *rest: Registered(id_, reply, user, *rest, **by._asdict()),
                )

        async with self._creating:
            await self._database.run(insert_and_tell, seconds_until(due))

    async def set_password(
        self,
        user: str,
        password_hash: str,
        due: float,
        version: int | None = None,
        by: By = NOBODY,
    ) -> int:
        """Give an account a new password, and lift what stands against it; its new version.

        Raises NotFoundError where there is none, or it has another version than this. The password
        comes first, so that what was guessed at the old one is behind it in the log, and a lost
        password is of no use any more whatever becomes of the rest. An UnavailableError says
        whether the new one may be in force; what is not lifted then, the owner's next login clears.
        """
        await self._log.reach(user, due)  # nothing is begun that nobody could end
        try:
            changed = await self._database.run(
                lambda connection: change_password_hash(connection, user, password_hash, version),
                seconds_until(due),
            )
        except UnavailableError:
            raise UnavailableError(
                "Postgres did not answer in time; the new password may be in force all the same"
            ) from None
        if changed is None:
            raise NotFoundError(NO_ACCOUNT)
        committed = time.monotonic()
        try:
            await self._log.ask(
                user,
                due,
                lambda id_, reply, *rest: PasswordChanged(id_, reply, user, *rest, **by._asdict()),
            )
        except UnavailableError:
            raise UnavailableError(
                "The new password is in force; what stood against the account may stand still"
            ) from None
        finally:
            await _known_to_all(committed)
        return changed

    async def forget_devices(self, user: str, due: float, by: By) -> None:
        """Know none of an account's devices any more, and end its sessions. It lifts nothing.

        Raises NotFoundError.
        """
        if not await self._database.run(
            lambda connection: change_version(connection, user), seconds_until(due)
        ):
            raise NotFoundError(NO_ACCOUNT)
        await self._note(
            *("Its devices are forgotten", user, due),
            lambda id_, reply, *rest: DevicesForgotten(id_, reply, user, *rest, **by._asdict()),
        )

    async def set_disabled(self, user: str, disabled: bool, due: float, by: By) -> None:
        """Disable or enable an account. It lifts nothing. Raises NotFoundError."""
        if not await self._database.run(
            lambda connection: change_disabled(connection, user, disabled), seconds_until(due)
        ):
            raise NotFoundError(NO_ACCOUNT)
        kind = Disabled if disabled else Enabled
        await self._note(
            *(f"The account is {'disabled' if disabled else 'enabled'}", user, due),
            lambda id_, reply, *rest: kind(id_, reply, user, *rest, **by._asdict()),
        )

    async def _note(self, done: str, user: str, due: float, note: MakeExpiring) -> None:
        """Let the log have what is done already, which must not wait for Kafka."""
        committed = time.monotonic()
        try:
            await self._log.ask(user, due, note)
        except UnavailableError as error:
            raise UnavailableError(
                f"{done}, and the audit may not say so. Ask again: {error}"
            ) from None
        finally:
            await _known_to_all(committed)

    async def find(self, user: str, due: float) -> KnownAccount | None:
        """What operators may know of an account; None where there is none."""
        return await self._database.run(
            lambda connection: select_account(connection, user), seconds_until(due)
        )

    async def delete(self, user: str, due: float, by: By) -> bool:
        """Keep nothing of a name: neither account nor lock state, nor a decision that says it.

        Gives whether there was an account. All of it is done by the partition's worker, in the
        order of the log, so that a database that went back does it again. After a failure, ask
        again.
        """
        first = account = await self.find(user, due)
        while True:
            decision = await self._decide_deletion(user, account.version if account else 0, due, by)
            if decision == Decision.BLOCKED:
                await self._log.ask(
                    user,
                    due,
                    lambda id_, reply, *rest: Unblock(id_, reply, user, *rest, **by._asdict()),
                )
                continue
            committed = time.monotonic()
            # It may have been changed since, or somebody may have had it locked.
            account = await self.find(user, due)
            if not first or not account or account.registered_ms != first.registered_ms:
                await _known_to_all(committed)  # also what another call has deleted just before
                return first is not None
            await asyncio.sleep(AGAIN_SECONDS)

    async def _decide_deletion(self, user: str, version: int, due: float, by: By) -> Decision:
        verdict = await self._log.ask(
            user,
            due,
            lambda id_, reply, partitions, expires_ms: Deleted(
                id_, reply, user, partitions, expires_ms, version, **by._asdict()
            ),
        )
        return verdict.decision


async def _known_to_all(committed: float) -> None:
    """Wait until no login relies any more on what it had read before this moment."""
    await asyncio.sleep(max(0.0, committed + GOOD_SECONDS + TIMER_SECONDS - time.monotonic()))
