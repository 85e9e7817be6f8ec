"""Exhaustion is noticed where a server lets one client take all of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from loadtest.attacks import connections, floods, garbage, heads, victim, wire
from loadtest.attacks.attack import Outcome, Port, System
from loadtest.attacks.victim import Victim
from tests.unit.loadtest.attacks.fake import attacked

PROCESSES = victim.Processes
PATIENCE_SECONDS = 30.0  # of those who are to be served
MOST = 200  # bytes of a head or a body
HASH_SECONDS = 0.02

OK, REFUSED = b"200 OK", b"413 Too Large"


class Careful:
    """Lets everybody in, and nobody send much."""

    most: int = MOST

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The requests of one connection."""
        try:
            with suppress(OSError, EOFError, ValueError):
                await self.requests(reader, writer)
                await writer.drain()
        finally:
            writer.close()

    async def requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one after the other."""
        while True:
            status = await self.request(reader)
            writer.write(b"HTTP/1.1 %b\r\ncontent-length: 2\r\n\r\n{}" % status)
            await writer.drain()
            if status != OK:
                return

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        """Read one; the status of its answer."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += (line := await reader.readline())
            if not line:
                raise EOFError
            if len(head) > self.most:
                return b"431 Too Large"
        if b"chunked" in head:
            await reader.readexactly(self.most)
            return REFUSED
        _, _, length = head.lower().partition(b"content-length:")
        await reader.readexactly(int(length.split()[0]))
        await self.answer(head)
        return OK

    async def answer(self, head: bytes) -> None:
        """Do what it takes."""


class OneAtATime(Careful):
    """Waits for each client, whatever it sends, before it looks at the next one."""

    most = 10**9

    def __init__(self) -> None:
        self.turn = asyncio.Lock()

    async def requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Of one client only."""
        async with self.turn:
            await super().requests(reader, writer)


class InOrder(Careful):
    """Hashes in the order of arrival, so that a victim waits behind all of a flood."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()

    async def answer(self, head: bytes) -> None:
        """After all others that came before."""
        if head.startswith((b"POST /login", b"POST /register")):
            async with self.turn:
                await asyncio.sleep(HASH_SECONDS)


class Here(Victim):
    """A victim in this process, which waits no longer than it is to wait."""

    async def __aenter__(self) -> Here:
        """Begin to log in."""
        self._logging_in = asyncio.ensure_future(self._log_in())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        self._logging_in.cancel()

    async def _log_in(self) -> None:
        while True:
            seconds = victim.LIMIT_SECONDS
            answer = await wire.log_in(self.system.login, "ana", "pass", seconds=seconds)
            async with self._another:
                self.answers.append((answer.status, answer.seconds))
                self._another.notify_all()
            await asyncio.sleep(0.01)


class Lasting:
    """Processes of which none ends: to look for them takes longer than the attack."""

    seen = True

    def __init__(self, _: System) -> None:
        pass

    def restarted(self) -> int:
        """None."""
        return 0

    def grown(self) -> int:
        """Nothing."""
        return 0


class Unseen(Lasting):
    """Processes of another machine, or of another user."""

    seen = False


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The attacks, with little of everything."""
    monkeypatch.setattr(victim, "Victim", Here)
    monkeypatch.setattr(garbage, "Victim", Here)
    monkeypatch.setattr(victim, "Processes", Lasting)
    monkeypatch.setattr(garbage, "Processes", Lasting)
    monkeypatch.setattr(wire, "PATIENCE_SECONDS", 2.0)
    for module, changes in (
        (connections, {"MANY": 5, "WATCHED_LOGINS": 2, "DRIPPING": 3, "DRIP_SECONDS": 0.05}),
        (connections, {"UNREAD": 2, "UNREAD_SECONDS": 2.0, "PIPELINED": 20}),
        (connections, {"POURING": 3, "CHUNKS": 50}),
        (floods, {"AT_ONCE": 100, "WAITING_EACH": 25, "WATCHED_LOGINS": 2}),
        (heads, {"AT_ONCE": 3, "TIMES": 2, "WATCHED_LOGINS": 2}),
        (garbage, {"TRIES": 20}),
    ):
        for name, value in changes.items():
            monkeypatch.setattr(module, name, value)


@pytest.fixture
def patient(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody gives up because this machine is busy."""
    monkeypatch.setattr(victim, "LIMIT_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(wire, "PATIENCE_SECONDS", PATIENCE_SECONDS)


ONE_AT_A_TIME = (
    *(connections.idle, connections.half_open, connections.slow_bodies, connections.slow_heads),
    *(connections.endless_bodies, connections.unread_answers),
    *(heads.long_heads, heads.many_headers, heads.long_addresses),
)
IN_ORDER = (floods.unknown_names, floods.registrations, floods.four_names)

Run = Callable[[System], Awaitable[Outcome]]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("attack", [*ONE_AT_A_TIME, *IN_ORDER], ids=lambda run: run.__name__)
def test_a_server_that_looks_after_everybody_holds(attack: Run) -> None:
    """Else the attack shows nothing by what it finds."""
    outcome = attacked(Careful(), attack)
    assert outcome.held, outcome.happened


@pytest.mark.parametrize(
    ("server", "attack"),
    [
        *((OneAtATime, attack) for attack in ONE_AT_A_TIME),
        *((InOrder, attack) for attack in IN_ORDER),
    ],
    ids=lambda case: case.__name__,
)
def test_a_server_whose_victim_waits_breaks_its_promise(
    server: Callable[[], Careful], attack: Run
) -> None:
    """As Cerrojo itself was once by some of them."""
    outcome = attacked(server(), attack)
    assert not outcome.held, outcome.happened


class Failing(Careful):
    """Fails at what is no JSON, as a program does that nobody tried with it."""

    async def requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request."""
        data = await reader.read(65_536)
        try:
            json.loads(data.partition(b"\r\n\r\n")[2])
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        except ValueError:
            writer.write(b"HTTP/1.1 500 Internal Server Error\r\n\r\n")


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    "attack", [garbage.at_the_login_port, garbage.at_the_operator_port], ids=lambda a: a.__name__
)
@pytest.mark.parametrize(("server", "held"), [(Careful, True), (Failing, False)])
def test_a_500_is_noticed(attack: Run, server: Callable[[], Careful], held: bool) -> None:
    """And what it was the answer to is said."""
    outcome = attacked(server(), attack)
    assert outcome.held is held, outcome.happened
    assert ("the first one was to" in outcome.happened) is not held


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("attack", [garbage.at_the_login_port, floods.registrations])
def test_nothing_is_said_of_processes_that_nobody_saw(
    attack: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That none of them restarted is not known."""
    assert " 0 restarts" in attacked(Careful(), attack).happened
    for module in (victim, garbage):
        monkeypatch.setattr(module, "Processes", Unseen)
    happened = attacked(Careful(), attack).happened
    assert " 0 restarts" not in happened
    assert "were not seen" in happened


@pytest.mark.parametrize("host", ["198.51.100.7", "127.0.0.1"])
def test_processes_are_seen_on_this_machine_only(host: str) -> None:
    """And not where nothing that may be seen listens."""
    port = Port(host, 1)  # on which nothing listens
    assert not PROCESSES(System(port, port)).seen
