"""The small map of blocks is a map."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.messages import FOREVER
from events.positions import Position
from gateway.blocklist import compact_block_map as module
from gateway.blocklist.compact_block_map import ENDED_MS, BlockEntry, CompactBlockMap

NOW_MS = 1_800_000_000_000

# Names that begin and end like each other, and are not one byte a character.
names = st.text(alphabet="ab-ñ\U0001f511", min_size=1, max_size=4)
some_blocks = st.builds(
    BlockEntry,
    st.builds(Position, st.integers(0, 2**31 - 1), st.integers(0, 2**62)),
    st.sampled_from([0, NOW_MS - ENDED_MS - 1, NOW_MS - 1, NOW_MS, NOW_MS + 1, FOREVER]),
)
changes = st.lists(st.tuples(names, st.none() | some_blocks), max_size=60)


@pytest.fixture(params=[1, 3, module.SHARDS], scope="module", autouse=True)
def shards(request: pytest.FixtureRequest) -> int:
    """Few, so that accounts meet in one; and as many as there are."""
    module.SHARDS = request.param
    return int(request.param)


def applied(
    history: list[tuple[str, BlockEntry | None]],
) -> tuple[CompactBlockMap, dict[str, BlockEntry]]:
    """These changes, done to both; None deletes."""
    ours, model = CompactBlockMap(), dict[str, BlockEntry]()
    for user, block in history:
        if block is not None:
            ours[user] = model[user] = block
        elif user in model:
            del ours[user], model[user]
        else:
            with pytest.raises(KeyError):
                del ours[user]
    return ours, model


@given(changes, names)
def test_it_is_a_map(history: list[tuple[str, BlockEntry | None]], other: str) -> None:
    """After any changes it has what a dict has, and nothing else."""
    ours, model = applied(history)
    assert len(ours) == len(model)
    assert dict(ours) == model
    assert ours.get(other) == model.get(other)
    assert ours.until(other) == (model[other].until_ms if other in model else 0)
    assert dict(CompactBlockMap(model)) == model


@given(changes)
def test_what_is_over_is_let_go_and_nothing_else(
    history: list[tuple[str, BlockEntry | None]],
) -> None:
    """A minute after its end a block is gone; those that stand, and notes of lifting, stay."""
    ours, model = applied(history)
    ours.forget_ended(NOW_MS)
    left = dict(ours)
    assert len(ours) == len(left)
    assert left.items() <= model.items()
    stay = {user: b for user, b in model.items() if b.until_ms == 0 or b.until_ms > NOW_MS}
    assert stay.items() <= left.items()
    assert not any(0 < block.until_ms <= NOW_MS - ENDED_MS for block in left.values())


def test_many_that_are_over_go_little_by_little() -> None:
    """One call goes through a bounded number of shards; further ones through the rest."""
    ours = CompactBlockMap(
        {f"user-{n}": BlockEntry(Position(1, n), NOW_MS - ENDED_MS) for n in range(2000)}
    )
    calls = 0
    while len(ours):
        before = len(ours)
        ours.forget_ended(NOW_MS)
        calls += 1
        assert len(ours) < before
    used = sum(1 for shard in ours._shards if shard is not None)
    assert calls == -(-used // module.AT_ONCE)
