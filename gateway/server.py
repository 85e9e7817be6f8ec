"""Serves an application on a socket that somebody else listens on."""

from __future__ import annotations

import asyncio
import contextlib
import resource

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.net import SocketHolder  # type: ignore[attr-defined]
from granian.server.embed import Server

from gateway.app import GatewayApp
from gateway.sockets import BACKLOG

IDLE_MS = 10_000
"""How long a connection may take over its next request's headers, or be idle."""


class SharedSocketServer(Server):
    """Granian in this process and loop, on a socket that it neither opens nor owns.

    With a listener for each process (SO_REUSEPORT), a frozen process would keep its
    share of the new connections; from one for all, the others take them.
    """

    def __init__(self, app: GatewayApp, listener: int, connections: int) -> None:
        """`connections`: beyond this many open ones it accepts no more [measured], idle
        ones among them, so it must be well over what may wait for an answer."""
        self._listener = listener
        super().__init__(
            app,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            websockets=False,
            log_enabled=False,
            backpressure=connections,
            http1_settings=HTTP1Settings(header_read_timeout=IDLE_MS),
        )

    def _init_shared_socket(self) -> None:
        self._ssp = None
        self._shd = SocketHolder(self._listener, False, BACKLOG)  # type: ignore


async def serve(
    app: GatewayApp, listener: int, connections: int, stop: asyncio.Event, patience: float
) -> None:
    """Serve until `stop` is set, then answer what is in hand, for at most `patience` seconds."""
    _allow_files(connections)
    server = SharedSocketServer(app, listener, connections)
    serving = asyncio.ensure_future(server.serve())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        raise RuntimeError("Granian stopped by itself") from serving.exception()
    server.stop()  # type: ignore[no-untyped-call]  # accepts no more, and waits for what it answers
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await asyncio.shield(serving)
            if app.in_hand:  # those whose clients have left
                await asyncio.wait(app.in_hand)


def _allow_files(connections: int) -> None:
    """Let this process open as many files as it has connections, if it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 256
    if soft < wanted:
        if hard != resource.RLIM_INFINITY:
            wanted = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
