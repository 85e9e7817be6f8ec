"""The child's end of the pipe to its manager."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import cast

import pytest

from processes.manager_link import FD_VARIABLE, ManagerLink, manager_link


@pytest.fixture
def pipe() -> Iterator[tuple[socket.socket, ManagerLink]]:
    """The manager's end, and a parent that speaks into the other one."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, ManagerLink(theirs)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Each test reads the environment anew."""
    manager_link.cache_clear()
    yield
    manager_link.cache_clear()


def test_it_speaks_lines(pipe: tuple[socket.socket, ManagerLink]) -> None:
    """Each word to the manager is one line."""
    ours, speaker = pipe
    speaker.ready()
    speaker.beat()
    speaker.say("port", "30 00")
    assert ours.recv(4096) == b"ready\nbeat\nsay port 30 00\n"


def test_beats_are_few() -> None:
    """However often it is called, a beat is sent every half second only."""
    now = 100.0
    ours, theirs = socket.socketpair()
    speaker = ManagerLink(theirs, lambda: now)
    for _ in range(101):
        speaker.beat()
        now += 0.01
    with ours, theirs:
        assert ours.recv(4096) == b"beat\n" * 3


@pytest.mark.parametrize(("key", "value"), [("", "x"), ("a b", "x"), ("a", "x\ny"), ("a\n", "x")])
def test_what_is_no_line_is_refused(
    pipe: tuple[socket.socket, ManagerLink], key: str, value: str
) -> None:
    """A key of several words or a value of several lines would be read as something else."""
    with pytest.raises(ValueError, match="one word"):
        pipe[1].say(key, value)


def test_a_full_pipe_neither_blocks_nor_tears_lines(
    pipe: tuple[socket.socket, ManagerLink],
) -> None:
    """A manager that reads nothing costs lost lines, never half ones, and never a wait."""
    ours, speaker = pipe
    value = "x" * 5000
    for _ in range(200):
        speaker.say("key", value)
    received = drain(ours)
    speaker.say("last", "word")
    received += drain(ours)
    lines = received.decode().split("\n")
    assert lines[-2:] == ["say last word", ""]
    assert set(lines[:-2]) == {f"say key {value}"}
    assert len(lines) < 200


def test_a_line_that_went_in_part_is_finished_first() -> None:
    """Where the system takes only a part of a line, the rest goes before the next line."""

    class Narrow:
        room, taken = 3, b""

        def send(self, data: bytes, flags: int) -> int:
            if not self.room:
                raise BlockingIOError
            part, self.room = data[: self.room], max(0, self.room - len(data))
            self.taken += part
            return len(part)

    pipe = Narrow()
    speaker = ManagerLink(cast(socket.socket, pipe))
    speaker.ready()
    speaker.say("lost", "word")
    pipe.room = 100
    speaker.say("next", "word")
    assert pipe.taken == b"ready\nsay next word\n"


def drain(ours: socket.socket) -> bytes:
    """All that has arrived."""
    received = b""
    try:
        while True:
            received += ours.recv(65536)
    except BlockingIOError:
        return received


def test_a_dead_keeper_is_no_error(pipe: tuple[socket.socket, ManagerLink]) -> None:
    """Speaking to a manager that has died does nothing."""
    ours, speaker = pipe
    ours.close()
    speaker.ready()
    speaker.say("key", "value")


def test_by_hand_there_is_no_keeper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variable every method does nothing."""
    monkeypatch.delenv(FD_VARIABLE, raising=False)
    nobody = manager_link()
    nobody.ready()
    nobody.beat()
    nobody.say("key", "value")
    nobody.watch(0.0)


def test_grandchildren_do_not_inherit_the_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number leaves the environment, and the file is closed in what this process starts."""
    ours, theirs = socket.socketpair()
    number = theirs.detach()
    os.set_inheritable(number, True)
    monkeypatch.setenv(FD_VARIABLE, str(number))
    with ours:
        manager = manager_link()
        assert FD_VARIABLE not in os.environ
        assert manager_link() is manager
        code = f"import os; os.fstat({number})"
        grandchild = subprocess.run(
            [sys.executable, "-c", code], close_fds=False, stderr=subprocess.PIPE, check=False
        )
        assert b"Bad file descriptor" in grandchild.stderr
        assert manager._pipe is not None
        manager._pipe.close()


@pytest.mark.parametrize("number", ["9999", "seven"])
def test_a_wrong_number_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    """A number that is no open socket is named, with the way out."""
    monkeypatch.setenv(FD_VARIABLE, number)
    with pytest.raises(RuntimeError, match=f"{FD_VARIABLE} is '{number}'.*unset it"):
        manager_link()


def test_a_signal_handler_may_speak(pipe: tuple[socket.socket, ManagerLink]) -> None:
    """A word from a signal handler that interrupts another word does not lock up."""
    ours, speaker = pipe
    push = speaker._push

    def interrupted(data: bytes) -> bytes:
        speaker._push = push  # type: ignore[method-assign]
        speaker.say("signal", "TERM")
        return push(data)

    speaker._push = interrupted  # type: ignore[method-assign]
    speaker.ready()
    assert ours.recv(4096) == b"say signal TERM\nready\n"
