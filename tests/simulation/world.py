"""Kafka and Postgres in memory, with what they remember of their past; they check as they go.

Nothing happens by itself in here, and time passes only where it is told to: the caller decides what
happens next. An event that must never happen raises :class:`Violation` at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from events.messages import (
    BlocksMessage,
    Decision,
    Deleted,
    Message,
    Policy,
    SetLayout,
    SetPolicy,
    Verdict,
    Verdicts,
    encode,
)
from events.positions import Position
from events.topics import VERDICTS
from loadtest.histories import Call
from tests.simulation.replay import DAY_MS, REACH, Account, Outcome, Place, Replay, Said, Violation
from workers.decision.batch import AuditRow, Batch, Record, fingerprint
from workers.decision.policy import CLEAN, UNKNOWN, LockState
from workers.partition.deduplication import DEDUPLICATION_MS, Seen
from workers.partition.store import Progress

__all__ = ["EMPTY", "PARTITION", "START_MS", "Life", "Tables", "Violation", "World"]

PARTITION = 0
"""The partition, where there is one."""

START_MS = 1_000_000_000_000
"""The brokers' clock and the database's at the beginning."""

STEP_MS = 1_000
"""Between the append times of two records, where nothing else lets time pass."""


class Told(NamedTuple):
    """A call as a client saw it, and the ids of the requests that its gateway wrote for it."""

    call: Call
    ids: tuple[bytes, ...] = ()


class Life(NamedTuple):
    """The records of a partition: another life begins when it is made anew or loses its tail."""

    topic_id: str
    start: int
    records: tuple[Record, ...]

    @property
    def end(self) -> int:
        """The offset that the next record gets."""
        return self.start + len(self.records)


class Entry(NamedTuple):
    """All there is to know of a record that was ever appended, by its append time."""

    said: Said
    partition: int
    serial: int


class Taken(NamedTuple):
    """A record that was decided, or put into quarantine (then there is no row)."""

    partition: int
    generation: int
    offset: int
    appended_ms: int
    row: AuditRow | None


class Part(NamedTuple):
    """The database's rows of one partition."""

    progress: Progress | None = None
    owner: str = ""
    missing: int = 0


class Tables(NamedTuple):
    """The rows of the database: immutable, so that a snapshot is a reference."""

    parts: tuple[Part, ...]
    partitions: int
    wanted: int
    states: dict[str, tuple[LockState, Position, int]]
    """Each with the position and the partition that set it."""
    taken: tuple[Taken, ...]
    """In the order of the commits."""
    audit_from: int = 0
    """Rows of records that were appended before are deleted."""
    entered: tuple[tuple[int, int, int], ...] = ()
    """Before which of what was taken a partition entered a layout. The log may have lost the record
    of that layout since, undecided."""

    @property
    def progress(self) -> Progress | None:
        """Of the partition, where there is one."""
        return self.parts[PARTITION].progress

    def of(self, partition: int) -> list[Taken]:
        """The decisions of a partition that are still there."""
        return [
            t for t in self.taken if t.partition == partition and t.appended_ms >= self.audit_from
        ]


def empty(most: int = 1, partitions: int = 1) -> Tables:
    """As `python -m events` leaves it, for a topic of ``most`` partitions."""
    return Tables((Part(),) * most, partitions, 0, {}, ())


EMPTY = empty()


@dataclass
class World:
    """Some partitions of `attempts`, the tables, and what was acknowledged of the other topics."""

    most: int = 1
    """Partitions of the topic `attempts`."""
    partitions: int = 1
    """How many of them are in use at first."""
    step_ms: int = STEP_MS
    reach: int = REACH
    """Offsets within which a repeated id is known again."""
    now_ms: int = 0
    """Milliseconds since the beginning, on nobody's clock."""
    ahead_ms: int = 0
    """By how much the brokers' clock is ahead of the database's."""
    tables: Tables = EMPTY
    lives: list[Life] = field(default_factory=list)
    entries: dict[int, Entry] = field(default_factory=dict)
    """Each record's, by its append time, which no two records share."""
    topics: int = 1
    epochs: list[int] = field(default_factory=list)
    history: list[tuple[Tables, int]] = field(default_factory=list)
    """All states of the tables so far, each with the number of blocks news at that time."""
    backups: list[Tables] = field(default_factory=list)
    """The states that the database may go back to: its own past, and none it went back from."""
    verdicts: set[tuple[bytes, str, str, int]] = field(default_factory=set)
    """Each with the name that it says."""
    verdict_log: dict[int, list[Verdicts]] = field(default_factory=lambda: defaultdict(list))
    """By the partition of `verdicts`."""
    blocks: list[BlocksMessage] = field(default_factory=list)
    blocks_ms: list[int] = field(default_factory=list)
    """The append time of each of them."""
    decided: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Each decision that was ever committed, by its record's append time."""
    decided_at: dict[bytes, int] = field(default_factory=dict)
    """When a request was decided first, on the brokers' clock."""
    committed: set[tuple[bytes, str, str, int]] = field(default_factory=set)
    in_flight: list[Any] = field(default_factory=list)
    """The records that gateways have written to `attempts` and that are not there yet."""
    ids: int = 0
    """How many requests have had an id."""
    calls: dict[str, list[Told]] = field(default_factory=dict)
    """The calls as clients saw them, by account; moments are those of the brokers' clock."""
    jumps: list[tuple[int, int]] = field(default_factory=list)
    """When the brokers' clock was set, and by how many milliseconds."""
    policies: list[tuple[int, int, Policy]] = field(default_factory=list)
    """The policies that were set: the moment on the brokers' clock, and the partition."""
    verdicts_broke: bool = False
    """Whether the topic `verdicts` was away once, so that some may never be read."""
    log_changed: bool = False
    dropped: set[int] = field(default_factory=set)
    """Append times of records that the log's retention took."""
    _pasts: list[int] = field(default_factory=list)
    appended: int = 0
    """Tells one history of the log from another."""

    def __post_init__(self) -> None:
        """As `python -m events` leaves it."""
        self.tables = empty(self.most, self.partitions)
        self.epochs, self._pasts = [0] * self.most, [0] * self.most
        self.lives = [Life("t1", 0, ()) for _ in range(self.most)]
        self.history, self.backups = [(self.tables, 0)], [self.tables]

    @property
    def life(self) -> Life:
        """The log, where it has one partition."""
        return self.lives[PARTITION]

    # -- time

    @property
    def database_ms(self) -> int:
        """The time on the database's clock."""
        return START_MS + self.now_ms

    @property
    def clock_ms(self) -> int:
        """The time on the brokers' clock."""
        return self.database_ms + self.ahead_ms

    def tick(self) -> int:
        """No two moments that are compared are the same; the brokers' clock after that."""
        self.now_ms += self.step_ms
        return self.clock_ms

    # -- the log

    def append(self, said: Said, partition: int = PARTITION) -> int:
        """Add a record, or one that cannot be read; its append time."""
        return self.append_value(b"junk" if said is None else encode(said), said, partition)

    def append_value(self, value: bytes, said: Said, partition: int) -> int:
        """Add a record with this value."""
        at = self.tick()
        while at in self.entries:  # the clock was set back
            at += 1
        life = self.lives[partition]
        record = Record(life.end, at, b"", value)
        self.entries[at] = Entry(said, partition, len(self.entries))
        if isinstance(said, SetPolicy):
            self.policies.append((at, partition, said.policy))
        self.appended = hash((self.appended, at, value, partition))
        self.lives[partition] = life._replace(records=(*life.records, record))
        return at

    def lose_tail(self, count: int, partition: int = PARTITION) -> None:
        """The last records are gone, as after an unclean election."""
        life = self.lives[partition]
        keep = len(life.records) - count
        self.lives[partition] = life._replace(records=life.records[:keep])
        self.log_changed = True

    def make_anew(self) -> None:
        """The topic was deleted and made again, empty."""
        self.topics += 1
        self.lives = [Life(f"t{self.topics}", 0, ()) for _ in self.lives]
        self.log_changed = True

    def drop_start(self, count: int, partition: int = PARTITION) -> None:
        """Retention took the first records."""
        life = self.lives[partition]
        dropped, kept = life.records[:count], life.records[count:]
        self.dropped.update(r.appended_ms for r in dropped)
        self.lives[partition] = life._replace(start=life.start + len(dropped), records=kept)

    # -- the database: one method is one statement

    def claim(self, owner: str, partition: int = PARTITION) -> Progress:
        """A higher epoch, and the row as it is then."""
        # Epochs are not below the clock, so a database that went back gives none out again.
        self.epochs[partition] += 1
        part = self.tables.parts[partition]
        old = part.progress or Progress(0, 1, None, 0, 0, None, None, None)
        # Every death is excused: no record in here kills anybody.
        suspect = old.suspect if part.owner == owner else bool(part.owner)
        progress = old._replace(epoch=self.epochs[partition], suspect=suspect)
        self._write_part(partition, part._replace(progress=progress, owner=owner))
        read = self.read_progress(partition)
        assert read is not None
        return read

    def read_progress(self, partition: int = PARTITION) -> Progress | None:
        """The row, with what the other tables say."""
        part, tables = self.tables.parts[partition], self.tables
        if part.progress is None:
            return None
        return part.progress._replace(
            used=tables.partitions,
            to_propose=_layout_to_propose(tables, partition, part.progress),
            missing=part.missing,
        )

    def leave(self, partition: int = PARTITION) -> None:
        """The owner has finished orderly: the next one suspects no record."""
        self._write_part(partition, self.tables.parts[partition]._replace(owner=""))

    def move(
        self, owner: str, progress: Progress, missing: int, partition: int = PARTITION
    ) -> bool:
        """The SQL function move_partition."""
        part = self.tables.parts[partition]
        stored = part.progress
        if stored is None or stored.epoch != progress.epoch:
            return False
        self._check_writer(owner, partition)
        moved = stored._replace(
            generation=max(stored.generation, progress.generation),
            topic_id=progress.topic_id,
            next_offset=progress.next_offset,
            batch_offset=progress.next_offset,
            fingerprint=None,
            last_ms=None,
        )
        self._write_part(partition, part._replace(progress=moved, missing=part.missing + missing))
        return True

    def apply(
        self, owner: str, progress: Progress, batch: Batch, partition: int = PARTITION
    ) -> bool:
        """The SQL function apply_batch."""
        tables = self.tables
        part = tables.parts[partition]
        stored = part.progress
        mine = (progress.epoch, progress.generation, batch.from_offset)
        if stored is None or (stored.epoch, stored.generation, stored.next_offset) != mine:
            return False
        self._check_writer(owner, partition)
        generation = progress.generation
        states = dict(tables.states)
        for user, (state, offset) in batch.states.items():
            states.pop(user, None)
            if state != CLEAN:
                states[user] = (state, Position(generation, offset), partition)
        new = stored._replace(
            next_offset=batch.to_offset,
            batch_offset=batch.from_offset,
            fingerprint=fingerprint(batch.last),
            last_ms=batch.last.appended_ms,
            latest_ms=max([stored.latest_ms, *(r.appended_ms for r in batch.audit)]),
            policy=batch.policy if batch.new_policies else stored.policy,
        )
        before = tables.taken
        if batch.deletion is not None:
            name = batch.deletion.user
            before = tuple(_without(name, one, generation) for one in before)
        self._write(
            tables._replace(
                parts=_with_part(tables, partition, part._replace(progress=new)),
                states=states,
                taken=before + tuple(_taken(partition, generation, batch)),
            ),
            partition,
        )
        check_tables(self)
        for row in batch.audit:
            self._check_decided_before(row)
        return True

    def enter_layout(self, progress: Progress, layout: int, partition: int = PARTITION) -> bool:
        """The SQL function enter_layout."""
        tables = self.tables
        part = tables.parts[partition]
        stored = part.progress
        mine = (progress.epoch, progress.next_offset)
        if stored is None or (stored.epoch, stored.next_offset) != mine or stored.layout >= layout:
            return False
        new = part._replace(progress=stored._replace(layout=layout))
        parts = _with_part(tables, partition, new)
        wanted = layout if max(tables.partitions, tables.wanted) < layout else tables.wanted
        partitions, whose = tables.partitions, cast("int | None", partition)
        if partitions < layout == _in_layout(parts[:layout], layout):
            partitions, whose = layout, None
            generation = 1 + max(p.progress.generation for p in parts if p.progress)
            parts = tuple(
                p._replace(
                    progress=p.progress
                    and p.progress._replace(
                        generation=generation, batch_offset=p.progress.next_offset
                    )
                )
                for p in parts
            )
        entered = (*tables.entered, (len(tables.taken), partition, layout))
        self._write(
            tables._replace(parts=parts, wanted=wanted, partitions=partitions, entered=entered),
            whose,
        )
        return True

    def want(self, partitions: int) -> None:
        """`cerrojo resize`."""
        if self.tables.partitions < partitions:
            self._write(self.tables._replace(wanted=partitions))

    def newest_policy(self) -> Policy | None:
        """Of all partitions."""
        known = [p.progress.policy for p in self.tables.parts if p.progress and p.progress.policy]
        return max(known, key=lambda policy: policy.version, default=None)

    def read_states(self, users: set[str]) -> dict[str, LockState]:
        """The stored states of those among them that have one."""
        return {u: self.tables.states[u][0] for u in sorted(users) if u in self.tables.states}

    def read_decided(
        self, generation: int, start: int, end: int, partition: int = PARTITION
    ) -> list[AuditRow]:
        """The audit rows of this range."""
        return rows_of(self.tables, generation, start, end, partition)

    def read_requests(self, progress: Progress, partition: int = PARTITION) -> list[Seen]:
        """The decided requests that a later one may repeat, in log order."""
        near = progress.next_offset - self.reach
        recent = progress.latest_ms - DEDUPLICATION_MS
        seen = [
            Seen(t.row.id, t.generation, t.offset, t.appended_ms)
            for t in self.tables.of(partition)
            if t.row is not None
            and t.row.decision not in (Decision.MOVED, Decision.LATE)
            and (
                (t.generation == progress.generation and t.offset >= near)
                or t.appended_ms >= recent
            )
        ]
        return sorted(seen, key=lambda one: (one.generation, one.offset))

    def read_appended_at(self, offset: int, partition: int = PARTITION) -> int | None:
        """The append time of the latest record that was taken at this offset."""
        taken = [
            (t.generation, t.appended_ms) for t in self.tables.of(partition) if t.offset == offset
        ]
        return max(taken)[1] if taken else None

    def clean_up(self) -> None:
        """The SQL functions forget_lock_states and clear_ended_blocks; old audit rows go.

        These are kept for longer than any partition stands still, as `settings` has it in days: a
        record that waits has its repetition near, or it would be decided again.
        """
        tables, clock = self.tables, self.database_ms
        used = [p.progress for p in tables.parts[: tables.partitions]]
        least = min(clock, *((p.last_ms or 0) if p else 0 for p in used)) - DAY_MS
        states = {}
        for user, (state, position, partition) in tables.states.items():
            progress = tables.parts[partition].progress
            assert progress is not None
            passed = min(progress.last_ms or 0, clock) - DAY_MS
            now = passed if progress.generation == position.generation else least
            over = (state.until_ms or 0) <= now
            if 0 < state.forget_ms <= now - state.last_ms and over and progress.last_ms:
                continue
            if state.until_ms is not None and over:
                state = state._replace(since_ms=None, until_ms=None, why=None)
            states[user] = (state, position, partition)
        taken = {one.appended_ms for one in tables.taken}
        waiting = [r.appended_ms for life in self.lives for r in life.records]
        oldest = min((ms for ms in waiting if ms not in taken), default=clock)
        audit_from = max(tables.audit_from, min(clock - 2 * DAY_MS, oldest - DAY_MS))
        self._write(tables._replace(states=states, audit_from=audit_from))

    def go_back(self, index: int) -> None:
        """The database is what it was at that time: a copy that lagged, or a backup."""
        self.tables = self.backups[index]
        del self.backups[index + 1 :]
        self._remember("back", index)

    def lost_for_good(self) -> list[Entry]:
        """Records that were decided once, and of which neither log nor database know any more."""
        here = {t.appended_ms for t in self.tables.taken}
        here.update(r.appended_ms for life in self.lives for r in life.records)
        return [self.entries[ms] for ms in self.decided if ms not in here]

    def copy(self) -> World:
        """Another one that is as this is now, and goes on by itself."""
        other = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, list | dict | set):
                setattr(other, name, value.copy())
        for by_something in (other.verdict_log, other.calls):
            for key, found in by_something.items():
                by_something[key] = found.copy()
        return other

    def key(self) -> int:
        """Worlds of the same key have the same future.

        The order of two events in different partitions does not count; a partition has its own
        rows, and gateways know its news by its number.
        """
        return hash(
            (
                tuple(self.lives),
                self.clock_ms,
                self.ahead_ms,
                tuple(self._pasts),
                frozenset(self.verdicts),
                tuple(tuple(m for m in self.blocks if m.partition == p) for p in range(self.most)),
                frozenset(self.decided.items()),
            )
        )

    def _write_part(self, partition: int, part: Part) -> None:
        self._write(self.tables._replace(parts=_with_part(self.tables, partition, part)), partition)

    def _write(self, tables: Tables, partition: int | None = None) -> None:
        """Write to the rows of one partition, or of all."""
        self.tables = tables
        self.history.append((tables, len(self.blocks)))
        self.backups.append(tables)
        for number in range(self.most) if partition is None else (partition,):
            states = frozenset(one for one in tables.states.items() if one[1][2] == number)
            taken = tuple(one for one in tables.taken if one.partition == number)
            news = sum(message.partition == number for message in self.blocks)
            mine = (tables.parts[number], tables.partitions, tables.wanted, states, taken, news)
            self._pasts[number] = hash((self._pasts[number], mine))

    def _remember(self, *what: object) -> None:
        self._pasts = [hash((past, *what, len(self.blocks))) for past in self._pasts]

    def _check_writer(self, owner: str, partition: int) -> None:
        holder = self.tables.parts[partition].owner
        if holder != owner:
            raise Violation(f"{owner} wrote although {holder} has the partition")

    def _check_decided_before(self, row: AuditRow) -> None:
        """A record is decided as it was before, if that is known to anybody.

        A record that neither the log nor the database has any more may change the decisions of the
        same account behind it, as nobody can know it; nothing else may.
        """
        decision = (row.decision.name, row.until_ms)
        before = self.decided.get(row.appended_ms, decision)
        if before != decision:
            mine = self.entries[row.appended_ms]
            if not any(bears_on(lost, mine) for lost in self.lost_for_good()):
                raise Violation(f"{mine} was {before} and is now {decision}")
        self.decided[row.appended_ms] = decision
        if row.decision not in (Decision.MOVED, Decision.REPEATED, Decision.LATE):
            self.decided_at.setdefault(row.id, self.clock_ms)
        self.committed.add((row.id, row.user, *decision))

    # -- the topics

    def publish_blocks(self, message: BlocksMessage) -> None:
        """A record on `blocks`."""
        self.blocks.append(message)
        self.blocks_ms.append(self.clock_ms)

    def publish_verdicts(self, verdicts: tuple[Verdict, ...], partition: int) -> None:
        """A record on `verdicts`."""
        self.verdicts.update(map(_said, verdicts))
        self.verdict_log[partition].append(Verdicts(verdicts))

    def end_of(self, topic: str, partition: int) -> int:
        """Where `verdicts` or `blocks` ends."""
        return len(self.verdict_log[partition] if topic == VERDICTS else self.blocks)

    def read_topic(
        self, topic: str, partition: int, start: int, most: int
    ) -> list[tuple[int, Message]]:
        """Its records from there on, with their append times."""
        if topic == VERDICTS:
            return [(0, listed) for listed in self.verdict_log[partition][start : start + most]]
        end = start + most
        return list(zip(self.blocks_ms[start:end], self.blocks[start:end], strict=True))

    def jumped_ms(self, since_ms: int) -> int:
        """By how much the brokers' clock was set ahead since then."""
        return sum(by for at, by in self.jumps if at >= since_ms)

    def is_behind(self, user: str) -> bool:
        """Whether the database has yet to decide again what it had decided about an account.

        Nobody can tell that by the database alone.
        """
        taken = {one.appended_ms for one in self.tables.taken}
        return any(
            ms in self.decided
            and ms not in taken
            and getattr(self.entries[ms].said, "user", user) == user
            for life in self.lives
            for _, ms, _, _ in life.records
        )

    def check_verdict(self, verdict: Verdict) -> None:
        """A verdict that is handed to the producer may be read by anybody from then on."""
        if _said(verdict) not in self.committed:
            raise Violation(f"a verdict is out that nobody has committed: {verdict}")


def bears_on(lost: Entry, other: Entry) -> bool:
    """Whether a record without the other one's knowledge may be decided otherwise."""
    if lost.serial > other.serial or lost.said is None or other.said is None:
        return False
    if isinstance(lost.said, SetPolicy | SetLayout) or isinstance(
        other.said, SetPolicy | SetLayout
    ):
        return True
    return lost.said.user == other.said.user


def _said(verdict: Verdict) -> tuple[bytes, str, str, int]:
    return verdict.id, verdict.user, verdict.decision.name, verdict.until_ms


def _without(name: str, one: Taken, generation: int) -> Taken:
    """What was taken before a deletion of this name in this generation of a partition."""
    if one.row is None or one.row.user != name or one.generation > generation:
        return one
    return one._replace(row=one.row._replace(user=""))


def _with_part(tables: Tables, partition: int, part: Part) -> tuple[Part, ...]:
    return (*tables.parts[:partition], part, *tables.parts[partition + 1 :])


def _taken(partition: int, generation: int, batch: Batch) -> Iterable[Taken]:
    taken = [Taken(partition, generation, r.offset, r.appended_ms, r) for r in batch.audit]
    taken += [
        Taken(partition, generation, bad.record.offset, bad.record.appended_ms, None)
        for bad in batch.undecodable
    ]
    return sorted(taken, key=lambda one: one.offset)


def _layout_to_propose(tables: Tables, partition: int, progress: Progress) -> int:
    """The SQL function layout_to_propose."""
    used, wanted = tables.partitions, tables.wanted
    if wanted <= used or wanted <= progress.layout:
        return 0
    there = sum(
        (p.progress.layout if p.progress else 0) >= wanted for p in tables.parts[used:wanted]
    )
    return wanted if partition >= used or there == wanted - used else 0


def _in_layout(parts: Sequence[Part], layout: int) -> int:
    return sum((p.progress.layout if p.progress else 0) >= layout for p in parts)


def rows_of(
    tables: Tables, generation: int, start: int, end: int, partition: int = PARTITION
) -> list[AuditRow]:
    """The audit rows of one generation in this range of offsets, in log order."""
    rows = [
        t.row
        for t in tables.of(partition)
        if t.row is not None and t.generation == generation and start <= t.offset < end
    ]
    return sorted(rows, key=lambda row: row.offset)


def check_tables(world: World) -> None:
    """Every row decides one record, once, in order, as the policy says; the states follow."""
    tables = world.tables
    states = frozenset(tables.states.items())
    key = hash((world.appended, tables.taken, tables.entered, states))
    if key not in _found_right:
        _check_tables(tables, world.entries)
        _found_right.add(key)


_found_right: set[int] = set()
"""Tables that were checked: other schedules come to the same ones."""


def _check_tables(tables: Tables, entries: dict[int, Entry]) -> None:
    at: dict[int, tuple[int, int, int]] = {}
    replayed = Replay()
    entered = list(tables.entered)
    for number, (partition, generation, offset, appended_ms, row) in enumerate(tables.taken):
        while entered and entered[0][0] <= number:
            _, where, layout = entered.pop(0)
            replayed.layouts[where] = max(layout, replayed.layouts.get(where, 0))
        entry = entries[appended_ms]
        here = (generation, offset, entry.serial)
        before = at.get(partition, (-1, -1, -1))
        if entry.partition != partition or here[:2] <= before[:2] or here[2] <= before[2]:
            raise Violation(f"decided twice, or not in the order of the log: {tables.taken}")
        at[partition] = here
        must = replayed.take(entry.said, appended_ms, Place(partition, generation, offset))
        found = row and Outcome(row.decision.name, row.until_ms, row.change)
        if found != must:
            raise Violation(f"{entry} at {here} is {found} instead of {must}")
        if isinstance(entry.said, Deleted) and row and row.decision == Decision.ACCEPTED:
            before_it = tables.taken[:number]
            if before_it != tuple(_without(entry.said.user, one, generation) for one in before_it):
                raise Violation(f"a name is kept beyond {entry}: {tables.taken}")
    latest = max((t.appended_ms for t in tables.taken), default=0)
    for user in tables.states.keys() | replayed.accounts.keys():
        state = tables.states[user][0] if user in tables.states else CLEAN
        account = replayed.accounts.get(user, Account())
        _check_state(user, state, account, latest)


def _check_state(user: str, state: LockState, account: Account, latest: int) -> None:
    stored = (state.failures_ms, state.consecutive_failures, state.blocks, state.until_ms or 0)
    must = (tuple(account.wrong), account.consecutive_failures, account.blocks, account.until)
    devices = {each.id: (each.failures, each.until_ms) for each in state.devices}
    if devices != account.devices and not (state == CLEAN and account.over(latest - DAY_MS)):
        raise Violation(f"the devices of {user} are {devices} instead of {account.devices}")
    if account.clean:
        must = ((), 0, 0, 0)
    elif state == CLEAN and account.over(latest - DAY_MS):
        return  # which was deleted
    elif not state.until_ms and account.until <= latest - DAY_MS:
        must = (*must[:3], 0)  # its end was deleted
    if stored != must:
        raise Violation(f"the state of {user} is {stored} instead of {must}")
    told = dict(zip(state.guesses, state.failures_ms, strict=bool(state.guesses)))
    told.pop(UNKNOWN, None)
    kept = (state.forget_ms, state.by_hand, told)
    counting = {guess: ms for guess, ms in account.guesses.items() if ms in account.wrong}
    must_keep = (account.forget, account.by_hand, counting)
    if kept != must_keep:
        raise Violation(f"of {user}, {kept} is kept instead of {must_keep}")
