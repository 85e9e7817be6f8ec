"""The topics: names, configuration and retention, and how they are made and checked."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AclOperation,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
    TopicDescription,
)

from events.clients import answer, reason
from events.messages import VERDICT_PARTITIONS

ATTEMPTS = "attempts"
VERDICTS = "verdicts"
BLOCKS = "blocks"
SOURCES = "sources"
EVENTS = "events"

ADMIN_TIMEOUT_SECONDS = 10.0
"""How long the brokers may take for an administrative request."""

_CONFIGS = {
    # The append time decides windows and blocks, so it must be the log's, not a client's.
    ATTEMPTS: {"message.timestamp.type": "LogAppendTime", "cleanup.policy": "delete"},
    VERDICTS: {"cleanup.policy": "delete"},
    # No compaction: a zombie's late record would survive it.
    BLOCKS: {"cleanup.policy": "delete"},
    SOURCES: {"cleanup.policy": "delete"},
    EVENTS: {"cleanup.policy": "delete"},
}
"""The required configuration of each topic, also of one that exists already."""

_SETTINGS = {
    # Gateways tell the brokers' time by it, and from when on records need a signature.
    BLOCKS: {"message.timestamp.type": "LogAppendTime"},
    VERDICTS: {"message.timestamp.type": "LogAppendTime"},
    # All gateways count by one clock.
    SOURCES: {"message.timestamp.type": "LogAppendTime"},
    # Its records say when they were published.
    EVENTS: {"message.timestamp.type": "LogAppendTime"},
}
"""The configuration that a topic is given, also one that exists already, and must have then."""

TOPICS = tuple(_CONFIGS)
"""All of them. In Kafka their names begin with the setting `topic_prefix`."""

HOUR_MS = 3_600_000

_REFUSED_VALUES = {
    KafkaError.POLICY_VIOLATION,
    KafkaError.INVALID_CONFIG,
    KafkaError.INVALID_REQUEST,
    KafkaError.UNSUPPORTED_VERSION,
}
"""How brokers say that a topic may not have such a setting."""

_NOT_ALLOWED = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}
"""How they say that this client may not ask for it."""


class Retention(NamedTuple):
    """How long Kafka keeps the records of the topics, in hours; 0 is forever."""

    attempts: int = 168
    """A worker that was away longer than this reports how many attempts it missed."""
    news: int = 1
    """For `verdicts`, `blocks` and `sources`. They are of use for seconds, those of `sources` for a
    quarter of an hour; an hour helps to find a fault."""
    events: int = 168
    """A receiver that was away longer than this has missed some."""

    def config(self, topic: str) -> dict[str, str]:
        """The configuration that gives the topic this retention."""
        hours = {ATTEMPTS: self.attempts, EVENTS: self.events}.get(topic, self.news)
        if hours == 0:
            return {"retention.ms": "-1"}
        # Kafka deletes whole closed segments, and closes one after a week by default: with eight
        # in the retention time, records are kept at most an eighth longer.
        return {"retention.ms": str(hours * HOUR_MS), "segment.ms": str(hours * HOUR_MS // 8)}


DEFAULT_RETENTION = Retention()


def _safety(replicas: int) -> dict[str, str]:
    """Acknowledged records are on two brokers, if there are enough brokers for one to die."""
    return {"min.insync.replicas": "2"} if replicas >= 3 else {}


class TopicError(Exception):
    """A topic cannot be used as it is; the message names the topic, the fault and the way out."""


def create_topics(
    admin: AdminClient,
    partitions: int,
    replication: int,
    retention: Retention = DEFAULT_RETENTION,
    prefix: str = "",
    report: Callable[[str], None] = lambda _: None,
) -> int:
    """Create missing topics and check the others; the number of partitions of `attempts`.

    Their names begin with `prefix`. Existing topics get this retention and the settings of new
    ones, where theirs differ. `report` gets a sentence for each that the brokers refuse to give and
    that Cerrojo can do without. Raises :class:`TopicError` where a topic cannot be used and
    ``KafkaException`` where the brokers do not answer.
    """
    counts = {ATTEMPTS: partitions, VERDICTS: VERDICT_PARTITIONS, BLOCKS: 1, SOURCES: 1, EVENTS: 1}
    names = {topic: prefix + topic for topic in TOPICS}
    # Those that exist are not asked for again: who may not create topics may still use them.
    present = admin.list_topics(timeout=ADMIN_TIMEOUT_SECONDS).topics
    missing = {topic: name for topic, name in names.items() if name not in present}
    needed = {name: _CONFIGS[topic] | _SETTINGS.get(topic, {}) for topic, name in missing.items()}
    _create(
        admin,
        [
            NewTopic(
                name,
                counts[topic],
                replication,
                config=needed[name] | retention.config(topic) | _safety(replication),
            )
            for topic, name in missing.items()
        ],
        needed,
    )
    usable = _await_usable(admin, names.values())
    configs = _configs(admin, names.values())
    for topic, name in names.items():
        actual = configs[name]
        _check_config(name, _CONFIGS[topic], actual)
        required = _SETTINGS.get(topic, {})
        # Where there is no such setting, as with Redpanda, what is answered is on most replicas.
        if int(actual.get("min.insync.replicas", "2")) < 2:
            replicas = min(len(p.replicas) for p in usable[name].partitions)
            required = required | _safety(replicas)
        wished = retention.config(topic)
        refused = _set_config(admin, name, required | wished, actual)
        _check_config(name, {key: required[key] for key in required.keys() & refused}, actual)
        for key, why in refused.items():
            report(
                f"The topic {name} keeps {key}={actual.get(key, 'unknown')}: the brokers refuse "
                f"{wished[key]}. {why}"
            )
    _check_replies(names[VERDICTS], len(usable[names[VERDICTS]].partitions))
    return len(usable[names[ATTEMPTS]].partitions)


def faults(admin: AdminClient, prefix: str = "", used: int = 0) -> list[str]:
    """A sentence for each reason why the topics cannot be used. Changes nothing.

    `used` partitions of `attempts` have to be there. Raises ``KafkaException``.
    """
    present = admin.list_topics(timeout=ADMIN_TIMEOUT_SECONDS).topics
    found = []
    for topic in TOPICS:
        name = prefix + topic
        if name not in present:
            found.append(f"The topic {name} is missing. `python -m events` makes it.")
            continue
        leaderless = [
            n for n, partition in present[name].partitions.items() if partition.leader < 0
        ]
        if leaderless:
            found.append(
                f"Partitions {leaderless} of the topic {name} have no leader. Start the brokers "
                "that are away."
            )
        partitions = present[name].partitions
        if topic == ATTEMPTS and len(partitions) < used:
            found.append(too_few(name, len(partitions), used))
        try:
            actual = _configs(admin, [name])[name]
            wanted = _CONFIGS[topic] | _SETTINGS.get(topic, {})
            if int(actual.get("min.insync.replicas", "2")) < 2:
                wanted |= _safety(min(len(p.replicas) for p in partitions.values()))
            _check_config(name, wanted, actual)
            if topic == VERDICTS:
                _check_replies(name, len(partitions))
        except TopicError as error:
            found.append(str(error))
    return found


def too_few(topic: str, present: int, used: int) -> str:
    """The sentence about a topic that has fewer partitions than the database says."""
    return (
        f"The topic {topic} has {present} partitions and the database says {used}. If it was "
        f"recreated, delete it and run `python -m events` with CERROJO_PARTITIONS={used}."
    )


def missing_rights(
    admin: AdminClient, wanted: Mapping[str, Collection[AclOperation]]
) -> dict[str, list[str]]:
    """By the names of topics, those of these rights that this client has not.

    Of a topic that does not exist nothing is said. Raises ``KafkaException``.
    """
    found = admin.describe_topics(
        TopicCollection(list(wanted)),
        include_authorized_operations=True,
        request_timeout=ADMIN_TIMEOUT_SECONDS,
    )
    missing = {}
    for name, future in found.items():
        try:
            has = answer(future, ADMIN_TIMEOUT_SECONDS).authorized_operations or []
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                continue
            if error.args[0].code() not in _NOT_ALLOWED:
                raise
            has = []
        if lacks := [right.name for right in wanted[name] if right not in has]:
            missing[name] = lacks
    return missing


def _create(
    admin: AdminClient, topics: list[NewTopic], needed: Mapping[str, dict[str, str]]
) -> None:
    """Create the topics, each with what it needs only where the brokers refuse the rest."""
    errors = _try_to_create(admin, topics)
    for topic in topics:
        name, error = topic.topic, errors.get(topic.topic)
        if error is not None and error.args[0].code() in _REFUSED_VALUES:
            topic.config = needed[name]
            error = _try_to_create(admin, [topic]).get(name)
        if error is not None:
            options = "".join(f" --config {key}={value}" for key, value in needed[name].items())
            raise TopicError(
                f"The topic {name} could not be created: {reason(error).rstrip('.')}. Where "
                f"another one has to create it: kafka-topics.sh --create --topic {name} "
                f"--partitions {topic.num_partitions} "
                f"--replication-factor {topic.replication_factor}{options}"
            ) from error


def _try_to_create(admin: AdminClient, topics: list[NewTopic]) -> dict[str, KafkaException]:
    """The errors of those that do not exist then, by their names."""
    if not topics:
        return {}
    futures = admin.create_topics(
        topics, operation_timeout=ADMIN_TIMEOUT_SECONDS, request_timeout=ADMIN_TIMEOUT_SECONDS
    )
    errors = {}
    for name, future in futures.items():
        try:
            answer(future, ADMIN_TIMEOUT_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                errors[name] = error
    return errors


def describe(
    admin: AdminClient, topic: str, seconds: float = ADMIN_TIMEOUT_SECONDS
) -> TopicDescription:
    """The topic as the brokers know it: its id and partitions. Raises ``KafkaException``."""
    # The request goes to the broker that the last metadata named as controller, and waits for it
    # even when it is dead. So new metadata has to come first.
    admin.list_topics(topic, timeout=seconds)
    return _describe(admin, [topic], seconds)[topic]


def _describe(
    admin: AdminClient, topics: Collection[str], seconds: float
) -> dict[str, TopicDescription]:
    found = admin.describe_topics(TopicCollection(list(topics)), request_timeout=seconds)
    return {topic: answer(future, seconds) for topic, future in found.items()}


def _await_usable(admin: AdminClient, names: Collection[str]) -> dict[str, TopicDescription]:
    """Wait until all brokers know the new topics and all partitions have leaders; the topics."""
    until = time.monotonic() + ADMIN_TIMEOUT_SECONDS
    while True:
        try:
            admin.list_topics(timeout=ADMIN_TIMEOUT_SECONDS)  # as `describe` does
            found = _describe(admin, names, ADMIN_TIMEOUT_SECONDS)
            offsets = {
                TopicPartition(name, partition.id): OffsetSpec.latest()  # type: ignore[no-untyped-call]
                for name, description in found.items()
                for partition in description.partitions
            }
            for future in admin.list_offsets(
                offsets, request_timeout=ADMIN_TIMEOUT_SECONDS
            ).values():
                answer(future, ADMIN_TIMEOUT_SECONDS)
        except KafkaException:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return found


def _configs(admin: AdminClient, topics: Collection[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
    answers = admin.describe_configs(resources, request_timeout=ADMIN_TIMEOUT_SECONDS)
    configs = {}
    for resource, future in answers.items():
        try:
            entries = answer(future, ADMIN_TIMEOUT_SECONDS)
            configs[resource.name] = {key: entry.value for key, entry in entries.items()}
        except KafkaException as error:
            if error.args[0].code() not in _NOT_ALLOWED:
                raise
            raise TopicError(
                f"The configuration of the topic {resource.name} could not be read: {reason(error)}"
            ) from error
    return configs


def _set_config(
    admin: AdminClient, topic: str, wanted: dict[str, str], actual: dict[str, str]
) -> dict[str, str]:
    """Set what differs, at once or one by one; what the brokers refuse, with the reason."""
    changes = {key: value for key, value in wanted.items() if actual.get(key) != value}
    if not changes or not _refusal(admin, topic, changes):
        return {}
    one_by_one = {key: _refusal(admin, topic, {key: value}) for key, value in changes.items()}
    return {key: why for key, why in one_by_one.items() if why}


def _refusal(admin: AdminClient, topic: str, changes: dict[str, str]) -> str:
    """Why the brokers refuse these settings of the topic; "" where it has them now."""
    entries = [
        ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        for key, value in changes.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    (future,) = admin.incremental_alter_configs(
        [resource], request_timeout=ADMIN_TIMEOUT_SECONDS
    ).values()
    try:
        answer(future, ADMIN_TIMEOUT_SECONDS)
    except KafkaException as error:
        if not is_refusal(error):
            raise
        return reason(error)
    return ""


def is_refusal(error: KafkaException) -> bool:
    """Whether the brokers do not want to set what was asked for, whenever they are asked."""
    return error.args[0].code() in _REFUSED_VALUES | _NOT_ALLOWED


def _check_config(topic: str, wanted: dict[str, str], actual: dict[str, str]) -> None:
    for key, value in wanted.items():
        if actual.get(key) != value:
            raise TopicError(
                f"The topic {topic} has {key}={actual.get(key, 'unknown')} and must have {value}. "
                f"Set it with kafka-configs.sh --alter --topic {topic} --add-config {key}={value}."
            )


def _check_replies(topic: str, partitions: int) -> None:
    if partitions < VERDICT_PARTITIONS:
        raise TopicError(
            f"The topic {topic} has {partitions} partitions and must have {VERDICT_PARTITIONS}. "
            f"Add them with kafka-topics.sh --alter --topic {topic} --partitions "
            f"{VERDICT_PARTITIONS}."
        )
