"""Kafka by SASL and TLS: each way lets an attempt through, and what is wrong is said at once."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
import structlog
from confluent_kafka.admin import AclOperation, NewTopic, ResourceType
from msgspec.structs import replace
from structlog import DropEvent
from structlog.typing import EventDict

import settings
from cerrojo import check_kafka
from cerrojo.findings import State
from events import clients
from events.clients import assigned_consumer, client_options, end_offset, reach
from events.messages import VERDICT_PARTITIONS, Decision
from events.rights import Part, User, let_in
from events.topics import TopicError, create_topics
from gateway.kafka.verdict_client import VerdictClient
from settings import Settings, SettingsError
from tests.acceptance.system import CHEAPEST, Client, RunningSystem, run
from tests.harness.asking import decisions
from tests.harness.kafka_rights import WRITES, assert_rights, may_write
from tests.harness.secure_kafka import LIMITED, SecureKafka
from tests.kafka import remove_topics
from tests.paths import PROJECT
from workers.commands import change_policy
from workers.commands.errors import CommandError

WAYS = {
    "PLAIN": ("PLAIN", "PLAIN"),
    "SCRAM-SHA-256": ("SCRAM", "SCRAM-SHA-256"),
    "SCRAM-SHA-512": ("SCRAM", "SCRAM-SHA-512"),
    "OAUTHBEARER": ("OAUTH", "OAUTHBEARER"),
    "a certificate": ("MTLS", ""),
}
"""Listener and mechanism."""

SOON_SECONDS = 60.0
"""No way of the brokers to refuse takes so long."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Iterator[SecureKafka]:
    """The Kafka that wants to know who comes."""
    with SecureKafka(tmp_path_factory.mktemp("secure"), cache_dir) as made:
        yield made


@pytest.fixture
def config(
    broker: SecureKafka, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> Callable[..., Settings]:
    """Makes the settings of a Cerrojo that comes so, but for some of its variables."""

    def make(way: str, **but: str) -> Settings:
        environment = broker.environment(*WAYS[way])
        environment |= {f"CERROJO_KAFKA_{name.upper()}": value for name, value in but.items()}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        for name in [name for name, value in environment.items() if not value]:
            monkeypatch.delenv(name)
        return settings.load(database_url=database_url)

    return make


@pytest.mark.parametrize("way", WAYS)
def test_an_attempt_is_decided_by_each_way(
    way: str, config: Callable[..., Settings], database: str
) -> None:
    """All kinds of clients come in: admin, producers, consumers; of the gateway and the worker."""
    prefix = f"{way.replace(' ', '-')}."
    came = replace(config(way), topic_prefix=prefix, database_url=database)
    admin = reach(came, SOON_SECONDS)
    assert create_topics(admin, 4, 1, prefix=prefix) == 4
    assert decisions(came, "ana", 1) == [Decision.REJECTED]


@pytest.mark.parametrize(
    ("way", "but", "wanted"),
    [
        ("PLAIN", {"sasl_password": "wrong-word"}, "CERROJO_KAFKA_SASL_PASSWORD"),
        ("SCRAM-SHA-512", {"sasl_password": "wrong-word"}, "CERROJO_KAFKA_SASL_PASSWORD"),
        ("SCRAM-SHA-512", {"sasl_mechanism": "PLAIN"}, "CERROJO_KAFKA_SASL_MECHANISM"),
        ("OAUTHBEARER", {"oauth_client_secret": "wrong-word"}, "CERROJO_KAFKA_OAUTH_CLIENT_SECRET"),
        ("PLAIN", {"ca_file": "other-ca.pem"}, "CERROJO_KAFKA_CA_FILE"),
        ("PLAIN", {"ca_file": "no.pem"}, "CERROJO_KAFKA_CA_FILE .*no.pem"),
        (
            "a certificate",
            {"certificate_file": "", "key_file": "", "key_password": ""},
            "CERROJO_KAFKA_CERTIFICATE_FILE",
        ),
        ("a certificate", {"key_password": "wrong-word"}, "CERROJO_KAFKA_KEY_FILE"),
    ],
)
def test_what_the_brokers_refuse_is_said_at_once(
    broker: SecureKafka,
    config: Callable[..., Settings],
    way: str,
    but: dict[str, str],
    wanted: str,
) -> None:
    """By the name of the setting, and not as a broker that does not answer."""
    if but.get("ca_file"):
        but = {"ca_file": str(broker.certificates / but["ca_file"])}
    came = config(way, **but)
    with pytest.raises(SettingsError, match=wanted) as caught:
        reach(came, SOON_SECONDS)
    assert "wrong-word" not in str(caught.value)


def test_what_brokers_break_off_without_a_word_is_said_in_the_end(
    config: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that starts may do so, too, so all of the time passes first: here, once it was seen."""
    came = config("PLAIN", security_protocol="SASL_PLAINTEXT", ca_file="")
    line = clients._LastLine()

    def clock() -> float:
        return float("inf") if clients._FIRST_REQUEST in line.text else time.monotonic()

    monkeypatch.setattr(clients, "_LastLine", lambda: line)
    monkeypatch.setattr(clients, "time", SimpleNamespace(monotonic=clock))
    with pytest.raises(SettingsError, match="CERROJO_KAFKA_SECURITY_PROTOCOL"):
        reach(came, SOON_SECONDS)


def test_a_gateway_logs_why_it_is_not_let_in(config: Callable[..., Settings]) -> None:
    """It goes on, as the brokers may learn of a new password later than it."""
    came = config("SCRAM-SHA-256", sasl_password="wrong-word")
    said = threading.Event()

    def listen(_: object, __: str, event: EventDict) -> EventDict:
        if "CERROJO_KAFKA_SASL_PASSWORD" in event.get("reason", ""):
            said.set()
        assert "wrong-word" not in str(event)
        raise DropEvent

    async def scenario() -> bool:
        client = VerdictClient(came)
        client.start()
        try:
            return await asyncio.to_thread(said.wait, SOON_SECONDS)
        finally:
            await client.close()

    before = structlog.get_config()
    structlog.configure(processors=[listen])
    try:
        assert asyncio.run(scenario())
    finally:
        structlog.configure(**before)


def test_the_first_step_ends_with_the_sentence(
    broker: SecureKafka, database: str, tmp_path: Path
) -> None:
    """`python -m events` comes first, and its secrets from files."""
    environment = broker.environment("PLAIN", "PLAIN") | {
        "CERROJO_TOPIC_PREFIX": "step.",
        "CERROJO_PARTITIONS": "4",
    }
    del environment["CERROJO_KAFKA_SASL_PASSWORD"]
    secret, url = tmp_path / "password", tmp_path / "url"
    url.write_text(f"{database}\n")
    files = {"CERROJO_KAFKA_SASL_PASSWORD_FILE": str(secret), "DATABASE_URL_FILE": str(url)}

    def run(password: str) -> subprocess.CompletedProcess[str]:
        secret.write_text(f"{password}\n")
        return subprocess.run(
            [sys.executable, "-m", "events"],
            cwd=PROJECT,
            env={**os.environ, **environment, **files},
            capture_output=True,
            text=True,
            check=False,
        )

    refused = run("wrong-word")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "CERROJO_KAFKA_SASL_PASSWORD" in refused.stderr
    assert "wrong-word" not in refused.stderr
    made = run(broker.password)
    assert (made.returncode, made.stderr) == (0, ""), made.stderr


USE = {
    ResourceType.TOPIC: (
        AclOperation.READ,
        AclOperation.WRITE,
        AclOperation.DESCRIBE_CONFIGS,
    ),
    ResourceType.GROUP: (AclOperation.READ,),
}
"""The rights that docs/operations.md names for one that may not make topics."""

RETENTION = {"retention.ms": "1234567"}


def test_one_who_may_not_make_topics_uses_those_that_are_there(
    broker: SecureKafka, database: str
) -> None:
    """What a managed Kafka does not let be set stays as it is, and is said."""
    came = Settings(
        database_url=database,
        topic_prefix="given.",
        kafka_bootstrap_servers=broker.where("SCRAM"),
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="SCRAM-SHA-512",
        kafka_sasl_username=LIMITED,
        kafka_sasl_password=broker.password,
        kafka_ca_file=broker.certificates / "ca.pem",
    )
    admin = reach(came, SOON_SECONDS)
    broker.grant("given.", USE)
    with pytest.raises(TopicError, match=r"given\.attempts could not be created.*--create --topic"):
        create_topics(admin, 4, 1, prefix="given.")
    appended = {"message.timestamp.type": "LogAppendTime"}
    make(broker, "given.attempts", 4, RETENTION | appended)
    make(broker, "given.verdicts", VERDICT_PARTITIONS, appended)
    make(broker, "given.sources", 1, appended)
    make(broker, "given.events", 1, appended)
    make(broker, "given.blocks", 1, RETENTION)
    with pytest.raises(TopicError, match=r"given\.blocks has message.timestamp.type=CreateTime"):
        create_topics(admin, 4, 1, prefix="given.")
    remove_topics(broker.admin, "given.blocks")
    make(broker, "given.blocks", 1, RETENTION | appended)
    told: list[str] = []
    assert create_topics(admin, 4, 1, prefix="given.", report=told.append) == 4
    assert any("given.attempts keeps retention.ms=1234567" in line for line in told)
    assert all("the brokers refuse" in line for line in told)
    assert decisions(came, "ana", 1) == [Decision.REJECTED]


def test_the_doctor_says_which_right_is_missing(
    broker: SecureKafka, config: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the topic or group, as those that need it would only time out; of one part only."""
    monkeypatch.setattr(check_kafka, "HEARTBEAT_SECONDS", 0.5)  # no worker says anything
    came = replace(config("SCRAM-SHA-512"), topic_prefix="seen.", kafka_sasl_username=LIMITED)
    create_topics(broker.admin, 4, 1, prefix="seen.")

    def found(check: str) -> list[tuple[str, str]]:
        findings = check_kafka.check_kafka(came)
        return [(one.state, one.sentence) for one in findings if one.check == check]

    def found_after(part: Part) -> str:
        let_in(broker.admin, [User(part, LIMITED, None)], "seen.")
        while not (said := found("rights")[0][1]).endswith(f" {part}."):
            pass  # the controller knows of it a moment earlier; each look waits for an answer
        return said

    broker.grant("seen.", {ResourceType.TOPIC: (AclOperation.READ,)})
    [(state, sentence)] = found("rights")
    assert state == State.FAILED
    assert "those of no part. For gateway it lacks WRITE on the topic seen.attempts, " in sentence
    assert "READ on the group seen.cerrojo-unjoined" in sentence
    assert found("topics") == [
        (
            State.WARNING,
            "Neither they nor Kafka's clock can be looked at as this client: it has not the rights "
            "of commands.",
        )
    ]
    assert found_after("workers") == "This client has those of workers."
    assert found_after("commands") == "This client has those of workers, commands."
    assert found("topics") == [
        (State.OK, "All 5 are there, with the configuration that they need.")
    ]


def test_a_policy_whose_verdicts_could_not_be_read_is_put_into_no_log(
    broker: SecureKafka, config: Callable[..., Settings], database: str
) -> None:
    """As the workers' own user may write to all logs; it would be in force, and look failed."""
    came = replace(config("SCRAM-SHA-512"), topic_prefix="unread.", database_url=database)
    limited = replace(came, kafka_sasl_username=LIMITED)
    create_topics(broker.admin, 4, 1, prefix="unread.")
    with psycopg.connect(database) as connection:
        for partition in range(4):
            connection.execute("SELECT claim_partition(%s, 'nobody')", (partition,))
        connection.execute("UPDATE partition_progress SET policy = '{}'")
    let_in(broker.admin, [User("workers", LIMITED, None)], "unread.")
    while not may_write(client_options(limited), "unread.attempts"):
        pass  # the controller knows of it a moment earlier; each look waits for an answer

    def ends() -> list[int]:
        with closing(assigned_consumer(came)) as consumer:
            return [end_offset(consumer, "unread.attempts", number) for number in range(4)]

    before = ends()
    with pytest.raises(CommandError, match=r"^This client may not read unread\.verdicts, .*READ"):
        change_policy.run(limited, {"threshold": 7})
    assert ends() == before


def make(broker: SecureKafka, name: str, partitions: int, config: dict[str, str]) -> None:
    """A topic as an operator makes it."""
    topic = NewTopic(name, partitions, 1, config=config)
    broker.admin.create_topics([topic])[name].result()
    while name not in broker.admin.list_topics(timeout=SOON_SECONDS).topics:
        pass  # the controller knows of it a moment earlier; each look waits for an answer


def test_a_whole_system_comes_in_with_these_rights(
    broker: SecureKafka, database: str, tmp_path: Path
) -> None:
    """The group of the workers is under the prefix, too, or it would not be allowed."""
    broker.grant("whole.", USE)
    create_topics(broker.admin, 4, 1, prefix="whole.")
    environment = broker.environment("SCRAM", "SCRAM-SHA-512", LIMITED)
    environment |= {"CERROJO_TOPIC_PREFIX": "whole.", "CERROJO_GATEWAY_PROCESSES": "1"}
    system = RunningSystem(broker.address, database, tmp_path, environment | CHEAPEST)
    system.start()

    async def scenario(client: Client) -> None:
        await client.register("ana", "correct horse battery")
        assert (await client.login("ana", "correct horse battery")).status == 200
        assert (await client.login("ana", "wrong horse battery")).status == 401

    try:
        system.wait_for_all_ready()
        run(system, scenario)
    finally:
        system.stop()
    assert broker.password not in system.logs()


@pytest.mark.parametrize("part", ["gateway", "workers", "commands"])
def test_a_certificate_has_the_rights_of_its_part(broker: SecureKafka, part: Part) -> None:
    """Kafka knows it by its name, so the file of users has no password for it."""
    prefix = f"by-certificate-{part}."
    create_topics(broker.admin, 1, 1, prefix=prefix)
    given = broker.environment("MTLS", "", LIMITED)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        options = client_options(settings.load()) | {"log_level": 2}
    assert_rights("stranger", options, prefix)
    let_in(broker.admin, [User(part, LIMITED, None)], prefix)
    while not may_write(options, prefix + min(WRITES[part])):
        pass  # the controller knows of it a moment earlier; each look waits for an answer
    assert_rights(part, options, prefix)
