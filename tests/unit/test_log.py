"""How a kept process's events read in the log."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from processes import Event, Exited, Said
from processes.log import SENTENCES, configure, log_event


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    """Later tests find structlog as it was."""
    yield
    structlog.reset_defaults()


def test_a_death_is_one_line_with_its_signal(capsys: pytest.CaptureFixture[str]) -> None:
    """An unasked death is an error that names the process, its pid and the signal."""
    configure("info")
    log_event(Exited("worker partition 3", 42, -9, 1.23456, asked=False))
    line = capsys.readouterr().err
    assert line.startswith("timestamp=20")
    assert line.endswith(
        'Z level=error event="Process died" name="worker partition 3" '
        "pid=42 seconds=1.235 asked=false signal=SIGKILL\n"
    )


def test_a_wanted_end_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A process that finishes because it was asked to is information."""
    configure("info")
    log_event(Exited("worker", 42, 0, 1.0, asked=True))
    assert 'level=info event="Process finished"' in capsys.readouterr().err


def test_below_the_level_nothing_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """What a process says is for debugging."""
    configure("info")
    log_event(Said("worker", "port", "3000"))
    assert capsys.readouterr().err == ""


def test_every_event_has_a_sentence() -> None:
    """No kind of event is left out."""
    assert set(SENTENCES) == set(Event.__subclasses__())
