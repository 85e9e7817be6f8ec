"""The policy in force, and those before it, for operators.

The audit says which version came into force when, and the seals of the audit what was in it
(`workers.partition.seals`). Nothing is checked here: `cerrojo verify` does that.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import Struct
from psycopg import AsyncConnection

from events.messages import Policy, RefusedError
from events.signatures import Opener
from sql.shadow_figures import Counted
from sql.topology import COMMAND_LOCK


class TriedNow(NamedTuple):
    """The policy that is tried."""

    policy: Policy
    since_ms: int
    counted: Counted | None
    """None: nothing is counted yet."""


class PolicyNow(NamedTuple):
    """The newest policy, and where it is in force."""

    policy: Policy
    since_ms: int | None
    """When it came into force in the first partition; None: the audit is not kept as long."""
    partitions: int
    """The number of those that are used."""
    behind: list[int]
    """The partitions where it is not in force yet."""
    tried: TriedNow | None
    """The one that is tried beside it; None: none is."""


class PolicyThen(NamedTuple):
    """A policy that came into force."""

    version: int
    since_ms: int
    """When it did in the first partition."""
    policy: Policy | None
    """None: nothing that can be read says it."""


class _Seal(Struct, array_like=True, tag="seal"):
    """The beginning of a seal."""

    partition: int
    generation: int
    from_offset: int
    to_offset: int
    first_ms: int
    last_ms: int
    latest_ms: int
    policies: list[list[object]]


_decoder = msgspec.msgpack.Decoder(_Seal)
_opener = Opener(None, "")  # it checks nothing

# By the index audit_policy; by the name in days from before there was one.
_CAME = "FROM audit WHERE username = '' AND kind = 'policy' AND decision = 0"


async def select_policy(connection: AsyncConnection) -> PolicyNow | None:
    """The policy in force; None where no partition has one yet."""
    cursor = await connection.execute(
        """SELECT n, policy
             FROM topology, generate_series(0, partitions - 1) n
             LEFT JOIN partition_progress ON partition = n
            ORDER BY n"""
    )
    found = {
        number: None if policy is None else msgspec.convert(policy, Policy)
        for number, policy in await cursor.fetchall()
    }
    newest = max(filter(None, found.values()), key=lambda policy: policy.version, default=None)
    if newest is None:
        return None
    cursor = await connection.execute(
        f"SELECT min(appended_ms) {_CAME} AND policy_version = %s", (newest.version,)
    )
    row = await cursor.fetchone()
    behind = [number for number, policy in found.items() if policy != newest]
    cursor = await connection.execute("SELECT policy, since_ms, figures FROM shadow_policy")
    shadow = await cursor.fetchone()
    tried = _tried(*shadow) if shadow else None
    return PolicyNow(newest, row[0] if row else None, len(found), behind, tried)


def _tried(policy: object, since_ms: int, figures: object) -> TriedNow:
    try:
        counted = msgspec.convert(figures, Counted | None)
    except msgspec.ValidationError:
        counted = None  # by another version
    if counted and counted.since_ms != since_ms:
        counted = None  # of a trial before
    return TriedNow(msgspec.convert(policy, Policy), since_ms, counted)


async def nobody_else_changes(connection: AsyncConnection) -> bool:
    """Whether nobody else changes the policy or the partitions until the transaction's end."""
    cursor = await connection.execute(
        "SELECT pg_try_advisory_xact_lock(%s), wanted <= partitions FROM topology", (COMMAND_LOCK,)
    )
    return await cursor.fetchone() == (True, True)


async def select_policies(connection: AsyncConnection, limit: int) -> list[PolicyThen]:
    """The policies that came into force while the audit is kept, newest first."""
    cursor = await connection.execute(
        f"""SELECT version, since_ms, seal
             FROM (SELECT DISTINCT ON (policy_version) policy_version AS version,
                          appended_ms AS since_ms, partition, generation, log_offset
                     {_CAME}
                    ORDER BY policy_version DESC, appended_ms
                    LIMIT %s) AS came
             LEFT JOIN LATERAL (
                  SELECT seal FROM audit_seals s
                   WHERE s.partition = came.partition AND s.generation = came.generation
                     AND s.to_offset > came.log_offset
                   ORDER BY s.to_offset LIMIT 1) AS sealed ON true
            ORDER BY version DESC""",
        (limit,),
    )
    return [
        PolicyThen(version, since_ms, policy_in(seal, version))
        for version, since_ms, seal in await cursor.fetchall()
    ]


def policy_in(seal: bytes | None, version: int) -> Policy | None:
    """The policy of this version in a seal as it is stored; None where it has none."""
    try:
        body = _opener.open(0, None, seal, 0)
        policies = _decoder.decode(body or b"").policies
        found = [dict(zip(Policy.__struct_fields__, each, strict=False)) for each in policies]
        return next(
            (msgspec.convert(each, Policy) for each in found if each.get("version") == version),
            None,
        )
    except (RefusedError, msgspec.MsgspecError):
        return None
