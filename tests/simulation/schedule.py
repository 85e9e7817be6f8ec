"""One schedule: the next steps of a world with some owners, and the judgement at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from events.messages import Attempt, Deleted, SetLayout, SetPolicy, Unblock
from gateway.blocklist.blocklist import Blocklist
from tests.simulation.owners import ANY, FIRST, TOPICS, WRITES, NewWorker, Owner, real_worker
from tests.simulation.replay import REACH, Said
from tests.simulation.snapshots import blocked, snapshot
from tests.simulation.world import Tables, Violation, World, check_tables

LOOKS = {"topic_id", "bounds", "read", "read_at"}

USUAL = 200
"""Of 256 random choices, those that are no fault."""

PLACES = (*TOPICS, "any")

ENOUGH = 400
"""Steps within which owners that nothing disturbs have decided everything."""


@dataclass(frozen=True)
class Faults:
    """How often each thing may go wrong in one schedule."""

    crash: int = 0
    lost: int = 0
    """Calls that fail, of which the caller does not know whether they happened."""
    back: int = 0
    tail: int = 0
    anew: int = 0
    start: int = 0
    total: int = 99

    def take(self, what: str) -> Faults:
        """The faults that are left after this one."""
        return replace(self, **{what: getattr(self, what) - 1, "total": self.total - 1})

    def allow(self, what: str) -> bool:
        """Whether one more may be."""
        return self.total > 0 and getattr(self, what) > 0


class Choice(NamedTuple):
    """One thing that may happen next."""

    what: str
    owner: int = 0
    how: int = 0

    def __str__(self) -> str:
        """As it is printed when a schedule fails."""
        return f"{self.what}:{self.owner}:{self.how}"


_views_found_right: set[int] = set()
"""Ends that were checked: other schedules come to the same ones."""


class At(NamedTuple):
    """A record for another partition than the first."""

    partition: int
    said: Said


class Scenario(NamedTuple):
    """The start of a schedule."""

    said: Sequence[Said | At]
    """The records of the log at the start, undecided."""
    before: Sequence[Said | At] = ()
    """The records before those; an owner long gone has decided them."""
    unsaid: Sequence[Said] = ()
    """The records that it decided last; it died before a verdict was acknowledged."""
    later: Sequence[Said | At] = ()
    """The records that are appended to it in this order, whenever."""
    faults: Faults = Faults()
    owners: int = 2
    """Of each partition."""
    partial: bool = False
    """Whether verdicts and news may arrive one by one also from those who live, verdicts before
    news, and be acknowledged late.

    Claims too; else they arrive at once, which leaves far fewer schedules.
    """
    ready: bool = False
    """Whether the owners have claimed before ``said`` is appended."""
    partitions: int = 1
    """Of the topic."""
    used: int = 1
    """Of them at first."""
    wanted: int = 0
    """So many are to be used: `cerrojo resize` has run."""
    new_worker: NewWorker = real_worker


def number(n: int) -> bytes:
    """The id of the nth request."""
    return n.to_bytes(16, "big")


def wrong(
    n: int, user: str = "ana", partitions: int = 0, device: int = 0, guess: int = 0
) -> Attempt:
    """A wrong password; by the device of a number, and as a guess of a number, but for 0."""
    return Attempt(
        *(number(n), 0, user, False, partitions, 0, None, None),
        *(number(device) if device else None, guess.to_bytes(8, "big") if guess else None),
    )


def right(n: int, user: str = "ana", partitions: int = 0, device: int = 0) -> Attempt:
    """A right password."""
    return Attempt(
        *(number(n), 0, user, True, partitions, 0, None, None),
        number(device) if device else None,
    )


def unblock(n: int, user: str = "ana", partitions: int = 0) -> Unblock:
    """An operator lifts the block."""
    return Unblock(number(n), 0, user, partitions)


def deleted(n: int, user: str = "ana", partitions: int = 0) -> Deleted:
    """Nothing is kept of the name."""
    return Deleted(number(n), 0, user, partitions)


def layout(n: int, partitions: int) -> SetLayout:
    """A proposal of more partitions."""
    return SetLayout(number(n), 0, partitions)


def first_policy() -> SetPolicy:
    """The record that a first worker's proposal leaves."""
    return SetPolicy(number(0), 0, FIRST)


class Schedule:
    """A world and its owners, moved on choice by choice."""

    def __init__(self, scenario: Scenario) -> None:
        self.world = _begun(scenario)
        self.faults = scenario.faults
        self._partial = scenario.partial
        self._new_worker = scenario.new_worker
        self.owners: list[Owner] = []
        self.later: list[Said | At] = []
        for partition in range(scenario.partitions):
            for _ in range(scenario.owners):
                self.add_owner(partition)
        if scenario.ready:
            self._run_all()
        if scenario.wanted:
            self.world.want(scenario.wanted)
            self.wake()
        for said in scenario.said:
            self._append(said)
        self.later = list(scenario.later)
        # Where nobody changes the log, it does not matter when it is looked at.
        faults = scenario.faults
        changes = (
            faults.back
            or faults.tail
            or faults.anew
            or faults.start
            or scenario.later
            or scenario.wanted
        )
        self._log_stays = bool(scenario.before) and not changes

    def choices(self) -> list[Choice]:
        """All that may happen now; nothing once everybody has ended or is idle."""
        found: list[Choice] = []
        for n, owner in enumerate(self.owners):
            if self._log_stays and owner.pending in LOOKS and not owner.parked:
                return self._reads(n, owner)
        for n, owner in enumerate(self.owners):
            if owner.pending is None or owner.parked:
                continue
            # All owners are alike until they start: they start in their order.
            before = self.owners[n - 1] if n else owner
            if n and owner.pending == before.pending == "start" and alike(owner, before):
                continue
            found += self._steps(n, owner)
        if self.later:
            found.append(Choice("append"))
        if not found:
            return found  # messages that arrive after all are seen to at the end
        for n, owner in enumerate(self.owners):
            found += self._side_steps(n, owner)
        return found + self._world_faults()

    def _steps(self, n: int, owner: Owner) -> list[Choice]:
        steps = self._reads(n, owner)
        if owner.pending != "start" and self.faults.allow("lost"):
            steps.append(Choice("lost before", n))
            if owner.pending in WRITES or owner.pending == "wait":
                steps.append(Choice("lost after", n))
        return steps

    def _reads(self, n: int, owner: Owner) -> list[Choice]:
        steps = [Choice("step", n)]
        if owner.pending == "read" and not owner.reader.changed and owner.reader.waiting > 1:
            steps.append(Choice("step", n, 1))
        if owner.pending == "waited" and self._partial:
            steps.append(Choice("not yet", n))
        return steps

    def _side_steps(self, n: int, owner: Owner) -> list[Choice]:
        steps = []
        producers = [*owner.late, *([owner.producer] if self._partial else [])]
        for k, producer in enumerate(producers):
            there = {topic for topic, _, _ in producer.queue}
            if self._partial:
                numbers = [number for number, topic in enumerate(TOPICS) if topic in there]
            else:
                numbers = [ANY] if there else []
            steps += [Choice("arrive", n, k * len(PLACES) + number) for number in numbers]
        if owner.pending not in (None, "start") and self.faults.allow("crash"):
            steps.append(Choice("crash", n))
        return steps

    def _world_faults(self) -> list[Choice]:
        world, found = self.world, []
        if self.faults.allow("back"):
            found += [Choice("back", 0, n) for n in range(len(world.backups) - 1)]
        for partition, life in enumerate(world.lives):
            records = len(life.records)
            if self.faults.allow("tail"):
                found += [Choice("tail", partition, n) for n in range(1, records + 1)]
            if self.faults.allow("anew") and records:
                found.append(Choice("anew", partition))
            if self.faults.allow("start") and records:
                found.append(Choice("start", partition))
        return found

    def do(self, choice: Choice) -> None:
        """Let this happen."""
        what, n, how = choice
        owner = self.owners[n] if n < len(self.owners) else self.owners[0]
        if what == "step":
            owner.take = how or REACH
            owner.step()
        elif what == "not yet":
            owner.step(what)
        elif what in ("lost before", "lost after"):
            self.faults = self.faults.take("lost")
            owner.step(what)
        elif what == "arrive":
            which, topic = divmod(how, len(PLACES))
            [*owner.late, owner.producer][which].arrive(topic)
            owner.late = [gone for gone in owner.late if gone.queue]
        elif what == "append":
            self._append(self.later.pop(0))
        elif what == "crash":
            self.faults = self.faults.take("crash")
            owner.crash()
        else:
            self.faults = self.faults.take(what)
            self._change_world(what, n, how)

    def pick(self, byte: int) -> Choice | None:
        """One of the choices, by a random byte; more often than not that all goes well."""
        choices = self.choices()
        usual = [c for c in choices if c.what in ("step", "append", "not yet")]
        if byte < USUAL or len(usual) == len(choices):
            return usual[byte % len(usual)] if usual else None
        kinds = sorted({c.what for c in choices})
        kind = kinds[byte % len(kinds)]
        found = [c for c in choices if c.what == kind]
        return found[byte // len(kinds) % len(found)]

    def key(self) -> int:
        """Schedules of the same key go on in the same ways."""
        owners = tuple(
            (
                o.past,
                o.pending,
                o.reader.changed,
                o.store.cut,
                tuple(o.producer.queue),
                tuple(tuple(p.queue) for p in o.late),
            )
            for o in self.owners
        )
        return hash((self.world.key(), owners, self.faults, len(self.later)))

    def close(self) -> None:
        """End what still runs."""
        for owner in self.owners:
            if owner.pending is not None:
                owner.crash()

    def _change_world(self, what: str, partition: int, how: int) -> None:
        if what == "back":
            self.world.go_back(how)
            for owner in self.owners:
                owner.store.cut = True
            return
        if what == "tail":
            self.world.lose_tail(how, partition)
        elif what == "anew":
            self.world.make_anew()
        elif what == "start":
            self.world.drop_start(1, partition)
            return
        for owner in self.owners:
            if what == "anew" or owner.partition == partition:
                owner.reader.changed = True

    def add_owner(self, partition: int = 0) -> None:
        """One more, who has not begun."""
        n = len(self.owners)
        name = "ABCDEFGHIJKLMNOPQRSTUVWXY"[n]
        self.owners.append(Owner(self.world, name, n, self._new_worker, self._partial, partition))

    def _append(self, what: Said | At) -> None:
        if isinstance(what, At):
            self.world.append(what.said, what.partition)
        else:
            self.world.append(what)

    def decide_before(self, said: Sequence[Said | At], unsaid: Sequence[Said]) -> None:
        """Let owners long gone decide these; nobody says what they decided of those last ones."""
        for partition in range(self.world.most):
            self.owners.append(Owner(self.world, "ZYXW"[partition], 9, partition=partition))
        for what in said:
            self._append(what)
        self._run_all()
        first = self.owners[0]
        for owner in self.owners:
            owner.producer.acknowledge()
        for what in unsaid:
            self._append(what)
        while unsaid and first.producer.unsaid < len(unsaid):
            first.step()
        for owner in self.owners:
            owner.crash()
            if owner is not first or not unsaid:
                self.world.leave(owner.partition)
        self.owners.clear()

    # -- the end

    def settle(self) -> None:
        """Nothing goes wrong any more: the living decide the rest. Then all must be right."""
        self.faults = Faults()
        while self.later:
            self._append(self.later.pop(0))
        self._run_all()
        self.leave_one_owner()
        self.take_all()
        self._check_end()
        self._check_views()
        for owner in self.owners:
            for producer in owner.late:
                producer.acknowledge()
        self._check_views()

    def take_all(self) -> None:
        """The brokers take what the living have sent."""
        for owner in self.owners:
            if owner.pending is not None:
                owner.producer.acknowledge()

    def wake(self) -> None:
        """Half a second passes: owners that only wait send a heartbeat."""
        for owner in self.owners:
            owner.idle = False

    def leave_one_owner(self) -> None:
        """Each partition comes to have one, and a resize to its end."""
        for partition in range(self.world.most):
            # A zombie learns what it is by the next record; the owner that is left must decide it.
            self.world.append(layout(998, 0), partition)
            self._run_all()
            if not self.living(partition):
                self.add_owner(partition)
                self._run_all()
            if self.living(partition) > 1:
                self.world.append(layout(999, 0), partition)
                self._run_all()
            if self.living(partition) != 1:
                raise Violation(f"{self.living(partition)} owners of {partition} live on")
        for _ in range(self.world.most):
            if self.world.tables.wanted > self.world.tables.partitions:
                self.wake()
                self._run_all()
        if self.world.tables.wanted > self.world.tables.partitions:
            raise Violation("the resize does not come to an end")

    def living(self, partition: int) -> int:
        """How many owners of a partition have not ended."""
        return sum(o.pending is not None and o.partition == partition for o in self.owners)

    @property
    def alive(self) -> int:
        """How many owners have not ended."""
        return sum(owner.pending is not None for owner in self.owners)

    def busy(self) -> list[int]:
        """The owners that have something to do."""
        return [n for n, o in enumerate(self.owners) if o.pending is not None and not o.parked]

    def _run_all(self) -> None:
        for _ in range(ENOUGH):
            busy = self.busy()
            if not busy:
                return
            for n in busy:
                self.do(Choice("step", n))
        raise Violation("the owners do not come to an end")

    def _check_end(self) -> None:
        world, tables = self.world, self.world.tables
        check_tables(world)
        taken = {one.appended_ms for one in tables.taken}
        for life in world.lives:
            left = [r.offset for r in life.records if r.appended_ms not in taken]
            if left:
                raise Violation(f"the records at {left} were never decided")
        # An offset that a lost tail and retention have both passed over tells nobody how many
        # records it has had.
        unread = len(world.dropped - taken)
        missing = sum(part.missing for part in tables.parts)
        if missing != unread and not (world.log_changed and missing < unread):
            raise Violation(f"{missing} records are said to be gone; it was {unread}")
        # A deletion may have taken the name from the row since.
        told = {(id_, *decision) for id_, _, *decision in world.verdicts}
        for one in tables.taken:
            row = one.row
            said = row and (row.id, row.decision.name, row.until_ms)
            if said and said not in told and one.appended_ms >= tables.audit_from:
                raise Violation(f"a verdict is lost: {row}")

    def _check_views(self) -> None:
        """A gateway may have started at any time, and noted any earlier end of `blocks` before."""
        world = self.world
        now_ms = world.clock_ms
        key = hash((world.key(), world.appended))
        if key in _views_found_right:
            return
        must = blocked(world.tables, now_ms)
        users = {*must, *(block.user for block in world.blocks if hasattr(block, "user"))}
        for tables, heard in world.history:
            for start in {0, heard}:
                view = self._follow(tables, start)
                said = {user: view.blocked_until(user, now_ms) for user in users}
                said = {user: until for user, until in said.items() if until}
                if said != must:
                    raise Violation(
                        f"a gateway that loaded {tables.progress} and news from {start} on says"
                        f" that {said} are blocked, and it is {must}; news: {world.blocks}"
                    )
        _views_found_right.add(key)

    def _follow(self, tables: Tables, start: int) -> Blocklist:
        """The final view of a gateway that loads these tables, and anew when it is in doubt."""
        world, view = self.world, Blocklist()
        view.load(snapshot(tables))
        for n, message in enumerate(world.blocks[start:], start + 1):
            view.apply([message], 0.0)
            if view.doubt:
                later = [(tables, heard) for tables, heard in world.history if heard >= n]
                tables, again = later[0] if later else (world.tables, len(world.blocks))
                return self._follow(tables, again)
        return view


Start = tuple[Sequence[Said | At], Sequence[Said], int, int]

_last: tuple[Start, World] | None = None
"""What was decided last before a schedule, and the world then."""


def _begun(scenario: Scenario) -> World:
    """The world at the start: the same for thousands of schedules, one after the other."""
    global _last
    partitions, used = scenario.partitions, scenario.used
    if not scenario.before:
        return World(partitions, used)
    start = (scenario.before, scenario.unsaid, partitions, used)
    if _last is None or _last[0] != start:
        schedule = Schedule(Scenario([], owners=0, partitions=partitions, used=used))
        schedule.decide_before(scenario.before, scenario.unsaid)
        _last = start, schedule.world
    return _last[1].copy()


def alike(one: Owner, other: Owner) -> bool:
    """Whether two owners who have not begun own the same partition."""
    return one.partition == other.partition
