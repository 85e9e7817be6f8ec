"""The configuration of a local Kafka node, and the options of its Java."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path

SINGLE_NODE = ("-Xms256m", "-Xmx512m")
# Several nodes share a machine: with these a start takes 3 seconds of a core instead of 5. The
# code is compiled less well, which does not matter where one person makes the load.
CLUSTER_NODE = ("-Xms128m", "-Xmx320m", "-XX:TieredStopAtLevel=1")
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
    # Topics are created explicitly, with the partitions and timestamps that they must have.
    "auto.create.topics.enable": "false",
    # The members of a group on one machine join at once, so it need not wait for more.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "1",
    # A broker that is started after a kill waits this long for its own former session to end.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "1000",
    # For a small machine.
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "4",
    "log.cleaner.dedupe.buffer.size": "8388608",
    "log.retention.check.interval.ms": "60000",
}
# With several nodes, acknowledged records survive the death of one. It costs the time until it is
# noticed, which these keep short.
CLUSTER = {
    "min.insync.replicas": "2",
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    "controller.quorum.fetch.timeout.ms": "1000",
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.election.backoff.max.ms": "500",
    # All nodes are stopped together, and the last one could not hand over its leadership.
    "controlled.shutdown.enable": "false",
}


def jvm_options(brokers: int, further: str = "") -> tuple[str, ...]:
    """The options of Java for a node of a Kafka with this many brokers; of two the last one counts.

    `further` ones are quoted as in a shell, where they have spaces.
    """
    return (*(SINGLE_NODE if brokers == 1 else CLUSTER_NODE), *JVM_OPTIONS, *shlex.split(further))


def properties(own: Mapping[str, str], brokers: int) -> str:
    """The file `server.properties` of a node; `own` are the settings that only this node has."""
    settings = {
        **CONFIGURATION,
        **(CLUSTER if brokers > 1 else {}),
        **_replicas(brokers),
        **own,
    }
    return "".join(f"{name}={_escape(value)}\n" for name, value in settings.items())


def _replicas(brokers: int) -> dict[str, str]:
    """The replicas of Kafka's own topics: one on each broker; all but one must be in sync."""
    in_sync = str(max(1, brokers - 1))
    return {
        "offsets.topic.replication.factor": str(brokers),
        "transaction.state.log.replication.factor": str(brokers),
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": str(brokers),
        "share.coordinator.state.topic.min.isr": in_sync,
    }


def _escape(value: str) -> str:
    # Java reads properties as ISO-8859-1, and knows what JSON puts for all but ASCII, and for "\\".
    return json.dumps(value)[1:-1]
