"""The relay's steps: decisions become events in the order of the log, and ends at their time.

Each step reads what is new, publishes it, and moves the cursors when the brokers have it. So after
a death in between the same events are published again, with the same ids, and none is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from workers import metrics
from workers.relay import event
from workers.relay.delivery import Deliveries
from workers.relay.event import Decided
from workers.relay.journal import EXPIRIES, NOTES, ROWS, Behind, Cursor, Journal
from workers.relay.publisher import EventPublisher

SETTLE_MS = 250
"""After the end of a block, so that what was decided about it before is published before it. An
owner takes some milliseconds for it."""


class Relay:
    """Publishes for as long as its journal leads."""

    def __init__(
        self,
        journal: Journal,
        publisher: EventPublisher,
        deliveries: Deliveries,
        alive: Callable[[], object] = lambda: None,
    ) -> None:
        """`alive` is called while the brokers are waited for, and may end that by an exception."""
        self._journal = journal
        self._publisher = publisher
        self._deliveries = deliveries
        self._alive = alive

    def step(self) -> bool:
        """Publish what there is; whether there may be more already.

        Raises ``psycopg.Error``, also where the lead is lost, and PublishError.
        """
        now_ms = self._journal.now_ms()  # first: what is decided until then is read after it
        # Of what is decided and not read yet, something may have lifted a block before its end.
        if self._publish_decided():
            return True
        more = self._publish_expired(now_ms - SETTLE_MS)
        return self._publish_notes() or more

    def _publish_decided(self) -> bool:
        read, rows = self._read()
        before = self._journal.ends_of(row.user for row in rows) if rows else {}
        ends = dict(before)
        events = [found for row in rows for found in event.events_of(row, ends)]
        self._publish(events)
        if read:
            new = {user: end for user, end in ends.items() if before.get(user) != end}
            gone = before.keys() - ends.keys()
            self._journal.commit([to for _, to in read], new, gone, events)
        self._tell(events)
        return any(to != each.now for each, to in read)

    def _read(self) -> tuple[list[tuple[Behind, Cursor]], list[Decided]]:
        """How far each partition is read, and the decisions until there."""
        read: list[tuple[Behind, Cursor]] = []
        rows: list[Decided] = []
        for each in self._journal.behind():
            to, more = self._journal.decided(each, ROWS - len(rows))
            read.append((each, to))
            rows += more
        # An account may have come from another partition with a new generation: of that, nothing
        # is read before all of the old one.
        last = min((to.generation for each, to in read if to != each.now), default=None)
        if last is not None:
            read = [
                (each, min(to, max(each.since, Cursor(to.partition, last + 1, 0))))
                for each, to in read
            ]
            rows = [row for row in rows if row.generation <= last]
        return read, sorted(rows, key=lambda row: row.generation)

    def _publish_expired(self, until_ms: int) -> bool:
        due = self._journal.due(until_ms)
        events = [event.expired(user, end) for user, end, known in due if known]
        self._publish(events)
        if due:
            self._journal.commit([], {}, [user for user, _, _ in due], events)
        self._tell(events)
        return len(due) == EXPIRIES

    def _publish_notes(self) -> bool:
        notes = self._journal.notes()
        events = [event.event_of(note) for note in notes]
        self._publish(events)
        if notes:
            self._journal.commit([], {}, [], events, notes)
        self._tell(events)
        return len(notes) == NOTES

    def _publish(self, events: Sequence[event.AnyEvent]) -> None:
        if events:
            self._publisher.publish(events, self._wait)

    def _wait(self) -> None:
        self._alive()
        self._journal.live()

    def _tell(self, events: Sequence[event.AnyEvent]) -> None:
        if events:
            self._deliveries.wake()
        for each in events:
            metrics.EVENTS.labels(event.type_of(each)).inc()


def lag_seconds(journal: Journal) -> float:
    """The age of the oldest decision, end of a block or note that is not published yet; 0: none."""
    found = [journal.oldest_other_ms(), *(journal.oldest_ms(each) for each in journal.behind())]
    oldest = [ms for ms in found if ms is not None]
    return max(0.0, (journal.now_ms() - min(oldest)) / 1000) if oldest else 0.0
