"""A login takes both the check and the verdict."""

from __future__ import annotations

import pytest

from events.messages import FOREVER, Decision, Verdict
from gateway.errors import (
    BlockedError,
    BlockedForGoodError,
    RequestError,
    UnavailableError,
    WrongPasswordError,
)
from gateway.web.password_check import conclude


@pytest.mark.parametrize(
    ("decision", "right", "until_ms", "outcome"),
    [
        (Decision.ACCEPTED, True, 0, None),
        (Decision.REJECTED, False, 0, WrongPasswordError),
        (Decision.REJECTED, False, FOREVER, WrongPasswordError),
        (Decision.ACCEPTED, False, 0, UnavailableError),
        (Decision.REJECTED, True, 0, UnavailableError),
        (Decision.BLOCKED, True, FOREVER, BlockedForGoodError),
        (Decision.BLOCKED, False, FOREVER, BlockedForGoodError),
        (Decision.BLOCKED, True, 1, BlockedError),
        (Decision.BLOCKED, False, 1, BlockedError),
    ],
)
def test_it_takes_both_to_get_in(
    decision: Decision, right: bool, until_ms: int, outcome: type[RequestError] | None
) -> None:
    """Only an accepting verdict on a right password opens; the rest is what the log says."""
    verdict = Verdict(b"0" * 16, "ana", decision, until_ms)
    if outcome is None:
        conclude(verdict, right, 0)
    else:
        with pytest.raises(outcome):
            conclude(verdict, right, 0)
