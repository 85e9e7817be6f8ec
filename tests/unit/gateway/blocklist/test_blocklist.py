"""A blocklist knows the newest of what it has heard."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from events.messages import FOREVER, Blocked, BlocksMessage, Claimed, Heartbeat, Unblocked
from events.positions import Position
from gateway.blocklist.blocklist import (
    FRESH_SECONDS,
    BlockEntry,
    Blocklist,
    BlocklistSnapshot,
    PartitionFloor,
    ReadRecord,
)
from gateway.blocklist.log_clock import ClockBounds

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


def heartbeat(offset: int, epoch: int = 1, partition: int = 0, generation: int = 1) -> Heartbeat:
    """A sign of life."""
    return Heartbeat(partition, epoch, at(offset, generation))


def claimed(epoch: int, offset: int) -> Claimed:
    """A new owner's first word."""
    return Claimed(0, epoch, at(offset))


def blocklist_of(
    *news: BlocksMessage, floor: int = 0, blocks: dict[str, BlockEntry] | None = None
) -> Blocklist:
    """A blocklist of two partitions that has heard this."""
    made = Blocklist()
    made.load(BlocklistSnapshot(2, {0: PartitionFloor(1, at(floor))}, blocks or {}))
    made.apply(news, 0.0)
    return made


def knows(made: Blocklist, user: str = "ana") -> bool:
    """Whether this blocklist refuses the user."""
    return made.blocked_until(user, NOW_MS) > 0


def test_news_of_a_block_and_of_its_end() -> None:
    """A block is known from its news on, until the news of its end."""
    assert not knows(blocklist_of())
    assert blocklist_of(blocked(5)).blocked_until("ana", NOW_MS) == LATER_MS
    assert not knows(blocklist_of(blocked(5), unblocked(6)))
    assert knows(blocklist_of(blocked(5), unblocked(6), blocked(7)))


def test_older_news_change_nothing() -> None:
    """A repetition of what was overtaken neither blocks nor lifts."""
    assert not knows(blocklist_of(blocked(5), unblocked(6), blocked(5)))
    assert knows(blocklist_of(blocked(5), unblocked(6), blocked(7), unblocked(6)))


def test_news_from_before_the_snapshot_change_nothing() -> None:
    """The snapshot has all that a partition's progress covers; late news of it are a zombie's."""
    assert not knows(blocklist_of(blocked(5), floor=6))
    assert knows(blocklist_of(blocked(6), floor=6))
    assert knows(blocklist_of(unblocked(5), floor=6, blocks={"ana": BlockEntry(at(4), LATER_MS)}))


def test_news_from_before_a_heartbeat_change_nothing() -> None:
    """All news before a heartbeat's position have come, so late ones are a zombie's."""
    assert not knows(blocklist_of(heartbeat(6), blocked(5)))
    assert knows(blocklist_of(heartbeat(6), blocked(6)))
    assert not knows(blocklist_of(heartbeat(6), heartbeat(2), blocked(5)))


def test_a_new_generation_is_newer_than_any_offset() -> None:
    """When the log is made anew, its first offsets are news all the same."""
    assert knows(blocklist_of(unblocked(900), Blocked(0, at(3, generation=2), "ana", LATER_MS)))


def test_a_lifted_block_is_forgotten_when_nothing_older_can_come() -> None:
    """Lifting leaves a note, which a heartbeat's position ends, and no block in the count."""
    made = blocklist_of(blocked(5), unblocked(6))
    assert (len(made), len(made._blocks)) == (0, 1)
    made.apply([heartbeat(7)], 0.0)
    assert (len(made), len(made._blocks)) == (0, 0)


def test_what_who_was_replaced_says_counts_no_more() -> None:
    """Only the latest owner of a partition counts."""
    made = blocklist_of(heartbeat(1), blocked_in(1, 2), claimed(5, 3))
    made.apply([heartbeat(9), unblocked_in(1, 4)], FRESH_SECONDS)
    assert not made.fresh(0, FRESH_SECONDS + 0.1)
    assert knows(made)
    made.apply([heartbeat(9, 5), unblocked_in(5, 4)], FRESH_SECONDS)
    assert made.fresh(0, FRESH_SECONDS + 0.1)
    assert knows(made)  # it is from before the heartbeat
    made.apply([unblocked_in(5, 9)], FRESH_SECONDS)
    assert not knows(made)
    assert not made.doubt


def blocked_in(epoch: int, offset: int, user: str = "ana") -> Blocked:
    """News of a block that this epoch's owner publishes."""
    return Blocked(0, at(offset), user, LATER_MS, epoch)


def unblocked_in(epoch: int, offset: int, user: str = "ana") -> Unblocked:
    """News of the end of a block that this epoch's owner publishes."""
    return Unblocked(0, at(offset), user, epoch)


def test_a_claim_that_the_snapshot_has_changes_nothing() -> None:
    """As when the snapshot is taken just after it."""
    made = blocklist_of(claimed(1, 0), blocked(5), floor=3)
    assert knows(made)
    assert not made.doubt


def test_a_restore_is_noticed_where_the_log_has_lost_what_was_decided() -> None:
    """A permanent block at 950, the database of 500, the log from 980 on: the same generation."""
    restored = BlocklistSnapshot(2, {0: PartitionFloor(2, at(980))}, {})
    made = blocklist_of(heartbeat(940), Blocked(0, at(950), "ana", FOREVER, 1), heartbeat(960))
    assert knows(made)
    made.apply([claimed(2, 500), heartbeat(980, epoch=2)], 1.0)
    assert "gone back" in made.doubt
    assert not knows(made)  # the log decides
    assert made.fresh(0, 1.0)  # and there is somebody who can
    made.load(restored)
    assert not knows(made)
    made.apply([heartbeat(981, epoch=2), Blocked(0, at(950), "ana", FOREVER, 1)], 1.0)
    assert not knows(made)  # a zombie of the lost history
    assert not made.doubt


def test_a_former_owners_late_claim_is_looked_into() -> None:
    """It may as well be that the database's clock is behind since it went back."""
    made = blocklist_of(claimed(5, 3), heartbeat(3, epoch=5), claimed(4, 3))
    assert made.doubt


def test_a_restore_is_noticed_that_undoes_nothing_but_the_last_news() -> None:
    """They count, too, before a heartbeat says that they are published."""
    made = blocklist_of(heartbeat(940), blocked(950))
    made.apply([claimed(2, 950)], 1.0)
    assert made.doubt
    made = blocklist_of(heartbeat(940), blocked(950))
    made.apply([claimed(2, 951)], 1.0)
    assert not made.doubt


def test_a_restore_to_before_the_log_lost_its_tail_is_noticed() -> None:
    """Else the end of a block would be older than all that is known."""
    made = blocklist_of(heartbeat(500), heartbeat(700, generation=2), blocks={"ana": BLOCK})
    made.apply([claimed(2, 500), unblocked_in(2, 600)], 1.0)
    assert not knows(made)
    made.load(BlocklistSnapshot(2, {0: PartitionFloor(2, at(550))}, {"ana": BLOCK}))
    assert knows(made)
    made.apply([unblocked_in(2, 600)], 1.0)
    assert not knows(made)


def test_a_restored_database_whose_clock_is_behind_is_believed() -> None:
    """It gives lower epochs, which are no less its owners' for that."""
    made = blocklist_of(claimed(9, 700), heartbeat(900, epoch=9), blocked_in(9, 910))
    made.apply([claimed(5, 500)], 1.0)
    assert made.doubt
    made.load(BlocklistSnapshot(2, {0: PartitionFloor(5, at(500))}, {}))
    made.apply([heartbeat(500, epoch=5), heartbeat(920, epoch=9), blocked_in(9, 920)], 10.0)
    assert made.fresh(0, 10.0)
    assert not knows(made)
    made.apply([blocked_in(5, 600)], 10.0)
    assert knows(made)
    assert not made.doubt


def test_an_empty_database_is_noticed() -> None:
    """The first claim in it follows none."""
    made = blocklist_of(heartbeat(900), blocked(910))
    made.apply([claimed(2, 0)], 1.0)
    assert made.doubt


def test_an_owner_whose_claim_nobody_heard_is_noticed_when_the_known_one_is_silent() -> None:
    """As one of an earlier version of Cerrojo, which says nothing of claims."""
    made = blocklist_of(heartbeat(1))
    made.apply([heartbeat(9, epoch=4)], FRESH_SECONDS)
    assert not made.doubt
    made.apply([heartbeat(9, epoch=4)], FRESH_SECONDS + 0.1)
    assert made.doubt
    assert made.fresh(0, FRESH_SECONDS + 0.1)
    made.load(BlocklistSnapshot(2, {0: PartitionFloor(4, at(9))}, {}))
    made.apply([heartbeat(9, epoch=4)], 10.0)
    assert made.fresh(0, 10.0)
    assert not made.doubt


BLOCK = BlockEntry(at(4), LATER_MS)


class Followed:
    """A blocklist as its consumer fills it, some seconds late; the brokers' clock shows NOW_MS."""

    def __init__(self, late: float) -> None:
        self.blocklist = blocklist_of(blocked(5))
        self._late = late
        self._log: list[ReadRecord] = []
        self.blocklist.ends.restart(0, 0.0)

    def live(self, seconds: float, heartbeats: bool = True) -> None:
        """Time passes, with a heartbeat each quarter of a second, a question each half."""
        for step in range(int(seconds * 4)):
            now = 1.0 + step / 4
            if heartbeats:
                self.append(heartbeat(10 + step), now)
            if step % 2:
                self.blocklist.ends.ended(len(self._log), now)
            arrived = NOW_MS + (now - self._late - 1) * 1000
            self.blocklist.read([r for r in self._log if r.appended_ms == arrived], now)
        self.now = now

    def append(self, message: BlocksMessage, now: float) -> None:
        """A record that the brokers have from now on."""
        self._log.append(ReadRecord(len(self._log), NOW_MS + int((now - 1) * 1000), message))

    def refuses(self, later: float = 0.0) -> bool:
        """Whether the user is refused without the log, so many seconds after the last step."""
        return self.blocklist.refused_until("ana", self.now + later) > 0


def test_who_is_blocked_is_refused_by_news_that_come_soon() -> None:
    """Some delay is usual."""
    followed = Followed(late=0.25)
    followed.live(5.0)
    assert followed.refuses()


def test_late_news_refuse_nobody_however_steadily_they_come() -> None:
    """Else who was unblocked would be refused for as long as the news are late, for ever."""
    followed = Followed(late=2.5)
    followed.live(10.0)
    assert followed.blocklist.fresh(0, followed.now)  # so the log can decide
    assert not followed.refuses()


def test_without_news_the_log_decides_after_two_seconds() -> None:
    """The last ones may have been followed by others."""
    followed = Followed(late=0.0)
    followed.live(5.0)
    assert followed.refuses(later=FRESH_SECONDS)
    assert not followed.refuses(later=FRESH_SECONDS + 0.1)


def test_where_no_record_shows_the_time_the_log_decides() -> None:
    """A block may be over by the brokers' clock."""
    followed = Followed(late=0.0)
    followed.live(5.0, heartbeats=False)
    assert followed.blocklist.ends.read_up_to == followed.now
    assert not followed.refuses()


def test_a_block_is_refused_until_it_may_be_over() -> None:
    """By the latest that the brokers' clock may show; no other clock counts."""
    followed = Followed(late=0.25)
    followed.live(5.0)
    bounds = followed.blocklist.clock.bounds(followed.now)
    assert bounds is not None
    for until_ms, refused in ((bounds.latest_ms, False), (bounds.latest_ms + 1, True)):
        followed.blocklist.apply([blocked(100 + refused, "ben", until_ms)], followed.now)
        assert bool(followed.blocklist.refused_until("ben", followed.now)) is refused


def test_a_record_that_was_replicated_late_does_not_make_the_clock_slow() -> None:
    """It was appended before the question after which it became visible.

    Else a gateway refuses so much longer than a block. The owner's next message comes later.
    """
    made = blocklist_of()
    made.ends.restart(0, 0.0)

    def see(offset: int, appended: float, asked: float, read: float) -> ClockBounds | None:
        made.ends.ended(offset, asked)
        record = ReadRecord(offset, NOW_MS + int(appended * 1000), heartbeat(offset + 1))
        made.read([record], read)
        return made.clock.bounds(read)

    assert see(0, appended=1.0, asked=0.9, read=1.1) is None  # it may have been sent long before
    for bounds, now_ms in (
        (see(1, appended=1.5, asked=1.4, read=1.6), 1600),
        (see(2, appended=2.0, asked=5.0, read=5.1), 5100),  # replicated three seconds later
        (see(3, appended=5.2, asked=5.1, read=5.3), 5300),
    ):
        assert bounds is not None
        assert bounds.earliest_ms <= NOW_MS + now_ms <= bounds.latest_ms <= NOW_MS + now_ms + 701


def test_heartbeats_of_one_batch_or_of_two_owners_say_nothing_of_each_other() -> None:
    """Only of those that one owner sent one after the other the former is known to be visible."""
    made = blocklist_of()
    made.ends.restart(0, 0.0)
    made.ends.ended(0, 0.9)
    same = ReadRecord(0, NOW_MS, heartbeat(1))
    other = Heartbeat(0, 99, at(2), 0)
    for offset, record in enumerate((same, same, ReadRecord(2, NOW_MS + 500, other))):
        made.read([record._replace(offset=offset)], 1.0)
        assert made.clock.bounds(1.0) is None


def test_freshness_ends() -> None:
    """A partition is alive for a while after its heartbeat, each on its own."""
    made = blocklist_of()
    assert made.silent(100.0) == [0, 1]
    made.apply([heartbeat(1)], 100.0)
    assert made.silent(100.0 + FRESH_SECONDS) == [1]
    assert made.silent(100.1 + FRESH_SECONDS) == [0, 1]
    assert not made.fresh(7, 100.0)


def test_signs_of_life_outlast_a_load() -> None:
    """Loading anew is no reason to refuse logins."""
    made = blocklist_of()
    made.apply([heartbeat(1), heartbeat(1, partition=1)], 100.0)
    made.load(BlocklistSnapshot(2, {}, {}))
    assert made.silent(100.0) == []


def test_a_load_replaces_what_was_known() -> None:
    """A block that the snapshot does not have does not stand."""
    made = blocklist_of(blocked(5))
    made.load(
        BlocklistSnapshot(2, {0: PartitionFloor(1, at(6))}, {"ben": BlockEntry(at(4), FOREVER)})
    )
    assert not knows(made)
    assert made.blocked_until("ben", NOW_MS) == FOREVER


def test_ended_blocks_are_forgotten() -> None:
    """Blocks leave the memory after they are over, but not those that were made anew."""
    made = blocklist_of(
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


def test_partitions_become_more_once_postgres_says_what_a_heartbeat_says() -> None:
    """The former news of the new ones are known then, and they live."""
    made = blocklist_of(
        *(Claimed(n, 1, at(0)) for n in range(3)),
        heartbeat(1, partition=2),
        Blocked(2, at(1, generation=2), "ana", LATER_MS, 1),
    )
    assert made.partitions == 2
    assert made.silent(0.0) == [0, 1]
    assert not made.unconfirmed_partitions
    made.apply([Heartbeat(0, 1, at(1), 3), Heartbeat(1, 1, at(1), 2)], 0.0)
    assert (made.partitions, made.unconfirmed_partitions) == (2, 3)
    made.use(3)
    assert (made.partitions, made.unconfirmed_partitions) == (3, 0)
    assert made.silent(0.0) == []
    assert knows(made)


def test_news_of_partitions_that_cannot_be_are_ignored() -> None:
    """The blocklist goes on, whatever somebody writes to the topic."""
    made = blocklist_of(Heartbeat(-1, 1, at(1)), Blocked(1024, at(1), "ana", LATER_MS))
    assert not knows(made)
    assert made.silent(0.0) == [0, 1]


def test_a_heartbeat_alone_makes_no_partitions() -> None:
    """One forged record would send nearly every account to a partition without a worker."""
    made = blocklist_of(Heartbeat(0, 1, at(1), 1024), Heartbeat(1, 1, at(1), 1024))
    assert made.partitions == 2
    made.use(2)
    assert (made.partitions, made.unconfirmed_partitions) == (2, 0)
    made.apply([Heartbeat(0, 1, at(2), 1024)], 0.0)
    made.load(BlocklistSnapshot(2, {}, {}))
    assert (made.partitions, made.unconfirmed_partitions) == (2, 0)


def test_a_heartbeat_from_far_ahead_hides_no_changes_for_long() -> None:
    """Somebody wrote it who is not the owner; the owner's next one shows it."""
    made = blocklist_of(heartbeat(5))
    made.apply([Heartbeat(0, 1, Position(2**31 - 1, 2**63 - 1)), blocked(6)], 0.0)
    assert not knows(made)
    assert not made.doubt
    made.apply([heartbeat(7)], 0.5)
    assert "is published up to (1, 7)" in made.doubt
    assert made.fresh(0, 0.5)  # the log decides
    made.load(BlocklistSnapshot(2, {0: PartitionFloor(1, at(7))}, {"ana": BLOCK}))
    made.apply([heartbeat(7), blocked(8, "ben")], 1.0)
    assert knows(made, "ben")
    assert not made.doubt


def test_a_snapshot_may_be_ahead_of_the_next_heartbeat() -> None:
    """A committed decision is published a little later; that is no reason to load again."""
    made = blocklist_of(heartbeat(5), heartbeat(5))
    made.load(BlocklistSnapshot(2, {0: PartitionFloor(1, at(9))}, {}))
    made.apply([heartbeat(4), heartbeat(8)], 0.0)
    assert not made.doubt


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
    made = blocklist_of(*history)
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
