"""How a Kafka node of ours is configured, and with which options its Java runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

ALONE = ("-Xms256m", "-Xmx512m")
# Several share a machine: a start takes 3 seconds of a core instead of 5, and what is not compiled
# as well is no matter where the load is a person's.
ONE_OF_SEVERAL = ("-Xms128m", "-Xmx320m", "-XX:TieredStopAtLevel=1")
JVM_OPTIONS = (
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-HeapDumpOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
    f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties')}",
)
CONFIGURATION = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # Topics are made on purpose, with the partitions and timestamps that they must have.
    "auto.create.topics.enable": "false",
    # A group of one machine has all its members at once, and shares quickly.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "1",
    # How long it waits after a kill for the death of its former self, and no other broker's.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "1000",
    # A small machine.
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "4",
    "log.cleaner.dedupe.buffer.size": "8388608",
    "log.retention.check.interval.ms": "60000",
}
# Of several: an answer survives the death of one, which costs the time until it is noticed.
TOGETHER = {
    "min.insync.replicas": "2",
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    "controller.quorum.fetch.timeout.ms": "1000",
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.election.backoff.max.ms": "500",
    # They are stopped together, and the last could hand its leadership over to nobody.
    "controlled.shutdown.enable": "false",
}


def jvm_options(brokers: int) -> tuple[str, ...]:
    """For a node that is one of so many."""
    return (*(ALONE if brokers == 1 else ONE_OF_SEVERAL), *JVM_OPTIONS)


def properties(own: Mapping[str, str], brokers: int) -> str:
    """The file `server.properties` of one of so many nodes; `own` is what no other node has."""
    settings = {
        **CONFIGURATION,
        **(TOGETHER if brokers > 1 else {}),
        **_replicas(brokers),
        **own,
    }
    return "".join(f"{name}={_escape(value)}\n" for name, value in settings.items())


def _replicas(brokers: int) -> dict[str, str]:
    """Of Kafka's own topics: all brokers have them, and all but one must."""
    enough = str(max(1, brokers - 1))
    return {
        "offsets.topic.replication.factor": str(brokers),
        "transaction.state.log.replication.factor": str(brokers),
        "transaction.state.log.min.isr": enough,
        "share.coordinator.state.topic.replication.factor": str(brokers),
        "share.coordinator.state.topic.min.isr": enough,
    }


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\")  # a backslash is special in Java's properties
