"""The chain of a partition's seals."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import pytest

from events.messages import (
    Attempt,
    Policy,
    RefusedError,
    SetPolicy,
    UndecodableError,
    encode,
    new_id,
)
from events.signatures import Opener, Sealer
from events.signing_keys import KeyFile, make
from oracle import seals
from workers.decision.batch import Batch, Record, decide, decode
from workers.partition.seals import AUDIT_LOG, SALT_BYTES, SealChain

UNSIGNED = Sealer(None, AUDIT_LOG)


def batch_of(*values: bytes, start: int = 0) -> Batch:
    """A batch of these, with times that go back."""
    records = [Record(start + n, 1_000 - 10 * n, b"k", value) for n, value in enumerate(values)]
    return decide(start, decode(records), {}, Policy(3))


def attempt() -> bytes:
    """A wrong one."""
    return encode(Attempt(new_id(), 0, "ana", False))


def test_each_seal_has_the_one_before_it() -> None:
    """And the latest time that was decided by then."""
    chain = SealChain(UNSIGNED)
    chain.begin(None, 0)
    first = chain.seal(2, 5, Policy(3), batch_of(attempt(), attempt()))
    again = chain.seal(2, 5, Policy(3), batch_of(attempt(), attempt()))
    chain.begin(first.digest, first.latest_ms)
    second = seals.read(chain.seal(2, 5, Policy(3), batch_of(attempt(), start=2)).value)
    read = seals.read(first.value)
    assert (read.previous, read.latest_ms, read.first_ms, read.last_ms) == (b"", 0, 990, 1_000)
    assert (read.partition, read.generation, read.from_offset, read.to_offset) == (2, 5, 0, 2)
    assert (second.previous, second.latest_ms) == (first.digest, 1_000)
    assert first.digest == blake2b(first.value, digest_size=32).digest()
    assert seals.read(again.value).previous == b""  # the first one was not committed
    chain.begin(None, 5_000)
    assert chain.seal(2, 5, Policy(3), batch_of(attempt())).latest_ms == 5_000
    assert first.salts[0] != first.salts[1]
    assert {len(salt) for salt in first.salts} == {SALT_BYTES}


def test_a_batch_without_a_row_has_a_seal() -> None:
    """Of a record in quarantine, whose time it has."""
    batch = batch_of(b"junk")
    assert isinstance(decode([batch.last])[0][1], UndecodableError)
    sealed = SealChain(UNSIGNED).seal(2, 1, None, batch)
    read = seals.read(sealed.value)
    assert (read.rows, read.first_ms, read.last_ms, read.policies) == (0, 1_000, 1_000, [])
    assert sealed.salts == []


def test_it_has_the_policy_before_the_batch_and_those_in_it() -> None:
    """With all of their fields, as the log forgets them sooner than the audit."""
    changes = [encode(SetPolicy(new_id(), 0, Policy(n, threshold=n))) for n in (4, 2, 6)]
    batch = batch_of(changes[0], attempt(), *changes[1:])
    policies = seals.read(SealChain(UNSIGNED).seal(2, 1, Policy(3), batch).value).policies
    assert [(each["version"], each["threshold"]) for each in policies] == [(3, 5), (4, 4), (6, 6)]


def test_it_is_signed_by_a_worker_for_its_partition(tmp_path: Path) -> None:
    """And is worth nothing as a record."""
    make(tmp_path)
    keys = KeyFile(tmp_path, "workers")
    value = SealChain(Sealer(keys, AUDIT_LOG)).seal(2, 1, None, batch_of(attempt())).value
    assert Opener(keys, AUDIT_LOG).check(2, None, value, 0).role == "worker"
    for partition, topic in ((3, AUDIT_LOG), (2, "blocks")):
        with pytest.raises(RefusedError):
            Opener(keys, topic).check(partition, None, value, 0)
