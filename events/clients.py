"""The configuration that Cerrojo's Kafka clients share, and how they read."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka import (
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from settings import FIELDS, Settings, SettingsError, variable

T = TypeVar("T")

WORKERS_GROUP = "cerrojo-workers"
"""The consumer group by which hosts of workers share the partitions; in Kafka with the prefix."""

UNJOINED_GROUP = "cerrojo-unjoined"
"""The group that consumers name which join none; librdkafka wants one."""

ANSWER_SECONDS = 5.0
"""How long the brokers may take to answer a request, such as one for the end of a topic."""

WORKER_ANSWER_SECONDS = 2.0
"""The same for a worker and its supervisor, which begin anew rather than let a partition wait."""

LEAST_ANSWER_SECONDS = 0.05
"""How long they may at least take for one partition of many."""

LOOK_SECONDS = 0.5
"""Between two looks whether a broker has refused a client that waits for an answer."""

QUIET_LOG_LEVEL = 2
"""Silences librdkafka: while brokers are away it writes dozens of lines a second, and error_cb
gets the same errors."""


_SECURITY = {
    "kafka_security_protocol": "security.protocol",
    "kafka_sasl_mechanism": "sasl.mechanism",
    "kafka_sasl_username": "sasl.username",
    "kafka_sasl_password": "sasl.password",
    "kafka_oauth_token_endpoint_url": "sasl.oauthbearer.token.endpoint.url",
    "kafka_oauth_client_id": "sasl.oauthbearer.client.id",
    "kafka_oauth_client_secret": "sasl.oauthbearer.client.secret",
    "kafka_oauth_scope": "sasl.oauthbearer.scope",
    "kafka_oauth_extensions": "sasl.oauthbearer.extensions",
    "kafka_oauth_ca_file": "https.ca.location",
    "kafka_ca_file": "ssl.ca.location",
    "kafka_certificate_file": "ssl.certificate.location",
    "kafka_key_file": "ssl.key.location",
    "kafka_key_password": "ssl.key.password",
}
"""The option of librdkafka that each of these settings is."""

_CREDENTIALS = (
    f"The brokers do not take what {variable('kafka_sasl_mechanism')} and the settings of that "
    f"mechanism say: {variable('kafka_sasl_username')} and {variable('kafka_sasl_password')}, or "
    f"{variable('kafka_oauth_client_id')} and {variable('kafka_oauth_client_secret')}."
)
_TLS = (
    f"{variable('kafka_ca_file')} must have the CA of the brokers' certificates, "
    f"{variable('kafka_bootstrap_servers')} the names in these, and where the brokers want a "
    f"certificate, {variable('kafka_certificate_file')} one that they trust."
)
_RIGHTS = "Give this client's principal the right; docs/rights.md has those that it needs."
_WAYS_OUT = {
    KafkaError._AUTHENTICATION: _CREDENTIALS,
    KafkaError.SASL_AUTHENTICATION_FAILED: _CREDENTIALS,
    KafkaError.UNSUPPORTED_SASL_MECHANISM: _CREDENTIALS,
    KafkaError._SSL: _TLS,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: _RIGHTS,
    KafkaError.GROUP_AUTHORIZATION_FAILED: _RIGHTS,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: _RIGHTS,
}
"""What to do about an error that waiting does not end."""

_PROTOCOL = ("security.protocol", "PLAINTEXT broker listener")
"""In librdkafka's text where a broker's listener may speak another protocol."""

_OTHER_PROTOCOL = (
    f"{variable('kafka_security_protocol')} must be what that broker's listener speaks."
)

_FIRST_REQUEST = "in state APIVERSION_QUERY"
"""In its line about a broken connection, which is no error to it, where TLS met no TLS."""

_ALERT = "SSL alert number"
"""In its text where a broker breaks the connection off because of a certificate: with TLS 1.3 it
says so only when the client takes it for open."""


def client_options(settings: Settings) -> dict[str, Any]:
    """The options of every client: the brokers, how it proves itself, and how soon it retries.

    The client adds at most a quarter of a second to a broker's return and to an election. A broker
    that keeps its connections and answers nothing is given up after 6 seconds. The default is
    a minute, in which the client does not ask for the new leaders of its partitions.
    """
    values = {option: getattr(settings, field) for field, option in _SECURITY.items()}
    security = {option: str(value) for option, value in values.items() if value is not None}
    if settings.kafka_sasl_mechanism == "OAUTHBEARER":
        security["sasl.oauthbearer.method"] = "oidc"
    # librdkafka writes its lines by itself, and no other way than its own.
    quiet = {"log_level": QUIET_LOG_LEVEL} if settings.log_format == "json" else {}
    return (
        security
        | quiet
        | {
            "bootstrap.servers": settings.require_kafka(),
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 250,
            "retry.backoff.max.ms": 250,
            "socket.timeout.ms": 6_000,
            "socket.keepalive.enable": True,
        }
    )


def check_options(settings: Settings) -> None:
    """Raise SettingsError where no client can be made by these settings, as without a file."""
    set_ = {field: value for field in _SECURITY if (value := getattr(settings, field)) is not None}
    for field, path in set_.items():
        if isinstance(path, Path):
            try:
                path.open("rb").close()
            except OSError as error:
                trouble = f"this file cannot be read: {error.strerror}"
                raise SettingsError(FIELDS[field].refuse(str(path), trouble)) from None
    try:
        AdminClient(client_options(settings) | {"log_level": QUIET_LOG_LEVEL})
    except KafkaException as error:
        text = reason(error)
        named = [variable(field) for field in set_ if _SECURITY[field] in text]
        if variable("kafka_key_file") in named and settings.kafka_key_password:
            named.append(variable("kafka_key_password"))
        raise SettingsError(
            f"{' or '.join(named) or 'A setting of Kafka'} cannot be used: {text}"
        ) from None


class _LastLine(logging.Handler):
    """The last line that librdkafka wrote."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


def reach(settings: Settings, seconds: float) -> AdminClient:
    """A client that has had an answer from a broker.

    Raises SettingsError where the brokers refuse it, as for a wrong password, and
    ``KafkaException`` where none has answered after `seconds`.
    """
    check_options(settings)
    refused: list[str] = []

    def note(error: KafkaError) -> None:
        if way_out(error):
            refused.append(explain(error))

    lines, logger = _LastLine(), logging.Logger("kafka")
    logger.addHandler(lines)
    admin = AdminClient(client_options(settings) | {"error_cb": note}, logger=logger)
    until = time.monotonic() + seconds
    while True:
        try:
            admin.list_topics(timeout=min(seconds, LOOK_SECONDS))
        except KafkaException:
            admin.poll(0)  # calls `note` and the logger
            if refused:
                raise SettingsError(f"Kafka refuses this client: {refused[-1]}") from None
            if time.monotonic() < until:
                continue
            if _FIRST_REQUEST in lines.text:
                raise SettingsError(
                    f"Kafka breaks off each connection at the first request. {_OTHER_PROTOCOL}"
                ) from None
            raise
        else:
            return admin


def assigned_consumer(settings: Settings, options: Mapping[str, Any] = {}) -> Consumer:
    """A consumer with manually assigned partitions, which joins no group and commits no offset.

    `options` are further options of librdkafka, which override these.
    """
    return Consumer(
        client_options(settings)
        | {
            "group.id": settings.prefixed(UNJOINED_GROUP),
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            # The default would skip records silently.
            "auto.offset.reset": "error",
            "fetch.error.backoff.ms": 100,
        }
        | dict(options)
    )


def asking_consumer(settings: Settings) -> Consumer:
    """A consumer that only asks where partitions end, where others hear of the same failures.

    One that reads nothing does not learn by itself that a partition has a new leader [measured:
    after the former one's death no answer for 32 s, and for over 40 s where it stood still; with
    these options for 5 s].
    """
    return assigned_consumer(
        settings,
        {
            "topic.metadata.refresh.interval.ms": 2_000,
            "log_level": QUIET_LOG_LEVEL,
            "error_cb": lambda _: None,
        },
    )


def read_batch(
    consumer: Consumer,
    limit: int = 1000,
    seconds: float = 0.2,
    linger: Callable[[], None] = lambda: None,
) -> list[Message]:
    """Up to `limit` messages as soon as one is there; none after `seconds` without one.

    Longer `seconds` delay the end of the calling thread. `consume(limit, seconds)` alone would
    wait until all messages are there. `linger` is called between the first message and the others,
    if others are wanted.
    """
    first = consumer.poll(seconds)
    if first is None:
        return []
    if limit == 1:
        return [first]
    linger()
    return [first, *consumer.consume(limit - 1, 0)]


def end_offset(
    consumer: Consumer, topic: str, partition: int, seconds: float = ANSWER_SECONDS
) -> int:
    """The offset that the next record gets. Raises ``KafkaException``, also after `seconds`.

    OFFSET_END in an assignment is resolved later, when the awaited record may already be written.
    """
    (answer,) = _ask_for_ends(consumer, topic, [partition], seconds)
    if answer.error is not None:
        raise KafkaException(answer.error)
    if answer.offset < 0:
        raise KafkaException(f"The brokers' answer has no end offset of {topic}")
    return int(answer.offset)


def end_offsets(
    consumer: Consumer, topic: str, partitions: Iterable[int], seconds: float
) -> dict[int, int]:
    """The same of some partitions, by an :func:`asking_consumer`.

    One without a leader, or whose leader is silent or another one by now, has none and hides no
    other. Raises ``KafkaException`` where none has one; it takes up to twice as many `seconds`.

    An AdminClient's ``list_offsets`` is not for this: where one of three brokers is away, it tries
    to connect without a pause [measured: 1.2 processors], and has no answer for up to a minute, or
    none at all, beyond any timeout.
    """
    asked = list(partitions)
    if not asked:
        return {}
    drain(consumer)
    until = time.monotonic() + seconds
    try:
        answers = _ask_for_ends(consumer, topic, asked, seconds / 2)
    except KafkaException as failure:
        answers = []  # one leader's failure is that of the whole request
        for done, partition in enumerate(asked):
            left = until - time.monotonic()
            if left < -seconds:
                break
            share = max(left / (len(asked) - done), LEAST_ANSWER_SECONDS)
            with suppress(KafkaException):
                answers += _ask_for_ends(consumer, topic, [partition], share)
        if not answers:
            raise failure from None
    return {a.partition: int(a.offset) for a in answers if a.error is None and a.offset >= 0}


def answer(future: Future[T], seconds: float) -> T:
    """What an AdminClient's request with this timeout came to. Raises ``KafkaException``.

    Not all of them end by themselves where a broker is away [measured: one of `list_offsets` went
    on for three minutes].
    """
    try:
        return future.result(seconds + 1.0)
    except TimeoutError:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None


def drain(consumer: Consumer) -> None:
    """Take what librdkafka has to tell an :func:`asking_consumer`, which nothing else takes.

    While brokers are away that is 60 MB an hour [measured].
    """
    consumer.poll(0)


def _ask_for_ends(
    consumer: Consumer, topic: str, partitions: Iterable[int], seconds: float
) -> list[TopicPartition]:
    # One request to each leader. `get_watermark_offsets` makes another for the start.
    asked = [TopicPartition(topic, partition, OFFSET_END) for partition in partitions]
    return consumer.offsets_for_times(asked, timeout=seconds)


def reason(error: Exception) -> str:
    """The error's text; that by librdkafka where it has one, and what to do if that is known."""
    cause = error.args[0] if error.args else None
    return explain(cause) if isinstance(cause, KafkaError) else str(error).strip()


def explain(error: KafkaError) -> str:
    """librdkafka's text, and what to do where it takes a person to end this error."""
    text, todo = error.str(), way_out(error)
    return f"{text.rstrip('.')}. {todo}" if todo else text


def way_out(error: KafkaError) -> str:
    """What a person has to do about the error; "" where waiting may end it."""
    text = error.str()
    if any(suspicion in text for suspicion in _PROTOCOL):
        return _OTHER_PROTOCOL
    return _WAYS_OUT.get(error.code(), _TLS if _ALERT in text else "")
