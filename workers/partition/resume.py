"""Finds where an owner goes on, since the log or the database may have been replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from workers.decision.batch import Record, fingerprint
from workers.partition.store import Progress


class Resumption(NamedTuple):
    """Where to read from, and how the log differs from the stored progress."""

    progress: Progress
    missing: int = 0
    """Records that the log lost before they were read."""
    alarm: str | None = None
    """The sentence to log where records or the log itself were lost; else None."""


def resume(
    progress: Progress,
    topic_id: str,
    bounds: tuple[int, int],
    read_at: Callable[[int], Record],
    append_time_ms: Callable[[int], int | None],
    alive: Callable[[], object] = lambda: None,
) -> Resumption:
    """Compare the stored progress with the log as it is.

    ``read_at`` reads a record within the bounds, ``append_time_ms`` gives the append time of the
    record that was decided at an offset; ``alive`` is called between them. A log that was recreated
    or lost its tail starts a new generation at the first record that was not decided, so that no
    later attempt is skipped and none is decided twice.
    """
    start, end = bounds
    offset = progress.next_offset
    same_topic = progress.topic_id in (None, topic_id)
    here = progress._replace(topic_id=topic_id)

    if start < offset <= end:
        record = read_at(offset - 1)
        if (fingerprint(record), record.appended_ms) == (progress.fingerprint, progress.last_ms):
            return Resumption(here)
        if progress.fingerprint is None and same_topic:
            return Resumption(here)  # nothing was decided since the partition was moved here
    elif offset <= start and same_topic:
        missing = start - offset
        alarm = f"The log has lost {missing} attempts before they were read"
        here = here._replace(next_offset=start, missing=progress.missing + missing)
        return Resumption(here, missing, alarm if missing else None)

    latest_ms = max(progress.latest_ms, progress.last_ms or 0) if same_topic else -1
    first_new = _first_new(start, min(end, offset), latest_ms, read_at, append_time_ms, alive)
    loss = "The log lost its tail" if same_topic else "The topic was recreated"
    return Resumption(
        here._replace(
            generation=progress.generation + 1,
            next_offset=first_new,
            batch_offset=first_new,
            fingerprint=None,
            last_ms=None,
        ),
        alarm=f"{loss}: the log differs from the decisions before offset {offset}, so generation "
        f"{progress.generation + 1} starts at offset {first_new}",
    )


def _first_new(
    start: int,
    end: int,
    latest_ms: int,
    read_at: Callable[[int], Record],
    append_time_ms: Callable[[int], int | None],
    alive: Callable[[], object],
) -> int:
    """The first offset whose record is not the one decided there, found by bisection."""
    low, high = start, end
    while low < high:
        middle = (low + high) // 2
        alive()
        decided = append_time_ms(middle)
        alive()
        appended_ms = read_at(middle).appended_ms
        # Where retention has deleted the decision: a record after all decisions is not decided.
        known = appended_ms <= latest_ms if decided is None else decided == appended_ms
        low, high = (middle + 1, high) if known else (low, middle)
    return low
