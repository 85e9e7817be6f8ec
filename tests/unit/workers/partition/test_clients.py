"""The modules that a worker has in memory."""

from __future__ import annotations

from tests.harness.imports import LEFT_OUT, loaded


def test_a_worker_loads_nothing_that_it_does_not_use() -> None:
    """There is one for each partition, and each of these costs megabytes."""
    modules = loaded("workers.partition.clients, workers.partition.worker")
    assert "confluent_kafka" in modules
    assert not modules & {"argon2", "pydantic", "quart", "yoyo", *LEFT_OUT}
