"""The Kafka of compose.yml by its own files: who comes in, by what, and what they may do.

A broker on this machine has deploy/kafka.properties, with its own addresses. The parts come as
compose.yml says.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy.compose_secrets import make
from events.clients import client_options
from local import tcp_ports
from local.kafka import Kafka
from local.progress import ProgressReporter
from local.system import Part, System
from settings import Settings, load
from tests.acceptance.system import CHEAPEST, Client, RunningSystem, run
from tests.harness.kafka_rights import assert_rights
from tests.paths import PROJECT

SERVICES: dict[str, Any] = yaml.safe_load((PROJECT / "compose.yml").read_text())["services"]
VOLUMES = {"gateway": "gateway-keys", "workers": "keys", "topics": "step-keys"}
HOST = "localhost"
"""A name in the brokers' certificate, as the containers' names are."""


class ComposeKafka(Kafka):
    """A node that knows who comes as that of compose.yml does."""

    def __init__(self, folder: Path, cache_dir: Path) -> None:
        super().__init__(folder, cache_dir, java_options=load().kafka_java_options)
        self.volumes = folder / "volumes"
        for name in (*VOLUMES.values(), "postgres-keys", "kafka-keys"):
            (self.volumes / name).mkdir(parents=True)
        make(self.volumes)
        self.listeners = {name: tcp_ports.choose("127.0.0.1") for name in ("CLIENTS", "BROKERS")}
        self._system = System(folder / "run")
        self._up, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="compose kafka")

    def environment(self, service: str) -> dict[str, str]:
        """How this service of compose.yml comes in, with its volume and this machine's ports."""
        volume = self.volumes / VOLUMES[service]
        given = {
            name: str(value).replace("/keys/", f"{volume}/")
            for name, value in SERVICES[service]["environment"].items()
            if name.startswith("CERROJO_KAFKA_")
        }
        port = SERVICES[service]["environment"]["KAFKA_BOOTSTRAP_SERVERS"].rpartition(":")[2]
        listener = {"9092": "CLIENTS", "9094": "BROKERS"}[port]
        return given | {"KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{self.listeners[listener]}"}

    def settings(self, service: str) -> Settings:
        """The same, as the service reads it."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment(service).items():
                patch.setenv(name, value)
            return load()

    def probe(self) -> bool:
        """Whether it answers, to the administrator."""
        return bool(AdminClient(self._administrator).list_topics(timeout=2.0).brokers)

    def __enter__(self) -> ComposeKafka:
        """Itself, when it answers."""
        # Not by the thread that probes: they set the environment of the whole process.
        self._administrator = client_options(self.settings("topics")) | {"log_level": 2}
        self.reserve_ports(taken=self.listeners.values())
        self.prepare(ProgressReporter())
        self._thread.start()
        self._up.wait()
        if self._system.failure:
            failure = self._system.failure
            self.__exit__()
            raise RuntimeError(failure)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it, and return when it is gone."""
        self._stop.set()
        self._system.manager.wake()
        self._thread.join()

    def _configuration(self, data: Path) -> str:
        controller = f"{HOST}:{self.ports.controller}"
        where = ",".join(f"{name}://{HOST}:{port}" for name, port in self.listeners.items())
        own = {
            "listeners": f"{where},CONTROLLER://{controller}",
            "advertised.listeners": where,
            "controller.quorum.voters": f"1@{controller}",
        }
        text = (PROJECT / "deploy" / "kafka.properties").read_text()
        return (
            super()._configuration(data)
            + text.replace("=/keys/", f"={self.volumes / 'kafka-keys'}/")
            + "".join(f"{name}={value}\n" for name, value in own.items())
        )

    def _run(self) -> None:
        self._system.start([Part(self.spec())])
        while not self._system.stopped:
            self._system.step(1.0)
            if self._system.complete or self._system.failure:
                self._up.set()
            if self._stop.is_set():
                self._system.stop()
        self._system.manager.close()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Iterator[ComposeKafka]:
    """The Kafka, empty."""
    with ComposeKafka(tmp_path_factory.mktemp("compose"), cache_dir) as made:
        yield made


@pytest.mark.slow
def test_a_whole_system_comes_in_as_compose_says(
    broker: ComposeKafka, database: str, tmp_path: Path
) -> None:
    """The steps by a certificate, gateways and workers by passwords; each does its own only."""
    steps = {**broker.environment("topics"), "DATABASE_URL": database, "CERROJO_PARTITIONS": "4"}
    done = subprocess.run(
        [sys.executable, "-m", "events"],
        cwd=PROJECT,
        env={**os.environ, **steps},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    own = {name: broker.environment(name) for name in ("gateway", "workers")}
    kafka = own["gateway"]["KAFKA_BOOTSTRAP_SERVERS"]
    system = RunningSystem(kafka, database, tmp_path, CHEAPEST, own=own)

    async def scenario(client: Client) -> None:
        await client.register("ana", "correct horse battery")
        assert (await client.login("ana", "correct horse battery")).status == 200
        for status in [401] * 5 + [429]:
            assert (await client.login("ana", "wrong horse battery")).status == status
        assert (await client.operator("DELETE", "/blocked/ana")).status == 200
        lifted = await client.login_once_heard("ana", "correct horse battery")
        assert lifted.status == 200

    system.start()
    try:
        system.wait_for_all_ready()
        run(system, scenario)
    finally:
        system.stop()
    for name in ("gateway", "workers"):
        assert_rights(name, client_options(broker.settings(name)) | {"log_level": 2})


@pytest.mark.parametrize(
    ("service", "but"),
    [
        ("gateway", {"sasl.password": "a wrong word"}),
        ("gateway", {"sasl.username": "cerrojo"}),
        ("gateway", {"security.protocol": "SSL"}),
        ("gateway", {"security.protocol": "SASL_PLAINTEXT"}),
        ("gateway", {"security.protocol": "PLAINTEXT"}),
        ("topics", {"ssl.certificate.location": "", "ssl.key.location": ""}),
        ("topics", {"security.protocol": "PLAINTEXT"}),
    ],
)
def test_nobody_else_comes_in(broker: ComposeKafka, service: str, but: dict[str, str]) -> None:
    """Without the password, without the certificate, or without TLS."""
    options = client_options(broker.settings(service)) | {"log_level": 2}
    changed = {name: value for name, value in (options | but).items() if value != ""}
    with pytest.raises(KafkaException):
        AdminClient(changed).list_topics(timeout=2.0)


def test_a_certificate_of_another_authority_is_none(broker: ComposeKafka, tmp_path: Path) -> None:
    """Though it names the administrator."""
    for name in (*VOLUMES.values(), "postgres-keys", "kafka-keys"):
        (tmp_path / name).mkdir()
    make(tmp_path)
    forged = {
        "ssl.certificate.location": str(tmp_path / "step-keys" / "kafka.pem"),
        "ssl.key.location": str(tmp_path / "step-keys" / "kafka.key"),
    }
    options = client_options(broker.settings("topics")) | {"log_level": 2}
    with pytest.raises(KafkaException):
        AdminClient(options | forged).list_topics(timeout=2.0)
