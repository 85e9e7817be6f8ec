"""Logging: one line for each event, to stderr, as key=value or JSON, with a UTC time.

A line that cannot be written is lost, as on a full disk: that is no reason to end.
"""

from __future__ import annotations

import io
import logging
import signal
import sys
import threading
from collections.abc import Mapping, MutableMapping
from dataclasses import asdict
from types import TracebackType
from typing import Any, cast

import structlog
from structlog.typing import Processor

from processes.escapes import escaped
from processes.events import (
    BackingOff,
    Event,
    Exited,
    Frozen,
    Held,
    Killed,
    NeverReady,
    NotStarted,
    Ready,
    Removed,
    Said,
    Started,
    Unrecorded,
)

FIRST_KEYS = ["timestamp", "level", "event", "name"]

SENTENCES: dict[type[Event], tuple[int, str]] = {
    Started: (logging.DEBUG, "Process started"),
    Ready: (logging.INFO, "Process is ready"),
    Said: (logging.DEBUG, "Process sent a message"),
    NotStarted: (logging.ERROR, "Process could not be started"),
    NeverReady: (logging.ERROR, "Process was not ready in time and is killed"),
    Frozen: (logging.ERROR, "Process gave no sign of life and is killed"),
    Killed: (logging.WARNING, "Process did not finish in time and is killed"),
    Exited: (logging.ERROR, "Process died"),
    BackingOff: (logging.WARNING, "Process is restarted after a delay"),
    Held: (logging.WARNING, "Process is held until it is released"),
    Removed: (logging.INFO, "Process was removed"),
    Unrecorded: (
        logging.WARNING,
        "Process could not be recorded; if this run is killed, the next one does not find it",
    ),
}


class _Stderr:
    """What a logger calls of stderr; an OSError of it is nobody's."""

    def write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
        except OSError:
            _lose_what_is_buffered()

    def flush(self) -> None:
        try:
            sys.stderr.flush()
        except OSError:
            _lose_what_is_buffered()


def _lose_what_is_buffered() -> None:
    """Python would write it at its end, fail, and exit with 120 in the place of our code."""
    raw = cast(io.BufferedWriter, io.FileIO(2, "w", closefd=False))  # as Python's own with -u
    sys.stderr = io.TextIOWrapper(raw, errors="backslashreplace", write_through=True)


_STDERR = _Stderr()


def configure(level: str, line: str = "logfmt", *further: Processor) -> None:
    """Set up this process's log; `level` is debug, info, warning or error, `line` logfmt or json.

    Warnings and errors of libraries, by Python's own `logging`, take the same form. As JSON, so
    does the exception that ends a process or a thread; otherwise Python shows it as people know
    it. `further` processors may add to a line.
    """
    json = line == "json"
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            *further,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            *(
                (structlog.processors.JSONRenderer(default=str),)  # escapes all but ASCII
                if json
                else (
                    _escape,
                    structlog.processors.LogfmtRenderer(key_order=FIRST_KEYS, drop_missing=True),
                )
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(_STDERR),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_OfLibraries()]
    root.setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
    if json:
        logging.captureWarnings(True)
        sys.excepthook = _log_end
        threading.excepthook = lambda end: _log_end(
            end.exc_type, end.exc_value or end.exc_type(), end.exc_traceback
        )


def say_why_it_ends(sentence: str) -> None:
    """Say to whoever started this process why it ends: in a line of its own, or the log's JSON."""
    if isinstance(structlog.get_config()["processors"][-1], structlog.processors.JSONRenderer):
        structlog.get_logger().error(sentence)
    else:
        _STDERR.write(f"{sentence}\n")
        _STDERR.flush()


class _OfLibraries(logging.Handler):
    """Logs a library's line as one of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        fields = {"exc_info": record.exc_info} if record.exc_info else {}
        try:
            structlog.get_logger().log(level, record.getMessage(), library=record.name, **fields)
        except Exception:  # as Python's own handlers: a line is never a reason to fail
            self.handleError(record)


def _log_end(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Log the exception that ends a process or a thread."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
    elif not issubclass(kind, SystemExit):
        structlog.get_logger().critical(
            "An unexpected exception ended this", exc_info=(kind, error, traceback)
        )


def _escape(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """What others chose, as a name or an error about it, begins no line and moves no cursor."""
    for key, value in fields.items():
        if value is not None and not isinstance(value, bool | int | float):
            fields[key] = escaped(str(value))
    return fields


def log_event(event: Event) -> None:
    """Log an event of a managed process. For a manager's `on_event`."""
    level, sentence = SENTENCES[type(event)]
    fields: dict[str, Any] = asdict(event)
    if isinstance(event, Exited):
        if event.asked:
            level, sentence = logging.INFO, "Process finished"
        if event.code < 0:
            fields["signal"] = _signal_name(-fields.pop("code"))
    if "seconds" in fields:
        fields["seconds"] = round(fields["seconds"], 3)
    structlog.get_logger().log(level, sentence, **fields)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
