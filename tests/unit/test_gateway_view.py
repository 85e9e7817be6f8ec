"""The view of the blocked knows the newest of what it has heard."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from events.messages import FOREVER, Blocked, BlocksMessage, Heartbeat, Unblocked
from events.positions import Position
from gateway.view import FRESH, Block, Progress, Snapshot, View

NOW_MS = 1_800_000_000_000
LATER_MS = NOW_MS + 600_000


def at(offset: int, generation: int = 1) -> Position:
    """A position."""
    return Position(generation, offset)


def blocked(offset: int, user: str = "ana", until_ms: int = LATER_MS) -> Blocked:
    """News of a block."""
    return Blocked(0, at(offset), user, until_ms)


def unblocked(offset: int, user: str = "ana") -> Unblocked:
    """News of the end of a block."""
    return Unblocked(0, at(offset), user)


def heartbeat(offset: int, epoch: int = 1, partition: int = 0) -> Heartbeat:
    """A sign of life."""
    return Heartbeat(partition, epoch, at(offset))


def view(*news: BlocksMessage, floor: int = 0, blocks: dict[str, Block] | None = None) -> View:
    """A view of two partitions that has heard this."""
    made = View()
    made.load(Snapshot(2, {0: Progress(1, at(floor))}, blocks or {}))
    made.apply(news, 0.0)
    return made


def knows(made: View, user: str = "ana") -> bool:
    """Whether this view refuses the user."""
    return made.blocked_until(user, NOW_MS) > 0


def test_news_of_a_block_and_of_its_end() -> None:
    """A block is known from its news on, until the news of its end."""
    assert not knows(view())
    assert view(blocked(5)).blocked_until("ana", NOW_MS) == LATER_MS
    assert not knows(view(blocked(5), unblocked(6)))
    assert knows(view(blocked(5), unblocked(6), blocked(7)))


def test_older_news_change_nothing() -> None:
    """A repetition of what was overtaken neither blocks nor lifts."""
    assert not knows(view(blocked(5), unblocked(6), blocked(5)))
    assert knows(view(blocked(5), unblocked(6), blocked(7), unblocked(6)))


def test_news_from_before_the_snapshot_change_nothing() -> None:
    """What a partition's progress covers is in the snapshot, so late news of it are a zombie's."""
    assert not knows(view(blocked(5), floor=6))
    assert knows(view(blocked(6), floor=6))
    assert knows(view(unblocked(5), floor=6, blocks={"ana": Block(at(4), LATER_MS)}))


def test_news_from_before_a_heartbeat_change_nothing() -> None:
    """All news before a heartbeat's position have come, so late ones are a zombie's."""
    assert not knows(view(heartbeat(6), blocked(5)))
    assert knows(view(heartbeat(6), blocked(6)))
    assert not knows(view(heartbeat(6), heartbeat(2), blocked(5)))


def test_a_new_generation_is_newer_than_any_offset() -> None:
    """When the log is made anew, its first offsets are news all the same."""
    assert knows(view(unblocked(900), Blocked(0, at(3, generation=2), "ana", LATER_MS)))


def test_a_lifted_block_is_forgotten_when_nothing_older_can_come() -> None:
    """Lifting leaves a note, which a heartbeat's position ends, and no block in the count."""
    made = view(blocked(5), unblocked(6))
    assert (len(made), len(made._blocks)) == (0, 1)
    made.apply([heartbeat(7)], 0.0)
    assert (len(made), len(made._blocks)) == (0, 0)


def test_a_heartbeat_of_who_was_replaced_is_none() -> None:
    """Only the latest owner of a partition counts."""
    made = view(heartbeat(1, epoch=5))
    made.apply([heartbeat(9, epoch=4)], FRESH + 1)
    assert not made.fresh(0, FRESH + 1)
    assert knows_after(made, blocked(2))
    made.apply([heartbeat(9, epoch=5)], FRESH + 1)
    assert made.fresh(0, FRESH + 1)


def knows_after(made: View, news: BlocksMessage) -> bool:
    """Whether the news are taken in."""
    made.apply([news], 0.0)
    return knows(made)


def test_freshness_ends() -> None:
    """A partition is alive for a while after its heartbeat, each on its own."""
    made = view()
    assert made.silent(100.0) == [0, 1]
    made.apply([heartbeat(1)], 100.0)
    assert made.silent(100.0 + FRESH) == [1]
    assert made.silent(100.1 + FRESH) == [0, 1]
    assert not made.fresh(7, 100.0)


def test_signs_of_life_outlast_a_load() -> None:
    """Loading anew is no reason to refuse logins."""
    made = view()
    made.apply([heartbeat(1), heartbeat(1, partition=1)], 100.0)
    made.load(Snapshot(2, {}, {}))
    assert made.silent(100.0) == []


def test_a_load_replaces_what_was_known() -> None:
    """What the snapshot does not have is not so."""
    made = view(blocked(5))
    made.load(Snapshot(2, {0: Progress(1, at(6))}, {"ben": Block(at(4), FOREVER)}))
    assert not knows(made)
    assert made.blocked_until("ben", NOW_MS) == FOREVER


def test_a_block_that_is_nearly_over_is_for_the_log() -> None:
    """The last second is not refused by the view, whose clock does not count."""
    made = view(blocked(5, until_ms=NOW_MS + 1001), blocked(6, "ben", NOW_MS + 1000))
    assert knows(made)
    assert not knows(made, "ben")


def test_ended_blocks_are_forgotten() -> None:
    """Blocks leave the memory after they are over, but not those that were made anew."""
    made = view(
        blocked(5, "ana", NOW_MS + 1),
        blocked(6, "ben", LATER_MS),
        blocked(7, "cem", FOREVER),
        blocked(8, "dea", NOW_MS + 1),
        blocked(9, "dea", LATER_MS),
    )
    made.prune(NOW_MS + 120_000)
    assert set(made._blocks) == {"ben", "cem", "dea"}
    made.prune(LATER_MS + 120_000)
    assert set(made._blocks) == {"cem"}


def test_partitions_become_more_by_a_heartbeat_that_says_so() -> None:
    """What the new ones said before that is known then, and they live."""
    made = view(heartbeat(1, partition=2), Blocked(2, at(1, generation=2), "ana", LATER_MS))
    assert made.partitions == 2
    assert made.silent(0.0) == [0, 1]
    made.apply([Heartbeat(0, 1, at(1), 3), Heartbeat(1, 1, at(1), 2)], 0.0)
    assert made.partitions == 3
    assert made.silent(0.0) == []
    assert knows(made)


def test_news_of_partitions_that_cannot_be_are_ignored() -> None:
    """Whatever somebody writes to the topic, the view goes on."""
    made = view(Heartbeat(-1, 1, at(1)), Blocked(1024, at(1), "ana", LATER_MS))
    assert not knows(made)
    assert made.silent(0.0) == [0, 1]


news_items = st.builds(
    lambda offset, user, blocks: blocked(offset, user) if blocks else unblocked(offset, user),
    st.integers(0, 30),
    st.sampled_from(["ana", "ben"]),
    st.booleans(),
)


@given(st.lists(news_items, unique_by=lambda item: item.position), st.randoms(), st.integers(0, 31))
def test_repetitions_in_any_order_change_nothing(
    history: list[Blocked | Unblocked], random: object, published: int
) -> None:
    """After the history in its order, any old parts of it may come again at any time."""
    history = sorted(history, key=lambda item: item.position)
    made = view(*history)
    known = {user: made.blocked_until(user, NOW_MS) for user in ("ana", "ben")}
    assert known == {user: last_of(user, history) for user in ("ana", "ben")}
    again = random.sample(history, len(history))  # type: ignore[attr-defined]
    made.apply([*again[::2], heartbeat(published), *again[1::2]], 0.0)
    assert {user: made.blocked_until(user, NOW_MS) for user in ("ana", "ben")} == known
    assert len(made) == sum(1 for until_ms in known.values() if until_ms)


def last_of(user: str, history: Iterable[Blocked | Unblocked]) -> int:
    """The end of the user's block by the last news."""
    until_ms = 0
    for item in history:
        if item.user == user:
            until_ms = item.until_ms if isinstance(item, Blocked) else 0
    return until_ms
