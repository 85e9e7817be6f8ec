"""`python -m gateway.serve ROLE [NUMBER]`: one process of the gateway, started by it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

import structlog
import uvloop

import processes
import settings
from processes import garbage
from processes import log as logs
from processes import metrics as shared_metrics
from processes.titles import title

if TYPE_CHECKING:
    from gateway.services import Services

log = structlog.get_logger()

LISTENER = "CERROJO_LISTENER"
"""The variable that has the number of the listening socket."""

VISITORS = "CERROJO_VISITORS"
"""The variable that has the number of the file for :class:`gateway.visitors.Visitors`."""

GRACE = 1.0
"""Seconds to finish after the supervisor died: what stops it may have waited already."""

LOADED = "loaded"
"""What a process says once it can give every answer."""

BEAT = 0.5  # seconds between signs of life

LOADING = 3.0
"""Seconds without an answer at the start; then 503, until Kafka and Postgres are there."""


async def run(role: str, config: settings.Settings) -> None:
    """Serve until SIGTERM."""
    # These define metrics, which must know their slot.
    from gateway.login_app import login_app
    from gateway.operator_app import operator_app
    from gateway.server import serve
    from gateway.services import LoginServices, Services
    from gateway.visitors import Visitors

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    if role == "login":
        login_services = LoginServices(config, Visitors(int(os.environ[VISITORS])))
        services: Services = login_services
        app = login_app(login_services)
    else:
        services = Services(config)
        app = operator_app(services)
    await services.start()
    beating = asyncio.ensure_future(_beat(services))
    loading = asyncio.ensure_future(_load(services))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait((loading, stopping), timeout=LOADING, return_when=asyncio.FIRST_COMPLETED)
    processes.parent().ready()  # if only to say 503: it is no fault of its own
    connections = 2 * (config.waiting + config.checks_in_flight) + 1024
    try:
        await serve(
            app, int(os.environ[LISTENER]), connections, stop, config.deadline_seconds + 0.5
        )
    finally:
        for task in (beating, loading, stopping):
            task.cancel()
        await services.close()


async def _load(services: Services) -> None:
    await services.loaded()
    garbage.settle()
    processes.parent().say(LOADED, "")


async def _beat(services: Services) -> None:
    while True:
        processes.parent().beat()
        try:
            services.observe()
        except Exception:
            log.exception("The metrics could not be brought up to date")
        await asyncio.sleep(BEAT)


def main() -> int:
    """Serve one port as one process of several; 0 when it was asked to finish."""
    role = sys.argv[1]
    name = " ".join(sys.argv[1:])
    title(f"gateway {name}")
    shared_metrics.use_slot(slot(name))
    config = settings.load()
    logs.configure(config.log_level)
    processes.parent().watch(GRACE)
    uvloop.run(run(role, config))
    return 0


def slot(name: str) -> str:
    """The metrics' slot of the process with this name ("login 1")."""
    return name.replace(" ", "-")


if __name__ == "__main__":
    sys.exit(main())
