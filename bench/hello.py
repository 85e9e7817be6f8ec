"""`python -m bench.hello`: the most that Quart can do, on the server and with the processes of the
gateway: a route that decodes the same body and answers the same bytes.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import psutil
import uvloop
from quart import Quart, Response, request

from bench.extra import started
from bench.system import HOST, PROJECT
from gateway.launch import LISTENER
from gateway.web import responses
from gateway.web.credentials import Credentials
from gateway.web.listener import BACKLOG
from gateway.web.server import SharedSocketServer
from processes import ProcessSpec, manager_link

CONNECTIONS = 4096

app = Quart(__name__, static_folder=None)
_decode = msgspec.json.Decoder(Credentials).decode
_success = responses.encode({"success": True})


@app.post("/login")
async def login() -> Response:
    """Grant everything."""
    body = await request.get_data(cache=False)
    assert isinstance(body, bytes)
    _decode(body)
    return responses.answer(200, _success)


async def serve() -> None:
    """Serve until it is killed."""
    server = SharedSocketServer(app, int(os.environ[LISTENER]), CONNECTIONS)  # type: ignore[arg-type]
    serving = asyncio.ensure_future(server.serve())
    manager_link().ready()
    await serving


@contextmanager
def serving(processes: int = 2) -> Iterator[tuple[int, list[psutil.Process]]]:
    """Its port, and its processes."""
    with socket.create_server((HOST, 0), backlog=BACKLOG) as listener:
        listener.setblocking(False)
        spec = ProcessSpec(
            name="hello",
            command=(sys.executable, "-m", "bench.hello"),
            env={LISTENER: str(listener.fileno())},
            cwd=PROJECT,
            pass_fds=(listener.fileno(),),
        )
        with started(*[spec] * processes) as pids:
            yield listener.getsockname()[1], [psutil.Process(pid) for pid in pids]


if __name__ == "__main__":
    manager_link().watch(0.5)
    uvloop.run(serve())
