"""How far behind the workers are, by what is known."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from settings import Settings
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


def test_an_offset_below_zero_is_no_answer(monkeypatch: pytest.MonkeyPatch):
    """librdkafka gives one, and no error, where a request came to its end on the way."""
    answers: dict[TopicPartition, Future[Any]] = {}
    admin = SimpleNamespace(list_offsets=lambda *_, **__: answers)
    monkeypatch.setattr(end_offsets, "AdminClient", lambda _: admin)
    asked = end_offsets.EndOffsets(Settings(kafka_bootstrap_servers="127.0.0.1:1"))
    for offset, found in ((-1001, {}), (7, {0: 7})):
        answers[TopicPartition("attempts", 0)] = answer = Future()
        answer.set_result(SimpleNamespace(offset=offset))
        asked.ask([0])
        assert asked.ends() == found


def test_a_partition_without_a_leader_hides_no_other(monkeypatch: pytest.MonkeyPatch):
    """Else no stuck worker of the host is found, and it says of none how far it is behind."""
    known: Future[Any] = Future()
    known.set_result(SimpleNamespace(offset=7))
    unknown: Future[Any] = Future()
    unknown.set_exception(KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE)))
    answers = {TopicPartition("attempts", n): each for n, each in ((0, unknown), (1, known))}
    admin = SimpleNamespace(list_offsets=lambda *_, **__: answers)
    monkeypatch.setattr(end_offsets, "AdminClient", lambda _: admin)
    asked = end_offsets.EndOffsets(Settings(kafka_bootstrap_servers="127.0.0.1:1"))
    asked.ask([0, 1])
    assert asked.ends() == {1: 7}


def test_a_client_that_cannot_be_made_leaves_the_old_one(monkeypatch: pytest.MonkeyPatch):
    """As while a file of TLS is replaced; it would end the supervisor, and all its workers."""
    asked_by: list[int] = []

    class Client:
        def __init__(self, options: object) -> None:
            if asked_by:
                raise KafkaException(KafkaError(KafkaError._INVALID_ARG))

        def list_offsets(self, wanted: object, **_: object) -> dict[TopicPartition, Future[Any]]:
            asked_by.append(id(self))
            answer: Future[Any] = Future()
            answer.set_result(SimpleNamespace(offset=-1))
            return {TopicPartition("attempts", 0): answer}

    monkeypatch.setattr(end_offsets, "AdminClient", Client)
    asked = end_offsets.EndOffsets(Settings(kafka_bootstrap_servers="127.0.0.1:1"))
    for _ in range(3):
        asked.ask([0])
    assert len(asked_by) == 3


def test_two_failures_in_a_row_make_a_new_client(monkeypatch: pytest.MonkeyPatch):
    """A new one's first request may fail: with one for each failure nothing might ever be known."""
    fine: list[bool] = []
    made: list[int] = []

    class Client:
        def __init__(self, options: object) -> None:
            made.append(len(fine))

        def list_offsets(self, wanted: object, **_: object) -> dict[TopicPartition, Future[Any]]:
            answer: Future[Any] = Future()
            answer.set_result(SimpleNamespace(offset=7 if fine.pop(0) else -1))
            return {TopicPartition("attempts", 0): answer}

    monkeypatch.setattr(end_offsets, "AdminClient", Client)
    asked = end_offsets.EndOffsets(Settings(kafka_bootstrap_servers="127.0.0.1:1"))
    fine += [False, True, False, False, False, True, True]
    while fine:
        asked.ask([0])
    assert asked.ends() == {0: 7}
    assert made == [0, 3]  # at the start, and before the third from the end


def test_a_partition_that_is_somewhere_else_has_no_series_here():
    """The other host says how far it is; two would contradict each other."""
    gauge = PartitionGauge("cerrojo_tested_lag", "Records of this test")
    gauge.set({0: 3, 1: 4})
    gauge.forget({0})
    [family] = gauge.collect()
    assert [(sample.labels, sample.value) for sample in family.samples] == [({"partition": "1"}, 4)]
