"""What clients of Kafka are made with, and what is said of an error that waiting does not end."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from msgspec.structs import replace

from events import clients
from events.clients import (
    answer,
    check_options,
    client_options,
    end_offsets,
    explain,
    reason,
    way_out,
)
from settings import Settings, SettingsError

HERE = Settings(kafka_bootstrap_servers="127.0.0.1:1")


def test_a_kafka_that_asks_for_nothing_is_told_nothing() -> None:
    """Neither a user nor a certificate."""
    options = client_options(HERE)
    assert not [name for name in options if name.startswith(("sasl.", "ssl.", "https."))]
    assert options["security.protocol"] == "PLAINTEXT"


def test_librdkafka_knows_each_option() -> None:
    """As it was built into the wheel: with OAUTHBEARER by client credentials."""
    oauth = Settings(
        kafka_bootstrap_servers="127.0.0.1:1",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="OAUTHBEARER",
        kafka_oauth_token_endpoint_url="http://127.0.0.1:1/token",
        kafka_oauth_client_id="cerrojo",
        kafka_oauth_client_secret="word",
        kafka_oauth_scope="kafka",
        kafka_oauth_extensions="logicalCluster=one",
    )
    Producer({**client_options(oauth), "log_level": 0})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With its setting, before anything waits for a broker; so is one that has no certificate."""
    missing, empty = tmp_path / "ca.pem", tmp_path / "empty.pem"
    empty.touch()
    config = replace(HERE, kafka_security_protocol="SSL", kafka_ca_file=missing)
    with pytest.raises(SettingsError, match=r"CERROJO_KAFKA_CA_FILE cannot be used: .*ssl\.ca"):
        check_options(replace(config, kafka_ca_file=empty))
    with pytest.raises(SettingsError, match=f"CERROJO_KAFKA_CA_FILE is '{missing}': this file"):
        check_options(config)


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        (KafkaError._AUTHENTICATION, "CERROJO_KAFKA_SASL_PASSWORD"),
        (KafkaError._SSL, "CERROJO_KAFKA_CA_FILE"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "docs/rights.md"),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "docs/rights.md"),
    ],
)
def test_what_waiting_does_not_end_has_a_way_out(code: int, wanted: str) -> None:
    """After librdkafka's own words."""
    error = KafkaError(code, "It failed.")
    assert explain(error).startswith("It failed. ")
    assert wanted in explain(error)
    assert wanted in reason(KafkaException(error))


def test_a_listener_that_speaks_otherwise_has_one() -> None:
    """librdkafka takes it for a broken connection, and suspects why."""
    text = "Disconnected: might be caused by incorrect security.protocol configuration"
    error = KafkaError(KafkaError._TRANSPORT, text)
    assert "CERROJO_KAFKA_SECURITY_PROTOCOL" in explain(error)


def test_what_waiting_may_end_is_left_as_it_is() -> None:
    """A broker that is away needs no setting."""
    error = KafkaError(KafkaError._TRANSPORT, "Connection refused")
    assert (way_out(error), explain(error)) == ("", "Connection refused")


def test_librdkafka_is_silent_where_lines_are_json() -> None:
    """Its lines have no other form than its own; the errors in them come by other ways, too."""
    assert "log_level" not in client_options(HERE)
    assert client_options(replace(HERE, log_format="json"))["log_level"] == 2


class Asked:
    """A consumer as librdkafka would answer it, by partition: an offset or what went wrong."""

    def __init__(self, *ends: int | KafkaError | None) -> None:
        """None: its leader is silent, at which the whole request fails."""
        self.ends = ends
        self.drained = 0

    def offsets_for_times(self, asked: list[TopicPartition], timeout: float) -> list[Any]:
        """Their end offsets."""
        ends = {where.partition: self.ends[where.partition] for where in asked}
        if any(end is None for end in ends.values()):
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return [
            SimpleNamespace(partition=n, offset=end, error=None)
            if isinstance(end, int)
            else SimpleNamespace(partition=n, offset=-1, error=end)
            for n, end in ends.items()
        ]

    def poll(self, timeout: float) -> None:
        """Give nothing, and take in what is there to be told."""
        self.drained += 1

    def all(self) -> dict[int, int]:
        """What is known of all."""
        return end_offsets(cast(Any, self), "attempts", range(len(self.ends)), 1.0)


def test_a_partition_without_an_end_hides_no_other() -> None:
    """One has no leader, a silent one, or librdkafka gives an offset below zero and no error."""
    none = KafkaError(KafkaError.LEADER_NOT_AVAILABLE)
    for ends, found in (
        ((none, 7, -1001), {1: 7}),
        ((none, None, 8), {2: 8}),
        ((None,) * 2, None),
        ((), {}),
    ):
        if found is None:
            with pytest.raises(KafkaException):
                Asked(*ends).all()
        else:
            assert Asked(*ends).all() == found


def test_very_many_silent_leaders_are_not_waited_for_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a thousand partitions and no broker that would be a minute."""
    now = [0.0]
    monkeypatch.setattr(clients, "time", SimpleNamespace(monotonic=lambda: now[0]))

    class Silent(Asked):
        def offsets_for_times(self, asked: list[TopicPartition], timeout: float) -> list[Any]:
            now[0] += timeout
            return super().offsets_for_times(asked, timeout)

    with pytest.raises(KafkaException):
        Silent(*(None,) * 1024).all()
    assert now[0] <= 2.1


def test_what_nobody_takes_does_not_pile_up() -> None:
    """librdkafka keeps each error of a connection for who asks for it."""
    consumer = Asked(7)
    for _ in range(3):
        consumer.all()
    assert consumer.drained == 3


def test_an_answer_that_never_comes_is_a_failure() -> None:
    """librdkafka's timeout does not end all requests where a broker is away."""
    never: Future[int] = Future()
    with pytest.raises(KafkaException) as failure:
        answer(never, -1.0)
    assert failure.value.args[0].code() == KafkaError._TIMED_OUT
    never.set_result(7)
    assert answer(never, -1.0) == 7
