"""`python -m workers`: runs one worker process for every partition that the group gives this host.

The supervisor is the group's member and keeps its partitions paused: Kafka's own protocol shares
them between hosts and moves them when a host dies, and the worker processes read them. A worker
that crashes is restarted without a rebalance. A partition that moves is decided here until its new
owner's claim fences the worker, so that no attempt waits for a start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from events.clients import (
    WORKER_ANSWER_SECONDS,
    WORKERS_GROUP,
    client_options,
    explain,
    reason,
)
from events.topics import ATTEMPTS
from processes import Event, Exited, Held, ProcessManager, ProcessSpec, Ready, Said, Started
from processes.host_metrics import HostMetrics
from processes.logs import log_event
from processes.metrics import forget
from processes.spawn import Process
from settings import Settings
from workers import metrics
from workers.partition import launch
from workers.partition.launch import FENCED, RECORD_NOT_TO_BLAME
from workers.partition.poison_records import Deaths
from workers.supervisor.bounded_calls import BoundedCalls
from workers.supervisor.end_offsets import EndOffsets, lag
from workers.supervisor.handover import Handover
from workers.supervisor.relay_keeper import RelayKeeper
from workers.supervisor.stall_detector import StallDetector
from workers.supervisor.standby import Standbys

SESSION_TIMEOUT_MS = 6_000
"""A host that dies keeps its partitions this long; a shorter time would punish a long pause."""

DRAIN_SECONDS = 4.0
SILENCE_SECONDS = 10.0
COMMIT_SECONDS = 1.0
LEAVE_SECONDS = 3.0
"""How long the group may take for each step of a host's leaving; past it Kafka is away, and the
group gives the partitions to others by itself, once the session has ended."""

METADATA_MS = 2_000
"""How soon the group learns of partitions that were added to the topic."""

POLL_SECONDS = 0.05
"""The longest wait of a membership change; the manager notices a death at once."""

logger = structlog.get_logger()


class Supervisor:
    """Keeps a worker for each assigned partition among the first ``partitions`` of the topic.

    The topic's other partitions are unused, which the log, a metric and :meth:`not_ready` report.
    """

    def __init__(self, settings: Settings, partitions: int) -> None:
        self._standbys = Standbys()
        self.manager = ProcessManager(self._on_event, spawn=self._spawn)
        self.joined = False
        """Whether the group has given this host its share, which may be empty."""
        self._partitions = partitions
        self._unused: list[int] = []
        self._offsets: dict[int, int] = {}
        self._dirty: set[int] = set()
        self._commit_at = 0.0
        self._fenced: set[int] = set()
        self._confirmed: frozenset[int] = frozenset()
        self._calls = BoundedCalls()
        self._handover = Handover(self.manager, _name)
        self._started: set[str] = set()
        self._deaths = Deaths()
        self._relay = RelayKeeper()
        self._host_metrics = HostMetrics(settings)
        self._topic = settings.prefixed(ATTEMPTS)
        self._end_offsets = EndOffsets(settings)
        self._stall_detector = StallDetector(settings.stuck_seconds, self._end_offsets)
        self._consumer = Consumer(
            client_options(settings)
            | {
                "group.id": settings.prefixed(WORKERS_GROUP),
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": SESSION_TIMEOUT_MS,
                "heartbeat.interval.ms": 1_000,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "topic.metadata.refresh.interval.ms": METADATA_MS,
                "on_commit": self._on_commit,
            }
        )
        self._consumer.subscribe(
            [self._topic],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    @property
    def ready(self) -> bool:
        """Whether every worker of this host decides."""
        return self.joined and all(
            state.phase == "ready" or _number(name) in self._handover
            for name, state in self.manager.states.items()
        )

    def not_ready(self) -> str:
        """The states of the workers that are not ready, and unused partitions, in a sentence."""
        if not self.joined:
            return "the consumer group has not given this host its share yet"
        waiting = [
            f"{name} is {state.phase} after {state.restarts} restarts"
            for name, state in self.manager.states.items()
            if state.phase != "ready"
        ]
        unused = f"; partitions {self._unused} of the topic are not used" if self._unused else ""
        return (", ".join(waiting) or "all workers are ready") + unused

    def use(self, partitions: int) -> None:
        """Set the number of partitions that have workers. A lower number changes nothing."""
        if partitions <= self._partitions:
            return
        before, self._partitions = self._partitions, partitions
        logger.info("Partitions were added", before=before, now=partitions)
        for number in self._assigned():
            if before <= number < partitions:
                self._add(number)
        self._note_unused()

    def _add(self, number: int) -> None:
        self._started.discard(_name(number))  # one that comes back is no restart
        self.manager.add(_spec(number))

    def _assigned(self) -> list[int]:
        return sorted(p.partition for p in self._consumer.assignment())

    def _note_unused(self) -> None:
        self._unused = [number for number in self._assigned() if number >= self._partitions]
        metrics.UNUSED.set(len(self._unused))

    def start_standbys(self) -> None:
        """Start the first standbys, which load while the group gives this host its share."""
        self._standbys.start(self._partitions)

    def step(self) -> None:
        """Handle the workers' events, keep the group membership, and commit due offsets."""
        self.manager.step(POLL_SECONDS)
        # Paused partitions bring no records, only callbacks and errors.
        message = self._consumer.poll(0)
        if message is not None and (error := message.error()) is not None:
            logger.warning("Kafka reports an error", error=explain(error))
        self._handover.complete()
        self._standbys.look()  # at any time: a frozen one must not be given the next partition
        self._relay.step()
        if self.joined:  # whatever keeps a partition from being decided, the others have events
            self._relay.start()
        if self.ready:
            self._standbys.refill()
        now = time.monotonic()
        if now >= self._commit_at:
            self._commit_at = now + COMMIT_SECONDS
            self._commit_offsets()
            self._release_fenced()
            ready = {
                number
                for name, state in self.manager.states.items()
                if state.phase == "ready" and (number := _number(name)) not in self._handover
            }
            metrics.PROCESSES.labels("ready").set(len(ready))
            metrics.PROCESSES.labels("other").set(len(self.manager.states) - len(ready))
            workers = [state.pid for state in self.manager.states.values()]
            self._host_metrics.look(
                {"worker": workers, "standby": self._standbys.pids, "relay": [self._relay.pid]}
            )
            self._note_unused()
            self._replace_stalled(ready, now)
        if self._end_offsets.take_answer():
            self._update_lag_metrics()

    def close(self, other_hosts: Callable[[], int]) -> None:
        """Leave the group, let other hosts take over if there are any, and stop all workers.

        ``other_hosts`` is how many have workers and stay.
        """
        self._standbys.close()
        self._relay.stop()
        self._dirty.update(self._offsets)
        kafka = self._calls.run(partial(self._commit_offsets, wait=True), LEAVE_SECONDS)
        others = kafka and other_hosts() > 0
        if others and self._calls.run(self._consumer.close, LEAVE_SECONDS):
            self._await_successors(other_hosts)
        self.manager.stop()
        while not (self.manager.stopped and self._relay.stopped):
            self.manager.step(POLL_SECONDS)
            self._relay.step()
        if kafka and not others:
            self._calls.run(self._consumer.close, LEAVE_SECONDS)

    def _await_successors(self, other_hosts: Callable[[], int]) -> None:
        """Wait until other hosts own the partitions, or none is left."""
        for name in self.manager.states:
            self._handover.add(_number(name))
        while self.manager.states and other_hosts():
            self.manager.step(POLL_SECONDS)
            self._handover.complete()

    def _replace_stalled(self, ready: set[int], now: float) -> None:
        for number in self._stall_detector.check(self._owned(), ready, now):
            metrics.STUCK.inc()
            logger.error(
                "A worker is alive but decides nothing although its partition has records; it is "
                "replaced",
                partition=number,
                next_offset=self._offsets.get(number),
            )
            self.manager.restart(_name(number))

    def _owned(self) -> set[int]:
        """The partitions that this host owns as far as it knows, whatever their workers' state."""
        numbers = {_number(name) for name in self.manager.states}
        return {n for n in numbers - self._fenced if n not in self._handover}

    def _update_lag_metrics(self) -> None:
        """Set the metrics of the workers' offsets and lag; a worker that hangs cannot do so."""
        offsets = {n: self._offsets[n] for n in self._owned() & self._offsets.keys()}
        metrics.NEXT_OFFSET.set(offsets)
        metrics.LAG.set(lag(self._end_offsets.ends(), offsets))

    def _spawn(self, spec: ProcessSpec) -> Process:
        """Start a worker, and tell it if no record killed its predecessor."""
        if self._deaths.record_not_to_blame(_number(spec.name)):
            spec = replace(spec, command=(*spec.command, RECORD_NOT_TO_BLAME))
        return self._standbys.spawn(spec)

    def _on_assign(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        for partition in assigned:
            # The group's offset is of no use here: Postgres has the one that counts.
            partition.offset = OFFSET_BEGINNING
        consumer.incremental_assign(assigned)
        consumer.pause(assigned)
        self.joined = True
        numbers = {partition.partition for partition in assigned}
        self._handover.confirm()  # first, so that the name of one that is being killed can be taken
        for number in sorted(numbers):
            if number < self._partitions:
                if not self._handover.take_back(number):
                    self._add(number)
            else:
                logger.warning(
                    "The topic has more partitions than are used; this one is unused until "
                    "`cerrojo resize` raises the number",
                    partition=number,
                    used=self._partitions,
                )
        logger.info("Partitions are assigned", partitions=[p.partition for p in assigned])

    def _on_revoke(self, consumer: Consumer, revoked: list[TopicPartition]) -> None:
        """Hand over the workers: they go on until their successors' claims fence them."""
        self._calls.run(partial(self._commit_offsets, wait=True), WORKER_ANSWER_SECONDS)
        consumer.incremental_unassign(revoked)
        self._give_up(revoked)

    def _on_lost(self, consumer: Consumer, lost: list[TopicPartition]) -> None:
        """Let the workers go on: the group has dropped this host, as after a broker's restart.

        The partitions may not have been given to another host. The next assignment, some seconds
        later, shows which of them are really lost.
        """
        logger.warning(
            "The group has dropped this host's partitions", partitions=[p.partition for p in lost]
        )
        consumer.incremental_unassign(lost)
        self._give_up(lost, reassigned=False)

    def _give_up(self, partitions: list[TopicPartition], reassigned: bool = True) -> None:
        numbers = {partition.partition for partition in partitions}
        for number in numbers:
            self._handover.add(number, reassigned)
        self._clear_state(numbers)

    def _clear_state(self, numbers: set[int]) -> None:
        for number in numbers:
            self._offsets.pop(number, None)
            self._stall_detector.stall_times.forget(number)
            self._deaths.forget(number)
        self._dirty -= numbers
        self._fenced -= numbers
        metrics.LAG.forget(numbers)
        metrics.NEXT_OFFSET.forget(numbers)

    def _commit_offsets(self, wait: bool = False) -> None:
        """Commit the workers' offsets to the group, for the usual lag tools."""
        # A commit that failed late may have named partitions that are no longer this host's.
        due = self._dirty & self._offsets.keys()
        offsets = [TopicPartition(self._topic, n, self._offsets[n]) for n in due]
        self._dirty.clear()
        if not offsets:
            return
        try:
            if wait:
                self._consumer.commit(offsets=offsets, asynchronous=False)
            else:
                self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            logger.warning("The group's offsets could not be committed", error=reason(error))
            self._dirty.update(offset.partition for offset in offsets)

    def _on_commit(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        """Commit again what was not committed; the client does not."""
        failed = {offset.partition for offset in offsets if error or offset.error}
        self._dirty |= failed & self._offsets.keys()

    def _release_fenced(self) -> None:
        """Restart fenced workers once the group has confirmed that this host still owns them."""
        if self._fenced:
            # At once: while it waits for an answer, the host does nothing else.
            said = {n: self._offsets[n] for n in self._fenced & self._offsets.keys()}
            ask = partial(self._confirm, frozenset(self._fenced), said)
            self._calls.run(ask, WORKER_ANSWER_SECONDS)
        confirmed, self._confirmed = self._confirmed, frozenset()
        for number in confirmed.intersection(self._fenced, self._assigned()):
            self._fenced.discard(number)
            self.manager.release(_name(number))

    def _confirm(self, fenced: Set[int], said: Mapping[int, int]) -> None:
        """Note those that are this host's, by the group's answer to a commit of their offsets."""
        with suppress(KafkaException):
            offsets = self._offsets_of(fenced, said)
            answers = self._consumer.commit(offsets=offsets, asynchronous=False) or []
            self._confirmed = frozenset(a.partition for a in answers if not a.error)

    def _offsets_of(self, numbers: Set[int], known: Mapping[int, int]) -> list[TopicPartition]:
        """What their workers decide next; the group's own offset of one that has not said it.

        Raises ``KafkaException``.
        """
        said = [TopicPartition(self._topic, number, offset) for number, offset in known.items()]
        unknown = [TopicPartition(self._topic, number) for number in numbers - known.keys()]
        if unknown:
            unknown = self._consumer.committed(unknown, timeout=WORKER_ANSWER_SECONDS)
        for each in unknown:
            if each.error:
                raise KafkaException(each.error)
            said.append(TopicPartition(each.topic, each.partition, max(0, each.offset)))
        return said

    def _on_event(self, event: Event) -> None:
        number = _number(event.name)
        match event:
            case Said(key="offset") if number in self._handover:
                return
            case Said(key="offset", value=value):
                if self._offsets.get(number) != int(value):
                    self._offsets[number] = int(value)
                    self._dirty.add(number)
                self._stall_detector.stall_times.progressed(number, int(value))
                return
            case Said(key="waits"):
                self._stall_detector.stall_times.waits_for_others(number)
                return
            case Said(key="failed"):
                self._stall_detector.stall_times.dependency_failed(number)
                return
            case Said(key="computing", value=value):
                self._deaths.computing(number, value == "begins")
                return
            case Held() if number not in self._handover:
                self._fenced.add(number)
                metrics.FENCED.inc()
            case Exited():
                state = self.manager.states.get(event.name)
                if state is None or state.pid is None:  # else its successor clears the gauges
                    forget(f"partition-{number}")
                if number not in self._handover:  # else its successor may die elsewhere
                    self._deaths.died(number)
            case Started() if event.name in self._started:
                metrics.RESTARTS.labels("worker").inc()
            case Started():
                self._started.add(event.name)
            case Ready():
                pass
        log_event(event)


def _name(partition: int) -> str:
    return f"worker partition {partition}"


def _number(name: str) -> int:
    return int(name.rsplit(" ", 1)[1])


def _spec(partition: int) -> ProcessSpec:
    return ProcessSpec(
        name=_name(partition),
        command=(*launch.COMMAND, str(partition)),
        silence_timeout=SILENCE_SECONDS,
        drain_timeout=DRAIN_SECONDS,
        hold_codes=frozenset({FENCED}),
    )
