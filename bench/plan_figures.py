"""The figures that a plan is made of: they were measured, and are kept as JSON."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bench.errors import BenchError
from bench.system import PROJECT

RESULTS = PROJECT / "bench" / "results"
FILE = "costs.json"


class Costs(msgspec.Struct, kw_only=True):
    """The cost of each part of the system, as `python -m bench.costs` measures it.

    A core-ms is a millisecond of one core. The use of an idle system is left out.
    """

    machine: str
    """The machine that they were measured on, in a line."""
    commit: str
    """Of what."""
    at: str = ""
    """When."""
    cores: int
    """Of that machine."""
    hash_core_ms: float
    """One check of a password: the surplus of a login over one with the cheapest hash."""
    gateway_core_ms: float
    """All else that the gateway does for a login."""
    kafka_core_ms: float
    """The broker's for a login: the attempt, the verdict, and what follows from them."""
    lookup_core_ms: float
    """Postgres' for a login, for the gateway: the account's hash."""
    commit_core_ms: float
    """Postgres' for an attempt, for the workers, in full batches."""
    worker_core_ms: float
    """A worker's for an attempt, in full batches."""
    worker_attempts_per_second: float
    """The most that one worker decided: a backlog in one partition."""
    postgres_attempts_per_second: float
    """The most that one Postgres took: a backlog in all partitions, on cores shared with them."""
    logins_per_second: float
    """The most of the whole system with the real hash, client and all on that machine."""


def newest() -> Path:
    """The newest file under bench/results, or BenchError."""
    found = sorted(RESULTS.glob(f"*/{FILE}"))
    if not found:
        raise BenchError(
            f"There are no measured figures under {RESULTS.relative_to(PROJECT)}. Measure them "
            "with `python -m bench.costs` on a quiet machine, or name a file with --figures."
        )
    return found[-1]


def load(path: Path) -> Costs:
    """The figures in this file, or BenchError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Costs)
    except (OSError, msgspec.DecodeError) as error:
        raise BenchError(f"{path} cannot be used as figures: {error}") from None


def save(costs: Costs, folder: Path) -> Path:
    """Write them into this folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    path.write_bytes(msgspec.json.format(msgspec.json.encode(costs), indent=2) + b"\n")
    return path
