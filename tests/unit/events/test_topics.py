"""Which answers of the brokers mean that they will not have it, and which that they are away."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ConfigResource, NewTopic

from events.topics import TopicError, _create, _set_config, is_refusal

NEEDED = {"message.timestamp.type": "LogAppendTime"}
WISHED = {"retention.ms": "3600000", "segment.ms": "450000"}


class Brokers:
    """A managed Kafka, which lets no topic have some settings."""

    def __init__(self, code: int, *refused: str) -> None:
        self.made: dict[str, str] | None = None
        self.config: dict[str, str] = {}
        self._code = code
        self._refused = set(refused)

    def create_topics(self, topics: list[NewTopic], **_: Any) -> dict[str, Future[None]]:
        """One topic."""
        config = dict(topics[0].config)
        answer = self._answer(config)
        if not answer.exception():
            self.made = config
        return {topics[0].topic: answer}

    def incremental_alter_configs(
        self, resources: list[ConfigResource], **_: Any
    ) -> dict[ConfigResource, Future[None]]:
        """All or nothing."""
        changes = {entry.name: entry.value for entry in resources[0].incremental_configs}
        answer = self._answer(changes)
        if not answer.exception():
            self.config |= changes
        return {resources[0]: answer}

    def _answer(self, config: dict[str, str]) -> Future[None]:
        answer: Future[None] = Future()
        if self._refused & config.keys():
            answer.set_exception(KafkaException(KafkaError(self._code, "not that")))
        else:
            answer.set_result(None)
        return answer


def new(brokers: Brokers) -> None:
    """A topic is made."""
    topic = NewTopic("attempts", 4, 3, config=NEEDED | WISHED)
    _create(brokers, [topic], {"attempts": NEEDED})  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [KafkaError.POLICY_VIOLATION, KafkaError.INVALID_CONFIG])
def test_a_topic_is_made_without_what_is_only_wished_for(code: int) -> None:
    """A managed Kafka refuses the whole topic for the sake of one setting."""
    brokers = Brokers(code, "segment.ms")
    new(brokers)
    assert brokers.made == NEEDED


def test_a_topic_is_not_made_without_what_it_needs() -> None:
    """One with clients' times would be there, and of no use."""
    brokers = Brokers(KafkaError.POLICY_VIOLATION, "message.timestamp.type")
    with pytest.raises(TopicError, match=r"attempts could not be created: not that.*LogAppendTime"):
        new(brokers)
    assert brokers.made is None


def test_what_may_be_set_is_set_one_by_one() -> None:
    """And the rest is told, with the brokers' reason."""
    brokers = Brokers(KafkaError.POLICY_VIOLATION, "segment.ms")
    actual = {"retention.ms": "1", "segment.ms": "1"}
    refused = _set_config(brokers, "attempts", WISHED, actual)  # type: ignore[arg-type]
    assert refused == {"segment.ms": "not that"}
    assert brokers.config == {"retention.ms": "3600000"}


def test_what_is_so_already_is_not_asked_for() -> None:
    """Who may not set it need not."""
    brokers = Brokers(KafkaError.TOPIC_AUTHORIZATION_FAILED, *WISHED)
    assert _set_config(brokers, "attempts", WISHED, dict(WISHED)) == {}  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [KafkaError._TIMED_OUT, KafkaError._TRANSPORT])
def test_brokers_that_are_away_have_refused_nothing(code: int) -> None:
    """It is an error, and the step is run again."""
    assert not is_refusal(KafkaException(KafkaError(code)))
    with pytest.raises(KafkaException):
        _set_config(Brokers(code, *WISHED), "attempts", WISHED, {})  # type: ignore[arg-type]
