"""The metrics of all processes of this gateway."""

from __future__ import annotations

import asyncio

from quart import Blueprint, Response

from gateway.web.operator_access import EVERYBODY, needs
from processes.metrics import exposition

blueprint = Blueprint("metrics", __name__)


@needs(EVERYBODY)
@blueprint.get("/metrics")
async def metrics() -> Response:
    """Show the metrics in Prometheus' text format."""
    text, content_type = await asyncio.to_thread(exposition)
    return Response(text, 200, {"Content-Type": content_type})
