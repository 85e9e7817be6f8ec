"""An event that may happen a thousand times a second is logged now and then."""

from __future__ import annotations

from structlog.testing import capture_logs

from gateway.rate_limited_logger import QUIET_SECONDS, RateLimitedLogger


def test_a_line_says_how_many_were_left_out_before_it() -> None:
    """The first line comes at once, however young the clock is."""
    now = 0.0
    limited = RateLimitedLogger(lambda: now)
    with capture_logs() as lines:
        for _ in range(3):
            limited.warning("It failed", reason="a")
        now += QUIET_SECONDS
        limited.warning("It failed", reason="b")
        now += QUIET_SECONDS
        limited.warning("It failed", reason="c")
    line = {"event": "It failed", "log_level": "warning"}
    assert lines == [
        {**line, "reason": "a"},
        {**line, "reason": "b", "left_out_before": 2},
        {**line, "reason": "c"},
    ]
