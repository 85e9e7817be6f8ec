"""The lines of `make up` that a person reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local.parts import Addresses
from local.screen import Screen
from processes import (
    BackingOff,
    Event,
    Exited,
    Frozen,
    Killed,
    Phase,
    Ready,
    Removed,
    Said,
    Started,
    State,
)
from settings import Settings

ARGON2 = "Argon2 is built for this CPU"


def show_up(capsys: pytest.CaptureFixture[str], data_dir: Path, **settings: Any) -> str:
    """The screen that says that all is up."""
    checked = Settings(**settings)
    states = {"gateway": State(Phase.READY, 4711, 0, 0.0)}
    Screen(Path("logs")).up(checked, Addresses(checked, data_dir), states, 1.0, ARGON2)
    return capsys.readouterr().out


def test_a_password_is_never_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A connection string may have one, and terminals are shared."""
    url = "postgresql://me:s3cret@db.example/cerrojo"
    out = show_up(capsys, tmp_path, database_url=url)
    assert "s3cret" not in out
    assert "db.example" in out


def test_lines_to_copy_are_not_broken(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Four curl lines, each whole, however narrow the terminal."""
    out = show_up(capsys, tmp_path, login_host="0.0.0.0", login_port=13000)  # noqa: S104
    curls = [line for line in out.splitlines() if line.strip().startswith("curl")]
    assert len(curls) == 4
    assert curls[1].endswith("http://127.0.0.1:13000/login")


def test_the_screen_says_what_runs_where(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Pids, addresses, data and logs; an address of the sixth version in brackets."""
    out = show_up(capsys, tmp_path, operator_host="::1", kafka_bootstrap_servers="there:9092")
    for text in ("pid 4711", "http://[::1]:5000", "there:9092", str(tmp_path / "logs"), ARGON2):
        assert text in out


def test_the_screen_shows_every_host_and_broker(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each with its own address, and what to try goes to the first host."""
    out = show_up(capsys, tmp_path, hosts=2, brokers=3, login_port=13000)
    for name in ("gateway-1", "gateway-2", "workers-2", "kafka-1", "kafka-3"):
        assert name in out
    for port in (13000, 13010, 5010, 5011):
        assert f"http://127.0.0.1:{port}/" in out
    assert out.count("http://127.0.0.1:13000/login") == 3


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (Exited("kafka", 7, -9, 60.0, asked=False), "kafka (pid 7) ended with signal 9"),
        (Exited("gateway", 7, 1, 60.0, asked=False), "gateway (pid 7) ended with exit code 1"),
        (Frozen("postgres", 7, 30.0), "postgres has not answered for 30 s"),
        (BackingOff("kafka", 3.2), "kafka is restarted in 3 s; its log is logs/kafka.log"),
        (Ready("kafka", 8, 2.04), "kafka is ready after 2.0 s (pid 8)"),
    ],
)
def test_a_death_and_a_restart_take_one_line_each(
    capsys: pytest.CaptureFixture[str], event: Event, words: str
) -> None:
    """A person who looks at the terminal later sees what happened."""
    Screen(Path("logs")).show(event)
    out = capsys.readouterr().out
    assert words in out
    assert out.count("\n") == 1


def test_the_end_of_a_step_and_of_a_server_differ(capsys: pytest.CaptureFixture[str]) -> None:
    """A step is done with exit code 0; a server that ends with it has died all the same."""
    screen = Screen(Path("logs"))
    for event in (
        Exited("topics", 7, 0, 1.0, asked=False),
        Ready("gateway", 8, 1.0),
        Exited("gateway", 8, 0, 60.0, asked=False),
    ):
        screen.show(event)
    lines = [line[9:] for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "topics: done"
    assert lines[2] == "gateway (pid 8) ended with exit code 0"


@pytest.mark.parametrize(
    "event", [Started("kafka", 7), BackingOff("kafka", 0.1), Said("kafka", "offset", "3")]
)
def test_what_nobody_needs_is_not_told(capsys: pytest.CaptureFixture[str], event: Event) -> None:
    """The terminal stays quiet."""
    Screen(Path("logs")).show(event)
    assert capsys.readouterr().out == ""


def test_a_stop_tells_of_each_part(capsys: pytest.CaptureFixture[str]) -> None:
    """Also of one that had to be killed; its exit code then says nothing new."""
    screen = Screen(Path("logs"))
    screen.stopping("kafka could not be started: no disk")
    for event in (Killed("a", 1, 3.0), Exited("a", 1, -9, 5.0, asked=True), Removed("a")):
        screen.show(event)
    lines = [line[9:] for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == ["stopping", "a did not finish within 3.0 s and is killed", "a has stopped"]
