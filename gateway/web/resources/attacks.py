"""Where refusals come from, and what they aim at."""

from __future__ import annotations

from quart import Blueprint, Response, request

from gateway.operators import Role
from gateway.timestamps import iso
from gateway.web import responses
from gateway.web.app import services
from gateway.web.operator_access import needs
from gateway.web.query_parameters import Limit, arguments, limit
from gateway.web.schemas import AttackReport, HeavyAccount, HeavySource, answers_with

blueprint = Blueprint("attacks", __name__)

SHOWN = 20
MOST_SHOWN = 1_000


@needs(Role.READ)
@blueprint.get("/attacks")
@answers_with(AttackReport, 200, 400, query=Limit)
async def show_attacks() -> Response:
    """List the sources and the accounts with the most refusals lately, most first.

    Each count may be too large by its error and is never too small: what has more than a thousandth
    of all refusals is there. Exempt sources are not counted.
    """
    view = services().source_view
    found = view.attacks(limit(arguments(request), SHOWN, MOST_SHOWN))
    report = AttackReport(
        known=view.live,
        attack=found.attack,
        failed_accounts=found.failed,
        succeeded_accounts=found.succeeded,
        since=iso(found.since_ms) if found.since_ms else None,
        sources=[HeavySource(*heavy) for heavy in found.sources],
        accounts=[HeavyAccount(*heavy) for heavy in found.accounts],
    )
    return responses.answer(200, responses.encode(report))
