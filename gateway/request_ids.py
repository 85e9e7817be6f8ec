"""The id of a request: in its answer, in the log's lines about it, and in its row of the audit.

It is the id of the first record that the request writes to the log, so no message needs a field for
it. It is always made here. One from outside would be dangerous even where a proxy vouches for it:
the log decides one record of an id, so a guess that comes with an id of another guess would not
count.
"""

from __future__ import annotations

from contextvars import ContextVar

from structlog.typing import EventDict, WrappedLogger

from events.messages import new_id


class RequestId:
    """The id of one request."""

    __slots__ = ("unused", "value")

    def __init__(self) -> None:
        self.value = new_id()
        self.unused = True
        """Whether no record has it yet. A second one with it would count as repeated."""


_current: ContextVar[RequestId | None] = ContextVar("request_id", default=None)


def begin() -> RequestId:
    """Give the request of this task an id; tasks that it starts from now on know it, too."""
    made = RequestId()
    _current.set(made)
    return made


def current() -> RequestId | None:
    """The id of the request that this is done for; None where it is done for none."""
    return _current.get()


def adopt(id_: bytes) -> None:
    """Make this the id of the request: that of its record, which has another reason for it."""
    if (request := _current.get()) is not None:
        request.value, request.unused = id_, False


def add_to_line(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """Say in a line of the log which request it is about. A processor for structlog."""
    if (request := _current.get()) is not None:
        line["request_id"] = request.value.hex()
    return line
