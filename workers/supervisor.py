"""`python -m workers`: one consumer process for every partition that the group gives this host.

The supervisor is the group's member and holds its partitions paused, so that Kafka's own
protocol shares them between hosts and moves them when one dies; its worker processes read
them. A worker that crashes is started again without a rebalance. A partition that moves is
decided here until its new owner's claim fences the worker, so that nobody waits for a start.
"""

from __future__ import annotations

import time
from dataclasses import replace

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from events.clients import connection
from events.topics import ATTEMPTS
from processes import Event, Exited, Held, Keeper, ProcessSpec, Ready, Said, Started
from processes.log import log_event
from processes.metrics import forget
from processes.spawn import Process
from settings import Settings
from workers import metrics, spares
from workers.alone import Deaths
from workers.asked import Asked, behind
from workers.leaving import Leaving
from workers.partition import EXCUSED, FENCED
from workers.spares import Spares
from workers.stuck import Watch

GROUP = "cerrojo-workers"
SESSION_TIMEOUT_MS = 6_000
"""A host that dies keeps its partitions this long; shorter would punish a long pause."""

DRAIN_SECONDS = 4.0
SILENCE_SECONDS = 10.0
COMMIT_SECONDS = 1.0
MEMBERS_SECONDS = 0.2
METADATA_MS = 2_000
"""How soon the group hears of partitions that were added to the topic."""

POLL_SECONDS = 0.05
"""What a membership change waits at most; the keeper hears a death at once."""

log = structlog.get_logger()


class Supervisor:
    """Keeps a worker for each assigned partition among the first ``partitions`` of the topic.

    Others that the topic has are not used, and that is said: in the log, in a metric, and by
    :meth:`not_ready`.
    """

    def __init__(self, settings: Settings, partitions: int) -> None:
        self._spares = Spares()
        self.keeper = Keeper(self._on_event)
        self.keeper.spawn = self._spawn
        self.joined = False
        """Whether the group has given this host its share, be it empty."""
        self._partitions = partitions
        self._unused: list[int] = []
        self._offsets: dict[int, int] = {}
        self._dirty: set[int] = set()
        self._commit_at = 0.0
        self._fenced: set[int] = set()
        self._leaving = Leaving(self.keeper, _name)
        self._started: set[str] = set()
        self._deaths = Deaths()
        self._asked = Asked(settings.require_kafka())
        self._watch = Watch(settings.stuck_seconds, self._asked)
        self._connection = connection(settings.require_kafka())
        self._consumer = Consumer(
            self._connection
            | {
                "group.id": GROUP,
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": SESSION_TIMEOUT_MS,
                "heartbeat.interval.ms": 1_000,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "topic.metadata.refresh.interval.ms": METADATA_MS,
            }
        )
        self._consumer.subscribe(
            [ATTEMPTS], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    @property
    def ready(self) -> bool:
        """Whether every worker of this host decides."""
        return self.joined and all(
            state.phase == "ready" or _number(name) in self._leaving
            for name, state in self.keeper.states.items()
        )

    def not_ready(self) -> str:
        """Why not, in a sentence."""
        if not self.joined:
            return "the consumer group has not given this host its share yet"
        waiting = [
            f"{name} is {state.phase} after {state.restarts} restarts"
            for name, state in self.keeper.states.items()
            if state.phase != "ready"
        ]
        more = f"; partitions {self._unused} of the topic are not used" if self._unused else ""
        return (", ".join(waiting) or "all workers are ready") + more

    def use(self, partitions: int) -> None:
        """So many partitions are to have workers from now on; never fewer than before."""
        if partitions <= self._partitions:
            return
        before, self._partitions = self._partitions, partitions
        log.info("There are more partitions to decide", before=before, now=partitions)
        for number in self._assigned():
            if before <= number < partitions:
                self.keeper.add(_spec(number))
        self._note_unused()

    def _assigned(self) -> list[int]:
        return sorted(p.partition for p in self._consumer.assignment())

    def _note_unused(self) -> None:
        self._unused = [number for number in self._assigned() if number >= self._partitions]
        metrics.UNUSED.set(len(self._unused))

    def step(self) -> None:
        """One turn: hear the workers, keep the membership, commit what is due."""
        self.keeper.step(POLL_SECONDS)
        # Paused partitions bring no records, only callbacks and errors.
        message = self._consumer.poll(0)
        if message is not None and (error := message.error()) is not None:
            log.warning("Kafka says", error=error.str())
        self._leaving.end()
        if self.ready:
            self._spares.refill()
        now = time.monotonic()
        if now >= self._commit_at:
            self._commit_at = now + COMMIT_SECONDS
            self._commit_offsets()
            self._release_fenced()
            ready = {
                number
                for name, state in self.keeper.states.items()
                if state.phase == "ready" and (number := _number(name)) not in self._leaving
            }
            metrics.PROCESSES.labels("ready").set(len(ready))
            metrics.PROCESSES.labels("other").set(len(self.keeper.states) - len(ready))
            self._note_unused()
            self._replace_stuck(ready, now)
        if self._asked.take_news():
            self._say_how_far()

    def close(self) -> None:
        """Leave the group, let others take over or the workers finish, and end."""
        self._spares.close()
        self._dirty.update(self._offsets)
        self._commit_offsets(wait=True)
        admin = AdminClient(self._connection)
        others = (_members(admin) or 0) > 1
        if others:
            self._consumer.close()
            self._hand_over(admin)
        self.keeper.stop()
        while not self.keeper.stopped:
            self.keeper.step(POLL_SECONDS)
        if not others:
            self._consumer.close()

    def _hand_over(self, admin: AdminClient) -> None:
        """Wait until others own the partitions; not for those who leave at the same time."""
        for name in self.keeper.states:
            self._leaving.add(_number(name))
        look_at = time.monotonic()
        while self.keeper.states:
            self.keeper.step(POLL_SECONDS)
            self._leaving.end()
            if time.monotonic() >= look_at:
                if _members(admin) == 0:
                    return
                look_at = time.monotonic() + MEMBERS_SECONDS

    def _replace_stuck(self, ready: set[int], now: float) -> None:
        for number in self._watch.look(self._held(), ready, now):
            metrics.STUCK.inc()
            log.error(
                "A worker lives and decides nothing, although its partition has records for it; "
                "it is replaced",
                partition=number,
                next_offset=self._offsets.get(number),
            )
            self.keeper.restart(_name(number))

    def _held(self) -> set[int]:
        """The partitions that are this host's, as far as it knows, however their workers are."""
        numbers = {_number(name) for name in self.keeper.states}
        return {n for n in numbers - self._fenced if n not in self._leaving}

    def _say_how_far(self) -> None:
        """Say in the metrics how far the workers are: those that hang do not say it themselves."""
        here = {n: self._offsets[n] for n in self._held() & self._offsets.keys()}
        metrics.NEXT_OFFSET.set(here)
        metrics.LAG.set(behind(self._asked.ends(), here))

    def _spawn(self, spec: ProcessSpec) -> Process:
        """Start a worker, and let it know if its predecessor died of no record."""
        if self._deaths.excused(_number(spec.name)):
            spec = replace(spec, command=(*spec.command, EXCUSED))
        return self._spares.spawn(spec)

    def _on_assign(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        for partition in assigned:
            # Where the group's offset stands is of no use here: Postgres has the one that counts.
            partition.offset = OFFSET_BEGINNING
        consumer.incremental_assign(assigned)
        consumer.pause(assigned)
        self.joined = True
        numbers = {partition.partition for partition in assigned}
        self._leaving.be_sure()
        for number in sorted(numbers):
            if number < self._partitions:
                match self._leaving.take_back(number):
                    case None:
                        self.keeper.add(_spec(number))
                    case "held":
                        self._fenced.add(number)
            else:
                log.warning(
                    "The topic has more partitions than are used; this one stays unused, until "
                    "`python -m workers resize` says otherwise",
                    partition=number,
                    used=self._partitions,
                )
        log.info("Partitions are assigned", partitions=[p.partition for p in assigned])

    def _on_revoke(self, consumer: Consumer, revoked: list[TopicPartition]) -> None:
        """Let the workers go on until their successors' claims fence them."""
        self._commit_offsets(wait=True)
        consumer.incremental_unassign(revoked)
        self._leave(revoked)

    def _on_lost(self, consumer: Consumer, lost: list[TopicPartition]) -> None:
        """Let the workers go on: the group has forgotten this host, as after a broker's restart.

        Nobody else may have been given its partitions. The next assignment, some seconds
        later, says which of them are lost indeed.
        """
        log.warning("Partitions are lost to the group", partitions=[p.partition for p in lost])
        consumer.incremental_unassign(lost)
        self._leave(lost, sure=False)

    def _leave(self, partitions: list[TopicPartition], sure: bool = True) -> None:
        numbers = {partition.partition for partition in partitions}
        for number in numbers:
            self._leaving.add(number, sure)
        self._forget(numbers)

    def _forget(self, numbers: set[int]) -> None:
        for number in numbers:
            self._offsets.pop(number, None)
            self._watch.standstill.forget(number)
            self._deaths.forget(number)
        self._dirty -= numbers
        self._fenced -= numbers
        metrics.LAG.forget(numbers)
        metrics.NEXT_OFFSET.forget(numbers)

    def _commit_offsets(self, wait: bool = False) -> None:
        """Say in the group how far the workers are, for the usual lag tools."""
        offsets = [TopicPartition(ATTEMPTS, n, self._offsets[n]) for n in self._dirty]
        self._dirty.clear()
        if not offsets:
            return
        try:
            if wait:
                self._consumer.commit(offsets=offsets, asynchronous=False)
            else:
                self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            log.warning("The group's offsets could not be committed", error=error.args[0].str())

    def _release_fenced(self) -> None:
        """Start a fenced worker again only if the group says, since then, that it is ours."""
        for number in list(self._fenced):
            offset = TopicPartition(ATTEMPTS, number, self._offsets.get(number, 0))
            try:
                self._consumer.commit(offsets=[offset], asynchronous=False)
            except KafkaException as error:
                if error.args[0].code() != KafkaError._NO_OFFSET:
                    continue
            if number in {p.partition for p in self._consumer.assignment()}:
                self._fenced.discard(number)
                self.keeper.release(_name(number))

    def _on_event(self, event: Event) -> None:
        number = _number(event.name)
        match event:
            case Said(key="offset") if number in self._leaving:
                return
            case Said(key="offset", value=value):
                if self._offsets.get(number) != int(value):
                    self._offsets[number] = int(value)
                    self._dirty.add(number)
                self._watch.standstill.said(number, int(value))
                return
            case Said(key="failed"):
                self._watch.standstill.failed(number)
                return
            case Said(key="computing", value=value):
                self._deaths.computing(number, value == "begins")
                return
            case Held() if number not in self._leaving:
                self._fenced.add(number)
                metrics.FENCED.inc()
            case Exited():
                state = self.keeper.states.get(event.name)
                if state is None or state.pid is None:  # else its successor clears them itself
                    forget(f"partition-{number}")
                self._deaths.died(number)
            case Started() if event.name in self._started:
                metrics.RESTARTS.labels("worker").inc()
            case Started():
                self._started.add(event.name)
            case Ready():
                pass
        log_event(event)


def _members(admin: AdminClient) -> int | None:
    """How many hosts the group has; None where the brokers do not say."""
    (future,) = admin.describe_consumer_groups([GROUP], request_timeout=1.0).values()
    try:
        return len(future.result().members)
    except KafkaException:
        return None


def _name(partition: int) -> str:
    return f"worker partition {partition}"


def _number(name: str) -> int:
    return int(name.rsplit(" ", 1)[1])


def _spec(partition: int) -> ProcessSpec:
    return ProcessSpec(
        name=_name(partition),
        command=(*spares.COMMAND, str(partition)),
        silence_timeout=SILENCE_SECONDS,
        drain_timeout=DRAIN_SECONDS,
        hold_codes=frozenset({FENCED}),
    )
