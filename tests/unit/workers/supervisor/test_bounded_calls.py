"""Waiting for what may never come."""

from __future__ import annotations

import threading

import pytest

from tests.harness.waiting import PATIENCE_SECONDS, wait_until
from workers.supervisor import bounded_calls
from workers.supervisor.bounded_calls import BoundedCalls


def test_one_that_hangs_is_waited_for_no_longer_and_no_other_is_begun():
    """Else each turn of the supervisor would leave a thread behind."""
    calls, goes_on = BoundedCalls(), threading.Event()
    ended: list[str] = []

    def hang() -> None:
        goes_on.wait()
        ended.append("late")

    assert not calls.run(hang, 0.01)
    assert not calls.run(lambda: ended.append("other"), PATIENCE_SECONDS)
    goes_on.set()
    wait_until(lambda: ended == ["late"])
    wait_until(lambda: calls.run(lambda: ended.append("next"), PATIENCE_SECONDS))
    assert ended == ["late", "next"]


def test_where_no_thread_can_be_started_it_did_not_end(monkeypatch: pytest.MonkeyPatch):
    """As at the limit of processes."""

    class NoMore(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    calls = BoundedCalls()
    with monkeypatch.context() as full:
        full.setattr(bounded_calls, "Thread", NoMore)
        assert not calls.run(lambda: None, PATIENCE_SECONDS)
    assert calls.run(lambda: None, PATIENCE_SECONDS)
