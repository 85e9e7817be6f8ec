"""One schedule: what may happen next in a world with some owners, and what must hold at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from events.messages import Attempt, SetPolicy, Unblock
from gateway.view import Block, Progress, Snapshot, View
from tests.simulation.owners import FIRST, WRITES, NewWorker, Owner, real_worker
from tests.simulation.replay import Said
from tests.simulation.world import PARTITION, STEP_MS, Tables, Violation, World, check_tables

LOOKS = {"topic_id", "bounds", "read", "read_at"}

USUAL = 200
"""Of 256 random choices, those that are no fault."""

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
        """What is left after this one."""
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


class Scenario(NamedTuple):
    """What a schedule starts from."""

    said: Sequence[Said]
    """What the log holds at the start, undecided."""
    before: Sequence[Said] = ()
    """What it held before that; an owner long gone has decided it."""
    unsaid: Sequence[Said] = ()
    """What it decided last, and died before a verdict was acknowledged."""
    later: Sequence[Said] = ()
    """What is appended to it in this order, whenever."""
    faults: Faults = Faults()
    owners: int = 2
    partial: bool = False
    """Whether news may arrive one by one also from those who live, and be acknowledged late."""
    new_worker: NewWorker = real_worker


def number(n: int) -> bytes:
    """The id of the nth request."""
    return n.to_bytes(16, "big")


def wrong(n: int, user: str = "ana") -> Attempt:
    """A wrong password."""
    return Attempt(number(n), 0, user, False)


def right(n: int, user: str = "ana") -> Attempt:
    """A right password."""
    return Attempt(number(n), 0, user, True)


def unblock(n: int, user: str = "ana") -> Unblock:
    """An operator lifts the block."""
    return Unblock(number(n), 0, user)


def first_policy() -> SetPolicy:
    """The record that a first worker's proposal leaves."""
    return SetPolicy(number(0), 0, FIRST)


class Schedule:
    """A world and its owners, moved on choice by choice."""

    def __init__(self, scenario: Scenario) -> None:
        self.world = World()
        self.faults = scenario.faults
        self._partial = scenario.partial
        self._new_worker = scenario.new_worker
        self.owners: list[Owner] = []
        self.later: list[Said] = []
        if scenario.before:
            self._decide_before(scenario.before, scenario.unsaid)
        for said in scenario.said:
            self.world.append(said)
        self.later = list(scenario.later)
        for _ in range(scenario.owners):
            self.add_owner()
        # Where nobody changes the log, it does not matter when it is looked at.
        faults = scenario.faults
        changes = faults.back or faults.tail or faults.anew or faults.start or scenario.later
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
            if n and owner.pending == "start" and self.owners[n - 1].pending == "start":
                continue
            found += self._steps(n, owner)
        if self.later:
            found.append(Choice("append"))
        if not found:
            return found  # what arrives after all is seen to at the end
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
        if owner.pending == "read" and not owner.log.changed and owner.log.waiting > 1:
            steps.append(Choice("step", n, 1))
        if owner.pending == "waited" and self._partial:
            steps.append(Choice("not yet", n))
        return steps

    def _side_steps(self, n: int, owner: Owner) -> list[Choice]:
        steps = [Choice("arrive", n, k) for k in range(len(owner.late))]
        if self._partial and owner.publisher.queue:
            steps.append(Choice("arrive", n, -1))
        if owner.pending not in (None, "start") and self.faults.allow("crash"):
            steps.append(Choice("crash", n))
        return steps

    def _world_faults(self) -> list[Choice]:
        world, found = self.world, []
        if self.faults.allow("back"):
            found += [Choice("back", 0, n) for n in range(len(world.backups) - 1)]
        records = len(world.life.records)
        if self.faults.allow("tail"):
            found += [Choice("tail", 0, n) for n in range(1, records + 1)]
        if self.faults.allow("anew") and records:
            found.append(Choice("anew"))
        if self.faults.allow("start") and records:
            found.append(Choice("start"))
        return found

    def do(self, choice: Choice) -> None:
        """Let this happen."""
        what, n, how = choice
        owner = self.owners[n]
        if what == "step":
            owner.take = how or 500
            owner.step()
        elif what == "not yet":
            owner.step(what)
        elif what in ("lost before", "lost after"):
            self.faults = self.faults.take("lost")
            owner.step(what)
        elif what == "arrive":
            publisher = owner.publisher if how < 0 else owner.late[how]
            publisher.arrive()
            owner.late = [gone for gone in owner.late if gone.queue]
        elif what == "append":
            self.world.append(self.later.pop(0))
        elif what == "crash":
            self.faults = self.faults.take("crash")
            owner.crash()
        else:
            self.faults = self.faults.take(what)
            self._change_world(what, how)

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
                o.log.changed,
                o.store.cut,
                tuple(o.publisher.queue),
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

    def _change_world(self, what: str, how: int) -> None:
        if what == "back":
            self.world.go_back(how)
            for owner in self.owners:
                owner.store.cut = True
            return
        if what == "tail":
            self.world.lose_tail(how)
        elif what == "anew":
            self.world.make_anew()
        elif what == "start":
            self.world.drop_start(1)
            return
        for owner in self.owners:
            owner.log.changed = True

    def add_owner(self) -> None:
        """One more, who has not begun."""
        n = len(self.owners)
        self.owners.append(Owner(self.world, "ABCDEFGH"[n], n, self._new_worker))

    def _decide_before(self, said: Sequence[Said], unsaid: Sequence[Said]) -> None:
        owner = Owner(self.world, "Z", 9)
        self.owners.append(owner)
        for what in said:
            self.world.append(what)
        self._run_all()
        owner.publisher.acknowledge()
        for what in unsaid:
            self.world.append(what)
        while unsaid and owner.publisher.unsaid < len(unsaid):
            owner.step()
        owner.crash()
        if not unsaid:
            self.world.leave()
        self.owners.clear()

    # -- the end

    def settle(self) -> None:
        """Nothing goes wrong any more: whoever lives decides the rest. Then all must be right."""
        self.faults = Faults()
        while self.later:
            self.world.append(self.later.pop(0))
        self._run_all()
        # A zombie learns what it is by the next record; who is left must decide it.
        self.world.append(wrong(998, "eve"))
        self._run_all()
        if not self.alive:
            self.add_owner()
            self._run_all()
        if self.alive > 1:
            self.world.append(wrong(999, "eve"))
            self._run_all()
        if self.alive != 1:
            raise Violation(f"{self.alive} owners live on")
        self._check_end()
        self._check_views()
        for owner in self.owners:
            for publisher in owner.late:
                while publisher.queue:
                    publisher.arrive()
        self._check_views()

    @property
    def alive(self) -> int:
        """How many owners have not ended."""
        return sum(owner.pending is not None for owner in self.owners)

    def busy(self) -> list[int]:
        """Who has something to do."""
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
        check_tables(tables, world.said)
        taken = {row.appended_ms for _, row in tables.audit}
        taken |= {bad.record.appended_ms for _, bad in tables.quarantine}
        left = [r.offset for r in world.life.records if r.appended_ms not in taken]
        if left:
            raise Violation(f"the records at {left} were never decided")
        if not world.log_changed and not world.went_back:
            unread = len(world.gone - taken)
            if tables.missing != unread:
                raise Violation(f"{tables.missing} records are said to be gone; it was {unread}")
        for _, row in tables.audit:
            if (row.id, row.decision.name, row.until_ms) not in world.verdicts:
                raise Violation(f"a verdict is lost: {row}")

    def _check_views(self) -> None:
        world = self.world
        now_ms = world.clock_ms
        must = {u: s.until for u, s in _blocked(world.tables, now_ms).items()}
        moments = world.history[-1:] if world.lost_both else world.history
        for tables, heard in moments:
            for start in {heard} if world.lost_both else {0, heard}:
                view = View()
                view.load(_snapshot(tables, now_ms))
                view.apply(world.blocks[start:], 0.0)
                users = {*must, *(block.user for block in world.blocks if hasattr(block, "user"))}
                said = {user: view.blocked_until(user, now_ms) for user in users}
                said = {user: until for user, until in said.items() if until}
                if said != must:
                    raise Violation(
                        f"a gateway that loaded {tables.progress} and news from {start} on says"
                        f" that {said} are blocked, and it is {must}; news: {world.blocks}"
                    )


class _Blocked(NamedTuple):
    until: int
    block: Block


def _blocked(tables: Tables, now_ms: int) -> dict[str, _Blocked]:
    return {
        user: _Blocked(state.until_ms, Block(position, state.until_ms))
        for user, (state, position) in tables.states.items()
        if (state.until_ms or 0) > now_ms + STEP_MS and state.until_ms is not None
    }


def _snapshot(tables: Tables, now_ms: int) -> Snapshot:
    progress = tables.progress
    known = {} if progress is None else {PARTITION: Progress(progress.epoch, progress.position)}
    return Snapshot(1, known, {u: s.block for u, s in _blocked(tables, now_ms).items()})
