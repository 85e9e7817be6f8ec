"""The same system on six hosts: each gateway, and each host of workers, in its namespace."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from math import nan
from pathlib import Path
from types import MappingProxyType

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import NewTopic

from local.postgres import NAME as POSTGRES
from processes import ProcessSpec
from tests.chaos.network.server_clocks import ServerClocks
from tests.chaos.network.servers import BROKERS, NetworkServers
from tests.chaos.world import HOSTS, World
from tests.harness.namespaces import Namespaces

GATEWAYS = ("gateway 1", "gateway 2")
NODES = (*BROKERS, POSTGRES, *GATEWAYS, *HOSTS)
CLOCK = Path(__file__).with_name("clock")
"""Python's `sitecustomize` for a part whose clock is wrong."""


CLOCK_SECONDS = 20.0
"""For a record that is appended for its time."""


class NetworkWorld(World):
    """Two gateways and two hosts of workers, which have clocks and addresses of their own."""

    gateways = GATEWAYS

    def __init__(
        self,
        folder: Path,
        servers: NetworkServers,
        clocks: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """Servers that run, and have nothing in them yet.

        `clocks` are the seconds by which the clocks of some parts are ahead from the beginning.
        """
        self.network: Namespaces = servers.network
        self.server_clocks: ServerClocks = servers.clocks
        self._url_of_nodes = servers.database_url_of_nodes
        self._clocks = dict(clocks)
        super().__init__(folder, servers)  # type: ignore[arg-type]  # they do what is asked of them

    def address(self, part: str) -> str:
        """Of its namespace."""
        return self.network.address(part)

    def set_clock(self, part: str, seconds: float) -> None:
        """Restart a part with a clock that is so much ahead; return when it is ready."""
        former = self.pid(part)
        self._clocks[part] = seconds
        self._do(lambda: self._manager.remove(part))
        self._add(self._spec(part))
        self._wait_until(lambda: self.pid(part) not in (former, None), f"{part} does not end")
        self.wait_until_ready(part)

    def append_ms(self, broker: str) -> float:
        """The time of day that a broker gives a record, in a topic that it alone has."""
        topic = f"the-clock-of-{broker}"
        new = NewTopic(
            topic,
            num_partitions=1,
            replica_assignment=[[BROKERS.index(broker) + 1]],
            config={"message.timestamp.type": "LogAppendTime", "min.insync.replicas": "1"},
        )
        admin = self.admin()
        with suppress(KafkaException):  # it is there
            admin.create_topics([new])[topic].result(CLOCK_SECONDS)
        appended: list[float] = []
        producer = Producer({"bootstrap.servers": self.kafka, "log_level": 2})
        producer.produce(topic, b"", on_delivery=lambda _, m: appended.append(m.timestamp()[1]))
        producer.flush(CLOCK_SECONDS)
        return appended[0] if appended else nan

    @property
    def _url_of_parts(self) -> str:
        return self._url_of_nodes

    def _spec(self, name: str) -> ProcessSpec:
        spec = super()._spec(name)
        return replace(
            spec,
            command=(*self.network.inside(name), *spec.command),
            env={**spec.env, **_clock(self._clocks.get(name, 0.0))},
        )


def _clock(seconds: float) -> Mapping[str, str]:
    """An environment in which the time of day is so much ahead, and durations are as they are."""
    if not seconds:
        return {}
    return {"PYTHONPATH": str(CLOCK), "CHAOS_CLOCK_AHEAD": str(seconds)}
