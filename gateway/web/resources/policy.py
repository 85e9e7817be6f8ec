"""The policy that decides, and those before it."""

from __future__ import annotations

import msgspec
from quart import Blueprint, Response, request

from events.messages import Policy
from gateway.errors import UnavailableError
from gateway.operators import Role
from gateway.postgres.policies import PolicyThen, select_policies, select_policy
from gateway.timestamps import iso
from gateway.web import responses
from gateway.web.app import services
from gateway.web.operator_access import needs
from gateway.web.query_parameters import Limit, arguments, limit
from gateway.web.schemas import (
    FormerPolicy,
    Policies,
    PolicyInForce,
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
    policy, since_ms, partitions, behind, shadow = found
    since = None if since_ms is None else iso(since_ms)
    tried = shadow and TriedPolicy(shadow[0], iso(shadow[1]), _changed(shadow[0], policy))
    shown = PolicyInForce(policy, since, partitions, behind, tried)
    return responses.answer(200, responses.encode(shown))


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
