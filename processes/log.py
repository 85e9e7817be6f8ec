"""Logs: one line for each event, to stderr, as key=value with a UTC time."""

from __future__ import annotations

import logging
import signal
import sys
from dataclasses import asdict
from typing import Any

import structlog

from processes.events import (
    BackingOff,
    Event,
    Exited,
    Frozen,
    Gone,
    Held,
    Killed,
    NeverReady,
    NotStarted,
    Ready,
    Said,
    Started,
    Unrecorded,
)

FIRST_KEYS = ["timestamp", "level", "event", "name"]

SENTENCES: dict[type[Event], tuple[int, str]] = {
    Started: (logging.DEBUG, "Process started"),
    Ready: (logging.INFO, "Process is ready"),
    Said: (logging.DEBUG, "Process said"),
    NotStarted: (logging.ERROR, "Process could not be started"),
    NeverReady: (logging.ERROR, "Process was not ready in time and is killed"),
    Frozen: (logging.ERROR, "Process gave no sign of life and is killed"),
    Killed: (logging.WARNING, "Process did not finish in time and is killed"),
    Exited: (logging.ERROR, "Process died"),
    BackingOff: (logging.WARNING, "Process is started again after a delay"),
    Held: (logging.WARNING, "Process is held until it may start again"),
    Gone: (logging.INFO, "Process is gone"),
    Unrecorded: (
        logging.WARNING,
        "Process is not recorded; a killed run would not find it again",
    ),
}


def configure(level: str) -> None:
    """Set up structlog for this process; `level` is debug, info, warning or error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=FIRST_KEYS, drop_missing=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def log_event(event: Event) -> None:
    """Log what happened to a kept process. For a keeper's `on_event`."""
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
