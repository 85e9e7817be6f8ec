"""Hosts that are network namespaces: their lines can be cut, refused and slowed down."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import namespaces
from tests.harness.namespaces import HERE, PREFIX, Namespaces, why_not
from tests.harness.optional_network import namespaces_or_skip

ASK = """
import socket, sys
asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asked.settimeout(float(sys.argv[2]))
try:
    asked.sendto(b"?", (sys.argv[1], 7000))
    print(asked.recv(100).decode())
except OSError as error:
    print(type(error).__name__)
"""
PATIENCE_SECONDS = 60.0
ANSWER = """
import socket
answering = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
answering.bind(("", 7000))
print("ready", flush=True)
heard = 0
while True:
    _, asker = answering.recvfrom(100)
    heard += 1
    answering.sendto(str(heard).encode(), asker)
"""


@pytest.fixture
def network() -> Iterator[Namespaces]:
    """Three hosts; the third one answers each question with their number."""
    with namespaces_or_skip(["a", "b", "answers"]) as made:
        command = [*made.inside("answers"), sys.executable, "-c", ANSWER]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as answering:
            assert answering.stdout is not None
            answering.stdout.readline()
            yield made
            answering.kill()


def ask(network: Namespaces, asker: str, seconds: float = PATIENCE_SECONDS) -> str:
    """The answer that one of them gets from the third, which counts its questions."""
    command = [*network.inside(asker), sys.executable, "-I", "-S", "-c", ASK]
    done = subprocess.run(
        [*command, network.address("answers"), str(seconds)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def no_answer(network: Namespaces, asker: str) -> bool:
    """Whether this one's question, or its answer, is lost."""
    return ask(network, asker, 0.3) == "TimeoutError"


def test_a_cut_concerns_one_line_and_may_concern_one_way(network: Namespaces) -> None:
    """A question whose answer is lost on the way back was heard."""
    assert [ask(network, asker) for asker in ("a", "b", HERE)] == ["1", "2", "3"]
    network.cut([("a", "answers")])
    assert no_answer(network, "a")
    assert [ask(network, asker) for asker in ("b", HERE)] == ["4", "5"]
    network.heal()
    network.cut([("answers", "a")])
    assert no_answer(network, "a")
    assert ask(network, "b") == "7"
    network.heal()
    network.refuse("a", "answers")
    assert [ask(network, asker) for asker in ("a", "b")] == ["OSError", "8"]
    network.heal()
    assert ask(network, "a") == "9"


def test_a_slow_node_is_late_for_all_but_us(network: Namespaces) -> None:
    """There and back."""
    network.slow("answers", delay=0.1, jitter=0.0, loss=0.0, luck=1)
    began = time.monotonic()
    assert ask(network, "a") == "1"
    assert time.monotonic() - began >= 0.2
    network.slow_no_more()
    network.slow("answers", delay=0.0, jitter=0.0, loss=1.0, luck=1)
    assert no_answer(network, "a")
    assert ask(network, HERE) == "2"
    network.heal()
    assert ask(network, "a") == "3"


def test_what_a_killed_process_left_is_removed_by_the_next(network: Namespaces) -> None:
    """By the pid in its name; the namespaces of a living one stay."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = f"{PREFIX}-{dead.pid}-a"
    subprocess.run(["ip", "netns", "add", left], check=True)  # noqa: S607
    namespaces.remove_former()
    names = os.listdir("/run/netns")
    assert left not in names
    assert f"{PREFIX}-{os.getpid()}-a" in names


def test_where_there_can_be_none_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without the tools."""
    monkeypatch.setenv("PATH", "")
    assert str(why_not()).startswith("network namespaces cannot be made here: ")


def test_a_line_that_is_not_slow_is_said(
    network: Namespaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was tried upon it would have been tried upon a quick one."""
    monkeypatch.setattr(namespaces, "PROGRAM", Path("nothing.py"))
    with pytest.raises(AssertionError, match=r"nothing\.py did not start"):
        network.slow("answers", delay=0.1, jitter=0.0, loss=0.0, luck=1)
    assert ask(network, "a") == "1"
