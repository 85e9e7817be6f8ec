"""Where an owner goes on when the log and the database are not the pair that they were."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from events.messages import Policy
from workers.decision.batch import Record, fingerprint
from workers.partition.resume import resume
from workers.partition.store import Progress


def record(offset: int, life: int = 0) -> Record:
    """A record that differs between the lives of a log."""
    return Record(offset, 1_000_000 * life + offset, b"", f"{life}:{offset}".encode())


def progress(next_offset: int, topic: str = "t1") -> Progress:
    """The stored progress after the first life's records up to this offset."""
    last = record(next_offset - 1)
    if next_offset == 0:
        return Progress(1, 1, topic, 0, 0, None, None, Policy())
    return Progress(1, 1, topic, next_offset, 0, fingerprint(last), last.appended_ms, Policy())


def decided(limit: int):
    """When the first life's records before this offset had been appended."""
    return lambda offset: record(offset).appended_ms if offset < limit else None


def test_the_same_log_goes_on_where_it_was():
    """Nothing to find out: same offset, same generation, no alarm."""
    found = resume(progress(7), "t1", (0, 9), record, decided(7))
    assert (found.progress, found.missing, found.alarm) == (progress(7), 0, None)


def test_a_new_partition_begins_at_the_logs_start_and_says_what_is_gone():
    """Records that retention took unread are counted, not passed over in silence."""
    found = resume(progress(0)._replace(topic_id=None), "t1", (4, 9), record, decided(0))
    assert (found.progress.next_offset, found.progress.generation, found.missing) == (4, 1, 4)
    assert found.progress.topic_id == "t1"
    assert found.alarm


def test_a_log_that_starts_behind_the_offset_goes_on_at_its_start():
    """The worker was away for longer than the retention."""
    found = resume(progress(7), "t1", (20, 30), record, decided(7))
    assert (found.progress.next_offset, found.progress.generation, found.missing) == (20, 1, 13)
    assert found.alarm
    assert "13 attempts" in found.alarm
    assert found.progress.missing == 13


def test_what_is_missing_adds_up():
    """A metric of it rises with each loss, and no loss hides in what an earlier one left."""
    before = progress(7)._replace(missing=5)
    assert resume(before, "t1", (20, 30), record, decided(7)).progress.missing == 18
    assert resume(before, "t1", (0, 9), record, decided(7)).progress.missing == 5


@given(st.integers(1, 40), st.integers(0, 40), st.integers(0, 40))
def test_a_lost_tail_skips_nothing_and_repeats_nothing(stored, kept, written_since):
    """From the first record that is not the one that was decided there, in a new generation."""
    kept = min(kept, stored - 1)
    end = kept + written_since
    found = resume(
        progress(stored),
        "t1",
        (0, end),
        lambda offset: record(offset, life=0 if offset < kept else 1),
        decided(stored),
    )
    if (end, kept) == (0, 0):
        assert found.progress.next_offset == 0
    else:
        assert found.progress.next_offset == kept
        assert found.progress.generation == 2
        assert found.alarm
        assert "lost its tail" in found.alarm


def test_a_lost_tail_skips_nothing_where_retention_has_deleted_its_decisions():
    """A partition that nobody used for longer than the audit is kept may lose its tail, too."""
    found = resume(
        progress(7),
        "t1",
        (0, 7),
        lambda offset: record(offset, life=0 if offset < 5 else 1),
        lambda _: None,
    )
    assert found.progress.next_offset == 5


def test_who_looks_for_a_lost_tail_gives_signs_of_life():
    """A worker that is silent for ten seconds is killed, and each look may take some."""
    silent = 0.0

    def look(seconds: float) -> None:
        nonlocal silent
        silent += seconds
        assert silent < 5

    def read_at(offset: int) -> Record:
        look(2.0)
        return record(offset, life=0 if offset < 700 else 1)

    def append_time_ms(offset: int) -> int | None:
        look(3.0)
        return decided(1_000)(offset)

    def alive() -> None:
        nonlocal silent
        silent = 0.0

    found = resume(progress(1_000), "t1", (0, 1_000), read_at, append_time_ms, alive)
    assert found.progress.next_offset == 700


@given(st.integers(1, 40), st.integers(0, 80))
def test_a_log_made_anew_is_read_from_its_start(stored, end):
    """Its first attempts stand at offsets that were decided already, and count all the same."""
    found = resume(
        progress(stored), "t2", (0, end), lambda offset: record(offset, life=1), decided(stored)
    )
    assert (found.progress.next_offset, found.progress.generation) == (0, 2)
    assert found.progress.topic_id == "t2"
    assert found.alarm
    assert "recreated" in found.alarm


def test_a_log_made_anew_that_has_dropped_its_start_is_noticed_by_its_id():
    """The record to compare with is gone, but the topic is another one."""
    found = resume(progress(7), "t2", (20, 30), lambda offset: record(offset, life=1), decided(7))
    assert (found.progress.next_offset, found.progress.generation) == (20, 2)


def test_a_copied_log_is_the_same_log():
    """A topic with another id and the same records does not start again."""
    found = resume(progress(7), "t2", (0, 9), record, decided(7))
    assert (found.progress.next_offset, found.progress.generation) == (7, 1)
    assert found.progress.topic_id == "t2"


def test_decisions_that_are_no_longer_kept_count_as_old_ones():
    """Retention of the audit does not make a lost tail look like a lost log."""
    found = resume(
        progress(30),
        "t1",
        (0, 25),
        record,
        lambda offset: record(offset).appended_ms if 20 <= offset < 30 else None,
    )
    assert (found.progress.next_offset, found.progress.generation) == (25, 2)
