"""Checks an account's password, in its turn, and lets the log decide what that means."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import NamedTuple

import structlog
from hypercorn.typing import HTTPScope

from events.messages import Attempt, Decision, Verdict
from gateway import metrics
from gateway.admission.account_turns import ClientGone
from gateway.devices import Device
from gateway.errors import (
    BlockedError,
    BlockedForGoodError,
    UnavailableError,
    WrongPasswordError,
)
from gateway.kafka.verdict_retry import seconds_until
from gateway.passwords.hash_client import Checking
from gateway.passwords.hash_protocol import BadHashError, Lane
from gateway.postgres.accounts import GOOD_SECONDS, Account
from gateway.services import LoginServices, blocked
from gateway.sources import Origin, user_agent_of
from gateway.web.credentials import Credentials
from gateway.web.device_cookie import DeviceCookie

logger = structlog.get_logger()

SAID_AFTER_SECONDS = 1.0
"""Of a bad hash: a line takes 0.3 ms, by which a guesser would know it from others."""

Headers = Iterable[tuple[bytes, bytes]]


class Proof(NamedTuple):
    """A password was right, and the log has accepted the attempt."""

    account: Account
    """As it was when the password was checked."""
    read_at: float
    """When its reading began, on the monotonic clock."""
    outdated: bool
    """Whether the hash was made by other settings than today's."""
    lane: Lane
    """In which the hash was made."""
    network: str
    """From which the request came; empty where nothing says it."""


async def prove(
    here: LoginServices,
    credentials: Credentials,
    scope: HTTPScope,
    due: float,
    client_gone: ClientGone,
) -> Proof:
    """Give the proof if the log accepts; any other outcome raises a RequestError.

    `scope` is the request's, which says from where it comes; what stands against that source is
    decided first.
    A disabled account's password is never right: nobody learns that it is disabled.
    """
    user, limits = credentials.user, here.source_limits
    origin, user_agent = origin_of(here, scope), _user_agent(scope)
    network = limits.network(origin.address)
    device = known_device(here, user, scope["headers"])
    # Of a device's attempts the log decides: the blocklist has the blocks of strangers. Nor does it
    # wait for their turns, or for what others did at its source.
    name = f"{user}\0{device.id.hex()}" if device else user
    source = None if device else limits.source(origin)
    delayed_ms = await limits.wait(source, user, client_gone)
    try:
        await _refuse_what_is_blocked(here, user, device, due)
        async with here.account_turns.turn(name, here.seconds_to_begin(due), client_gone) as alone:
            # Others' guesses may have blocked it.
            await _refuse_what_is_blocked(here, user, device, due)
            read_at = time.monotonic()
            account = await here.account_loader.account(user, seconds_until(due))
            if device and (account is None or account.version != device.version):
                device, source = None, limits.source(origin)
                delayed_ms = await limits.wait(source, user, client_gone)
                await _refuse_what_is_blocked(here, user, device, due)
            first = alone and not limits.stranger(source)
            lane = Lane.FOREGROUND if first else Lane.BACKGROUND
            decoy = here.decoys.of(user)  # also of an account, whose guess is to take as long
            stored = account.password_hash if account else decoy
            checking = await _check(
                here, lane, stored, name, credentials, due, client_gone, network
            )
            right = checking.right and account is not None and not account.disabled
            await here.gathering.wait(here.hash_client.crowded(lane))
            # Others' guesses may have come to be known. Nothing is revealed yet, nothing counts.
            limits.refuse(source, user)
            guess = None if right or not here.guesses else here.guesses.of(user, credentials.pass_)
            verdict = await here.log.ask(
                user,
                due,
                lambda id_, reply, partitions, expires_ms: Attempt(
                    *(id_, reply, user, right, partitions),
                    # A wrong password counts, however late it comes into the log.
                    *(expires_ms if right else 0, origin.address, user_agent),
                    *(device.id if device else None, guess, delayed_ms),
                    lists=True,
                ),
            )
        if device and here.devices and verdict.decision == Decision.BLOCKED:
            here.devices.note_refusal(device.id, verdict.until_ms)
        conclude(verdict, right, here.clock_ms())
    except WrongPasswordError:
        limits.failed(source, user)
        raise
    except (BlockedError, BlockedForGoodError):
        limits.refused(source, user)
        raise
    limits.succeeded(source, user)
    assert account, "A password was right for an account that is not there"
    return Proof(account, read_at, checking.outdated, lane, network)


async def refuse_what_has_changed(here: LoginServices, user: str, proof: Proof, due: float) -> None:
    """Raise WrongPasswordError unless the account is still the one whose password was checked.

    Asked last, so that no login succeeds by a password whose change was answered.
    """
    if time.monotonic() - proof.read_at < GOOD_SECONDS:
        return
    now = await here.account_loader.recent_account(user, seconds_until(due))
    if now is None or now.disabled or now.version != proof.account.version:
        raise WrongPasswordError


def known_device(here: LoginServices, user: str, headers: Headers) -> Device | None:
    """The device of this account that a request with these headers comes from."""
    if here.devices is None:
        return None
    return here.devices.known(user, DeviceCookie(here.settings).value_in(headers))


def device_cookie(here: LoginServices, user: str, version: int, headers: Headers) -> str | None:
    """The header that makes the sender of a request with these headers a device of this account.

    None where there are no keys.
    """
    if here.devices is None:
        return None
    cookie = DeviceCookie(here.settings)
    value = here.devices.after_login(user, version, cookie.value_in(headers))
    return cookie.give(value) if value else None


async def _refuse_what_is_blocked(
    here: LoginServices, user: str, device: Device | None, due: float
) -> None:
    if device is None:
        await here.refuse_what_is_blocked(user, due)
        return
    await here.log.reach(user, due)  # raises where nobody is known who could decide
    assert here.devices
    until_ms = here.devices.refused_until(device.id)
    if until_ms:
        raise blocked(until_ms, here.clock_ms())


def origin_of(here: LoginServices, scope: HTTPScope) -> Origin:
    """Where this request comes from."""
    client = scope["client"]
    return here.sources.of(client[0] if client else None, scope["headers"])


def _user_agent(scope: HTTPScope) -> str | None:
    return user_agent_of(next((v for name, v in scope["headers"] if name == b"user-agent"), None))


async def _check(
    here: LoginServices,
    lane: Lane,
    stored: str | None,
    name: str,
    credentials: Credentials,
    due: float,
    client_gone: ClientGone,
    network: str,
) -> Checking:
    """Whether the password is the account's; as slow where there is no such account.

    `name` is that of its turns. Where the stored hash is bad, no password is right: the attempt
    counts and is answered like any wrong one.
    """
    try:
        return await here.hash_client.check(
            lane, name, stored, credentials.pass_, due, client_gone, network
        )
    except BadHashError as error:
        metrics.BAD_HASHES.inc()
        asyncio.get_running_loop().call_later(
            SAID_AFTER_SECONDS, _say_bad, credentials.user, str(error)
        )
        return Checking(right=False, outdated=False)


def _say_bad(user: str, reason: str) -> None:
    logger.error(
        "An account's stored password hash is bad; nobody can log in to it",
        user=user,
        reason=reason,
    )


def conclude(verdict: Verdict, right: bool, clock_ms: int) -> None:
    """Raise unless the password is right and the verdict accepts: a verdict can only take away.

    `clock_ms` is what the brokers' clock shows at least.
    """
    if verdict.decision == Decision.BLOCKED:
        raise blocked(verdict.until_ms, clock_ms)
    if verdict.decision == Decision.ACCEPTED and right:
        return
    if verdict.decision == Decision.REJECTED and not right:
        raise WrongPasswordError
    logger.error("A verdict contradicts its attempt", decision=verdict.decision, right=right)
    raise UnavailableError("The verdict makes no sense; try again later")
