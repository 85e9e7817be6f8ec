"""What a command says that cannot learn the log's time."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError

from settings import Settings
from workers.commands import log_time
from workers.commands.errors import CommandError


def test_a_topic_that_may_not_be_read_is_no_worker_that_is_silent(monkeypatch: pytest.MonkeyPatch):
    """Somebody would start workers that run already."""
    refused = SimpleNamespace(error=lambda: KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    consumer = SimpleNamespace(assign=lambda _: None, poll=lambda _: refused, close=lambda: None)
    monkeypatch.setattr(log_time, "assigned_consumer", lambda _: consumer)
    monkeypatch.setattr(log_time, "end_offset", lambda *_: 7)
    with pytest.raises(CommandError, match=r"Kafka failed: .*principal the right"):
        log_time.log_time_ms(Settings(), 1.0)
