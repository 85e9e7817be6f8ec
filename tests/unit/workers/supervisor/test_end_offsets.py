"""How far behind the workers are, by what is known."""

from __future__ import annotations

import threading

import pytest
from confluent_kafka import KafkaError, KafkaException

from settings import Settings
from tests.harness.waiting import wait_until
from workers.metrics import PartitionGauge
from workers.supervisor import end_offsets
from workers.supervisor.end_offsets import lag


def test_what_waits_is_between_what_is_next_and_the_end():
    """An owner ahead of an answer has decided what came since, and is not behind."""
    assert lag({0: 10, 1: 10, 2: 10}, {0: 7, 1: 10, 2: 12}) == {0: 3, 1: 0, 2: 0}


def test_nothing_is_said_of_what_is_not_known():
    """Neither where Kafka does not answer, nor of a partition that it was not asked about."""
    assert lag({}, {0: 7}) == {}
    assert lag({1: 10}, {0: 7}) == {}


def test_a_request_that_fails_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """However it fails: else it would never ask again, and know nothing of its workers any more."""
    asked: list[Exception] = []

    def fail(*_: object) -> dict[int, int]:
        raise asked[-1]

    monkeypatch.setattr(end_offsets, "asking_consumer", lambda _: None)
    monkeypatch.setattr(end_offsets, "end_offsets", fail)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    ends = end_offsets.EndOffsets(Settings(kafka_bootstrap_servers="127.0.0.1:1"))
    for error in (KafkaException(KafkaError(KafkaError._TIMED_OUT)), RuntimeError("closed")):
        asked.append(error)
        ends.ask([0])
        wait_until(ends.take_answer)
        assert ends.ends() == {}


def test_a_thread_that_cannot_be_started_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the limit of processes: the supervisor's end would be that of all its workers."""
    monkeypatch.setattr(end_offsets, "asking_consumer", lambda _: None)
    monkeypatch.setattr(end_offsets, "end_offsets", lambda *_: {0: 7})
    ends = end_offsets.EndOffsets(Settings(kafka_bootstrap_servers="127.0.0.1:1"))

    def no_more(*_: object, **__: object) -> threading.Thread:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(end_offsets, "Thread", no_more)
        ends.ask([0])
        assert ends.take_answer()
        assert ends.ends() == {}
    ends.ask([0])
    wait_until(ends.take_answer)
    assert ends.ends() == {0: 7}


def test_a_partition_that_is_somewhere_else_has_no_series_here():
    """The other host says how far it is; two would contradict each other."""
    gauge = PartitionGauge("cerrojo_tested_lag", "Records of this test")
    gauge.set({0: 3, 1: 4})
    gauge.forget({0})
    [family] = gauge.collect()
    assert [(sample.labels, sample.value) for sample in family.samples] == [({"partition": "1"}, 4)]
