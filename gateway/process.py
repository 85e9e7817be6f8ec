"""`python -m gateway.process ROLE [NUMBER]`: one process of `python -m gateway`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import uvloop

import processes
import settings
from gateway import request_ids
from gateway.launch import FINISH_SECONDS, LISTENER, LOADED
from gateway.passwords.hash_protocol import HASH_SOCKETS
from processes import core_dumps, gc_tuning, logs
from processes import metrics as shared_metrics
from processes.lean_imports import load_quart
from processes.start_gate import await_start_gate
from processes.titles import title

if TYPE_CHECKING:
    from gateway.services import Services

logger = structlog.get_logger()

GRACE_SECONDS = 1.0
"""To finish after the supervisor died; whatever ended it may have waited already."""

BEAT_SECONDS = 0.5  # between signs of life

LOADING_SECONDS = 3.0
"""Connections wait so long at the start; then they get 503 until Kafka and Postgres are there."""


async def run(role: str, config: settings.Settings) -> None:
    """Serve until SIGTERM."""
    from gateway.services import LoginServices, OperatorServices
    from gateway.web.server import serve

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    hash_sockets = Path(os.environ[HASH_SOCKETS])
    if role == "login":
        from gateway.web.login_app import login_app

        login_services = LoginServices(config, hash_sockets)
        services: Services = login_services
        app = login_app(login_services)
    else:
        from gateway.web.operator_app import operator_app

        services = OperatorServices(config, hash_sockets)
        app = operator_app(services)
    await services.start()
    beating = asyncio.ensure_future(_beat(services))
    loading = asyncio.ensure_future(_load(services))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait(
        (loading, stopping), timeout=LOADING_SECONDS, return_when=asyncio.FIRST_COMPLETED
    )
    processes.manager_link().ready()  # even for 503: a restart would not help
    busy = 4 * config.waiting + 1024  # of each lane so many may wait
    try:
        await serve(
            app,
            int(os.environ[LISTENER]),
            busy,
            stop,
            config.deadline_seconds + FINISH_SECONDS,
        )
    finally:
        for task in (beating, loading, stopping):
            task.cancel()
        await services.close()


async def _load(services: Services) -> None:
    await services.loaded()
    gc_tuning.settle()
    processes.manager_link().say(LOADED, "")


async def _beat(services: Services) -> None:
    while True:
        processes.manager_link().beat()
        try:
            services.observe()
        except Exception:
            logger.exception("The metrics could not be brought up to date")
        await asyncio.sleep(BEAT_SECONDS)


def main() -> int:
    """Serve one port as one process of several; 0 when it was asked to finish."""
    role = sys.argv[1]
    name = " ".join(sys.argv[1:])
    title(f"gateway {name}")
    core_dumps.forbid()
    shared_metrics.use_slot(slot(name))
    config = settings.load()
    if role == "operator":
        config = config.of_operator_port()
    logs.configure(config.log_level, config.log_format, request_ids.add_to_line)
    processes.manager_link().watch(GRACE_SECONDS)
    with gc_tuning.paused():
        load_programs(role)
    await_start_gate()
    uvloop.run(run(role, config))
    return 0


def load_programs(role: str) -> None:
    """Import what `run` needs: modules that define metrics, which look up their slot then."""
    load_quart()
    import gateway.services
    import gateway.web.server

    if role == "login":
        import gateway.web.login_app
    else:
        import gateway.web.operator_app  # noqa: F401


def slot(name: str) -> str:
    """The metrics' slot of the process with this name ("login 1")."""
    return name.replace(" ", "-")


if __name__ == "__main__":
    sys.exit(main())
