"""A TCP proxy before a Unix socket, which can be slow, deaf, or break every connection."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from pathlib import Path

CHUNK = 65_536


class Proxy:
    """Runs in a thread of its own. The attributes may be set at any time."""

    def __init__(self, socket: Path) -> None:
        """Listen on a free port of the loopback, for what listens on this socket."""
        self.delay = 0.0
        """Seconds by which every piece is late, in either direction."""
        self.deaf = False
        """Whether everything that comes is lost, and nobody is told."""
        self.breaking = False
        """Whether new connections are closed at once."""
        self._socket = socket
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0)
        )
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()

    def cut(self) -> None:
        """Reset every connection that there is."""
        self._loop.call_soon_threadsafe(self._cut)

    def close(self) -> None:
        """Stop, with everything that is open."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        self._cut()
        me = asyncio.current_task()
        while rest := [task for task in asyncio.all_tasks() if task is not me]:
            for task in rest:
                task.cancel()
            await asyncio.wait(rest)

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            if not self.breaking:
                there, back = await asyncio.open_unix_connection(str(self._socket))
                self._writers |= {writer, back}
                try:
                    await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
                finally:
                    self._writers -= {writer, back}
                    back.transport.abort()
        writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            if self.delay:
                await asyncio.sleep(self.delay)
            if not self.deaf:
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
        raise ConnectionError("one side has left, so the other one has to")
