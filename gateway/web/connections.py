"""Closes idle connections where there are too many, first those of the source that has the most.

The server accepts no more once a number of connections is open, whoever holds them. So a process
looks often how many of its own are idle: they wait for a request, or for the rest of one. Beyond
`most_idle` it closes some, until a quarter of that is free again. A source's connections are ranked
from the one that was heard of last to the one that is silent for the longest time, and the highest
ranks go first. So whoever holds thousands loses them, and whoever has a few keeps them; where each
of many sources has one, the most silent go.

The server owns the connections and tells nobody of them. They are found among this process's files,
and ended by `shutdown`, upon which the server closes them by itself.
"""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import os
import socket
import struct
import termios
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import structlog

from gateway import metrics
from gateway.sources import parse_address
from settings import Network

logger = structlog.get_logger()

LOOK_SECONDS = 0.1
"""Between looks at how many there are: so long nobody is accepted at worst."""

FREED = 0.25
"""The part of the idle ones that is closed where there are too many, so that it is done rarely."""

IPV6_PREFIX = 64
"""Bits of an address of IPv6 by which a source is known: its holder has all the others."""

_FILES = Path("/proc/self/fd")
_TCP_INFO_SIZE = 56
_LAST_RECEIVED = 52  # of tcpi_last_data_recv in it: milliseconds

Peer = tuple[str, str]
"""Address and port of the other end, as the server says them."""


class Open(NamedTuple):
    """An open connection of a client."""

    file: int
    peer: Peer
    silent_ms: int
    """Since its client sent something, or connected."""


class Connections:
    """The connections that this process has accepted on one port."""

    def __init__(
        self,
        port: int,
        most_idle: int,
        proxies: Sequence[Network],
        busy: Callable[[], Collection[Peer]],
    ) -> None:
        """`busy` gives the peers of the requests that have arrived and have no answer yet.

        Those of `proxies`, the trusted ones, are closed last: each asks for many clients.
        """
        self._port = port
        self._most_idle = most_idle
        self._proxies = proxies
        self._busy = busy
        self._can_look = _FILES.is_dir()

    async def watch(self) -> None:
        """Look from time to time, for ever; only where the system tells of a process's files."""
        while self._can_look:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                self.look()
            except Exception:
                logger.exception("Idle connections could not be looked at")

    def look(self) -> None:
        """Close idle ones if there are too many."""
        # A newer system says how many there are without listing them, which costs 4% of a loaded
        # process [measured].
        files = os.stat(_FILES).st_size or len(os.listdir(_FILES))
        if files <= self._most_idle:
            return
        busy = self._busy()
        if files - len(busy) <= self._most_idle:
            return
        idle = [one for one in self._open() if one.peer not in busy]
        surplus = len(idle) - self._most_idle
        if surplus <= 0:
            return
        closed = 0
        for one in self.first_to_go(idle)[: surplus + int(FREED * self._most_idle)]:
            closed += self._end(one)
        metrics.CONNECTIONS_CLOSED.inc(closed)

    def first_to_go(self, idle: Sequence[Open]) -> list[Open]:
        """These in the order in which they are to be closed."""
        sources: dict[str, str | None] = {}
        ranks: dict[str, int] = defaultdict(int)
        ranked = []
        for one in sorted(idle, key=lambda one: one.silent_ms):
            host = one.peer[0]
            if host not in sources:
                sources[host] = self._source(host)
            source = sources[host]
            if source is None:
                ranked.append((0, one))
            else:
                ranks[source] += 1
                ranked.append((ranks[source], one))
        ranked.sort(key=lambda pair: (pair[0], pair[1].silent_ms), reverse=True)
        return [one for _, one in ranked]

    def _source(self, host: str) -> str | None:
        """By what these connections are counted together; None for a trusted proxy's."""
        address = parse_address(host)
        if address is None:
            return host
        if any(address in network for network in self._proxies):
            return None
        if address.version == 4:
            return str(address)
        return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))

    def _open(self) -> Iterator[Open]:
        for name in os.listdir(_FILES):
            try:
                # Not duplicated: so many more files might be too many.
                connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, int(name))
            except OSError:  # no socket, or gone
                continue
            try:
                peer = _peer(connection, self._port)
                if peer:
                    info = connection.getsockopt(socket.SOL_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
                    (silent_ms,) = struct.unpack_from("I", info, _LAST_RECEIVED)
                    yield Open(int(name), peer, silent_ms)
            except OSError:
                continue
            finally:
                connection.detach()

    def _end(self, one: Open) -> bool:
        """End a connection, unless it is another one's by now; whether it was there.

        An answer that is on its way arrives: what the system has, it sends; and while it has
        nothing, the server may still write.
        """
        try:
            # A file of its own, so that it stays the same connection.
            file = os.dup(one.file)
        except OSError:
            return False
        try:
            connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, file)
        except OSError:
            os.close(file)
            return False
        with connection:
            try:
                if _peer(connection, self._port) != one.peer:
                    return False
                (unsent,) = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))
                connection.shutdown(socket.SHUT_RDWR if unsent else socket.SHUT_RD)
            except OSError:
                return False
        return True


def _peer(connection: socket.socket, port: int) -> Peer | None:
    """Whose connection it is; None where it was not accepted on this port.

    The system gives no connection of our own the number of a port that somebody listens on.
    """
    here, there = connection.getsockname(), connection.getpeername()
    if not isinstance(here, tuple) or here[1] != port:
        return None
    return there[0].partition("%")[0], str(there[1])  # without a zone, as the server has it
