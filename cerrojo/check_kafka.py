"""Kafka as `cerrojo doctor` sees it: whether it answers, its topics, rights and clock."""

from __future__ import annotations

import time
from typing import get_args

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AclOperation, AdminClient, ClusterMetadata

from cerrojo.findings import Findings, by_difference, failed, ok, warning
from events.clients import answer, reach, reason
from events.rights import Part, groups_of, topics_of
from events.topics import ADMIN_TIMEOUT_SECONDS, TOPICS, faults, missing_rights
from settings import Settings, SettingsError, variable
from workers.commands.errors import CommandError
from workers.commands.log_time import log_time_ms

REACH_SECONDS = 5.0

REPLICAS = 3
"""With so many, what was answered is on two brokers, and one may be away."""

HEARTBEAT_SECONDS = 5.0
"""Ten times what passes between two heartbeats of a worker."""

_WAY_OUT = "Give them to its principal; docs/rights.md has those of each part."


def check_kafka(settings: Settings, used: int = 0) -> Findings:
    """All of it, as far as Kafka answers. So many partitions of `attempts` are used."""
    try:
        admin = reach(settings, REACH_SECONDS)
        present = admin.list_topics(timeout=REACH_SECONDS)
        yield ok("Kafka", f"Answers; brokers: {len(present.brokers)}.")
        lacking = {part: _lacking(admin, settings, part) for part in get_args(Part)}
        yield from _rights(lacking)
        looks = not lacking["commands"]
        if looks:
            yield from _topics(admin, settings, used)
            yield from replicas(present, settings.topic_prefix)
    except SettingsError as error:
        yield failed("Kafka", str(error))
    except KafkaException as error:
        yield failed(
            "Kafka",
            f"Does not answer: {reason(error).rstrip('.')}. Start it, or set "
            f"{variable('kafka_bootstrap_servers')} to where it is.",
        )
    else:
        if looks:
            yield from _clock(settings)
        else:
            yield warning(
                "topics",
                "Neither they nor Kafka's clock can be looked at as this client: it has not the "
                "rights of commands.",
            )


def _topics(admin: AdminClient, settings: Settings, used: int) -> Findings:
    found = faults(admin, settings.topic_prefix, used)
    for fault in found:
        yield failed("topics", fault)
    if not found:
        yield ok("topics", f"All {len(TOPICS)} are there, with the configuration that they need.")


def replicas(present: ClusterMetadata, prefix: str) -> Findings:
    """Whether one broker may be lost, where Kafka has as many as that takes."""
    names = [prefix + topic for topic in TOPICS if prefix + topic in present.topics]
    few = [
        name
        for name in names
        if any(
            len(partition.replicas) < REPLICAS
            for partition in present.topics[name].partitions.values()
        )
    ]
    if few and len(present.brokers) >= REPLICAS:
        yield warning(
            "replicas",
            f"Of {len(present.brokers)} brokers fewer than {REPLICAS} have {', '.join(few)}: while "
            "one is away, logins are refused whose records it alone has, and what it loses is "
            f"lost. {variable('replication')}={REPLICAS} is for new topics; give these more by "
            "kafka-reassign-partitions.sh, and do `python -m events` then.",
        )


def _rights(lacking: dict[Part, list[str]]) -> Findings:
    """Each part may have a user of its own, so this one needs the rights of one part only."""
    has = [part for part, rights in lacking.items() if not rights]
    if has:
        yield ok("rights", f"This client has those of {', '.join(has)}.")
        return
    nearest = min(lacking, key=lambda part: len(lacking[part]))
    yield failed(
        "rights",
        f"This client has those of no part. For {nearest} it lacks {', '.join(lacking[nearest])}. "
        f"{_WAY_OUT}",
    )


def _lacking(admin: AdminClient, settings: Settings, part: Part) -> list[str]:
    """The rights of this part that this client has not."""
    topics = missing_rights(admin, topics_of(part, settings.topic_prefix))
    groups = groups_of(part, settings.topic_prefix)
    return [
        *(f"{' and '.join(rights)} on the topic {name}" for name, rights in topics.items()),
        *(f"READ on the group {name}" for name in groups if _may_not_read(admin, name)),
    ]


def _may_not_read(admin: AdminClient, group: str) -> bool:
    """Whether Kafka says so; one that is not there yet is not refused."""
    (future,) = admin.describe_consumer_groups(
        [group], include_authorized_operations=True, request_timeout=ADMIN_TIMEOUT_SECONDS
    ).values()
    try:
        rights = answer(future, ADMIN_TIMEOUT_SECONDS).authorized_operations
    except KafkaException as error:
        return bool(error.args[0].code() == KafkaError.GROUP_AUTHORIZATION_FAILED)
    return bool(rights) and AclOperation.READ not in rights


def _clock(settings: Settings) -> Findings:
    began = time.time()
    try:
        shown = log_time_ms(settings, HEARTBEAT_SECONDS) / 1000
    except CommandError as error:
        yield warning("clock of Kafka", str(error))
    else:
        yield by_difference("clock of Kafka", "The broker", shown, began, time.time())
