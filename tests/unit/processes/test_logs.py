"""How a kept process's events read in the log."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import structlog

from processes import Event, Exited, Said
from processes.logs import SENTENCES, configure, log_event, say_why_it_ends
from tests.paths import PROJECT


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    """Later tests find structlog, and Python's own logging, as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    hooks = sys.excepthook, threading.excepthook
    yield
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(False)


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
    """The words of a process are for debugging."""
    configure("info")
    log_event(Said("worker", "port", "3000"))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "text", ["a\r\nlevel=error event=forged", "\x1b[2J", "ana\u202egnp", "\x9b2J", "a\u2028b"]
)
def test_nothing_of_others_begins_a_line_or_moves_a_cursor(
    capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """In a value, in a sentence, in a list and in an exception: a line stays one of ours."""
    configure("info")
    logger = structlog.get_logger()
    logger.info(f"Said {text}", reason=text, names=[text], error=ValueError(text))
    try:
        raise ValueError(text)
    except ValueError:
        logger.exception("It failed")
    lines = capsys.readouterr().err.removesuffix("\n").split("\n")
    assert len(lines) == 2
    assert all(line.isprintable() and line.startswith("timestamp=20") for line in lines)


def test_every_event_has_a_sentence() -> None:
    """No kind of event is left out."""
    assert set(SENTENCES) == set(Event.__subclasses__())


def test_as_json_a_line_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    """With the names of the fields that a line of key=value has, and numbers as numbers."""
    configure("info", "json")
    log_event(Exited("worker partition 3", 42, -9, 1.23456, asked=False))
    line = json.loads(capsys.readouterr().err)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "error",
        "event": "Process died",
        "name": "worker partition 3",
        "pid": 42,
        "seconds": 1.235,
        "asked": False,
        "signal": "SIGKILL",
    }


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_a_librarys_line_has_the_same_form(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What asyncio or Quart have to say is found where everything else is, and can be parsed."""
    configure("info", form)
    logging.getLogger("asyncio").info("of no interest")
    try:
        raise OSError("a disk\nbroke")
    except OSError:
        logging.getLogger("asyncio").exception("Task %d failed", 3)
    (line,) = capsys.readouterr().err.splitlines()
    if form == "json":
        found = json.loads(line)
        assert found["exception"].endswith("OSError: a disk\nbroke")
        assert (found["level"], found["event"], found["library"]) == (
            *("error", "Task 3 failed"),
            "asyncio",
        )
    else:
        assert 'level=error event="Task 3 failed"' in line
        assert "library=asyncio" in line


END = """
import sys, threading, warnings
from processes.logs import configure
configure("info", sys.argv[1])
warnings.warn("old")
def fail(): raise OSError("a disk broke")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
raise RuntimeError("the end")
"""


def test_as_json_nothing_else_is_written() -> None:
    """Neither a warning nor the exception that ends a thread or the process breaks the form."""
    command = [sys.executable, "-c", END, "json"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["warning", "critical", "critical"]
    assert [line.get("exception", "").splitlines()[-1:] for line in lines] == [
        [],
        ["OSError: a disk broke"],
        ["RuntimeError: the end"],
    ]


def test_why_a_process_ends_is_json_only_where_the_log_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A person reads a sentence; whatever takes in JSON, as at a start without Postgres, JSON."""
    say_why_it_ends("Nothing is set up yet.")
    configure("info")
    say_why_it_ends("There is no database.")
    assert capsys.readouterr().err == "Nothing is set up yet.\nThere is no database.\n"
    configure("error", "json")
    say_why_it_ends("There is no database.")
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["event"]) == ("error", "There is no database.")


UNHEARD = """
import sys
from processes import Said
from processes.logs import configure, log_event, say_why_it_ends
say_why_it_ends("Nothing is set up yet.")
for form in ("logfmt", "json"):
    configure("debug", form)
    log_event(Said("worker", "port", "3000"))
    say_why_it_ends("There is no database.")
sys.exit(3)
"""


@pytest.mark.parametrize("options", [[], ["-u"]], ids=["buffered", "unbuffered"])
def test_a_line_that_cannot_be_written_ends_nothing(
    options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk: a supervisor logs first what it then acts upon, and has to go on.

    The exit code is ours, too: systemd starts a program again, or not, by it.
    """
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    program = [sys.executable, *options, "-c", UNHEARD]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(program, cwd=PROJECT, stderr=full, check=False)
    assert done.returncode == 3
    reader, writer = os.pipe()
    os.close(reader)  # whoever read it has died
    with open(writer, "wb") as pipe:
        done = subprocess.run(program, cwd=PROJECT, stderr=pipe, check=False)
    assert done.returncode == 3
