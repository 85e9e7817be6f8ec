"""`python -m bench.proof`: what seals cost a worker, and how fast the audit is read again.

It starts its own servers and commits attempts as a worker does, in batches. Then it verifies the
audit (`oracle`), has Postgres write it several times more, as in further generations, and decides
all of it by other policies (`workers.commands.whatif`). Nine attempts in ten succeed, half of them
by a device; of the wrong ones half are guesses at one account in a hundred.
Figures are of an otherwise quiet machine, or of nothing.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from bench.errors import BenchError
from bench.machine import commit, describe
from bench.system import CACHE
from events.messages import Attempt, AttemptsMessage, Policy, SetPolicy, encode, new_id
from events.signatures import Opener, Sealer
from events.signing_keys import KeyFile, make
from local.servers import Servers
from oracle.verify import AUDIT_LOG, verify
from settings import Settings, usable_cores
from sql.migrate import migrate
from workers.commands import whatif
from workers.decision.batch import Batch, Record, decide, decode, users_of
from workers.partition.seals import SealChain
from workers.partition.store import Store

PARTITIONS = 4
BATCH = 500
DAY_MS = 86_400_000
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CANDIDATES = ("threshold=3", "threshold=10,window=60", "repeated=ignore")


class Times:
    """How long the parts of committing took, in seconds."""

    def __init__(self) -> None:
        self.batches = self.rows = 0
        self.decide = self.seal = self.apply = 0.0

    def __str__(self) -> str:
        """For a batch, and the share of the seals in all of it."""
        whole = self.decide + self.apply
        return (
            f"a batch of {self.rows / self.batches:.0f}: decided in "
            f"{self.decide / self.batches * 1e3:.2f} ms, sealed in "
            f"{self.seal / self.batches * 1e3:.2f} ms, committed with that in "
            f"{self.apply / self.batches * 1e3:.2f} ms; the seal is {self.seal / whole:.1%} of it"
        )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.proof", description=__doc__)
    parser.add_argument("--attempts", type=int, default=400_000)
    parser.add_argument("--times", type=int, default=5, help="as many for the other policies")
    parser.add_argument("--accounts", type=int, default=100_000)
    given = parser.parse_args()
    print(f"{describe()}, {commit()}")
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        folder = Path(name)
        make(folder / "keys")
        keys = KeyFile(folder / "keys", "workers")
        with Servers(folder / "data", CACHE) as servers:
            url = servers.database_url
            migrate(url)
            for size in (5, BATCH):
                few = given.attempts if size == BATCH else 2_000
                print(_fill(url, keys, few, given.accounts // PARTITIONS, size))
            _verify(url, keys)
            _repeat(url, given.times)
            _decide(url)
    return 0


def _fill(url: str, keys: KeyFile, attempts: int, accounts: int, size: int) -> Times:
    """Commit attempts of the last days, as a worker of each partition in turn."""
    luck, times = random.Random(1), Times()
    now = round(time.time() * 1000)
    for partition in range(PARTITIONS):
        store = Store(url, partition, Sealer(keys, AUDIT_LOG))
        store.open()
        progress = store.claim("bench")
        chain = SealChain(Sealer(keys, AUDIT_LOG))
        count = attempts // PARTITIONS
        messages = _messages(luck, accounts, partition)
        step = DAY_MS * 20 / count
        begin = progress.next_offset
        while progress.next_offset < begin + count:
            start = progress.next_offset
            records = [
                Record(n, now - 20 * DAY_MS + round(step * (n - begin)), b"", encode(message))
                for n, message in zip(range(start, start + size), messages, strict=False)
            ]
            if start == 0:
                first = encode(SetPolicy(new_id(), 0, Policy(1)))
                records[0] = records[0]._replace(value=first)
            began = time.perf_counter()
            decoded = decode(records)
            states = store.states(users_of(decoded))
            batch = decide(start, decoded, states, progress.policy)
            times.decide += time.perf_counter() - began
            times.seal += _seconds(chain, partition, batch)
            began = time.perf_counter()
            if not store.apply(progress, batch):
                raise BenchError("A batch was not committed.")
            times.apply += time.perf_counter() - began
            times.batches += 1
            times.rows += len(batch.audit)
            progress = progress._replace(next_offset=batch.to_offset, policy=batch.policy)
        store.close()
    return times


def _seconds(chain: SealChain, partition: int, batch: Batch) -> float:
    began = time.perf_counter()
    chain.seal(partition, 1, batch.policy, batch)
    return time.perf_counter() - began


def _messages(luck: random.Random, accounts: int, partition: int) -> Iterator[AttemptsMessage]:
    while True:
        right = luck.random() < 0.9
        attacked = not right and luck.random() < 0.5
        number = luck.randrange(max(1, accounts // 100) if attacked else accounts)
        user = f"person{number * PARTITIONS + partition}@example.com"
        device = luck.randbytes(16) if right and luck.random() < 0.5 else None
        guess = None if right else luck.randbytes(8)
        yield Attempt(new_id(), 1, user, right, 0, 0, "192.0.2.7", AGENT, device, guess)


def _verify(url: str, keys: KeyFile) -> None:
    began = time.perf_counter()
    report = verify(url, Opener(keys, AUDIT_LOG))
    seconds = time.perf_counter() - began
    if report.differences:
        raise BenchError(f"The audit is not right: {report.differences[0]}")
    print(
        f"verified: {report.rows:,} rows, {report.judged:,} judged, {report.blocks:,} blocks in "
        f"{seconds:.1f} s, {report.rows / seconds:,.0f}/s"
    )


def _repeat(url: str, times: int) -> None:
    with psycopg.connect(url, autocommit=True) as database:
        row = database.execute("SELECT * FROM audit LIMIT 0")
        columns = [column.name for column in row.description or ()]
        for generation in range(2, times + 1):
            changed = {"generation": str(generation), "appended_ms": "appended_ms + 1"}
            values = ", ".join(changed.get(name, name) for name in columns)
            database.execute(f"INSERT INTO audit SELECT {values} FROM audit WHERE generation = 1")
        database.execute("VACUUM ANALYZE audit")


def _decide(url: str) -> None:
    config = Settings(database_url=url)
    now = whatif.in_force(config)
    for count in (1, len(CANDIDATES)):
        policies = {text: whatif.changed(now, text) for text in CANDIDATES[:count]}
        began = time.perf_counter()
        outcome = whatif.run(config, policies, whatif.days_ago(30), usable_cores())
        seconds = time.perf_counter() - began
        print(
            f"whatif by {count} on {usable_cores()} cores: {outcome.attempts:,} attempts in "
            f"{seconds:.1f} s, {outcome.attempts / seconds:,.0f}/s"
        )
    print(outcome)


if __name__ == "__main__":
    sys.exit(main())
