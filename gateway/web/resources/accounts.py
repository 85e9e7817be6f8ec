"""Accounts, as operators make, change and delete them."""

from __future__ import annotations

from typing import cast

from quart import Blueprint, Response

from gateway import metrics
from gateway.account_changes import NO_ACCOUNT
from gateway.errors import NotFoundError
from gateway.operators import Role
from gateway.passwords.hash_protocol import Lane
from gateway.passwords.precis import username
from gateway.services import HashingServices
from gateway.timestamps import iso
from gateway.web import responses
from gateway.web.app import current_request, services
from gateway.web.credentials import (
    Disabling,
    NewAccount,
    NewPassword,
    Reason,
    read_disabling,
    read_new_account,
    read_new_password,
    read_reason,
)
from gateway.web.operator_access import by, deadline, needs
from gateway.web.schemas import BODY_ERRORS, AccountState, Deletion, Success, answers_with

blueprint = Blueprint("accounts", __name__)

_SUCCESS = responses.encode({"success": True})


@needs(Role.ADMINISTER)
@blueprint.post("/accounts")
@answers_with(Success, 201, *BODY_ERRORS, 409, 503, body=NewAccount)
async def create_account() -> Response:
    """Make an account. Earlier failures at its name are forgotten."""
    here, due = _here()
    credentials = await read_new_account(current_request())
    ordered = by(credentials.reason)
    here.common_passwords.refuse(credentials.user, credentials.pass_)
    await here.log.reach(credentials.user, due)
    password_hash = await _hash(here, credentials.user, credentials.pass_, due)
    await here.accounts.create(credentials.user, password_hash, due, ordered)
    return _done("create", 201)


@needs(Role.READ)
@blueprint.get("/accounts/<username:user>")
@answers_with(AccountState, 200, 400, 404, 503)
async def show_account(user: str) -> Response:
    """Show since when there is an account, and whether it is disabled."""
    here, due = _here()
    name = username(user)
    found = await here.accounts.find(name, due)
    if found is None:
        raise NotFoundError(NO_ACCOUNT)
    shown = AccountState(name, iso(found.registered_ms), found.disabled)
    return responses.answer(200, responses.encode(shown))


@needs(Role.ADMINISTER)
@blueprint.put("/accounts/<username:user>/password")
@answers_with(Success, 200, *BODY_ERRORS, 404, 503, body=NewPassword)
async def reset_password(user: str) -> Response:
    """Give an account a new password, and lift what stands against it.

    After a 503 the new password may be in force; ask again.
    """
    here, due = _here()
    name = username(user)
    body = await read_new_password(current_request())
    password, ordered = body.pass_, by(body.reason)
    here.common_passwords.refuse(name, password)
    if await here.accounts.find(name, due) is None:
        raise NotFoundError(NO_ACCOUNT)
    password_hash = await _hash(here, name, password, due)
    await here.accounts.set_password(name, password_hash, due, by=ordered)
    return _done("reset")


@needs(Role.OPERATE)
@blueprint.patch("/accounts/<username:user>")
@answers_with(Success, 200, *BODY_ERRORS, 404, 503, body=Disabling)
async def disable_account(user: str) -> Response:
    """Disable or enable an account. While it is disabled, each of its logins is a wrong one.

    After a 503 it may be done; ask again, so that the audit has it, too.
    """
    here, due = _here()
    name = username(user)
    body = await read_disabling(current_request())
    await here.accounts.set_disabled(name, body.disabled, due, by(body.reason))
    return _done("disable" if body.disabled else "enable")


@needs(Role.OPERATE)
@blueprint.delete("/accounts/<username:user>/devices")
@answers_with(Success, 200, *BODY_ERRORS, 404, 503, body=Reason)
async def forget_devices(user: str) -> Response:
    """Know none of an account's devices any more, and end its sessions; the password stays.

    After a 503 it may be done; ask again, so that the audit has it, too.
    """
    here, due = _here()
    name = username(user)
    ordered = by(await read_reason(current_request()))
    await here.accounts.forget_devices(name, due, ordered)
    return _done("forget_devices")


@needs(Role.ADMINISTER)
@blueprint.delete("/accounts/<username:user>")
@answers_with(Deletion, 200, *BODY_ERRORS, 503, body=Reason)
async def delete_account(user: str) -> Response:
    """Delete an account, what stands against its name, and the name in all decisions.

    Also where there is no account of this name, but attempts of services. After a 503, ask again.
    """
    here, due = _here()
    name = username(user)
    there = await here.accounts.delete(name, due, by(await read_reason(current_request())))
    metrics.ACCOUNT_COMMANDS.labels("delete").inc()
    return responses.answer(200, responses.encode(Deletion(deleted=there)))


def _here() -> tuple[HashingServices, float]:
    """The services, and when an answer is too late."""
    return cast(HashingServices, services()), deadline()


async def _hash(here: HashingServices, user: str, password: str, due: float) -> str:
    """Made when nobody's login needs the processor."""
    return await here.hash_client.make(
        Lane.BACKGROUND, f"\0{user}", password, due, current_request().gone
    )


def _done(command: str, status: int = 200) -> Response:
    metrics.ACCOUNT_COMMANDS.labels(command).inc()
    return responses.answer(status, _SUCCESS)
