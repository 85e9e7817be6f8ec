"""Serves an application on a listening socket that it is given."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.net import SocketHolder  # type: ignore[attr-defined]
from granian.server.embed import Server

from gateway.web.app import GatewayApp
from gateway.web.connections import Connections
from gateway.web.listener import BACKLOG

IDLE_MS = 10_000
"""How long a connection may take over its next request's headers, or be idle."""

HEAD_MAX = 16_384
"""Bytes of a request's address and headers; a proxy lets as many through. Granian answers more
with 431 by itself. Its own limit is 25 times as high, and a header of that length takes Quart
100 ms of the event loop [measured]."""

MOST_IDLE = 3_072
"""Open connections without a request that has arrived, in each process: of as many clients between
two requests, or of somebody who wants no other to be let in."""

OTHER_FILES = 256
"""Of a process, besides connections of clients."""


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
            http1_settings=HTTP1Settings(header_read_timeout=IDLE_MS, max_buffer_size=HEAD_MAX),
        )

    def _init_shared_socket(self) -> None:
        self._ssp = None
        self._shd = SocketHolder(self._listener, False, BACKLOG)  # type: ignore


async def serve(
    app: GatewayApp, listener: int, busy: int, stop: asyncio.Event, patience: float
) -> None:
    """Serve until `stop` is set, then finish the requests in hand, within `patience` seconds.

    `busy` is more than how many requests may have arrived and wait for their answers.
    """
    connections = _allow_files(busy + MOST_IDLE)
    with socket.socket(fileno=os.dup(listener)) as listening:
        port = listening.getsockname()[1]
    watcher = Connections(
        port, min(MOST_IDLE, connections // 2), app.services.settings.proxy_networks, app.busy
    )
    watching = asyncio.ensure_future(watcher.watch())
    server = SharedSocketServer(app, listener, connections)
    serving = asyncio.ensure_future(server.serve())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    watching.cancel()
    if serving.done():
        raise RuntimeError("Granian stopped by itself") from serving.exception()
    app.stopping.set()
    server.stop()  # type: ignore[no-untyped-call]  # accepts no more, and waits for what it answers
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await asyncio.shield(serving)
            if app.in_hand:  # those whose clients have left
                await asyncio.wait(app.in_hand)


def _allow_files(connections: int) -> int:
    """Let this process open as many files as it is to have connections; how many it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return min(connections, max(soft, wanted) - OTHER_FILES)
