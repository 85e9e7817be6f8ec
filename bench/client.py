"""`python -m bench.client`: a client in a process of its own; its job and its outcome are JSON."""

from __future__ import annotations

import itertools
import random
import resource
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec
import uvloop

from bench.errors import BenchError
from bench.load import Load, Sample, post
from bench.system import HOST, PROJECT

PASSWORD = "the right password"  # noqa: S105  # nobody's

_RUN = secrets.token_hex(8)
"""Keys begin with it, so that no two clients have the same."""

TIMING = b"server-timing: hash;dur="
"""How :mod:`bench.timed_gateway` says the milliseconds of a request's own hash."""


class Job(msgspec.Struct, kw_only=True):
    """The requests to be sent, and for how long."""

    port: int
    users: str
    """The beginning of each name; a number from 1 to `accounts` follows."""
    accounts: int
    password: str = PASSWORD
    token: str = ""
    """A service's, for attempts with right passwords in the place of logins, each with its key."""
    clients: int = 0
    """Each asks again as soon as it is answered; or:"""
    rate: float = 0.0
    """Requests a second, whatever becomes of those before."""
    seconds: float
    warm: float = 1.0
    """Seconds before that, which do not count; never more than those that do."""


class Outcome(msgspec.Struct, kw_only=True):
    """The answers of the time that counts."""

    answered: int
    """In all the time, with what does not count; for what CPU it took."""
    statuses: dict[int, int]
    rate: float
    """Answers a second."""
    p50: float
    p99: float
    """Seconds."""
    beside_the_hash: list[float]
    """Seconds of each answer less those of its own hash, where the server says them."""
    cpu: float
    """The share of a core that the client took."""


def drive(job: Job, *expected: int) -> Outcome:
    """Have this done by a fresh process. BenchError where an answer is none of these statuses."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.client"],
        input=msgspec.json.encode(job),
        stdout=subprocess.PIPE,
        cwd=PROJECT,
        check=True,
    )
    outcome = msgspec.json.decode(done.stdout, type=Outcome)
    if not outcome.statuses or set(outcome.statuses) - set(expected):
        raise BenchError(
            f"The answers to {job.clients or job.rate:g} clients or requests a second for "
            f"{job.users}* were to be {expected} and are {outcome.statuses}: a figure of them "
            "would say nothing. Is the machine busy with something else?"
        )
    return outcome


async def work(job: Job) -> Outcome:
    """Send it."""
    load = Load(HOST, job.port)
    next_ = _requests(job)
    began_cpu, began = _cpu(), time.monotonic()
    warm = min(job.warm, job.seconds)
    whole = warm + job.seconds
    if job.clients:
        samples = await load.closed_loop(job.clients, whole, next_)
    else:
        samples = await load.open_loop(job.rate, whole, next_)
    cpu = (_cpu() - began_cpu) / (time.monotonic() - began)
    load.close()
    counted = samples.within(began + warm, began + whole)
    return Outcome(
        answered=len(samples),
        statuses=dict(counted.statuses()),
        rate=len(counted) / job.seconds,
        p50=counted.percentile(0.5),
        p99=counted.percentile(0.99),
        beside_the_hash=[
            sample.seconds - _hash_seconds(sample)
            for sample in counted
            if TIMING in sample.head.lower()
        ],
        cpu=cpu,
    )


def _requests(job: Job) -> Callable[[], bytes]:
    numbers = list(range(1, job.accounts + 1))
    random.shuffle(numbers)
    numbers = numbers[:20_000]  # as many as anybody logs in within the time
    names = [f"{job.users}{number}" for number in numbers]
    if job.token:
        return _attempts(names, job.token).__next__
    return itertools.cycle([post("/login", name, job.password) for name in names]).__next__


def _attempts(names: Sequence[str], token: str) -> Iterator[bytes]:
    for number, name in enumerate(itertools.cycle(names)):
        body = f'{{"user":"{name}","outcome":"right","source":"192.0.2.7"}}'
        yield (
            "POST /attempts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {token}\r\nIdempotency-Key: {_RUN}-{number}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


def _hash_seconds(sample: Sample) -> float:
    _, _, rest = sample.head.lower().partition(TIMING)
    return float(rest.split(b"\r\n")[0]) / 1000


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    outcome = uvloop.run(work(msgspec.json.decode(sys.stdin.buffer.read(), type=Job)))
    sys.stdout.buffer.write(msgspec.json.encode(outcome))
