"""The policy that decides, and those before it."""

from __future__ import annotations

from typing import cast

import msgspec
from quart import Blueprint, Response, request

from events.messages import Policy
from gateway.errors import InvalidInputError, UnavailableError
from gateway.operators import Role
from gateway.postgres.policies import (
    PolicyNow,
    PolicyThen,
    TriedNow,
    select_policies,
    select_policy,
)
from gateway.services import OperatorServices
from gateway.timestamps import iso
from gateway.web import responses
from gateway.web.app import current_request, services
from gateway.web.credentials import PolicyOrder, read_policy_order
from gateway.web.operator_access import by, deadline, needs
from gateway.web.query_parameters import Limit, arguments, limit
from gateway.web.schemas import (
    BODY_ERRORS,
    FormerPolicy,
    Policies,
    PolicyInForce,
    TrialFigures,
    TrialResult,
    TriedPolicy,
    answers_with,
)

blueprint = Blueprint("policy", __name__)

SHOWN = 100
MOST_SHOWN = 1_000


@needs(Role.READ)
@blueprint.get("/policy")
@answers_with(PolicyInForce, 200, 503)
async def show_policy() -> Response:
    """Show the policy in force, and since when it is."""
    here = services()
    found = await here.database.run(select_policy, here.settings.deadline_seconds)
    if found is None:
        raise UnavailableError("No partition has a policy yet: workers bring the first one")
    return responses.answer(200, responses.encode(_in_force(found)))


@needs(Role.ADMINISTER)
@blueprint.put("/policy")
@answers_with(PolicyInForce, 202)
@answers_with(PolicyInForce, 200, *BODY_ERRORS, 409, 503, body=PolicyOrder)
async def change_policy() -> Response:
    """Put another policy into force; through the log, like everything.

    The body has the whole policy as `GET /policy` shows it, with the changes, and with the version
    that it shows: where another one is in force meanwhile, nothing is changed (409). The next
    version is in force then, in all partitions (200), or in all but those in `behind` (202), where
    it comes into force when their workers are back. The same request may be sent again.
    """
    here, order = services(), await read_policy_order(current_request())
    ordered = by(order.reason)
    if ordered.reason is None:
        raise InvalidInputError("reason is empty; say why the policy is changed")
    policy = Policy(**msgspec.structs.asdict(order.policy))
    found = await cast(OperatorServices, here).policy_change.put(policy, deadline(), ordered)
    return responses.answer(202 if found.behind else 200, responses.encode(_in_force(found)))


@needs(Role.READ)
@blueprint.get("/policy/history")
@answers_with(Policies, 200, 400, 503, query=Limit)
async def list_policies() -> Response:
    """List the policies that came into force while the audit is kept, newest first."""
    here = services()
    most = limit(arguments(request), SHOWN, MOST_SHOWN)
    found = await here.database.run(
        lambda connection: select_policies(connection, most + 1), here.settings.deadline_seconds
    )
    before = [*(each.policy for each in found[1:]), None]
    shown = [_former(then, policy) for then, policy in zip(found, before, strict=False)]
    return responses.answer(200, responses.encode(Policies(shown[:most])))


def _in_force(found: PolicyNow) -> PolicyInForce:
    policy, since_ms, partitions, behind, shadow = found
    since = None if since_ms is None else iso(since_ms)
    tried = None if shadow is None else _tried(shadow, policy)
    return PolicyInForce(policy, since, partitions, behind, tried)


def _tried(shadow: TriedNow, policy: Policy) -> TriedPolicy:
    result = None
    if counted := shadow.counted:
        figures = (counted.as_it_was, counted.in_force, counted.shadow)
        result = TrialResult(
            *(iso(counted.as_of_ms), counted.one_of, counted.version, counted.attempts),
            *(TrialFigures(**each) for each in figures),
        )
    changed = _changed(shadow.policy, policy)
    return TriedPolicy(shadow.policy, iso(shadow.since_ms), changed, result)


def _former(then: PolicyThen, before: Policy | None) -> FormerPolicy:
    changed = _changed(then.policy, before) if then.policy and before else []
    return FormerPolicy(then.version, iso(then.since_ms), then.policy, changed)


def _changed(policy: Policy, before: Policy) -> list[str]:
    was = msgspec.structs.asdict(before)
    return [
        name
        for name, value in msgspec.structs.asdict(policy).items()
        if value != was[name] and name != "version"
    ]
