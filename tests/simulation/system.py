"""Schedules of a whole system: owners of two partitions, gateways, clients, and time.

Beyond what :mod:`tests.simulation.schedule` has, a record that a gateway writes arrives late, twice
or never; verdicts and news arrive in any order between each other and are read whenever; time
passes, so that windows and blocks end and requests expire, and the brokers' clock jumps; policies
change, partitions become more, and old states and audit rows are deleted.

Three judges see the end: the replay of the log (:mod:`tests.simulation.replay`), the gateways'
blocklists against the tables, and :mod:`loadtest.histories`, which has only what clients saw.

A database that went back is waived nothing as long as the log has what it forgot. Two things are
impossible, and no more than these is left out: records that neither the log nor the database has
any more (:meth:`World.lost_for_good`) cannot bear on later decisions of their account; and until
the database has decided again what it had decided (:meth:`World.is_behind`), nobody can tell by
it alone that an account is blocked, so `GET /blocked/<user>` is not judged for it meanwhile.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from events.messages import Policy, SetLayout, SetPolicy, encode
from loadtest.histories import Call, Era, Rules, judge
from tests.simulation.gateways import MOST_READ, REAL, Code, Flight, Gateway
from tests.simulation.owners import FIRST, NewWorker, real_worker
from tests.simulation.replay import DAY_MS, REACH_MS, Said, Violation
from tests.simulation.schedule import At, Choice, Faults, Scenario, Schedule, first_policy
from tests.simulation.snapshots import blocked
from tests.simulation.world import Told

TIMES_MS = (300, 1_000, 5_000, 40_000, 1_000_000, 1_900_000, 200_000_000)
"""A heartbeat; a second; half a deadline; beyond ids' reach; beyond a window; beyond a block;
beyond what is kept."""

POLICIES = (
    Policy(
        version=2,
        threshold=3,
        window_ms=60_000,
        block_ms=120_000,
        forget_ms=86_400_000,
        forget_each_ms=50_000_000,
    ),
    Policy(version=3, threshold=1, block_ms=0),
    Policy(version=4, threshold=2, final_failures=4, block_max_ms=1_800_000),
)

PATIENCE = 200
"""Quarters of a second within which a system that nothing disturbs has answered every call."""


@dataclass(frozen=True)
class Troubles(Faults):
    """How often each further thing may happen in one schedule."""

    time: int = 0
    jump: int = 0
    jump_back: int = 0
    late: int = 0
    """Records that are written after their sender was told that they were not."""
    never: int = 0
    twice: int = 0
    policy: int = 0
    resize: int = 0
    clean: int = 0
    """Deletions of what is old."""
    restart: int = 0
    """Ends of a gateway, which begins anew."""
    freeze: int = 0
    broken: int = 0
    """Readers of `verdicts` and `blocks` that fail."""


class Play(NamedTuple):
    """The start of a schedule of a system."""

    calls: Sequence[tuple[str, str]]
    """Kinds of calls, with their accounts, in the order in which they begin."""
    troubles: Troubles = Troubles()
    gateways: int = 2
    partitions: int = 2
    used: int = 1
    owners: int = 1
    slow: bool = True
    """Whether answers and what is published take their time."""
    held: Sequence[str] = ()
    """Threads of the gateways that have not begun when the calls do."""
    watched: Sequence[str] = ()
    """Threads of the gateways of whose steps the order matters; others go on by themselves. None
    named: all."""
    before: Sequence[Said] = ()
    """Records of the log's first partition that were decided before any gateway began."""
    said: Sequence[Said] = ()
    """Records that the log's first partition holds then, undecided."""
    asked_at_last: bool = True
    """Whether clients call once more when all is over."""
    code: Code = REAL
    new_worker: NewWorker = real_worker


class System(Schedule):
    """A world, its owners and its gateways, moved on choice by choice."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.gateways: list[Gateway] = []
        super().__init__(
            Scenario(
                [],
                before=[
                    first_policy(),
                    *(At(n, first_policy()) for n in range(1, play.partitions)),
                ],
                faults=play.troubles,
                owners=play.owners,
                partial=play.slow,
                partitions=play.partitions,
                used=play.used,
                new_worker=play.new_worker,
                ready=True,
            )
        )
        self.world.step_ms = 1
        self.calls = list(play.calls)
        self.policies = list(POLICIES)
        self._log_stays = False
        self.faults = play.troubles
        for number in range(play.gateways):
            self.gateways.append(self._gateway(number))
        self._come_up(play.held)
        for said in play.said:
            self.world.append(said)

    def _gateway(self, number: int) -> Gateway:
        ahead = 1_000.0 * (number + 1)
        return Gateway(self.world, number, self.play.code, self.play.slow, ahead)

    def _come_up(self, held: Sequence[str]) -> None:
        for _ in range(40):
            self.calm(held)
            self.advance(250)
        if not held and not all(gateway.ready for gateway in self.gateways):
            raise Violation("the gateways are not ready")

    # -- what may happen

    def choices(self) -> list[Choice]:
        """All that may happen now."""
        found: list[Choice] = []
        for n, owner in enumerate(self.owners):
            if owner.pending is None or owner.parked:
                continue
            found += self._steps(n, owner)
        for g, gateway in enumerate(self.gateways):
            found += self._gateway_steps(g, gateway)
        if self.calls:
            found += [Choice("call", g) for g in range(len(self.gateways))]
        found += self._flights()
        if not found:
            return found
        for n, owner in enumerate(self.owners):
            found += self._side_steps(n, owner)
        return found + self._world_faults() + self._troubles()

    def _gateway_steps(self, g: int, gateway: Gateway) -> list[Choice]:
        found = []
        for t, thread in enumerate(gateway.threads):
            if thread.parked or (self.play.watched and thread.name not in self.play.watched):
                continue
            found.append(Choice("go on", g, t * 2))
            if thread.pending == "read" and self.play.slow:
                found.append(Choice("go on", g, t * 2 + 1))
            if thread.pending in ("end", "load") and self.faults.allow("lost"):
                found.append(Choice("go wrong", g, t))
        return found

    def _flights(self) -> list[Choice]:
        found = []
        for k, flight in enumerate(self.world.in_flight):
            if flight.copies:
                found.append(Choice("forget", 0, k))
                # A repetition days later is not known again once the audit's rows are deleted.
                near = self.world.now_ms - flight.sent_ms < DAY_MS
                if self.faults.allow("twice") and near:
                    found.append(Choice("twice", 0, k))
                continue
            found.append(Choice("deliver", 0, k))
            found += [Choice(what, 0, k) for what in ("late", "never") if self.faults.allow(what)]
        return found

    def _troubles(self) -> list[Choice]:
        faults, world, found = self.faults, self.world, []
        if faults.allow("time"):
            found += [Choice("time", 0, n) for n in range(len(TIMES_MS))]
        if faults.allow("jump"):
            found += [Choice("jump", 0, n) for n in range(1, len(TIMES_MS))]
        if faults.allow("jump_back"):
            found += [Choice("jump_back", 0, n) for n in range(1, len(TIMES_MS) - 1)]
        if faults.allow("policy") and self.policies:
            found.append(Choice("policy"))
        if faults.allow("resize") and world.tables.partitions < world.most > world.tables.wanted:
            found.append(Choice("resize"))
        if faults.allow("clean"):
            found.append(Choice("clean"))
        for g, gateway in enumerate(self.gateways):
            for what in ("restart", "broken"):
                if faults.allow(what):
                    found.append(Choice(what, g))
            if gateway.frozen:
                found.append(Choice("thaw", g))
            elif faults.allow("freeze"):
                found.append(Choice("freeze", g))
        return found

    def do(self, choice: Choice) -> None:
        """Let this happen."""
        what, n, how = choice
        world = self.world
        if what == "calm":
            self.calm()
        elif what == "go on":
            self.gateways[n].step(how // 2, take=1 if how % 2 else MOST_READ)
        elif what == "go wrong":
            self.faults = self.faults.take("lost")
            self.gateways[n].step(how, "lost before")
        elif what == "call":
            self.gateways[n].begin(*self.calls.pop(0))
        elif what in ("deliver", "twice"):
            if what == "twice":
                self.faults = self.faults.take(what)
            self._deliver(how)
        elif what == "forget":
            world.in_flight.pop(how)
        elif what == "thaw":
            self.gateways[n].frozen = False
            self.gateways[n].run()
        elif what in _TROUBLES:
            self.faults = self.faults.take(what)
            self._trouble(what, n, how)
        else:
            super().do(choice)
        if self.play.watched:
            self._let_others_go_on()

    def _let_others_go_on(self) -> None:
        for gateway in self.gateways:
            for t, thread in enumerate(gateway.threads):
                while thread.name not in self.play.watched and not thread.parked:
                    gateway.step(t)
        if not self.faults.allow("twice"):
            self.world.in_flight = [one for one in self.world.in_flight if not one.copies]

    def _deliver(self, k: int) -> None:
        """A record of a gateway is in the log, for the first time or once more."""
        flight: Flight = self.world.in_flight[k]
        at = self.world.append_value(flight.value, flight.said, flight.partition)
        if flight.copies and flight.gateway is not None:
            self._count_again(flight, at)
        self.world.in_flight[k] = flight._replace(copies=flight.copies + 1)

    def _count_again(self, flight: Flight, at: int) -> None:
        """A repetition beyond the reach of ids may count again, as documented."""
        first = min(ms for ms, e in self.world.entries.items() if e.said == flight.said)
        if at - first > REACH_MS:
            said = flight.said
            right = getattr(said, "right", None)
            kind = _KINDS.get(type(said).__name__) or ("right" if right else "wrong")
            last = said.expires_ms or inf
            calls = self.world.calls.setdefault(said.user, [])
            device = (getattr(said, "device", None) or b"").decode().strip()
            again = Call(kind, 0, at, at + 1, max(at, last), device)
            calls.append(Told(again, (said.id,)))

    def _trouble(self, what: str, n: int, how: int) -> None:
        world = self.world
        gateway = self.gateways[n] if n < len(self.gateways) else self.gateways[0]
        if what == "time":
            self.advance(TIMES_MS[how])
        elif what in ("jump", "jump_back"):
            by = TIMES_MS[how] if what == "jump" else -TIMES_MS[how]
            world.jumps.append((world.now_ms, by))
            world.ahead_ms += by
        elif what in ("late", "never"):
            flight = world.in_flight[how]
            for asked in flight.gateway.open if flight.gateway else ():
                asked.failed = asked.failed or flight.said.id in asked.ids
            flight.on_failure("the brokers did not answer")
            if what == "never":
                world.in_flight.pop(how)
            if flight.gateway is not None:
                flight.gateway.run()
        elif what == "policy":
            policy = self.policies.pop(0)
            world.ids += 1
            said = SetPolicy(b"policy  " + world.ids.to_bytes(8, "big"), 0, policy)
            for partition in range(world.most):
                world.in_flight.append(
                    Flight(partition, encode(said), said, lambda _: None, None, world.now_ms)
                )
        elif what == "resize":
            world.want(world.most)
            self.wake()
        elif what == "clean":
            world.clean_up()
        elif what == "restart":
            gateway.crash()
            self.gateways[n] = self._gateway(gateway.number)
        elif what == "broken":
            for thread in gateway.threads:
                if thread.consumer is not None and thread.consumer.topic:
                    world.verdicts_broke = True
                    thread.consumer.broken = True
        elif what == "freeze":
            gateway.frozen = True

    def advance(self, ms: int) -> None:
        """Time passes."""
        self.world.now_ms += ms
        if ms >= 250:
            self.wake()
        for gateway in self.gateways:
            gateway.run()

    def calm(self, held: Sequence[str] = ()) -> None:
        """Each does what it is about to do, and all arrives."""
        for k, flight in enumerate(list(self.world.in_flight)):
            if not flight.copies:
                self._deliver(k)
        for n, owner in enumerate(self.owners):
            if owner.pending is not None and not owner.parked:
                super().do(Choice("step", n))
        for gateway in self.gateways:
            for t, thread in enumerate(gateway.threads):
                if not thread.parked and thread.name not in held:
                    gateway.step(t)

    def pick(self, byte: int) -> Choice | None:
        """One of the choices, by a random byte; more often than not that all goes well."""
        choices = self.choices()
        if byte < 90:
            return Choice("calm")
        if byte < 120:
            calls = [c for c in choices if c.what == "call"]
            if calls:
                return calls[byte % len(calls)]
        usual = [c for c in choices if c.what in _USUAL]
        if byte < 210 or len(usual) == len(choices):
            return usual[byte % len(usual)] if usual else None
        kinds = sorted({c.what for c in choices} - set(_USUAL))
        kind = kinds[byte % len(kinds)]
        found = [c for c in choices if c.what == kind]
        return found[byte // len(kinds) % len(found)]

    def key(self) -> int:
        """Schedules of the same key go on in the same ways."""
        gateways = tuple(
            (g.past, g.gap, tuple(t.pending for t in g.threads)) for g in self.gateways
        )
        flights = tuple((f.said, f.copies) for f in self.world.in_flight)
        calls = tuple((user, tuple(calls)) for user, calls in self.world.calls.items())
        return hash((super().key(), gateways, flights, calls, len(self.calls)))

    def close(self) -> None:
        """End what still runs."""
        for gateway in self.gateways:
            gateway.crash()
        super().close()

    # -- the end

    def settle(self) -> None:
        """Nothing goes wrong any more: every call is answered, and all must be right."""
        self.faults = Troubles()
        for gateway in self.gateways:
            gateway.frozen = False
        self.leave_one_owner()
        while self.calls:
            self.gateways[len(self.calls) % len(self.gateways)].begin(*self.calls.pop(0))
        self._answer_all()
        users = sorted({user for _, user in self.play.calls})
        for kind in ("look", "wrong", "look") if self.play.asked_at_last else ():
            self._ask_everywhere(kind, users)
        self._judge()
        self._check_end()
        self._check_gateways()

    def _answer_all(self) -> None:
        for _ in range(PATIENCE):
            self.calm()
            self.calm()
            self.advance(250)
            if not any(gateway.open for gateway in self.gateways) and all(
                gateway.ready for gateway in self.gateways
            ):
                break
        else:
            open_ = [vars(asked) for gateway in self.gateways for asked in gateway.open]
            ready = [gateway.ready for gateway in self.gateways]
            raise Violation(f"calls are not answered: {open_}, or gateways are not ready: {ready}")
        self.take_all()
        for _ in range(8):  # ... and all that is published is read
            self.calm()

    def _ask_everywhere(self, kind: str, users: Sequence[str]) -> None:
        """Without anybody's help all works again."""
        for gateway in self.gateways:
            for user in users:
                before = len(self.world.calls.get(user, []))
                gateway.begin(kind, user)
                self._answer_all()
                answered = self.world.calls.get(user, [])[before:]
                if [
                    one.call.status for one in answered if one.call.kind == kind.partition("@")[0]
                ] in ([], [503]):
                    raise Violation(f"{kind} of {user} is not answered although nothing is away")

    def _check_gateways(self) -> None:
        now_ms = self.world.clock_ms
        must = blocked(self.world.tables, now_ms)
        users = {*must, *(getattr(news, "user", "") for news in self.world.blocks)} - {""}
        for gateway in self.gateways:
            said = {user: gateway.blocklist.blocked_until(user, now_ms) for user in users}
            if {user: until for user, until in said.items() if until} != must:
                raise Violation(f"gateway {gateway.number} has {said}, and it is {must}")

    def _judge(self) -> None:
        """Whether some order explains what clients saw, for each account.

        Not where records are gone for good, from the log and from the database: clients were
        answered by them, and nobody can know that any more. And not where the brokers' clock fell
        behind itself, as the judge has one clock.
        """
        world = self.world
        if any(by < 0 for _, by in world.jumps):
            return
        lost = [entry.said for entry in world.lost_for_good()]
        if any(isinstance(said, SetPolicy | SetLayout) for said in lost):
            return
        gone = {getattr(said, "user", "") for said in lost}
        for user, calls in world.calls.items():
            if user not in gone:
                gap = judge([self._as_judged(call) for call in calls], self._eras())
                if gap is not None:
                    told = "\n".join(str(one.call) for one in calls)
                    raise Violation(f"{user}: {gap}\n{told}")

    def _as_judged(self, seen: Told) -> Call:
        """A call without an answer takes effect when it is decided, if it came in time."""
        if seen.call.status in (0, 503):
            last = max([seen.call.last, *(self.world.decided_at.get(id_, 0) for id_ in seen.ids)])
            return dataclasses.replace(seen.call, last=last)
        return seen.call

    def _eras(self) -> list[Era]:
        """When which policy may have been in force."""
        world = self.world
        versions = sorted({p.version: p for _, _, p in world.policies}.items())
        begins = {v: [at for at, _, p in world.policies if p.version == v] for v, _ in versions}
        where = {v: {n for _, n, p in world.policies if p.version == v} for v, _ in versions}
        # The judge gives calls that are alike their places by who must end first; of those that
        # took longer than any does, the log may have had another order.
        calls = [one.call for told in world.calls.values() for one in told]
        long = any(c.end - c.begin > 60_000 for c in calls)
        eras = []
        for version, policy in versions:
            later = [
                max(begins[v])
                for v, _ in versions
                if v > version and len(where[v]) == world.most and not world.log_changed | long
            ]
            begin = -inf if version == FIRST.version else min(begins[version])
            rules = Rules(
                *(policy.threshold, policy.window_ms, policy.block_ms),
                *(policy.block_max_ms, policy.final_failures),
            )
            eras.append(Era(begin, min(later, default=inf), rules))
        return eras


_TROUBLES = {
    *("time", "jump", "jump_back", "late", "never", "policy", "resize", "clean", "restart"),
    *("freeze", "broken"),
}
_USUAL = ("step", "go on", "deliver", "call", "not yet", "arrive", "forget")
_KINDS = {"Unblock": "unblock", "Registered": "register"}
