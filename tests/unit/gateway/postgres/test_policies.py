"""What a seal says of a policy. The queries: `tests/integration/test_operator_reads.py`."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from events.messages import Policy, encode
from events.signatures import Sealer
from events.signing_keys import KeyFile, make
from gateway.postgres.policies import policy_in
from workers.partition.seals import AUDIT_LOG, Seal

FIRST, SECOND = Policy(version=1, threshold=10), Policy(version=2)


def seal(*policies: list[object]) -> bytes:
    """The message of a batch with these policies."""
    return encode(Seal(0, 1, 0, 9, 1, 2, 2, list(policies), 3, b"", b""))


def fields(policy: Policy) -> list[object]:
    """As a seal has it."""
    return list(msgspec.structs.astuple(policy))


@pytest.mark.parametrize("policy", [FIRST, SECOND])
def test_the_policy_of_a_version_is_found_in_a_seal(policy: Policy) -> None:
    """There is the one before it, too."""
    assert policy_in(seal(fields(FIRST), fields(SECOND)), policy.version) == policy


def test_a_signed_seal_says_the_same(tmp_path: Path) -> None:
    """Here nobody has to believe it."""
    make(tmp_path / "keys")
    sealer = Sealer(KeyFile(tmp_path / "keys", "workers"), AUDIT_LOG)
    value = sealer.seal("worker", seal(fields(SECOND)), 0)
    assert policy_in(value, 2) == SECOND


def test_a_policy_of_another_cerrojo_is_read_as_far_as_it_is_known() -> None:
    """Older ones have fewer fields, and newer ones more."""
    assert policy_in(seal(fields(SECOND)[:7]), 2) == SECOND
    assert policy_in(seal([*fields(SECOND), "more"]), 2) == SECOND


@pytest.mark.parametrize(
    "value", [None, b"", b"\xc1", b"nothing", seal(), seal(fields(FIRST)), seal([2, "five"])]
)
def test_what_says_nothing_gives_none(value: bytes | None) -> None:
    """It is shown as not known, and keeps nobody from the rest."""
    assert policy_in(value, 2) is None
