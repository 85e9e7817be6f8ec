"""The time on the brokers' clock."""

from __future__ import annotations

from confluent_kafka import KafkaException, TopicPartition

from events.clients import assigned_consumer, end_offset
from events.topics import BLOCKS
from settings import Settings
from workers.commands.errors import CommandError, kafka_failed


def log_time_ms(settings: Settings, wait_seconds: float) -> int:
    """The brokers' time just now, by the next heartbeat of any worker. Raises CommandError."""
    consumer = assigned_consumer(settings)
    topic = settings.prefixed(BLOCKS)
    try:
        end = end_offset(consumer, topic, 0, wait_seconds)
        consumer.assign([TopicPartition(topic, 0, end)])
        message = consumer.poll(wait_seconds)
        if message is not None and (failure := message.error()) is not None:
            raise KafkaException(failure)
    except KafkaException as error:
        raise kafka_failed(error) from error
    finally:
        consumer.close()
    if message is None:
        raise CommandError(
            f"No worker said anything within {wait_seconds:g} s, so the log's time is not known. "
            "Start `python -m workers`, then run the command again."
        )
    return message.timestamp()[1]
