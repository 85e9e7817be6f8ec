"""Three brokers and Postgres, each in a network namespace of its own."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from local import jars
from local.kafka import Kafka, nodes
from local.postgres import NAME as POSTGRES
from local.postgres import OWNER, Postgres
from local.progress import ProgressReporter
from local.system import Part, System
from processes import ProcessSpec
from settings import load
from tests.chaos.network.server_clocks import ServerClocks
from tests.harness.namespaces import Namespaces

BROKERS = ("kafka-1", "kafka-2", "kafka-3")
PORT = 5432


class NetworkServers:
    """As `local.servers.Servers`, for new data; the database's URL is for this process only."""

    def __init__(self, folder: Path, cache_dir: Path, network: Namespaces) -> None:
        """Look at nothing yet. The namespaces have a node for each broker and for Postgres."""
        self.data_dir = folder
        self.network = network
        self.brokers = list(BROKERS)
        addresses = [network.address(broker) for broker in BROKERS]
        self._cache = cache_dir
        self._kafka = nodes(folder, cache_dir, len(BROKERS), addresses, load().kafka_java_options)
        self._postgres = Postgres(folder)
        self.clocks = ServerClocks(folder, (*BROKERS, POSTGRES))
        self._system = System(folder / "run")
        self._up = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="servers")

    def start(self) -> None:
        """Return when all answer."""
        self.data_dir.mkdir(parents=True)
        self.clocks.prepare()
        self._prepare()
        self._thread.start()
        self._up.wait()
        if self._system.failure:
            self.stop()
            raise RuntimeError(self._system.failure)

    def stop(self) -> None:
        """Stop all and return when they are gone."""
        self._stop.set()
        self._system.manager.wake()
        self._thread.join()

    def __enter__(self) -> NetworkServers:
        """See :meth:`start`."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """See :meth:`stop`."""
        self.stop()

    @property
    def kafka_bootstrap_servers(self) -> str:
        """Where Kafka is, for every node."""
        return ",".join(node.address for node in self._kafka)

    @property
    def database_url(self) -> str:
        """Where Postgres is, by its socket, which no cut of the network concerns."""
        return self._postgres.database_url

    @property
    def database_url_of_nodes(self) -> str:
        """Where Postgres is in the network."""
        address = self.network.address(POSTGRES)
        options = self.database_url.partition("passfile=")[2]
        return f"postgresql://{OWNER}@{address}:{PORT}/{OWNER}?passfile={options}"

    @property
    def pids(self) -> dict[str, int]:
        """The processes that hold the servers, by the server's name."""
        states = self._system.manager.states
        return {name: state.pid for name, state in states.items() if state.pid}

    def _prepare(self) -> None:
        progress = ProgressReporter()
        jars.ensure(self._cache, progress)
        taken: set[int] = set()
        for node in self._kafka:
            taken.update(node.reserve_ports(0, taken))
        with ThreadPoolExecutor() as threads:
            steps: list[Kafka | Postgres] = [*self._kafka, self._postgres]
            list(threads.map(lambda step: step.prepare(progress), steps))
        hosts = self.data_dir / POSTGRES / "pg_hba.conf"
        network = self.network.address(POSTGRES).rpartition(".")[0]
        with hosts.open("a") as file:
            file.write(f"host all all {network}.0/24 scram-sha-256\n")

    def _run(self) -> None:
        address = self.network.address(POSTGRES)
        specs = [node.spec() for node in self._kafka]
        postgres = self._postgres.spec()
        listening = (*postgres.command, "-c", f"listen_addresses={address}", "-c", f"port={PORT}")
        specs.append(replace(postgres, command=listening))
        system = self._system
        system.start([Part(self._inside(spec), group="servers") for spec in specs])
        while not system.stopped:
            system.step(1.0)
            if system.complete or system.failure:
                self._up.set()
            if self._stop.is_set():
                system.stop()
        system.manager.close()

    def _inside(self, spec: ProcessSpec) -> ProcessSpec:
        return replace(
            spec,
            command=(*self.network.inside(spec.name), *spec.command),
            env={**spec.env, **self.clocks.environment(spec.name)},
        )
