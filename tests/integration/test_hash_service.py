"""Passwords are checked by processes of their own, over Unix sockets."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

import processes
from gateway.errors import ClientGoneError, OverloadedError, UnavailableError
from gateway.launch import Launcher, hash_sockets
from gateway.passwords import hash_service
from gateway.passwords.hash_client import Checking, HashClient
from gateway.passwords.hash_protocol import (
    HASH_LISTENER,
    BadHashError,
    Lane,
    Make,
    frame,
)
from gateway.passwords.hash_service import HashService
from gateway.passwords.hashing import Hasher, NoMemoryError
from settings import Settings
from tests.harness.waiting import until
from tests.paths import PROJECT

PATIENCE_SECONDS = 60.0
PASSWORD = "the right password"
CHEAP = Settings(argon2_memory_kib=8, argon2_time_cost=1, hash_threads=1, waiting=5)
SLOW = replace(CHEAP, deadline_seconds=600.0)
"""No hash begins that has less than 150 s left, and an answer has all of these."""


class GatedHasher(Hasher):
    """Checks a password when the test says so."""

    def __init__(self) -> None:
        """All hashes are cheap, and none is checked before `gate` is released."""
        super().__init__(CHEAP)
        self.gate = threading.Semaphore(0)
        self.checked: list[str] = []
        self.begun = threading.Semaphore(0)
        self.services: list[HashService] = []

    def verify(self, stored: str | None, password: str) -> bool:
        """Notes the password."""
        self.begun.release()
        self.checked.append(password)
        self.gate.acquire()
        if password == "no memory":
            raise NoMemoryError("Memory allocation error")
        return super().verify(stored, password)

    async def waiting(self) -> int:
        """How many checks wait for a thread."""
        return sum(len(service._queue._waiting) for service in self.services)

    async def has_begun(self) -> None:
        """Return when one more check has begun."""
        assert await asyncio.to_thread(self.begun.acquire, timeout=PATIENCE_SECONDS)


def nobody_leaves() -> None:
    """No client of these tests leaves, if it does not say so."""


@contextmanager
def gated(directory: Path) -> Iterator[tuple[GatedHasher, Path]]:
    """Both lanes are served by one gated hasher."""
    hasher = GatedHasher()
    with hash_sockets(directory) as sockets:
        hasher.services = [HashService(listener, hasher, 1) for listener in sockets.values()]
        for service in hasher.services:
            service.start()
        yield hasher, directory


@asynccontextmanager
async def client(directory: Path, settings: Settings = CHEAP) -> AsyncIterator[HashClient]:
    """A connected client."""
    made = HashClient(settings, directory)
    await asyncio.wait_for(made.connected(), PATIENCE_SECONDS)
    try:
        yield made
    finally:
        await made.close()


def check(
    client: HashClient,
    password: str,
    *,
    seconds: float = PATIENCE_SECONDS,
    account: str = "ana",
    gone: Callable[[], asyncio.Future[None] | None] = nobody_leaves,
) -> asyncio.Future[Checking]:
    """A check that goes on while the test does."""
    due = time.monotonic() + seconds
    return asyncio.ensure_future(client.check(Lane.FOREGROUND, account, None, password, due, gone))


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test in a loop of its own."""
    asyncio.run(asyncio.wait_for(test(), 2 * PATIENCE_SECONDS))


def test_a_client_that_leaves_while_it_waits_costs_no_hash(tmp_path: Path) -> None:
    """One whose hash has begun, or need not wait, is checked in any case."""

    async def test() -> None:
        with gated(tmp_path) as (hasher, directory):
            async with client(directory) as hashing:
                left = asyncio.get_running_loop().create_future()
                left.set_result(None)
                first = check(hashing, "first", gone=lambda: left)
                await hasher.has_begun()
                second = check(hashing, "second", gone=lambda: left)
                with pytest.raises(ClientGoneError):
                    await second
                third = check(hashing, "third")
                hasher.gate.release(2)
                assert not (await first).right
                assert not (await third).right
        assert hasher.checked == ["first", "third"]

    run(test)


def test_a_hash_that_would_begin_too_late_is_never_begun(tmp_path: Path) -> None:
    """Its request is refused in time, and nothing is counted against anybody."""

    async def test() -> None:
        with gated(tmp_path) as (hasher, directory):
            async with client(directory, SLOW) as hashing:
                first = check(hashing, "first", seconds=600.0)
                await hasher.has_begun()
                with pytest.raises(OverloadedError):
                    await check(hashing, "second", seconds=149.0)
                hasher.gate.release()
                await first
        assert hasher.checked == ["first"]

    run(test)


def test_a_hash_that_began_in_time_is_waited_for(tmp_path: Path) -> None:
    """Its password has been checked, so the attempt has to count."""

    async def test() -> None:
        with gated(tmp_path) as (hasher, directory):
            async with client(directory) as hashing:
                left = asyncio.get_running_loop().create_future()
                first = check(hashing, "first")
                await hasher.has_begun()
                second = check(hashing, "second", gone=lambda: left)
                third = check(hashing, "third", gone=lambda: left)
                hasher.gate.release()
                assert not (await first).right
                await hasher.has_begun()
                left.set_result(None)  # both are withdrawn, one after the other
                with pytest.raises(ClientGoneError):
                    await third
                hasher.gate.release()
                assert not (await second).right
        assert hasher.checked == ["first", "second"]

    run(test)


def test_a_client_may_leave_at_the_moment_of_its_answer(tmp_path: Path) -> None:
    """Nothing fails then in the loop, where nobody would hear of it but the log."""

    async def test() -> None:
        troubles: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, trouble: troubles.append(trouble))
        with gated(tmp_path) as (hasher, directory):
            async with client(directory) as hashing:
                left = loop.create_future()
                lane = hashing._lanes[Lane.FOREGROUND]
                received = lane.data_received

                def leave_too(data: bytes) -> None:
                    received(data)
                    if len(lane) == 1:  # the second one's answer
                        left.set_result(None)

                lane.data_received = leave_too  # type: ignore[method-assign]
                first = check(hashing, "first")
                await hasher.has_begun()
                second = check(hashing, "second", gone=lambda: left)
                hasher.gate.release()
                assert not (await first).right
                hasher.gate.release()
                assert not (await second).right
                assert left.done()
                await asyncio.sleep(0)
        assert not troubles

    run(test)


def test_more_than_may_wait_are_refused_at_once(tmp_path: Path) -> None:
    """Each lane has its own room, and no source takes all of it: three of five are one's part."""

    async def test() -> None:
        with gated(tmp_path) as (hasher, directory):
            async with client(directory) as hashing:
                waiting = [check(hashing, "first"), check(hashing, "second"), check(hashing, "x")]
                await asyncio.sleep(0)
                assert hashing.overloaded("")
                assert not hashing.overloaded("another source")
                with pytest.raises(OverloadedError):
                    await check(hashing, "fourth")
                due = time.monotonic() + PATIENCE_SECONDS
                hasher.gate.release(4)
                await hashing.check(Lane.BACKGROUND, "ana", None, "other", due, nobody_leaves)
                await asyncio.gather(*waiting)
                assert not hashing.overloaded("")

    run(test)


def test_no_memory_makes_no_password_wrong(tmp_path: Path) -> None:
    """It is answered with 503, and the next one is checked."""

    async def test() -> None:
        with gated(tmp_path) as (hasher, directory):
            async with client(directory) as hashing:
                hasher.gate.release(2)
                with pytest.raises(UnavailableError):
                    await check(hashing, "no memory")
                assert not (await check(hashing, "second")).right

    run(test)


def test_the_requests_of_a_dead_login_process_cost_no_hash(tmp_path: Path) -> None:
    """Nobody waits for them, and nothing was revealed by them."""

    async def test() -> None:
        with gated(tmp_path) as (hasher, directory):
            async with client(directory) as other:
                async with client(directory) as hashing:
                    first = check(hashing, "first")
                    await hasher.has_begun()
                    dead = check(hashing, "of the dead one", account="eva")
                    await until(hasher.waiting, lambda waiting: waiting == 1)
                first.cancel()
                dead.cancel()
                await until(hasher.waiting, lambda waiting: waiting == 0)
                hasher.gate.release(1)
                last = check(other, "last")
                await hasher.has_begun()
                hasher.gate.release(1)
                await last
        assert hasher.checked == ["first", "last"]

    run(test)


def test_a_process_that_sends_no_request_is_disconnected(tmp_path: Path) -> None:
    """It would wait for ever else; and others are served on."""

    async def test() -> None:
        with gated(tmp_path) as (hasher, directory):
            reader, writer = await asyncio.open_unix_connection(directory / Lane.FOREGROUND)
            writer.write((3).to_bytes(4, "big") + b"abc")
            assert await asyncio.wait_for(reader.read(), PATIENCE_SECONDS) == b""
            writer.close()
            async with client(directory) as hashing:
                hasher.gate.release()
                assert not (await check(hashing, "a password")).right

    run(test)


@pytest.mark.parametrize("short_of", ["files", "threads"])
def test_a_shortage_keeps_no_login_process_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_of: str
) -> None:
    """It connects again; without that each of its logins would get 503 until somebody comes."""
    short = iter([True])
    start_thread = hash_service._thread

    class Listener(socket.socket):
        """That of a process at its limit of open files."""

        def accept(self) -> tuple[socket.socket, object]:
            if short_of == "files" and next(short, False):
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    def thread(name: str, target: Callable[[], None]) -> None:
        if short_of == "threads" and name.startswith("login") and next(short, False):
            raise RuntimeError("can't start new thread")
        start_thread(name, target)

    async def test() -> None:
        hasher = GatedHasher()
        with hash_sockets(tmp_path) as sockets:
            monkeypatch.setattr(hash_service, "_thread", thread)
            listener = Listener(fileno=os.dup(sockets[Lane.FOREGROUND].fileno()))
            HashService(listener, hasher, 1).start()
            HashService(sockets[Lane.BACKGROUND], hasher, 1).start()
            async with client(tmp_path) as hashing:
                hasher.gate.release()
                await check(hashing, "a password")
        assert next(short, None) is None

    run(test)


@pytest.fixture
def hash_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HashProcesses]:
    """Both hash processes, kept running."""
    monkeypatch.setenv("CERROJO_ARGON2_MEMORY_KIB", "8")
    monkeypatch.setenv("CERROJO_ARGON2_TIME_COST", "1")
    (peppers := tmp_path / "peppers").write_text(f"tests {32 * 'a5'}\n")
    monkeypatch.setenv("CERROJO_PEPPER_FILE", str(peppers))
    with hash_sockets(tmp_path) as sockets:
        kept = HashProcesses(Launcher({}, sockets, deadline_seconds=5.0), tmp_path)
        yield kept
        kept.stop()


class HashProcesses:
    """The hash processes of a host, with a manager in a thread."""

    def __init__(self, launcher: Launcher, directory: Path) -> None:
        """Start them."""
        self.directory = directory
        self._manager = processes.ProcessManager()
        for lane in Lane:
            self._manager.add(launcher.hash_spec(lane))
        self._thread = threading.Thread(target=self._keep)
        self._thread.start()

    def pid(self, lane: Lane) -> int:
        """Of the one that lives now."""
        pid = self._manager.states[f"gateway hash {lane}"].pid
        assert pid is not None
        return pid

    def stop(self) -> None:
        """End them."""
        self._manager.stop()
        self._manager.wake()
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()
        self._manager.close()

    def _keep(self) -> None:
        while not self._manager.stopped:
            self._manager.step(0.2)


def test_passwords_are_made_and_checked(hash_processes: HashProcesses) -> None:
    """By both lanes alike; a hash by other settings is outdated, a bad one is said to be."""

    async def test() -> None:
        due = time.monotonic() + PATIENCE_SECONDS
        older = Hasher(Settings(argon2_memory_kib=16, argon2_time_cost=1)).hash(PASSWORD)
        async with client(hash_processes.directory) as hashing:
            for lane in Lane:
                made = await hashing.make(lane, "ana", PASSWORD, due, nobody_leaves)

                async def checked(stored: str | None, password: str, lane: Lane = lane) -> Checking:
                    return await hashing.check(lane, "ana", stored, password, due, nobody_leaves)

                assert made.startswith("$pepper$tests$argon2id$")
                assert await checked(made, PASSWORD) == Checking(True, False)
                assert await checked(made, "another password") == Checking(False, False)
                assert await checked(None, PASSWORD) == Checking(False, False)
                assert await checked(older, PASSWORD) == Checking(True, True)
                with pytest.raises(BadHashError):
                    await checked("$argon2id$v=19$m=8,t=1,p=1$half", PASSWORD)
                with pytest.raises(BadHashError):
                    await checked(made.replace("tests", "lost"), PASSWORD)

    run(test)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CERROJO_PEPPER_FILE", "nowhere/peppers", "CERROJO_PEPPER_FILE is 'nowhere/peppers'"),
        ("CERROJO_DEADLINE_SECONDS", "0.000001", "no login could be answered"),
    ],
)
def test_a_hash_process_that_cannot_work_says_why(name: str, value: str, said: str) -> None:
    """And ends before it has a request: a hash without the pepper would look like any other."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway.passwords.hash_service", Lane.FOREGROUND],
        env={**os.environ, name: value},
        cwd=PROJECT,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def said_by(lane: Lane, directory: Path) -> str:
    """What the process of this lane logs until it has made a hash."""
    cheap = {"CERROJO_ARGON2_MEMORY_KIB": "8", "CERROJO_ARGON2_TIME_COST": "1"}
    directory.mkdir()
    with hash_sockets(directory) as sockets, socket.socket(socket.AF_UNIX) as asking:
        listener = sockets[lane].fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway.passwords.hash_service", lane],
            env={**os.environ, **cheap, HASH_LISTENER: str(listener)},
            pass_fds=(listener,),
            cwd=PROJECT,
            stderr=subprocess.PIPE,
            text=True,
        )
        asking.settimeout(PATIENCE_SECONDS)
        asking.connect(sockets[lane].getsockname())
        asking.sendall(frame(Make(1, "ana", time.monotonic() + PATIENCE_SECONDS, PASSWORD)))
        assert asking.recv(1)
        asking.close()
        process.terminate()
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    return said


def test_a_weak_hash_is_warned_of_once_for_each_host(tmp_path: Path) -> None:
    """By the process of the foreground alone."""
    weak = "weaker than OWASP's least"
    assert [said_by(lane, tmp_path / lane).count(weak) for lane in Lane] == [1, 0]


def test_a_killed_hash_process_fails_no_login(hash_processes: HashProcesses) -> None:
    """Its successor is asked again for the hashes that it did not answer."""

    async def test() -> None:
        async with client(hash_processes.directory, Settings(hash_threads=1)) as hashing:
            due = time.monotonic() + PATIENCE_SECONDS
            made = await hashing.make(Lane.FOREGROUND, "ana", PASSWORD, due, nobody_leaves)
            pid = hash_processes.pid(Lane.FOREGROUND)
            os.kill(pid, signal.SIGSTOP)
            checks = [
                hashing.check(Lane.FOREGROUND, f"user {number}", made, PASSWORD, due, nobody_leaves)
                for number in range(50)
            ]
            answers = asyncio.gather(*checks)
            await asyncio.sleep(0)
            os.kill(pid, signal.SIGKILL)
            assert set(await answers) == {Checking(True, False)}
            assert hash_processes.pid(Lane.FOREGROUND) != pid

    run(test)
