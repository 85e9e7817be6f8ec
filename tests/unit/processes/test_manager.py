"""The manager, driven through histories of events by a clock and processes of the test's own."""

from __future__ import annotations

import selectors
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from processes import (
    BackingOff,
    Event,
    Exited,
    Frozen,
    Held,
    Killed,
    NeverReady,
    NotStarted,
    Phase,
    ProcessManager,
    ProcessSpec,
    Ready,
    Removed,
    Said,
    Started,
    StopSignals,
)

HOLD = 75
SPEC = ProcessSpec(
    "worker",
    ("worker",),
    start_timeout=30.0,
    silence_timeout=5.0,
    drain_timeout=3.0,
    hold_codes=frozenset({HOLD}),
)


class World(selectors.BaseSelector):
    """A clock, the processes that live in it, and the selector that lets its time pass."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.spawned: list[FakeProcess] = []
        self.broken = False  # no program can be started
        self.deaf = False  # the selector finds nothing
        self.obedient = True  # SIGTERM ends a process at once
        self.kills_needed = 1
        self.events: list[Event] = []
        self.waits: list[float] = []
        self._keys: dict[int, selectors.SelectorKey] = {}
        self.manager = self.make_manager()

    def make_manager(self) -> ProcessManager:
        return ProcessManager(
            self.events.append,
            spawn=lambda spec: self.spawn(spec),
            clock=lambda: self.now,
            selector=lambda: self,
        )

    def spawn(self, spec: ProcessSpec) -> FakeProcess:
        assert self.alive(spec.name) is None, "two live processes of one name"
        if self.broken:
            raise OSError("no such program")
        process = FakeProcess(self, spec, len(self.spawned) + 1)
        self.spawned.append(process)
        return process

    def alive(self, name: str = "worker") -> FakeProcess | None:
        found = [p for p in self.spawned if p.spec.name == name and p.code is None]
        return found[0] if found else None

    def process(self, name: str = "worker") -> FakeProcess:
        found = self.alive(name)
        assert found is not None
        return found

    def phase(self, name: str = "worker") -> Phase:
        return self.manager.states[name].phase

    def let(self, seconds: float) -> None:
        """Step through this time, as a caller's loop does."""
        end = self.now + seconds
        for _ in range(10_000):
            self.manager.step(min(1.0, max(0.0, end - self.now)))
            if self.now >= end and not self.pending():
                return
        raise AssertionError("the loop never comes to rest")

    def pending(self) -> bool:
        dead = any(p.code is not None and not p.closed for p in self.spawned)
        return dead or any(p.inbox for p in self.spawned if not p.closed)

    def seen(self, *kinds: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kinds)]

    # The selector.

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        assert fileobj not in self._keys
        key = self._keys[fileobj] = selectors.SelectorKey(fileobj, fileobj, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None
        readable = {p.pipe for p in self.spawned if p.inbox or p.mute}
        readable |= {p.death for p in self.spawned if p.code is not None}
        found = [] if self.deaf else [k for fd, k in self._keys.items() if fd in readable]
        if not found:
            self.waits.append(timeout)
            self.now += timeout + 1e-6  # no clock is exact, and this one must never stand still
        return [(key, selectors.EVENT_READ) for key in found]

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class FakeProcess:
    """A process that does what the test says, and checks what is done to it."""

    def __init__(self, world: World, spec: ProcessSpec, pid: int) -> None:
        self.world, self.spec, self.pid = world, spec, pid
        self.pipe, self.death = -2 * pid, -2 * pid - 1  # numbers that no real file has
        self.inbox: list[str] = []
        self.mute = False  # it has closed its end of the pipe
        self.code: int | None = None
        self.closed = False
        self.started = self.heard = world.now
        self.ready_at: float | None = None
        self.terminated_at: float | None = None
        self.kills = 0
        self.may_be_killed = False
        self.kills_needed = world.kills_needed

    def say(self, *lines: str) -> None:
        assert self.code is None
        if self.ready_at is None and "ready" in lines:
            self.ready_at = self.world.now
        self.heard = self.world.now
        self.inbox += lines

    def exit(self, code: int) -> None:
        assert self.code is None
        self.code = code

    # The manager's view of it.

    def receive(self) -> list[str] | None:
        assert not self.closed
        lines, self.inbox = self.inbox, []
        return None if self.mute and not lines else lines

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        assert self.terminated_at is None, "SIGTERM twice"
        self.terminated_at = self.world.now
        if self.world.obedient and self.code is None:
            self.exit(0)

    def kill(self) -> None:
        self.kills += 1
        if self.kills == 1 and not self.may_be_killed:
            self.check_kill()
        if self.kills >= self.kills_needed and self.code is None:
            self.exit(-9)

    def check_kill(self) -> None:
        """SIGKILL comes late, never early."""
        now, spec = self.world.now, self.spec
        if self.terminated_at is not None:
            assert now - self.terminated_at >= spec.drain_timeout
        elif self.ready_at is None:
            assert now - self.started >= spec.start_timeout
        else:
            assert spec.silence_timeout is not None
            assert now - self.heard >= spec.silence_timeout

    def close(self) -> None:
        assert self.code is not None, "a live process was forgotten"
        assert not self.closed
        self.closed = True


@pytest.fixture
def world() -> Iterator[World]:
    """A world with nothing in it yet."""
    world = World()
    yield world
    world.manager.close()


def started(world: World, spec: ProcessSpec = SPEC) -> FakeProcess:
    """A process that the manager has just started."""
    world.manager.add(spec)
    world.let(0)
    return world.process(spec.name)


def ready(world: World, spec: ProcessSpec = SPEC) -> FakeProcess:
    """A process that has just become ready."""
    process = started(world, spec)
    process.say("ready")
    world.let(0)
    return process


def beat_for(world: World, seconds: float) -> None:
    """Let time pass while the process gives signs of life."""
    for _ in range(int(seconds)):
        world.process().say("beat")
        world.let(1.0)


def test_it_is_ready_when_it_says_so(world: World) -> None:
    """A start ends with the process's own word, and the events say how long it took."""
    process = started(world)
    world.let(2.0)
    assert world.phase() is Phase.STARTING
    process.say("ready")
    world.let(0)
    assert world.phase() is Phase.READY
    assert world.events[0] == Started("worker", process.pid)
    assert isinstance(world.events[1], Ready)
    assert world.events[1].seconds == pytest.approx(2.0, abs=0.01)


def test_a_start_that_takes_too_long_is_ended(world: World) -> None:
    """A process that never becomes ready is killed at its start timeout and started again."""
    process = started(world)
    process.say("beat")
    world.let(29.0)
    assert process.code is None
    world.let(1.1)
    assert process.code == -9
    assert world.seen(NeverReady)
    assert world.process() is not process


def test_the_time_before_its_gate_does_not_count(world: World) -> None:
    """What it waits for may be a recovery; but one that is silent meanwhile is ended as ever."""
    process = started(world)
    for _ in range(3):
        world.let(29.0)
        process.say("waits")
    world.let(29.0)
    assert process.code is None
    process.say("ready")
    process.say("waits")
    world.let(1.0)
    assert world.phase() is Phase.READY
    world.let(5.0)
    assert world.seen(Frozen)


def test_silence_once_ready_is_a_freeze(world: World) -> None:
    """A ready process without a sign of life is killed at its silence timeout and replaced."""
    process = ready(world)
    world.let(4.9)
    assert process.code is None
    world.let(0.2)
    assert process.code == -9
    assert world.seen(Frozen) == [Frozen("worker", process.pid, 5.0)]
    assert world.process() is not process


def test_beats_keep_it_alive(world: World) -> None:
    """A ready process that beats is never taken for frozen."""
    process = ready(world)
    beat_for(world, 60)
    assert world.process() is process


def test_it_may_be_silent_where_the_spec_says_so(world: World) -> None:
    """Without a silence timeout a ready process may be silent for ever."""
    process = ready(world, replace(SPEC, silence_timeout=None))
    world.let(3600)
    assert world.process() is process


def test_a_beat_that_the_keeper_was_too_busy_to_read_counts(world: World) -> None:
    """Before a process is called frozen its pipe is read once more."""
    process = ready(world)
    world.deaf = True
    world.let(4.0)
    process.inbox.append("beat")
    world.deaf = True
    world.manager.step(1.5)
    assert world.now > process.heard + 5.0
    assert world.process() is process


def test_a_suspended_machine_kills_nobody(world: World) -> None:
    """Time in which the manager itself stood still is not held against its processes."""
    process = ready(world)
    world.now += 3600
    world.let(4.0)
    assert world.process() is process
    world.let(1.5)
    assert process.code == -9


def test_a_death_is_acted_on_without_any_time_passing(world: World) -> None:
    """The first restart comes in the same step that notices the death."""
    process, before = ready(world), world.now
    process.exit(3)
    world.manager.step(60.0)
    assert world.now == before
    assert world.process() is not process
    code = [(e.code, e.asked) for e in world.events if isinstance(e, Exited)]
    assert code == [(3, False)]
    assert world.manager.states["worker"].restarts == 1


def test_the_last_words_come_before_the_death(world: World) -> None:
    """The last words of a process are reported before its death."""
    process = ready(world)
    process.say("say reason the disk is full")
    process.exit(1)
    world.let(0)
    kinds = [type(event) for event in world.events]
    assert kinds.index(Said) < kinds.index(Exited)
    assert Said("worker", "reason", "the disk is full") in world.events


def test_restarts_are_delayed_more_and_more_and_never_given_up(world: World) -> None:
    """Quick deaths in a row: at once, 0.1 s, doubling to 10 s, and then every 10 s."""
    started(world)
    gaps = []
    for _ in range(14):
        died = world.now
        world.process().exit(1)
        for _ in range(30):
            world.let(0)
            if world.alive():
                break
            world.manager.step(60.0)
        gaps.append(round(world.process().started - died, 2))
    expected = [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert gaps[:10] == pytest.approx(expected, abs=0.02)
    assert gaps[10:] == pytest.approx([10.0] * 4, abs=0.02)


def test_a_steady_process_starts_afresh(world: World) -> None:
    """After ten seconds ready, the next death is followed by an immediate restart again."""
    started(world)
    for _ in range(6):
        world.process().exit(1)
        world.let(10.0)
    world.process().say("ready")
    beat_for(world, 11)
    world.process().exit(1)
    world.let(0)
    assert world.alive()


def test_a_shortly_ready_process_does_not_start_afresh(world: World) -> None:
    """A process that becomes ready and dies at once is delayed like one that never is."""
    started(world)
    for _ in range(4):
        world.process().say("ready")
        world.process().exit(1)
        world.let(1.0)
    world.process().say("ready")
    world.process().exit(1)
    world.let(0)
    assert world.phase() is Phase.BACKING_OFF


@pytest.mark.parametrize(("says", "longest"), [("ready", 0.4), ("nothing", 10.0)])
def test_who_is_killed_by_somebody_waits_little(world: World, says: str, longest: float) -> None:
    """A ready one is started again soon, however often; one that was not may never be able to."""
    started(world)
    waits = []
    for _ in range(9):
        world.process().say(says)
        world.let(0)
        died = world.now
        world.process().exit(-signal.SIGKILL)
        world.let(0)
        while not world.alive():
            world.manager.step(60.0)
        waits.append(round(world.process().started - died, 2))
    assert waits[0] == 0.0
    assert max(waits) == pytest.approx(longest, abs=0.02)


def test_a_program_that_cannot_be_started_is_tried_again(world: World) -> None:
    """A failed start counts as a death: reported, delayed, tried again."""
    world.broken = True
    world.manager.add(SPEC)
    world.let(5.0)
    assert world.seen(NotStarted)
    assert world.seen(BackingOff)
    world.broken = False
    world.let(10.0)
    assert world.alive()


def test_a_death_does_not_touch_the_others(world: World) -> None:
    """Processes are kept each for itself."""
    other = ready(world, replace(SPEC, name="other", silence_timeout=None))
    ready(world)
    for _ in range(5):
        world.process().exit(1)
        world.let(2.0)
    assert world.process("other") is other
    assert other.terminated_at is None


def test_a_hold_code_waits_for_the_release(world: World) -> None:
    """A process that ends with a hold code starts again only when released."""
    ready(world).exit(HOLD)
    world.let(3600)
    assert world.phase() is Phase.HELD
    assert world.seen(Held) == [Held("worker", HOLD)]
    world.manager.restart("worker")
    world.let(1.0)
    assert world.alive() is None
    world.manager.release("worker")
    assert world.alive()


def test_a_release_changes_nothing_for_one_that_runs(world: World) -> None:
    """Releasing what is not held neither starts nor stops anything."""
    process = ready(world)
    world.manager.release("worker")
    world.let(1.0)
    assert world.process() is process
    assert len(world.spawned) == 1


def test_what_is_held_can_be_removed(world: World) -> None:
    """Removing a held process frees its name at once."""
    ready(world).exit(HOLD)
    world.let(0)
    world.manager.remove("worker")
    world.let(0)
    assert world.manager.states == {}
    assert world.seen(Removed)


def test_a_successor_of_a_held_one_is_held_too(world: World) -> None:
    """A name that was removed and added again still honours the old process's hold code."""
    world.obedient = False
    process = ready(world)
    world.manager.remove("worker")
    world.manager.add(SPEC)
    process.exit(HOLD)
    world.let(20.0)
    assert world.phase() is Phase.HELD
    world.manager.release("worker")
    assert world.alive()


def test_the_callback_may_use_the_keeper(world: World) -> None:
    """Releasing a held process from inside on_event works."""
    manager = world.manager

    def release(event: Event) -> None:
        if isinstance(event, Held):
            manager.release(event.name)

    manager._on_event = release
    ready(world).exit(HOLD)
    world.let(0)
    assert world.alive()


def test_a_removed_process_is_given_time(world: World) -> None:
    """SIGTERM, then SIGKILL when the drain timeout is over, then its name is free."""
    world.obedient = False
    process = ready(world)
    world.manager.remove("worker")
    world.let(2.9)
    assert process.code is None
    assert world.phase() is Phase.DRAINING
    world.let(0.2)
    assert process.code == -9
    assert world.seen(Killed)
    assert world.manager.states == {}
    assert world.events[-1] == Removed("worker")


def test_a_removed_process_that_dies_is_not_started_again(world: World) -> None:
    """However a removed process ends, that is its end."""
    world.obedient = False
    process = ready(world)
    world.manager.remove("worker")
    process.exit(1)
    world.let(60.0)
    assert len(world.spawned) == 1


@pytest.mark.parametrize("how", ["remove", "retire"])
def test_removing_one_that_waits_for_its_restart(world: World, how: str) -> None:
    """A process that is backing off is forgotten at once when removed, or retired."""
    started(world)
    for _ in range(2):
        world.process().exit(1)
        world.let(0)
    assert world.phase() is Phase.BACKING_OFF
    getattr(world.manager, how)("worker")
    world.let(60.0)
    assert world.alive() is None
    assert world.manager.states == {}


def test_a_new_one_waits_for_the_end_of_the_old_one(world: World) -> None:
    """A name added while the removed process drains is started after its end, with the new spec."""
    world.obedient = False
    old = ready(world)
    world.manager.remove("worker")
    world.manager.add(replace(SPEC, command=("new",)))
    world.let(1.0)
    assert world.process() is old
    old.exit(0)
    world.let(0)
    assert world.process().spec.command == ("new",)


def test_the_last_word_on_a_name_counts(world: World) -> None:
    """Removed, added and removed again while it drains: it is gone in the end."""
    world.obedient = False
    old = ready(world)
    world.manager.remove("worker")
    world.manager.add(SPEC)
    world.manager.remove("worker")
    old.exit(0)
    world.let(60.0)
    assert world.manager.states == {}
    assert len(world.spawned) == 1


def test_a_retired_process_goes_on_and_has_no_successor(world: World) -> None:
    """Frozen, it is killed as any other one; then its name is free."""
    process = ready(world)
    world.manager.retire("worker")
    world.let(4.9)
    assert world.phase() is Phase.READY
    world.let(0.2)
    assert process.code == -9
    world.let(60.0)
    assert len(world.spawned) == 1
    assert world.events[-1] == Removed("worker")
    assert world.manager.states == {}


def test_one_that_is_held_retires_at_once(world: World) -> None:
    """So that no release starts it."""
    ready(world).exit(HOLD)
    world.let(0)
    assert world.phase() is Phase.HELD
    world.manager.retire("worker")
    assert world.manager.states == {}


def test_one_that_dies_at_its_last_moment_is_not_started(world: World) -> None:
    """Its death is seen by the look for signs of life, and not before."""
    process = ready(world)
    world.manager.retire("worker")
    world.deaf = True
    process.exit(1)
    world.let(60.0)
    assert len(world.spawned) == 1
    assert world.manager.states == {}


def test_a_retired_process_that_is_kept_has_a_successor(world: World) -> None:
    """As if it had never been retired."""
    process = ready(world)
    world.manager.retire("worker")
    assert world.manager.keep("worker")
    process.exit(1)
    world.let(0)
    assert world.alive() is not None


def test_the_successor_of_a_restart_retires_too(world: World) -> None:
    """The restart drains, and nothing is started after it."""
    world.obedient = False
    process = ready(world)
    world.manager.restart("worker")
    world.manager.retire("worker")
    process.exit(0)
    world.let(60.0)
    assert len(world.spawned) == 1


def test_a_restart_drains_first(world: World) -> None:
    """A restart lets the process finish and starts the next one without a delay."""
    process = ready(world)
    world.manager.restart("worker")
    world.let(0)
    assert process.terminated_at is not None
    assert world.process() is not process
    assert world.manager.states["worker"].restarts == 1


def test_a_name_is_taken_once(world: World) -> None:
    """Adding a name that is kept already is refused."""
    started(world)
    with pytest.raises(ValueError, match="already"):
        world.manager.add(SPEC)


def test_an_unknown_name_is_refused_with_the_known_ones(world: World) -> None:
    """The error of a wrong name lists the names there are."""
    started(world)
    with pytest.raises(KeyError, match="worker"):
        world.manager.remove("wroker")


def test_stop_ends_all_and_starts_none(world: World) -> None:
    """After stop all drain, the late one is killed, and nothing is added any more."""
    late = ready(world)
    ready(world, replace(SPEC, name="other"))
    world.obedient = True
    late.terminate = lambda: setattr(late, "terminated_at", world.now)  # type: ignore[method-assign]
    world.manager.stop()
    world.manager.add(replace(SPEC, name="another"))
    world.let(1.0)
    assert set(world.manager.states) == {"worker"}
    assert not world.manager.stopped
    world.let(2.1)
    assert world.manager.stopped
    assert len(world.spawned) == 2


def test_kill_waits_for_nothing(world: World) -> None:
    """A kill ends in the same moment what does not listen to SIGTERM."""
    world.obedient = False
    process, before = ready(world), world.now
    process.may_be_killed = True
    world.manager.kill()
    world.manager.step(60.0)
    assert world.now == before
    assert world.manager.stopped


def test_a_kill_is_repeated_until_it_has_worked(world: World) -> None:
    """A process that survives SIGKILL for a while gets another, and no successor until dead."""
    world.kills_needed = 3
    process = ready(world)
    world.let(5.5)
    assert world.process() is process
    world.let(2.5)
    assert world.process() is not process


def test_a_closed_pipe_does_not_spin_the_loop(world: World) -> None:
    """A process that closes its pipe is no longer listened to, and is frozen in the end."""
    process = ready(world)
    process.mute = True
    world.waits.clear()
    world.let(5.5)
    assert len(world.waits) < 12
    assert process.code == -9


def test_step_waits_no_longer_than_asked(world: World) -> None:
    """A step without anything to do returns at its timeout."""
    ready(world, replace(SPEC, silence_timeout=None))
    before = world.now
    world.manager.step(0.3)
    assert world.now - before == pytest.approx(0.3, abs=0.01)


def test_events_are_reported_without_waiting(world: World) -> None:
    """The events outside a step are reported by the next one at once."""
    before = world.now
    world.manager.add(SPEC)
    world.manager.step(60.0)
    assert world.seen(Started)
    assert world.now == pytest.approx(before, abs=0.01)


def test_a_signal_wakes_the_keeper_and_only_a_second_ctrl_c_hurries(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM after Ctrl-C asks for nothing new; Ctrl-C again does."""
    woken: list[None] = []
    monkeypatch.setattr(world.manager, "wake", lambda: woken.append(None))
    signals = StopSignals(world.manager)
    signals(signal.SIGINT, None)
    signals(signal.SIGTERM, None)
    assert (signals.asked, signals.impatient, len(woken)) == (True, False, 2)
    signals(signal.SIGINT, None)
    assert (signals.impatient, len(woken)) == (True, 3)


NAMES = ["a", "b", "c"]
names = st.sampled_from(NAMES)


def living(machine: Histories) -> bool:
    """Whether there is a process to which something could happen."""
    return any(process.code is None for process in machine.world.spawned)


class Histories(RuleBasedStateMachine):
    """Random histories of everything that can happen to three processes."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.manager = self.world.manager
        self.wanted: set[str] = set()
        self.retired: set[str] = set()
        self.stopping = False

    def pick(self, data: Any) -> FakeProcess:
        return data.draw(  # type: ignore[no-any-return]
            st.sampled_from([p for p in self.world.spawned if p.code is None])
        )

    @rule(
        name=names,
        silence=st.sampled_from([None, 5.0]),
        drain=st.sampled_from([0.5, 8.0]),
        start=st.sampled_from([2.0, 30.0]),
    )
    def add(self, name: str, silence: float | None, drain: float, start: float) -> None:
        spec = replace(
            SPEC,
            name=name,
            silence_timeout=silence,
            drain_timeout=drain,
            start_timeout=start,
        )
        if name in self.wanted:
            return
        self.manager.add(spec)
        if not self.stopping:
            self.wanted.add(name)
            self.retired.discard(name)

    @rule(name=names, act=st.sampled_from(["remove", "restart", "release", "retire"]))
    def ask(self, name: str, act: str) -> None:
        if name in self.manager.states:
            method: Callable[[str], None] = getattr(self.manager, act)
            method(name)
            if act == "remove":
                self.wanted.discard(name)
                self.retired.discard(name)
            elif act == "retire" and name in self.wanted:
                self.wanted.discard(name)
                self.retired.add(name)

    def going_on(self, name: str) -> bool:
        return self.manager.states[name].phase in (Phase.STARTING, Phase.READY)

    @rule(name=names)
    def keep(self, name: str) -> None:
        if name in self.retired and self.going_on(name):
            assert self.manager.keep(name)
            self.retired.discard(name)
            self.wanted.add(name)

    @precondition(living)
    @rule(data=st.data(), code=st.sampled_from([0, 1, -9, HOLD]))
    def exit(self, data: Any, code: int) -> None:
        self.pick(data).exit(code)

    @precondition(living)
    @rule(
        data=st.data(),
        line=st.sampled_from(["ready", "ready", "beat", "say key value", "?"]),
    )
    def say(self, data: Any, line: str) -> None:
        process = self.pick(data)
        if not process.mute:
            process.say(line)

    @precondition(living)
    @rule(data=st.data())
    def close_pipe(self, data: Any) -> None:
        self.pick(data).mute = True

    @rule(obedient=st.booleans(), kills=st.sampled_from([1, 1, 3]), broken=st.booleans())
    def change_the_world(self, obedient: bool, kills: int, broken: bool) -> None:
        self.world.obedient, self.world.kills_needed = obedient, kills
        self.world.broken = broken

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 4.0, 12.0]))
    def pass_time(self, seconds: float) -> None:
        self.world.let(seconds)

    @rule()
    def stand_still(self) -> None:
        self.world.now += 100.0

    @rule()
    def every_death_is_answered(self) -> None:
        """Within the longest delay what is wanted and dead is started again, unless held."""
        self.world.broken = False
        self.world.let(0)
        dead = [name for name in self.wanted if not self.world.alive(name)]
        dead = [name for name in dead if self.world.phase(name) is not Phase.HELD]
        before = len(self.world.spawned)
        self.world.let(10.1)
        assert set(dead) <= {process.spec.name for process in self.world.spawned[before:]}

    @rule()
    @precondition(lambda self: len(self.world.spawned) > 5)
    def stop(self) -> None:
        self.manager.stop()
        self.stopping = True
        self.wanted.clear()
        self.retired.clear()

    @invariant()
    def who_is_retired_ends_once(self) -> None:
        states = self.manager.states
        self.retired &= states.keys()
        for name in self.retired:
            assert states[name].phase not in (Phase.BACKING_OFF, Phase.HELD)

    @invariant()
    def what_is_wanted_is_kept(self) -> None:
        states = self.manager.states
        assert self.wanted <= set(states)
        for name in set(states) - self.wanted - self.retired:
            assert states[name].phase in (Phase.DRAINING, Phase.KILLING)
        for name, state in states.items():
            if state.phase is Phase.HELD:
                last = [p for p in self.world.spawned if p.spec.name == name][-1]
                assert last.code == HOLD

    @invariant()
    def delays_are_bounded(self) -> None:
        for event in self.world.seen(BackingOff):
            assert isinstance(event, BackingOff)
            assert 0 < event.seconds <= 10.0

    def teardown(self) -> None:
        """A stop ends with all gone, whatever happened before."""
        self.manager.stop()
        self.world.let(8.0 + 5 * 1.0)
        assert self.manager.stopped
        assert not any(process.code is None for process in self.world.spawned)
        assert all(process.closed for process in self.world.spawned)
        self.manager.close()


Histories.TestCase.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
TestHistories = Histories.TestCase
