"""What the relay's log says of failures."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from settings import Settings
from workers.relay import __main__ as process
from workers.relay.__main__ import Outage


def no_connection() -> Any:
    """What may be closed like a connection."""
    return SimpleNamespace(lock=threading.Lock(), close=lambda: None)


def test_each_outage_is_said_once():
    """However often it is tried in vain; and one of days later is another one."""
    outage = Outage()
    with capture_logs() as said:
        for why in ("the first", "the first", "the second", "the second"):
            if why == "the second" and len(said) == 1:
                outage.over()
            outage.say(why)
    assert [each["error"] for each in said] == ["the first", "the second"]


def test_each_outage_of_a_host_that_does_not_lead_is_said(monkeypatch: pytest.MonkeyPatch):
    """Postgres works again as soon as it says who leads; the second one was silent."""

    class Journal:
        """Of another host, until Postgres fails."""

        def __init__(self, *_: Any) -> None:
            self._turns = iter([False])

        def lead(self) -> bool:
            for leads in self._turns:
                return leads
            raise psycopg.OperationalError

        def webhooks_behind(self) -> tuple[float, int]:
            return 0, 0

        def close(self) -> None:
            pass

    monkeypatch.setattr("workers.relay.journal.Journal", Journal)
    monkeypatch.setattr("workers.relay.delivery._connect", lambda *_: no_connection())
    monkeypatch.setattr("workers.relay.relay.lag_seconds", lambda _: 0)
    monkeypatch.setattr(process, "POLL_SECONDS", 0)
    outage = Outage()
    with capture_logs() as said:
        for why in ("the first", "the second"):
            with pytest.raises(psycopg.OperationalError):
                process._relay(
                    Settings(database_url="postgresql://nowhere.invalid/"),
                    threading.Event(),
                    outage,
                )
            outage.say(why)
    assert [each["error"] for each in said] == ["the first", "the second"]


def test_it_connects_before_it_leads(monkeypatch: pytest.MonkeyPatch):
    """Where that takes a second, as behind an address that is dead, the server ends its lead."""
    done: list[str] = []

    class Journal:
        """One that leads, and finds that it does no more."""

        def __init__(self, *_: Any) -> None:
            done.append("connect")

        def lead(self) -> bool:
            done.append("lead")
            return True

        def now_ms(self) -> int:
            raise psycopg.OperationalError

        def webhooks_behind(self) -> tuple[float, int]:
            raise psycopg.OperationalError

        def close(self) -> None:
            pass

    def connect(*_: Any) -> Any:
        done.append("connect")
        return no_connection()

    monkeypatch.setattr("workers.relay.journal.Journal", Journal)
    monkeypatch.setattr("workers.relay.delivery._connect", connect)
    for beside in ("publisher.EventPublisher", "shadow.ShadowCounter"):
        monkeypatch.setattr(f"workers.relay.{beside}", lambda _: no_connection())
    monkeypatch.setattr("workers.relay.relay.lag_seconds", lambda _: 0)
    with pytest.raises(psycopg.OperationalError):
        process._relay(
            Settings(database_url="postgresql://nowhere.invalid/"), threading.Event(), Outage()
        )
    assert done == ["connect", "connect", "connect", "lead"]
