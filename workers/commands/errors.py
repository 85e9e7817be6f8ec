"""The error of the commands, and the sentence that several of them have."""

from __future__ import annotations

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from events.clients import reach, reason
from events.topics import ADMIN_TIMEOUT_SECONDS
from settings import Settings


class CommandError(Exception):
    """A command did not do all that it should; the message says what, why, and what to do."""


class CommandUsageError(CommandError):
    """What was asked for can never be done; the message says what can."""


def kafka_failed(error: KafkaException) -> CommandError:
    """The error of a command that may be run again."""
    return CommandError(f"Kafka failed: {reason(error).rstrip('.')}. Run the command again.")


def reach_kafka(settings: Settings) -> AdminClient:
    """A client that Kafka has let in. Raises CommandError or SettingsError."""
    try:
        return reach(settings, ADMIN_TIMEOUT_SECONDS)
    except KafkaException as error:
        raise kafka_failed(error) from error
