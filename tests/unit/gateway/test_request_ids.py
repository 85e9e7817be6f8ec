"""One id leads from an answer to its log lines and its row of the audit; no two share one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from events.messages import Attempt, Decision, Request, Unblock, Verdict, decode_attempts
from gateway import request_ids
from gateway.errors import NoPartitionError
from gateway.kafka import verdict_client
from gateway.kafka.verdict_client import Destination, VerdictClient
from gateway.web import responses
from settings import Settings

HERE = Destination(0, 4)


class Producer:
    """A producer whose records are accepted at once, but for the first ones."""

    def __init__(self, client: list[VerdictClient], refusals: int) -> None:
        self.written: list[Request] = []
        self._client = client
        self._refusals = refusals

    def write(self, partition: int, key: str, value: bytes, on_failure: object) -> None:
        """Keep the record."""
        if self._refusals:
            self._refusals -= 1
            raise NoPartitionError("not yet")
        made = decode_attempts(value)
        self.written.append(made)
        verdict = Verdict(made.id, "ana", Decision.ACCEPTED, 0)
        asyncio.get_running_loop().call_soon(self._client[0]._settle, [verdict])


def attempt(id_: bytes, reply_partition: int, partitions: int) -> Attempt:
    """A login of ana's."""
    return Attempt(id_, reply_partition, "ana", True, partitions)


def unblock(id_: bytes, reply_partition: int, partitions: int) -> Unblock:
    """What an operator does for ana."""
    return Unblock(id_, reply_partition, "ana", partitions)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a client whose verdicts are all that accepts, and its producer."""

    def make(refusals: int = 0) -> tuple[VerdictClient, Producer]:
        client: list[VerdictClient] = []
        producer = Producer(client, refusals)
        monkeypatch.setattr(verdict_client, "AttemptProducer", lambda *_: producer)
        monkeypatch.setattr(verdict_client, "VerdictConsumer", lambda *_: None)
        client.append(VerdictClient(Settings()))
        client[0]._get_ready(3)
        return client[0], producer

    return make


def test_the_first_record_of_a_request_has_its_id_and_no_other_one(connect: Any) -> None:
    """The log would take a second record with the id for a repetition, and decide nothing."""

    async def scenario() -> None:
        client, producer = connect()
        request = request_ids.begin()
        await client.ask("ana", HERE, 5.0, attempt)
        await client.ask("ana", HERE, 5.0, unblock)
        first, second = producer.written
        assert first.id == request.value
        assert second.id != request.value
        assert responses.with_request_id([]) == [(b"x-request-id", first.id.hex().encode())]

    asyncio.run(scenario())


def test_a_record_that_was_not_written_leaves_the_id_to_the_next_one(connect: Any) -> None:
    """While partitions become more, a process may not know the new ones yet."""

    async def scenario() -> None:
        client, producer = connect(refusals=1)
        request = request_ids.begin()
        with pytest.raises(NoPartitionError):
            await client.ask("ana", HERE, 5.0, attempt)
        await client.ask("ana", HERE, 5.0, attempt)
        assert [written.id for written in producer.written] == [request.value]

    asyncio.run(scenario())


def test_requests_at_the_same_time_have_ids_of_their_own(connect: Any) -> None:
    """Each runs in a task of its own, and what it starts belongs to it."""

    async def one(client: VerdictClient) -> bytes:
        request = request_ids.begin()
        await asyncio.sleep(0)
        verdict = await asyncio.ensure_future(client.ask("ana", HERE, 5.0, attempt))
        assert verdict.id == request.value
        return verdict.id

    async def scenario() -> None:
        client, producer = connect()
        ids = await asyncio.gather(*(one(client) for _ in range(20)))
        assert len(set(ids)) == 20
        assert {written.id for written in producer.written} == set(ids)

    asyncio.run(scenario())


def test_an_attempt_with_a_key_says_the_id_that_the_key_gives() -> None:
    """Not one that no row has."""

    async def scenario() -> None:
        request_ids.begin()
        request_ids.adopt(b"k" * 16)
        assert responses.with_request_id([]) == [(b"x-request-id", b"6b" * 16)]
        assert request_ids.add_to_line(None, "", {"event": "x"})["request_id"] == "6b" * 16

    asyncio.run(scenario())


def test_a_line_about_no_request_has_no_id() -> None:
    """As a supervisor's, or that of a thread which reads verdicts."""
    assert request_ids.add_to_line(None, "", {"event": "x"}) == {"event": "x"}
    assert responses.with_request_id([(b"a", b"b")]) == [(b"a", b"b")]
