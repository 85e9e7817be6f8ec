"""What the relay's log says of failures."""

from __future__ import annotations

from structlog.testing import capture_logs

from workers.relay.__main__ import Outage


def test_each_outage_is_said_once():
    """However often it is tried in vain; and one of days later is another one."""
    outage = Outage()
    with capture_logs() as said:
        for why in ("the first", "the first", "the second", "the second"):
            if why == "the second" and len(said) == 1:
                outage.over()
            outage.say(why)
    assert [each["error"] for each in said] == ["the first", "the second"]
