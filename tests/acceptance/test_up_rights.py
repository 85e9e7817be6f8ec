"""What each part of a `make up` may do, by its own credentials: what it needs, and nothing else."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import psutil
import psycopg
import pytest
from argon2 import PasswordHasher
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from events.clients import WORKERS_GROUP, client_options
from events.rights import Part
from events.topics import ATTEMPTS
from local.kafka import nodes
from local.kafka_users import KafkaUsers
from local.postgres import Postgres
from settings import load
from sql.roles import GATEWAY, OPERATOR, ROLES, WORKERS
from tests.acceptance.make_up import Up, curl
from tests.harness.command import doctor, said
from tests.harness.kafka_rights import READS, REFUSALS, SOON_SECONDS, assert_rights, polled


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Iterator[Up]:
    """A system that is up."""
    system = Up(tmp_path_factory.mktemp("rights") / "data", cache_dir)
    try:
        system.start()
        system.wait_up()
        yield system
    finally:
        system.close()


@pytest.fixture(scope="module")
def kafka(running: Up) -> str:
    """Its Kafka."""
    [node] = nodes(running.data_dir, running.data_dir, 1)
    return node.address


@pytest.fixture(scope="module")
def options(running: Up, kafka: str) -> Callable[[str], dict[str, Any]]:
    """The options of a client that comes as a part, or as a user without a right."""
    users = KafkaUsers(running.data_dir)
    admin = AdminClient({"bootstrap.servers": kafka, **users.options()})
    scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    made = admin.alter_user_scram_credentials(
        [UserScramCredentialUpsertion("stranger", scram, b"a word")]
    )
    made["stranger"].result(SOON_SECONDS)

    def of(who: str) -> dict[str, Any]:
        part: Part = "gateway" if who == "stranger" else who  # type: ignore[assignment]
        with pytest.MonkeyPatch.context() as patch:
            for name, value in users.part(part).items():
                patch.setenv(name, value)
            came = client_options(load(kafka_bootstrap_servers=kafka))
        if who == "stranger":
            came |= {"sasl.username": "stranger", "sasl.password": "a word"}
        return came | {"log_level": 2}

    return of


@pytest.mark.parametrize("who", READS)
def test_each_part_writes_and_reads_its_topics_only(
    options: Callable[[str], dict[str, Any]], who: str
) -> None:
    """As gateways write what workers read, and the reverse; a user without a right does nothing."""
    assert_rights(who, options(who))


@pytest.mark.parametrize("who", READS)
def test_no_part_changes_what_kafka_is(options: Callable[[str], dict[str, Any]], who: str) -> None:
    """Topics, their settings and records, passwords and rights are the administrator's."""
    admin = AdminClient(options(who))
    mine = AclBinding(
        ResourceType.TOPIC,
        ATTEMPTS,
        ResourcePatternType.LITERAL,
        f"User:cerrojo_{who}",
        "*",
        AclOperation.ALL,
        AclPermissionType.ALLOW,
    )
    scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    broker = ConfigResource(ResourceType.BROKER, "1")
    entry = ConfigEntry("retention.ms", "1", incremental_operation=AlterConfigOpType.SET)
    topic = ConfigResource(ResourceType.TOPIC, ATTEMPTS, incremental_configs=[entry])
    asked: list[dict[Any, Any]] = [
        admin.create_topics([NewTopic("more", 1, 1)]),
        admin.delete_topics([ATTEMPTS]),
        admin.delete_records([TopicPartition(ATTEMPTS, 0, 1)]),
        admin.incremental_alter_configs([topic]),
        admin.describe_configs([broker]),
        admin.create_acls([mine]),
        admin.alter_user_scram_credentials(
            [UserScramCredentialUpsertion("cerrojo_gateway", scram, b"another word")]
        ),
    ]
    for futures in asked:
        for future in futures.values():
            with pytest.raises(KafkaException) as refused:
                future.result(SOON_SECONDS)
            # Of a topic that is hidden from it, a client finds nobody to ask.
            assert refused.value.args[0].code() in {*REFUSALS, KafkaError._NOENT}, refused.value


@pytest.mark.parametrize("who", sorted(READS.keys() - {"workers"}))
def test_only_workers_share_the_partitions(
    options: Callable[[str], dict[str, Any]], who: str
) -> None:
    """Another member of their group would take partitions and decide nothing."""
    consumer = Consumer(options(who) | {"group.id": WORKERS_GROUP})
    try:
        consumer.subscribe([ATTEMPTS])
        error = polled(consumer).error()
    finally:
        consumer.close()
    assert error is not None
    assert error.code() in REFUSALS


@pytest.mark.parametrize(
    "given",
    [
        {"security.protocol": "PLAINTEXT", "sasl.mechanism": "PLAIN"},
        {"sasl.password": "a wrong word"},
        {"sasl.username": "nobody"},
        {"sasl.mechanism": "PLAIN"},
        {"sasl.mechanism": "PLAIN", "sasl.username": "cerrojo", "sasl.password": "cerrojo"},
    ],
    ids=["no password", "a wrong one", "an unknown user", "as a server", "as administrator"],
)
def test_nobody_else_comes_in(
    options: Callable[[str], dict[str, Any]], given: dict[str, str]
) -> None:
    """The brokers tell such a client nothing, not even which topics there are."""
    admin = AdminClient(options("gateway") | given)
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=2.0)
    assert AdminClient(options("gateway")).list_topics(timeout=SOON_SECONDS).topics


def test_each_process_comes_to_postgres_as_its_part(running: Up) -> None:
    """And the password of no role is in a file that others may read."""
    url = Postgres(running.data_dir).database_url
    until = time.monotonic() + SOON_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        used: dict[str, str] = {}
        while time.monotonic() < until and {*used.values()} != {GATEWAY, OPERATOR, WORKERS}:
            used |= {
                f"{name} {role}": role
                for name, role in connection.execute(
                    "SELECT application_name, usename FROM pg_stat_activity"
                    " WHERE application_name ~ '^cerrojo' AND pid <> pg_backend_pid()"
                )
            }
    assert {*used.values()} == {GATEWAY, OPERATOR, WORKERS}
    for path in ("postgres.pass", "kafka-passwords/users", "kafka/server.properties"):
        assert (running.data_dir / path).stat().st_mode & 0o777 == 0o600


def test_the_commands_come_with_rights_of_their_own(running: Up) -> None:
    """`cerrojo` finds them beside the system, and they are what all of it needs."""
    env = {"CERROJO_DATA_DIR": str(running.data_dir)}
    assert said(env, "policy", "--threshold", "6")["policy"]["threshold"] == 6
    assert said(env, "resize", "3")["used"] == 3
    waiting = said(env, "quarantine")["quarantine"]
    replayed = said(env, "quarantine", "replay", "--all", "--late")
    assert replayed["appended"] + len(replayed["refused"]) == len(waiting)
    assert all(one["owner"] for one in said(env, "partitions")["partitions"])
    assert said(env, "blocked") == {"blocked": []}
    account = json.dumps({"user": "imported", "hash": PasswordHasher(1, 8, 1).hash("a word")})
    assert said(env, "accounts", "import", "-", given=f"{account}\n")["created"] == 1
    assert said(env, "verify")["differences"] == []
    assert said(env, "whatif")["policies"]
    found = {one["check"]: one for one in json.loads(doctor(env).stdout)["checks"]}
    assert found["rights"]["sentence"] == "This client has those of commands."
    assert {one["check"] for one in found.values() if one["state"] != "ok"} == set()
    register, right, *_ = [
        line.strip() for line in running.said.splitlines() if line.strip().startswith("curl")
    ]
    assert curl(register).status_code == 201
    assert curl(right).status_code == 200


def test_no_password_is_in_an_environment_or_a_command_line(running: Up) -> None:
    """Where others on the machine could see it; nor in a log."""
    lines = KafkaUsers(running.data_dir).file.read_text().splitlines()
    lines += (running.data_dir / "postgres.pass").read_text().splitlines()
    words = {line.replace(":", " ").split()[-1] for line in lines}
    assert len(words) == len(get_args(Part)) + len(ROLES) + 1
    shown = [log.read_text() for log in (running.data_dir / "logs").iterdir()]
    assert running.make
    processes = psutil.Process(running.make.pid).children(recursive=True)
    assert len(processes) > 10
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # Postgres ends some at any time
            shown += [*process.cmdline(), *process.environ().values()]
    assert not any(word in text for word in words for text in shown)
