"""The list of records that could not be decided."""

from __future__ import annotations

import msgspec
import pytest

from events.messages import UndecodableError, decode_attempts
from tests.fuzz.mutations import TEXTS
from workers.commands.quarantine import QuarantinedRecord


@pytest.mark.parametrize("text", [*TEXTS, "ana\u202e", "a\nb"], ids=ascii)
def test_no_record_writes_to_the_terminal_that_lists_it(text: str) -> None:
    """The reason has what a record says: its sender would choose what an operator sees."""
    value = msgspec.msgpack.encode([text])
    with pytest.raises(UndecodableError) as refused:
        decode_attempts(value)
    reason = str(refused.value)
    line = str(QuarantinedRecord(1, 1, 7, 0, "2026-11-28 12:00:00Z", b"key", value, reason))
    assert line.isprintable(), line
