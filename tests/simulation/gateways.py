"""A gateway's process, on a clock of its own, that stops before each thing it asks of others.

It runs the real `VerdictRetry`, `VerdictClient`, `VerdictConsumer`, `BlocklistConsumer` and
`EndWatcher`, from the product's own text: each of its threads is a greenlet, and its event loop
runs whenever one of them has done something. The stand-in for the rest of it is :func:`_answer`,
which does what the resources do, without hashes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from math import inf
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import psycopg
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, TopicPartition
from greenlet import GreenletExit, getcurrent, greenlet  # type: ignore[import-untyped]

from events.messages import (
    FOREVER,
    Attempt,
    Decision,
    Message,
    Registered,
    Request,
    Unblock,
    Verdict,
    decode_attempts,
    encode,
)
from events.topics import VERDICTS
from gateway.blocklist import consumer, end_watcher
from gateway.blocklist.blocklist import Blocklist, BlocklistSnapshot
from gateway.errors import UnavailableError
from gateway.kafka import verdict_client, verdict_consumer, verdict_retry
from loadtest.histories import Call
from tests.simulation.copies import copy_of
from tests.simulation.loops import Loop
from tests.simulation.owners import Silence
from tests.simulation.replay import Violation
from tests.simulation.snapshots import snapshot
from tests.simulation.world import Told, World

T = TypeVar("T")

DEADLINE_SECONDS = 10.0

MOST_READ = 1_000
"""Records that one read brings at most."""

_KNOWN: dict[str, Gateway] = {}


def _here() -> Gateway:
    """The gateway whose code runs."""
    return _KNOWN["here"]


class Time:
    """The module, as a gateway has it."""

    @staticmethod
    def monotonic() -> float:
        """The running gateway's clock, in seconds."""
        return _here().clock()


class Metrics:
    """Counts nothing."""

    def __getattr__(self, _: str) -> Metrics:
        """Any metric, and any method of one."""
        return self

    def __call__(self, *_: object) -> Metrics:
        """With any labels."""
        return self


class Record(NamedTuple):
    """A message as a consumer gives it."""

    at: int
    ms: int
    message: Message | None
    """None: an error, as when the topic was made anew."""

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return TIMESTAMP_LOG_APPEND_TIME, self.ms

    def value(self) -> bytes | None:
        return None if self.message is None else encode(self.message)

    def partition(self) -> int:
        return 0

    def key(self) -> None:
        return None

    def error(self) -> KafkaError | None:
        return KafkaError(KafkaError._UNKNOWN_PARTITION) if self.message is None else None


class Consumer:
    """A reader of one topic, in one thread."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.thread = gateway.running
        self.thread.consumer = self
        self.topic = ""
        self.partition = 0
        self.position = -1
        self.broken = False

    def list_topics(self, topic: str, timeout: float) -> Any:
        """All partitions for verdicts."""
        return _Listed({topic: _Listed(dict.fromkeys(range(2)))})

    def assign(self, where: Sequence[TopicPartition]) -> None:
        """Read from there on."""
        [start] = where
        self.topic, self.partition, self.position = start.topic, start.partition, start.offset
        self.gateway.passed(self)

    def close(self) -> None:
        """Nothing is open."""

    @property
    def due(self) -> bool:
        """Whether a read brings anything."""
        return self.broken or self.position < self.gateway.world.end_of(self.topic, self.partition)

    def read(self) -> list[Record]:
        """The records that are there, up to as many as the scheduler lets it have."""
        if self.broken:
            return [Record(0, 0, None)]
        world = self.gateway.world
        found = world.read_topic(self.topic, self.partition, self.position, self.thread.take)
        records = [Record(self.position + n, ms, m) for n, (ms, m) in enumerate(found)]
        self.position += len(records)
        return records


class _Listed:
    def __init__(self, listed: dict[Any, Any]) -> None:
        self.topics = self.partitions = listed


class Thread:
    """A thread of a gateway. ``pending`` is what it is about to do."""

    def __init__(self, name: str, run: Callable[[], None]) -> None:
        self.name = name
        self.stopping = self
        self.pending = "start"
        self.take = MOST_READ
        self.idle = False
        self.wakes = -inf
        self.consumer: Consumer | None = None
        self.failure: BaseException | None = None
        self._gateway = _here()
        self._run = run
        self._scheduler = getcurrent()
        self._greenlet = greenlet(self._main)

    def start(self) -> None:
        """It begins when it is let."""
        self._gateway.threads.append(self)

    def is_set(self) -> bool:
        """Nobody stops it."""
        return False

    def wait(self, seconds: float) -> None:
        """Pause for so long."""
        self.wakes = self._gateway.clock() + seconds
        self.call("pause", lambda: None)

    @property
    def parked(self) -> bool:
        """Whether it has nothing to do now."""
        if self.pending == "pause":
            return self._gateway.clock() < self.wakes
        if self.pending != "read" or not self.idle:
            return False
        assert self.consumer is not None
        return not self.consumer.due and not self._gateway.gap

    def call(self, what: str, do: Callable[[], T], key: Callable[[T], object] | None = None) -> T:
        """Let the scheduler decide when and how this happens."""
        self.pending = what
        outcome = self._scheduler.switch()
        if outcome == "lost before":
            self._gateway.remember(self.name, what, outcome)
            if what == "load":
                raise psycopg.OperationalError("the connection is gone")
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        result = do()
        self.idle = what == "read" and not result
        self._gateway.remember(self.name, what, key(result) if key else result)
        return result

    def step(self, outcome: str = "done") -> None:
        """Let the pending step happen; go on until there is another."""
        self._greenlet.switch(outcome)
        if self.failure is not None:
            raise self.failure

    def end(self) -> None:
        """At once."""
        if self._greenlet:
            self._greenlet.throw(GreenletExit)

    def _main(self, _: str) -> None:
        try:
            self._run()
        except GreenletExit:
            return
        except BaseException as error:  # for the scheduler, in its own greenlet
            self.failure = error


class Producer:
    """Writes to `attempts`; a record is on its way until the scheduler lets it arrive."""

    def __init__(self, gateway: Gateway, on_replaced: Callable[[], None]) -> None:
        self._gateway = gateway

    def start(self) -> None:
        """Nothing has to be polled."""

    def write(
        self, partition: int, key: bytes | None, value: bytes, on_failure: Callable[[str], None]
    ) -> None:
        """Send it on its way."""
        gateway = self._gateway
        gateway.world.in_flight.append(
            Flight(
                *(partition, value, decode_attempts(value), on_failure, gateway),
                gateway.world.now_ms,
            )
        )

    def __len__(self) -> int:
        """Nothing waits in here."""
        return 0


class Flight(NamedTuple):
    """A record on its way to `attempts`."""

    partition: int
    value: bytes
    said: Any
    on_failure: Callable[[str], None]
    gateway: Gateway | None
    sent_ms: int
    copies: int = 0
    """How often it has arrived."""


def _end_offset(reader: Consumer, topic: str, partition: int) -> int:
    world = reader.gateway.world
    end = reader.thread.call("end", lambda: world.end_of(topic, partition))
    if reader.gateway.slow:
        reader.thread.call("answer", lambda: None)
    return end


def _read_batch(reader: Consumer) -> list[Record]:
    records = reader.thread.call("read", reader.read, tuple)
    if reader.topic == VERDICTS:
        reader.gateway.passed(reader)
    return records


def _load_snapshot(gateway: Gateway) -> BlocklistSnapshot:
    world = gateway.world
    found = gateway.running.call(
        "load", lambda: snapshot(world.tables), lambda s: (s.partitions, tuple(s.blocks.items()))
    )
    if gateway.slow:
        gateway.running.call("loaded", lambda: None)
    return found


def _load_partitions(gateway: Gateway) -> int:
    return gateway.running.call("partitions", lambda: gateway.world.tables.partitions)


_DATABASE = {"load_snapshot": _load_snapshot, "load_partitions": _load_partitions}


class Code(NamedTuple):
    """The modules that a gateway runs."""

    consumer: ModuleType
    verdict_client: ModuleType
    verdict_retry: ModuleType


def code(*changes: tuple[ModuleType, str, str]) -> Code:
    """The product's, with parts of their text replaced."""
    of = {module: [(b, a) for m, b, a in changes if m is module] for module, _, _ in changes}
    common: dict[str, Any] = {
        "assigned_consumer": lambda gateway, *_: Consumer(gateway),
        "end_offset": _end_offset,
        "StoppableThread": Thread,
    }
    quiet = {"RateLimitedLogger": Silence, "metrics": Metrics()}
    watcher = copy_of(
        end_watcher,
        *of.get(end_watcher, ()),
        asking_consumer=Consumer,
        drain=lambda _: None,
        end_offset=_end_offset,
        StoppableThread=Thread,
        time=Time,
    )
    verdicts = copy_of(
        verdict_consumer,
        *of.get(verdict_consumer, ()),
        **common,
        **quiet,
        signature_metrics=Metrics(),
        logger=Silence(),
        read_batch=_read_batch,
        random=_Choice,
    )
    return Code(
        copy_of(
            consumer,
            *of.get(consumer, ()),
            **common,
            **quiet,
            signature_metrics=Metrics(),
            logger=Silence(),
            read_batch=_read_batch,
            **{name: call for name, call in _DATABASE.items() if hasattr(consumer, name)},
            EndWatcher=watcher.EndWatcher,
            time=Time,
        ),
        copy_of(
            verdict_client,
            *of.get(verdict_client, ()),
            **quiet,
            time=Time,
            AttemptProducer=Producer,
            VerdictConsumer=verdicts.VerdictConsumer,
            new_id=lambda: _here().new_id(),
        ),
        copy_of(verdict_retry, *of.get(verdict_retry, ()), time=Time),
    )


class _Choice:
    @staticmethod
    def choice(partitions: Sequence[int]) -> int:
        """Two gateways share none, the third one has the first one's."""
        return partitions[_here().number % len(partitions)]


REAL = code()
"""As they are."""


class Asked:
    """A call of a client that is under way."""

    def __init__(self, kind: str, user: str, begin: float) -> None:
        """`kind` is that of a `Call`, for a login by a device with its name: "wrong@1"."""
        self.kind, _, self.device = kind.partition("@")
        self.user = user
        self.begin = begin
        self.ids: list[bytes] = []
        self.last = inf
        self.answered = False
        """Whether a verdict on it has passed this gateway."""
        self.failed = False
        """Whether the gateway was told that one of its records was not written."""


class Gateway:
    """A process. ``world`` is all that it shares with others."""

    def __init__(
        self, world: World, number: int, modules: Code = REAL, slow: bool = False, ahead: float = 0
    ) -> None:
        """``slow``: answers take their time; ``ahead``: of others' clocks, in seconds."""
        self.world = world
        self.number = number
        self.slow = slow
        self.threads: list[Thread] = []
        self.running: Thread
        self.frozen = False
        self.alive = True
        self.open: list[Asked] = []
        self.past = hash((number, world.now_ms))
        """Two gateways with the same past are in the same state."""
        self._ahead = ahead
        self._serving: list[tuple[asyncio.Task[None], Coroutine[Any, Any, None]]] = []
        self.loop = Loop(self.clock)
        self.blocklist = Blocklist()
        self._enter()
        self.client = self.loop.enter(lambda: modules.verdict_client.VerdictClient(self))
        self.log = modules.verdict_retry.VerdictRetry(self.blocklist, self.client)
        self.follower = self.loop.enter(
            lambda: modules.consumer.BlocklistConsumer(self, self.blocklist)
        )
        self.client.start()
        self.follower.start()

    def require_kafka(self) -> Gateway:
        """Instead of an address."""
        return self

    require_database = require_kafka
    unsigned_until_ms = 0

    def prefixed(self, name: str) -> str:
        """It shares its Kafka with nobody."""
        return name

    def clock(self) -> float:
        """Its own monotonic one, in seconds."""
        return self.world.now_ms / 1000 + self._ahead

    def new_id(self) -> bytes:
        """None is given twice."""
        self.world.ids += 1
        return self.world.ids.to_bytes(16, "big")

    @property
    def gap(self) -> str:
        """Why it has to load anew."""
        return str(self.follower._gap)

    @property
    def ready(self) -> bool:
        """Whether it can answer everything, as `services.Services.loaded` has it."""
        now = self.clock()
        return (
            self.client.ready.done()
            and self.follower.ready.done()
            and not self.blocklist.silent(now)
            and bool(self.blocklist.clock.earliest_ms(now))
        )

    def step(self, number: int, outcome: str = "done", take: int = MOST_READ) -> None:
        """One of its threads goes on."""
        self._enter()
        self.running = thread = self.threads[number]
        thread.take = take
        thread.step(outcome)
        self.run()

    def run(self) -> None:
        """The event loop does what is due."""
        if self.alive and not self.frozen:
            self._enter()
            self.loop.run()

    def crash(self) -> None:
        """End at once: its clients get no answer."""
        self.alive = False
        for thread in self.threads:
            thread.end()
        for asked in self.open:
            self._note(asked, 0)
        self.open.clear()
        for task, serving in self._serving:
            if not task.done():
                serving.close()

    def begin(self, kind: str, user: str) -> None:
        """A client calls."""
        asked = Asked(kind, user, self.world.tick())
        self.open.append(asked)
        self.remember("call", kind, user)
        self._enter()
        serving = self._serve(asked)
        task = self.loop.create_task(serving)
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._serving = [(t, s) for t, s in self._serving if not t.done()] + [(task, serving)]
        self.run()

    def remember(self, *what: object) -> None:
        """Add to its past."""
        self.past = hash((self.past, self.world.now_ms, *what))

    def passed(self, reader: Consumer) -> None:
        """Nothing before the reader's position is read by it any more."""
        if reader.topic != VERDICTS:
            return
        first: dict[bytes, Decision] = {}
        for listed in self.world.verdict_log[reader.partition][: reader.position]:
            for verdict in listed.verdicts:
                first.setdefault(verdict.id, verdict.decision)
        for asked in self.open if not self.frozen else ():
            decisions = {first[id_] for id_ in asked.ids if id_ in first}
            answers = decisions - {Decision.MOVED, Decision.LATE}
            asked.answered = asked.answered or bool(answers)

    def _enter(self) -> None:
        _KNOWN["here"] = self

    async def _serve(self, asked: Asked) -> None:
        try:
            status = await self._answer(asked)
        except Exception as error:  # nobody awaits the task
            self.loop.failure = error
            return
        self.open.remove(asked)
        excused = asked.failed or self.world.verdicts_broke
        if status == 503 and asked.answered and not excused:
            said = f"gateway {self.number} passed over the verdict on {vars(asked)}"
            self.loop.failure = Violation(said)
        self._note(asked, status)

    def _note(self, asked: Asked, status: int) -> None:
        if status in (0, 503) and not asked.ids:
            return  # nothing was written
        end = self.world.tick()
        call = Call(asked.kind, status, asked.begin, end, asked.last, asked.device)
        self.world.calls.setdefault(asked.user, []).append(Told(call, tuple(asked.ids)))

    async def _answer(self, asked: Asked) -> int:
        """The status that the resources give: login, blocked and register."""
        kind, user, now = asked.kind, asked.user, self.clock()
        if kind == "look":
            return self._look(asked)
        try:
            if kind in ("right", "wrong"):
                await self.log.reach(user, now + DEADLINE_SECONDS)
                until_ms = 0 if asked.device else self.blocklist.refused_until(user, now)
                if until_ms:
                    asked.begin -= self.world.jumped_ms(self.world.now_ms - 2_000)
                    return 403 if until_ms == FOREVER else 429
            verdict = await self.log.ask(
                user, now + DEADLINE_SECONDS, lambda *of: self._request(asked, *of)
            )
        except UnavailableError:
            return 503
        return _status(kind, verdict)

    def _request(
        self, asked: Asked, id_: bytes, reply: int, partitions: int, expires_ms: int
    ) -> Request:
        asked.ids.append(id_)
        user = asked.user
        if asked.kind != "wrong":
            asked.last = expires_ms
        if asked.kind in ("right", "wrong"):
            right = asked.kind == "right"
            expires_ms = expires_ms if right else 0
            device = asked.device.encode().rjust(16) if asked.device else None
            return Attempt(
                *(id_, reply, user, right, partitions, expires_ms, None, None, device), lists=True
            )
        make = Unblock if asked.kind == "unblock" else Registered
        return make(id_, reply, user, partitions, expires_ms)

    def _look(self, asked: Asked) -> int:
        """As `operator_queries.select_block`: by the time that it is at least."""
        now_ms = self.blocklist.clock.earliest_ms(self.clock())
        if now_ms is None or self.world.is_behind(asked.user):
            return 503
        state = self.world.tables.states.get(asked.user)
        if not state or (state[0].until_ms or 0) <= now_ms:
            return 404
        asked.begin = min(asked.begin, now_ms)
        return 200


def _status(kind: str, verdict: Verdict) -> int:
    decision = verdict.decision
    if decision == Decision.BLOCKED and kind in ("right", "wrong"):
        return 403 if verdict.until_ms == FOREVER else 429
    said = {
        ("right", Decision.ACCEPTED): 200,
        ("wrong", Decision.REJECTED): 401,
        ("unblock", Decision.ACCEPTED): 200,
        ("unblock", Decision.REJECTED): 404,
        ("register", Decision.ACCEPTED): 201,
        ("register", Decision.REJECTED): 201,
    }
    return said.get((kind, decision), 503)
