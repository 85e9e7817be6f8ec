"""Every setting of Cerrojo, its default and its meaning, in one place.

A setting is an environment variable: ``CERROJO_`` and the field's name in
capitals, except the two that other tools know already, ``DATABASE_URL`` and
``KAFKA_BOOTSTRAP_SERVERS``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]

CENTURY = 36_500 * 86_400.0
"""Seconds; who wants longer means forever, and has a 0 for that."""


class SettingsError(Exception):
    """A setting has a value that cannot be used; the message names it and the way out."""


class Settings(BaseSettings):
    """What the environment says, checked; read once by each process at its start."""

    model_config = SettingsConfigDict(env_prefix="CERROJO_", frozen=True, extra="ignore")

    # Where Kafka and Postgres are. Where one of these is not set, `make up` starts its own.
    database_url: str | None = Field(
        None, validation_alias="DATABASE_URL", description="PostgreSQL connection string"
    )
    kafka_bootstrap_servers: str | None = Field(
        None, validation_alias="KAFKA_BOOTSTRAP_SERVERS", description="Kafka brokers, host:port,..."
    )
    data_dir: Path = Field(
        Path(".cerrojo"), description="everything that `make up` keeps: data, logs, downloads"
    )
    cache_dir: Path | None = Field(
        None, description="downloaded jars, for several systems; else in the data directory"
    )
    kafka_port: int = Field(
        0, ge=0, le=65535, description="port of the Kafka that `make up` starts; 0 picks a free one"
    )
    brokers: int = Field(
        1, ge=1, le=3, description="brokers of the Kafka that `make up` starts: 1 or 3"
    )
    hosts: int = Field(
        1, ge=1, le=8, description="gateways and worker hosts of `make up`; ports go up by tens"
    )

    # The topics.
    partitions: int = Field(
        4, ge=1, le=1024, description="partitions of `attempts` when it is first made, and workers"
    )
    replication: int = Field(
        default_factory=lambda others: 3 if others.get("brokers") == 3 else 1,
        ge=1,
        le=9,
        description="replicas of each topic; with three or more, two must have what is answered",
    )
    attempts_retention_hours: int = Field(
        168, ge=0, le=876_000, description="how long Kafka keeps `attempts`; 0 is forever"
    )
    news_retention_hours: int = Field(
        1,
        ge=0,
        le=876_000,
        description="how long Kafka keeps `verdicts` and `blocks`; 0 is forever",
    )

    # The gateway.
    login_host: str = Field("127.0.0.1", description="address of POST /login and /register")
    login_port: Port = Field(3000, description="port of POST /login and /register")
    operator_host: str = Field("127.0.0.1", description="address of /blocked and /metrics")
    operator_port: Port = Field(5000, description="port of /blocked and /metrics")
    gateway_processes: int = Field(2, ge=1, le=64, description="login processes")
    deadline_seconds: Seconds = Field(5.0, description="a login is answered by then, if with 503")
    hash_threads: int = Field(
        os.cpu_count() or 1, ge=1, le=256, description="threads that check passwords, per process"
    )
    argon2_memory_kib: int = Field(19_456, ge=8, le=4_194_304, description="Argon2id memory, KiB")
    argon2_time_cost: int = Field(2, ge=1, le=100, description="Argon2id passes")
    argon2_parallelism: int = Field(1, ge=1, le=64, description="Argon2id lanes")
    checks_per_user: int = Field(
        4, ge=1, le=100_000, description="checks of one account at the same time, per process"
    )
    checks_in_flight: int = Field(
        64, ge=1, le=100_000, description="checks of all accounts at the same time, per process"
    )
    waiting_per_user: int = Field(
        500, ge=0, le=100_000, description="logins of one account that may wait, per process"
    )
    waiting: int = Field(
        1000, ge=0, le=100_000, description="logins of all accounts that may wait, per process"
    )
    database_connections: int = Field(
        4, ge=1, le=100, description="connections to Postgres, per gateway process"
    )

    # The workers.
    workers_host: str = Field("127.0.0.1", description="address of the workers' /metrics")
    workers_port: Port = Field(5001, description="port of the workers' /metrics")
    batch_size: int = Field(500, ge=1, le=10_000, description="attempts decided in one commit")
    stuck_seconds: Seconds = Field(
        15.0, description="a worker that decides nothing for so long, with work to do, is replaced"
    )
    audit_retention_days: int = Field(
        90,
        ge=0,
        le=36_500,
        description="how long decisions and the quarantine are kept; 0 is forever",
    )

    # The first policy. Once a partition has one, only `python -m workers policy` changes it.
    policy_threshold: int = Field(5, ge=1, le=100, description="wrong passwords that block")
    policy_window_seconds: Seconds = Field(900.0, description="... when they fall within this time")
    policy_block_seconds: float = Field(
        1800.0,
        ge=0,
        le=CENTURY,
        description="length of the first block; 0 is until an operator lifts it",
    )
    policy_block_max_seconds: float = Field(
        86_400.0, ge=0, le=CENTURY, description="blocks double up to this length"
    )
    policy_final_failures: int = Field(
        100,
        ge=0,
        le=1_000_000,
        description="wrong ones in a row that only an operator forgives; 0 is never",
    )
    policy_forget_days: int = Field(
        365,
        ge=0,
        le=36_500,
        description="days after the last wrong one when none counts; 0 is never",
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least that is logged"
    )

    @field_validator("brokers")
    @classmethod
    def _brokers_have_a_majority(cls, brokers: int) -> int:
        if brokers == 2:
            raise ValueError("Of two brokers neither may die; use 1 or 3")
        return brokers

    @field_validator("argon2_parallelism")
    @classmethod
    def _lanes_have_memory(cls, lanes: int, others: ValidationInfo) -> int:
        memory = others.data.get("argon2_memory_kib", 8 * lanes)
        if memory < 8 * lanes:
            raise ValueError(f"Argon2 needs 8 KiB for each lane, and has {memory} KiB for {lanes}")
        return lanes

    def require_database(self) -> str:
        """The connection string, or :class:`SettingsError` where there is none."""
        if not self.database_url:
            raise SettingsError(
                "DATABASE_URL is not set. Set it to the PostgreSQL to use, as in "
                "postgresql://user:password@host/name, or let `make up` start one."
            )
        return self.database_url

    def require_kafka(self) -> str:
        """The brokers, or :class:`SettingsError` where there are none."""
        if not self.kafka_bootstrap_servers:
            raise SettingsError(
                "KAFKA_BOOTSTRAP_SERVERS is not set. Set it to the brokers to use, as in "
                "localhost:9092, or let `make up` start one."
            )
        return self.kafka_bootstrap_servers


def variable(field: str) -> str:
    """The environment variable that holds this field of :class:`Settings`."""
    alias = Settings.model_fields[field].validation_alias
    return str(alias) if alias else f"CERROJO_{field.upper()}"


def load() -> Settings:
    """The settings of this process, or :class:`SettingsError` that names what is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        # A default that follows from a bad value is not wrong itself.
        wrong = [e for e in error.errors() if e["type"] != "default_factory_not_called"]
        raise SettingsError("\n".join(_sentence(item) for item in wrong)) from None


def _sentence(item: object) -> str:
    assert isinstance(item, dict)
    field = next((f for f in Settings.model_fields if f == item["loc"][0]), None)
    name = variable(field) if field else str(item["loc"][0])
    meaning = Settings.model_fields[field].description if field else None
    about = f" It is the {meaning}." if meaning else ""
    return f"{name} is {item['input']!r}: {item['msg']}.{about}"
