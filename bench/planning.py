"""The need of so many logins a second: measured figures, multiplied."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.plan_figures import Costs

# The load at each hour, as a share of the peak: nights are quiet and mornings are not.
DAY = (
    *(0.1, 0.05, 0.05, 0.05, 0.05, 0.1, 0.3, 0.7, 1.0, 0.9, 0.7, 0.6),
    *(0.5, 0.6, 0.6, 0.5, 0.5, 0.5, 0.4, 0.4, 0.4, 0.3, 0.2, 0.1),
)
BROKERS = 3  # so that one may die
MOST_PARTITIONS = 1024  # settings.py's bound


@dataclass(frozen=True)
class Assumptions:
    """The figures that no measurement can give."""

    busy: float
    """How busy a core, a worker or a server may be at the peak, as a share."""
    host_cores: int
    """Of each machine."""
    day: tuple[float, ...] = DAY


@dataclass(frozen=True)
class Need:
    """The need of one part of the system at the peak."""

    part: str
    cores: float
    servers: str


@dataclass(frozen=True)
class Ceiling:
    """Up to where one thing carries, and what to do then."""

    what: str
    logins_per_second: float
    then: str
    more_machines: bool
    """Whether that is only to add some."""


@dataclass(frozen=True)
class Plan:
    """Everything for so many logins a second."""

    logins_per_second: float
    needs: list[Need]
    ceilings: list[Ceiling]
    """The lowest first."""
    cores: float
    core_hours_kept_up: float
    """A day, with everything up all day."""
    core_hours_following: float
    """A day, with cores that come and go with the load."""

    @property
    def gives_first(self) -> Ceiling | None:
        """The first that would not carry it, whatever machines are added; None where all do."""
        low = (c for c in self.ceilings if c.logins_per_second < self.logins_per_second)
        return next((ceiling for ceiling in low if not ceiling.more_machines), None)


def plan(logins: float, costs: Costs, assumed: Assumptions) -> Plan:
    """The need of so many logins a second."""
    busy, host = assumed.busy, assumed.host_cores

    def cores(core_ms: float) -> float:
        return logins * core_ms / 1000 / busy

    def count(number: float) -> int:
        return max(1, math.ceil(number))

    hashing, gateway = cores(costs.hash_core_ms), cores(costs.gateway_core_ms)
    kafka, workers = cores(costs.kafka_core_ms), cores(costs.worker_core_ms)
    postgres = cores(costs.lookup_core_ms + costs.commit_core_ms)
    hosts = count((hashing + gateway) / host)
    partitions = count(logins / (costs.worker_attempts_per_second * busy))
    databases = count(logins / (costs.postgres_attempts_per_second * busy))
    databases = max(databases, count(postgres / host))
    needs = [
        Need("hashing passwords", hashing, "in the gateway's processes"),
        Need(
            "the gateway besides",
            gateway,
            f"{max(hosts, count(gateway)):,} login processes on {hosts:,} hosts",
        ),
        Need("workers", workers, f"{partitions:,} partitions, a worker process for each"),
        Need("Kafka", kafka, f"{max(BROKERS, count(kafka / host)):,} brokers"),
        Need("Postgres", postgres, f"{databases:,} servers, each with a part of the users"),
    ]
    total = sum(need.cores for need in needs)
    return Plan(
        logins_per_second=logins,
        needs=needs,
        ceilings=_ceilings(costs, assumed),
        cores=total,
        core_hours_kept_up=24 * total,
        core_hours_following=24 / len(assumed.day) * sum(assumed.day) * total,
    )


def _ceilings(costs: Costs, assumed: Assumptions) -> list[Ceiling]:
    busy, host = assumed.busy, assumed.host_cores * 1000 * assumed.busy
    default = max(2, assumed.host_cores)  # as the setting has it on such a host
    worker = costs.worker_attempts_per_second * busy
    login = costs.hash_core_ms + costs.gateway_core_ms
    ceilings = [
        Ceiling(
            f"one gateway host of {assumed.host_cores} cores",
            host / login,
            "Add gateway hosts: they know nothing of each other.",
            True,
        ),
        Ceiling(
            f"{default} partitions, the default",
            default * worker,
            "`cerrojo resize`, while logins go on; add worker hosts for them.",
            False,
        ),
        Ceiling(
            "one Postgres, the single writer, as fast as it was measured",
            costs.postgres_attempts_per_second * busy,
            "Split the users by partition over several Postgres: a partition's lock states, "
            "progress and audit need no other's. It takes a map from partition to server for the "
            "workers and the gateways, and GET /blocked has to merge their pages.",
            False,
        ),
        Ceiling(
            f"one Kafka broker of {assumed.host_cores} cores",
            host / costs.kafka_core_ms,
            "Add brokers: Kafka spreads the partitions over them.",
            True,
        ),
        Ceiling(
            f"{MOST_PARTITIONS:,} partitions, the most of one system",
            MOST_PARTITIONS * worker,
            "Run several systems, and send each user always to the same one.",
            False,
        ),
    ]
    return sorted(ceilings, key=lambda ceiling: ceiling.logins_per_second)
