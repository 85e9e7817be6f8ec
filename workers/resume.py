"""Where an owner goes on: the log and the database may not be the pair that they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from workers.batch import Record, fingerprint
from workers.store import Progress


class Resumption(NamedTuple):
    """Where to read from, and what had to be found out on the way."""

    progress: Progress
    missing: int = 0
    """Records that the log lost before anybody read them."""
    alarm: str | None = None
    """What a person must hear of it."""


def resume(
    progress: Progress,
    topic_id: str,
    bounds: tuple[int, int],
    read_at: Callable[[int], Record],
    appended_at: Callable[[int], int | None],
) -> Resumption:
    """Compare the stored progress with the log as it is.

    ``read_at`` reads a record within the bounds, ``appended_at`` says when the record that
    was decided at an offset had been appended. A log that was made anew or lost its tail
    starts a new generation at the first record that was not decided, so that no later
    attempt is skipped; nothing is ever decided twice.
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
            return Resumption(here)  # moved here, and nothing decided since
    elif offset <= start and same_topic:
        missing = start - offset
        alarm = f"{missing} attempts were gone from the log before they were read"
        return Resumption(here._replace(next_offset=start), missing, alarm if missing else None)

    first_new = _first_new(start, min(end, offset), same_topic, read_at, appended_at)
    what = "lost its tail" if same_topic else "was made anew"
    return Resumption(
        here._replace(
            generation=progress.generation + 1,
            next_offset=first_new,
            batch_offset=first_new,
            fingerprint=None,
            last_ms=None,
        ),
        alarm=f"the log {what}: it differs from what was decided before offset {offset},"
        f" so generation {progress.generation + 1} starts at offset {first_new}",
    )


def _first_new(
    start: int,
    end: int,
    same_topic: bool,
    read_at: Callable[[int], Record],
    appended_at: Callable[[int], int | None],
) -> int:
    """The first offset whose record is not the one that was decided there, by bisection."""
    low, high = start, end
    while low < high:
        middle = (low + high) // 2
        decided = appended_at(middle)
        # A decision that is no longer kept is an old one, far from a lost tail.
        known = same_topic if decided is None else decided == read_at(middle).appended_ms
        low, high = (middle + 1, high) if known else (low, middle)
    return low
