"""The decoders of every topic and of the hash processes, and what acts on what they give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Any

import psycopg
from msgspec.structs import replace
from structlog.testing import capture_logs

from events.messages import (
    FOREVER,
    Attempt,
    Block,
    Blocked,
    Claimed,
    Decision,
    Deleted,
    DevicesForgotten,
    Disabled,
    Enabled,
    Heartbeat,
    Message,
    Outcome,
    Outcomes,
    PasswordChanged,
    Policy,
    Registered,
    SetLayout,
    SetPolicy,
    Unblock,
    Unblocked,
    UndecodableError,
    Verdict,
    Verdicts,
    decode_attempts,
    decode_blocks,
    decode_sources,
    decode_verdicts,
    encode,
)
from events.partitioner import partition_of
from events.positions import Position
from events.signatures import Sealer
from gateway.blocklist.blocklist import Blocklist, BlocklistSnapshot, PartitionFloor, ReadRecord
from gateway.errors import RequestError
from gateway.limits.source_view import WINDOW_MS, SourceView
from gateway.passwords.hash_protocol import (
    BadFrameError,
    BadHash,
    Check,
    Checked,
    Dropped,
    Frames,
    Made,
    Make,
    NoMemory,
    Withdraw,
    frame,
)
from gateway.web.password_check import conclude
from tests.fuzz.finding import FoundError
from tests.fuzz.mutations import Mutator
from workers.decision.batch import (
    Record,
    decide,
    decode,
    refuse_misrouted,
    until_deletion,
    users_of,
)
from workers.decision.policy import CLEAN, LockState
from workers.partition.binary_arrays import batch_columns
from workers.partition.repartitioning import LargerLayoutError, decidable_prefix
from workers.partition.seals import AUDIT_LOG, SealChain

AT_ONCE = 500
"""Inputs that a target gets one after the other: a batch of a worker."""

PARTITIONS = 4
NOW_MS = 1_800_000_000_000
PARTITION = 2
USERS = [
    name
    for number in range(40)
    if partition_of(name := f"of-the-fuzz-{number}", PARTITIONS) == PARTITION
]
"""Accounts of one partition."""
DEVICES = (b"a device of ana.", b"another device..")
GUESSES = (b"of a key", b"of a key, former")
SOURCES = ("192.0.2.7", "192.0.2.8", "2001:db8::/64")


@dataclass(frozen=True)
class Target:
    """A decoder with what acts on its messages."""

    name: str
    example: Callable[[Random], bytes]
    """A valid input of any kind."""
    check: Callable[[Sequence[bytes]], int]
    """Take in these inputs; how many of them were messages. Any error that it raises is one."""


def run(seed: int, messages: int, told: Callable[[int], None] = lambda _: None) -> Counter[str]:
    """Give all targets so many inputs together; how many each had, and how many were messages.

    `told` gets how many there were since it was last called. Raises :class:`FoundError`.
    """
    counts: Counter[str] = Counter()
    for target in TARGETS:
        mutator = Mutator(f"{seed} {target.name}")
        left = messages // len(TARGETS)
        while left > 0:
            inputs = [
                mutator.message(target.example(mutator.random)) for _ in range(min(AT_ONCE, left))
            ]
            counts[f"{target.name}, messages"] += try_all(target, inputs)
            counts[target.name] += len(inputs)
            left -= len(inputs)
            told(len(inputs))
    return counts


def try_all(target: Target, inputs: Sequence[bytes]) -> int:
    """How many of these are messages.

    Raises :class:`FoundError`, with a single input where that is enough.
    """
    try:
        return target.check(inputs)
    except Exception as error:
        for one in inputs:
            try:
                target.check([one])
            except Exception as alone:
                raise FoundError(target.name, [one], repr(alone)) from alone
        raise FoundError(target.name, inputs, repr(error)) from error


def _decoded(values: Sequence[bytes], read: Callable[[bytes], Message]) -> Iterator[Message]:
    """The messages among these. What is decoded is what would have been written."""
    for value in values:
        with suppress(UndecodableError):
            message = read(value)
            assert read(encode(message)) == message, f"{message} is another one when written"
            yield message


def _check_attempts(values: Sequence[bytes]) -> int:
    """As a worker decides them, without Kafka and Postgres."""
    messages = sum(1 for _ in _decoded(values, decode_attempts))
    records = [Record(n, NOW_MS + 40 * n, b"key", value) for n, value in enumerate(values)]
    todo = refuse_misrouted(decode(records), PARTITION, PARTITIONS, PARTITIONS)
    states: dict[str, LockState] = {}
    policy: Policy | None = Policy(1)
    seals = SealChain(Sealer(None, AUDIT_LOG))
    layout = 0
    while todo:
        try:
            some = until_deletion(decidable_prefix(todo, layout))
        except LargerLayoutError as larger:
            layout, before = larger.layout, layout
            assert before < layout <= PARTITIONS  # it may be raised or not
            continue
        known = {user: states.get(user, CLEAN) for user in users_of(some)}
        batch = decide(some[0][0].offset, some, known, policy, layout)
        assert len(batch.audit) + len(batch.undecodable) == len(some), "a record has no decision"
        assert batch.to_offset == some[-1][0].offset + 1
        for row in batch.audit:
            assert 0 <= row.until_ms <= FOREVER
            assert row.kind == "policy" or len(row.id) == 16
        with suppress(psycopg.DataError):  # a value that the table cannot hold: the quarantine
            batch_columns(batch, seals.seal(PARTITION, 1, policy, batch).salts)
        states.update((user, state) for user, (state, _) in batch.states.items())
        policy, todo = batch.policy, todo[len(some) :]
    return messages


def _check_verdicts(values: Sequence[bytes]) -> int:
    """As a gateway answers by them: only an accepting one of a right password says nothing."""
    count = 0
    with capture_logs():  # of those that contradict their attempts
        for listed in _decoded(values, lambda value: Verdicts(decode_verdicts(value))):
            count += 1
            assert isinstance(listed, Verdicts)
            for verdict, right in product(listed.verdicts, (True, False)):
                with suppress(RequestError):
                    conclude(verdict, right, NOW_MS)
                    assert right
                    assert verdict.decision is Decision.ACCEPTED
    return count


def _check_blocks(values: Sequence[bytes]) -> int:
    """As a gateway's blocklist takes them in."""
    blocklist = Blocklist()
    floor = PartitionFloor(1, Position(1, 0))
    snapshot = BlocklistSnapshot(PARTITIONS, dict.fromkeys(range(PARTITIONS), floor), {})
    blocklist.load(snapshot)
    count = 0
    for message in _decoded(values, decode_blocks):
        blocklist.read([ReadRecord(count, NOW_MS + count, message)], count / 100)  # type: ignore[arg-type]
        count += 1
        assert (
            0 <= blocklist.refused_until(getattr(message, "user", USERS[0]), count / 100) <= FOREVER
        )
        assert 0 <= len(blocklist) <= count
        if blocklist.doubt:
            blocklist.load(snapshot)
    blocklist.prune(NOW_MS)
    return count


def _check_sources(values: Sequence[bytes]) -> int:
    """As a gateway counts them."""
    view = SourceView(failures=5, attack_failures=20, most=50)
    view.live = True
    count = 0
    for message in _decoded(values, decode_sources):
        assert isinstance(message, Outcomes)
        at_ms = NOW_MS + 2_000 * count
        count += 1
        view.read(message.outcomes, at_ms)
        view.forget(at_ms)
        for outcome in message.outcomes:
            assert view.severity(outcome.source) >= 0
            assert 0 <= view.registrations(outcome.source) <= 50
            assert 0 <= view.failures(outcome.source) <= view.failed_in_all <= 50
        assert all(heavy.times >= heavy.error >= 0 for heavy in view.attacks(5).sources)
    view.forget(NOW_MS + 2_000 * count + 2 * WINDOW_MS)
    assert view.failed_in_all == view.succeeded_in_all == 0
    return count


def _check_frames(
    take: Callable[[Frames, bytes], Iterator[Any]],
) -> Callable[[Sequence[bytes]], int]:
    def check(values: Sequence[bytes]) -> int:
        count = 0
        for value in values:
            frames = Frames()
            for data in (len(value).to_bytes(4, "big") + value, value):
                with suppress(BadFrameError):
                    count += len(list(take(frames, data)))
        return count

    return check


def _attempts(random: Random) -> bytes:
    """One of each kind in turn, about a few accounts of one partition."""
    one = random.randbytes(16), random.randrange(16)
    about = *one, random.choice(USERS), random.choice((0, PARTITIONS))
    late = random.choice((0, NOW_MS, NOW_MS + 60_000))
    by = random.choice(((), ("cleo",), ("cleo", "a reason")))
    source = random.choice(((), ("192.0.2.7", "a browser")))
    policy = Policy(
        random.randrange(5),
        random.choice((1, 5, 100)),
        random.choice((1, 900_000)),
        random.choice((0, 1_000)),
        random.choice((0, 86_400_000)),
        random.choice((0, 10)),
        random.choice((0, 1, 86_400_000)),
        random.choice(("count", "ignore")),
        random.choice((0, 1, 60_000)),
    )
    attempt = Attempt(*about[:3], random.random() < 0.3, about[3], late, *source)
    if random.random() < 0.5:
        attempt = replace(
            attempt,
            device=random.choice((None, *DEVICES)),
            guess=random.choice((None, *GUESSES)),
            delayed_ms=random.choice((0, 250)),
            lists=random.random() < 0.5,
        )
    return encode(
        random.choice(
            (
                attempt,
                Registered(*about, late, *by),
                Unblock(*about, late, *by),
                Block(*about, late, "cleo", "a reason", random.choice((0, 1_000))),
                Disabled(*about, late, *by),
                Enabled(*about, late, *by),
                DevicesForgotten(*about, late, *by),
                PasswordChanged(*about, late, *by),
                Deleted(*about, late, random.randrange(3), *by),
                SetPolicy(*one, policy, *by),
                SetLayout(*one, PARTITIONS, *by),
            )
        )
    )


def _verdicts(random: Random) -> bytes:
    decision, until = random.choice(list(Decision)), random.choice((0, NOW_MS, FOREVER))
    verdict = Verdict(random.randbytes(16), random.choice(USERS), decision, until)
    return encode(random.choice((verdict, Verdicts((verdict,) * random.randrange(3)))))


def _blocks(random: Random) -> bytes:
    partition, epoch = random.randrange(PARTITIONS), random.choice((0, 1, 1, 1, 2))
    position = Position(random.choice((1, 1, 2)), random.randrange(1_000))
    user, until = random.choice(USERS), random.choice((1, NOW_MS, NOW_MS + 60_000, FOREVER))
    return encode(
        random.choice(
            (
                Claimed(partition, epoch, position),
                Blocked(partition, position, user, until, epoch),
                Unblocked(partition, position, user, epoch),
                Heartbeat(partition, epoch, position, random.choice((0, PARTITIONS, 8))),
            )
        )
    )


def _sources(random: Random) -> bytes:
    def outcome() -> Outcome:
        failed, refused, registered = (random.choice((0, 1, 20)) for _ in range(3))
        source, got_in = random.choice(SOURCES), random.random() < 0.3
        return Outcome(source, random.choice(USERS), failed, refused, got_in, registered)

    return encode(Outcomes([outcome() for _ in range(random.randrange(4))]))


def _hash_requests(random: Random) -> bytes:
    number, user = random.randrange(2**40), random.choice(USERS)
    stored = random.choice((None, "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g"))
    return _body(
        random.choice(
            (
                Check(number, user, 2.5, stored, "a password"),
                Make(number, user, 2.5, "a password"),
                Withdraw(number),
            )
        )
    )


def _hash_answers(random: Random) -> bytes:
    number = random.randrange(2**40)
    return _body(
        random.choice(
            (
                Checked(number, True, False, 0.1),
                Made(number, "$argon2id$", 0.1),
                BadHash(number, "none", 0.1),
                NoMemory(number),
                Dropped(number),
            )
        )
    )


def _body(message: Any) -> bytes:
    return frame(message)[4:]


TARGETS = (
    Target("attempts", _attempts, _check_attempts),
    Target("verdicts", _verdicts, _check_verdicts),
    Target("blocks", _blocks, _check_blocks),
    Target("sources", _sources, _check_sources),
    Target("hash-requests", _hash_requests, _check_frames(Frames.requests)),
    Target("hash-answers", _hash_answers, _check_frames(Frames.answers)),
)
