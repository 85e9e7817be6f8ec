"""A worker's clients, and the modules that it has in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from tests.harness.imports import LEFT_OUT, loaded
from workers.partition import clients as module
from workers.partition.__main__ import _renewed


def test_a_worker_loads_nothing_that_it_does_not_use() -> None:
    """There is one for each partition, and each of these costs megabytes."""
    modules = loaded("workers.partition.clients, workers.partition.worker")
    assert "confluent_kafka" in modules
    assert not modules & {"argon2", "pydantic", "quart", "yoyo", *LEFT_OUT}


def test_a_publisher_that_cannot_be_made_leaves_the_old_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As while a file of TLS is half replaced: the worker would end, and so would its standbys."""
    closed: list[str] = []
    failures = [KafkaException(KafkaError(KafkaError._INVALID_ARG))]
    old = SimpleNamespace(close=lambda: closed.append("old"))

    def make(*_: object) -> str:
        for failure in failures:
            failures.clear()
            raise failure
        return "new"

    monkeypatch.setattr(module, "Publisher", make)
    clients: Any = module.Clients.__new__(module.Clients)
    vars(clients).update(_config=None, _keys=None, partition=1, publisher=old)
    assert not _renewed(clients)
    assert (closed, clients.publisher) == ([], old)
    assert _renewed(clients)
    assert (closed, clients.publisher) == (["old"], "new")
