"""Kafka and Postgres in memory, with what they remember of their past; they check as they go.

Time does not pass in here and nothing happens by itself: whoever calls decides what happens
next. What must never happen raises :class:`Violation` at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from events.messages import (
    Blocked,
    BlocksMessage,
    Decision,
    Heartbeat,
    Policy,
    SetPolicy,
    Unblocked,
    encode,
)
from events.positions import Position
from tests.simulation.replay import Outcome, Replay, Said
from workers.batch import AuditRow, Batch, Record, Undecodable, fingerprint
from workers.policy import CLEAN, LockState
from workers.store import Progress

PARTITION = 0
STEP_MS = 1_000
"""Between the append times of two records."""


class Violation(AssertionError):  # noqa: N818
    """Something happened that never may."""


class Life(NamedTuple):
    """What the log holds: it changes when the log is made anew or loses its tail."""

    topic_id: str
    start: int
    records: tuple[Record, ...]

    @property
    def end(self) -> int:
        """The offset that the next record gets."""
        return self.start + len(self.records)


class Tables(NamedTuple):
    """What the database holds: immutable, so that a snapshot is a reference."""

    progress: Progress | None
    owner: str
    missing: int
    states: dict[str, tuple[LockState, Position]]
    audit: tuple[tuple[int, AuditRow], ...]
    """Rows with their generation, as they were written."""
    quarantine: tuple[tuple[int, Undecodable], ...]


EMPTY = Tables(None, "", 0, {}, (), ())


@dataclass
class World:
    """One partition: `attempts`, the tables, and what was acknowledged of the other topics."""

    life: Life = Life("t1", 0, ())
    said: dict[int, Said] = field(default_factory=dict)
    """What each record says, by its append time, which no two records share."""
    clock_ms: int = STEP_MS
    lives: int = 1
    tables: Tables = EMPTY
    history: list[tuple[Tables, int]] = field(default_factory=lambda: [(EMPTY, 0)])
    """All states of the tables so far, each with the number of blocks news at that time."""
    backups: list[Tables] = field(default_factory=lambda: [EMPTY])
    """What the database may go back to: its own past, and never what it went back from."""
    epochs: int = 0
    verdicts: set[tuple[bytes, str, int]] = field(default_factory=set)
    blocks: list[BlocksMessage] = field(default_factory=list)
    decided: dict[tuple[bytes, bool], tuple[str, int]] = field(default_factory=dict)
    """Each decision that was ever committed, by :func:`request_of` its row."""
    log_changed: bool = False
    went_back: bool = False
    gone: set[int] = field(default_factory=set)
    """Append times of records that the log has no more."""
    _past: int = 0

    @property
    def lost_both(self) -> bool:
        """Whether the log and the database lost something: no other may decide otherwise."""
        return self.went_back and bool(self.gone)

    # -- the log

    def append(self, said: Said) -> None:
        """Add a record, or one that cannot be read."""
        self.clock_ms += STEP_MS
        value = b"junk" if said is None else encode(said)
        record = Record(self.life.end, self.clock_ms, b"", value)
        self.said[self.clock_ms] = said
        self.life = self.life._replace(records=(*self.life.records, record))

    def lose_tail(self, count: int) -> None:
        """The last records are gone, as after an unclean election."""
        keep = len(self.life.records) - count
        self.gone.update(r.appended_ms for r in self.life.records[keep:])
        self.life = self.life._replace(records=self.life.records[:keep])
        self.log_changed = True

    def make_anew(self) -> None:
        """The topic was deleted and made again, empty."""
        self.gone.update(r.appended_ms for r in self.life.records)
        self.lives += 1
        self.life = Life(f"t{self.lives}", 0, ())
        self.log_changed = True

    def drop_start(self, count: int) -> None:
        """Retention took the first records."""
        dropped, kept = self.life.records[:count], self.life.records[count:]
        self.gone.update(r.appended_ms for r in dropped)
        self.life = self.life._replace(start=self.life.start + len(dropped), records=kept)

    # -- the database: one method is one statement

    def claim(self, owner: str) -> Progress:
        """A higher epoch, and the row as it is then."""
        # Epochs are not below the clock, so a database that went back gives none out again.
        self.epochs += 1
        old = self.tables.progress or Progress(0, 1, None, 0, 0, None, None, None)
        # Every death is excused: no record in here kills anybody.
        suspect = old.suspect if self.tables.owner == owner else bool(self.tables.owner)
        progress = old._replace(epoch=self.epochs, suspect=suspect)
        self._write(self.tables._replace(progress=progress, owner=owner))
        return progress

    def leave(self) -> None:
        """The owner has finished orderly: the next one suspects no record."""
        self._write(self.tables._replace(owner=""))

    def move(self, owner: str, progress: Progress, missing: int) -> bool:
        """The SQL function move_partition."""
        stored = self.tables.progress
        if stored is None or stored.epoch != progress.epoch:
            return False
        self._check_writer(owner)
        moved = stored._replace(
            generation=progress.generation,
            topic_id=progress.topic_id,
            next_offset=progress.next_offset,
            batch_offset=progress.next_offset,
            fingerprint=None,
            last_ms=None,
        )
        self._write(self.tables._replace(progress=moved, missing=self.tables.missing + missing))
        return True

    def apply(self, owner: str, progress: Progress, batch: Batch) -> bool:
        """The SQL function apply_batch."""
        stored, tables = self.tables.progress, self.tables
        mine = (progress.epoch, progress.generation, batch.from_offset)
        if stored is None or (stored.epoch, stored.generation, stored.next_offset) != mine:
            return False
        self._check_writer(owner)
        generation = progress.generation
        states = dict(tables.states)
        for user, (state, offset) in batch.states.items():
            states.pop(user, None)
            if state != CLEAN:
                states[user] = (state, Position(generation, offset))
        self._write(
            Tables(
                stored._replace(
                    next_offset=batch.to_offset,
                    batch_offset=batch.from_offset,
                    fingerprint=fingerprint(batch.last),
                    last_ms=batch.last.appended_ms,
                    policy=batch.policy if batch.policy_changed else stored.policy,
                ),
                owner,
                tables.missing,
                states,
                tables.audit + tuple((generation, row) for row in batch.audit),
                tables.quarantine + tuple((generation, bad) for bad in batch.undecodable),
            )
        )
        check_tables(self.tables, self.said)
        for row in batch.audit:
            decision = (row.decision.name, row.until_ms)
            before = self.decided.setdefault(request_of(row), decision)
            if before != decision and not self.lost_both:
                raise Violation(f"{row.id!r} was {before} and is now {decision}")
            self.decided[request_of(row)] = decision
        return True

    def read_states(self, users: set[str]) -> dict[str, LockState]:
        """The stored states of those among them that have one."""
        return {u: self.tables.states[u][0] for u in sorted(users) if u in self.tables.states}

    def read_decided(self, generation: int, start: int, end: int) -> list[AuditRow]:
        """The audit rows of this range."""
        return rows_of(self.tables, generation, start, end)

    def read_appended_at(self, offset: int) -> int | None:
        """The append time of the latest record that was taken at this offset."""
        taken = [(g, row.appended_ms) for g, row in self.tables.audit if row.offset == offset]
        taken += [
            (g, bad.record.appended_ms)
            for g, bad in self.tables.quarantine
            if bad.record.offset == offset
        ]
        return max(taken)[1] if taken else None

    def go_back(self, index: int) -> None:
        """The database is what it was at that time: a copy that lagged, or a backup."""
        self.went_back = True
        self.tables = self.backups[index]
        del self.backups[index + 1 :]
        self._remember("back", index)

    def key(self) -> int:
        """Worlds of the same key have the same future."""
        return hash(
            (
                self.life,
                self.clock_ms,
                self._past,
                frozenset(self.verdicts),
                tuple(self.blocks),
                frozenset(self.decided.items()),
            )
        )

    def _write(self, tables: Tables) -> None:
        self.tables = tables
        self.history.append((tables, len(self.blocks)))
        self.backups.append(tables)
        parts = (p if not isinstance(p, dict) else frozenset(p.items()) for p in tables)
        self._remember(*parts)

    def _remember(self, *what: object) -> None:
        self._past = hash((self._past, *what, len(self.blocks)))

    def _check_writer(self, owner: str) -> None:
        if self.tables.owner != owner:
            raise Violation(f"{owner} wrote although {self.tables.owner} has the partition")

    # -- the topics

    def check_verdicts(self, decisions: Sequence[AuditRow]) -> None:
        """What is handed to the producer may be read by anybody from then on."""
        for row in decisions:
            if self.decided.get(request_of(row)) != (row.decision.name, row.until_ms):
                raise Violation(f"a verdict is out that nobody has committed: {row}")


def request_of(row: AuditRow) -> tuple[bytes, bool]:
    """The id of a request, and whether this is its repetition."""
    return row.id, row.decision == Decision.REPEATED


def rows_of(tables: Tables, generation: int, start: int, end: int) -> list[AuditRow]:
    """The audit rows of one generation in this range of offsets, in log order."""
    rows = [r for g, r in tables.audit if g == generation and start <= r.offset < end]
    return sorted(rows, key=lambda row: row.offset)


def news_of(generation: int, decisions: Sequence[AuditRow]) -> list[BlocksMessage]:
    """The news on `blocks` that belong to these decisions."""
    news: list[BlocksMessage] = []
    for row in decisions:
        position = Position(generation, row.offset)
        if row.change > 0:
            news.append(Blocked(PARTITION, position, row.user, row.until_ms))
        elif row.change < 0:
            news.append(Unblocked(PARTITION, position, row.user))
    return news


def heartbeat(epoch: int, position: Position) -> BlocksMessage:
    """An owner's sign of life."""
    return Heartbeat(PARTITION, epoch, position)


def proposal(policy: Policy, number: int) -> SetPolicy:
    """The record that proposes a policy."""
    return SetPolicy(b"proposal" + number.to_bytes(8, "big"), 0, policy)


def check_tables(tables: Tables, said: dict[int, Said]) -> None:
    """Every row decides one record, once, in order, as the policy says; the states follow."""
    taken = [(g, row.offset, row.appended_ms) for g, row in tables.audit]
    taken += [(g, bad.record.offset, bad.record.appended_ms) for g, bad in tables.quarantine]
    taken.sort()
    rows = {(g, row.offset): row for g, row in tables.audit}
    if len({(g, offset) for g, offset, _ in taken}) != len(taken):
        raise Violation(f"two decisions have one position: {taken}")
    times = [at for _, _, at in taken]
    if times != sorted(set(times)):
        raise Violation(f"records were decided twice, or not in the order of the log: {taken}")
    state = Replay()
    for generation, offset, at in taken:
        must = state.take(said[at], at)
        row = rows.get((generation, offset))
        found = row and Outcome(row.decision.name, row.until_ms, row.change)
        if found != must:
            raise Violation(f"{said[at]} at {(generation, offset)} is {found} instead of {must}")
    against = {
        user: (s.failures_ms, s.in_a_row, s.blocks, s.until_ms or 0)
        for user, (s, _) in tables.states.items()
    }
    if against != state.against():
        raise Violation(f"the states are {against} instead of {state.against()}")
