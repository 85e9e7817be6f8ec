"""What the reader of a partition says where it can read nothing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError
from structlog.testing import capture_logs

from settings import Settings
from workers.partition import attempt_reader
from workers.partition.attempt_reader import AttemptReader


def test_an_error_that_lasts_is_in_the_log(monkeypatch: pytest.MonkeyPatch):
    """Its worker lives and decides nothing: no other line names the cause. It comes ten times a
    second, and is said once in a while."""
    refused = SimpleNamespace(error=lambda: KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    consumer = SimpleNamespace(poll=lambda _: refused)
    monkeypatch.setattr(attempt_reader, "AdminClient", lambda _: None)
    monkeypatch.setattr(attempt_reader, "assigned_consumer", lambda *_: consumer)
    reader = AttemptReader(Settings(kafka_bootstrap_servers="127.0.0.1:1"), 3)
    with capture_logs() as said:
        assert [reader.read(1) for _ in range(3)] == [[], [], []]
    [line] = said
    assert line["partition"] == 3
    assert "Give this client's principal the right" in line["error"]
