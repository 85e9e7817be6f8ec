"""Every metric of the workers, named once with its meaning.

A process calls ``processes.metrics.use_slot`` before it imports this.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import get_args

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily

from events.messages import Attempt, AttemptsMessage, Decision
from processes.metrics import from_the_start

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class PartitionGauge:
    """A gauge of the supervisor by partition, without a series for partitions it does not set.

    It is not kept in prometheus_client's files, from which a series cannot be removed.
    """

    def __init__(self, name: str, meaning: str) -> None:
        self._name = name
        self._meaning = meaning
        self._values: Mapping[int, int] = {}
        REGISTRY.register(self)

    def set(self, values: Mapping[int, int]) -> None:
        """Replace all values; a partition that is missing has no series any more."""
        self._values = dict(values)

    def forget(self, partitions: Collection[int]) -> None:
        """Remove the series of partitions that belong to other hosts now."""
        self.set({n: value for n, value in self._values.items() if n not in partitions})

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give the series to prometheus_client; may be called in any thread."""
        family = GaugeMetricFamily(self._name, self._meaning, labels=["partition"])
        for partition, value in self._values.items():
            family.add_metric([str(partition)], value)
        yield family


BUILD_INFO = Gauge(
    "cerrojo_build_info",
    "1, with the version and the commit (unknown where the image was built without one)",
    ("version", "commit"),
    multiprocess_mode="livemax",
)
NEVER = {("right", "rejected"), ("wrong", "accepted")}
ATTEMPTS = from_the_start(
    Counter(
        "cerrojo_attempts",
        "Login attempts decided, by outcome of the password check and verdict",
        ["outcome", "verdict"],
    ),
    sorted({(o, d.name.lower()) for o in ("right", "wrong") for d in Decision} - NEVER),
)
COMMANDS = from_the_start(
    Counter("cerrojo_commands", "Other requests decided, by kind", ["kind"]),
    [
        (str(kind.__struct_config__.tag),)
        for kind in get_args(AttemptsMessage)
        if kind is not Attempt
    ],
)
BLOCKS = Counter("cerrojo_blocks", "Decisions that blocked an account")
QUARANTINED = Counter(
    "cerrojo_quarantined", "Records that could not be decided and were put into quarantine"
)
BATCH_SIZE = Histogram(
    "cerrojo_batch_size",
    "Records decided in one commit",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
)
BATCH_SECONDS = Histogram(
    "cerrojo_batch_seconds",
    "Duration of a batch, from its read until its verdicts are handed to Kafka",
    buckets=SECONDS,
)
COMMIT_SECONDS = Histogram(
    "cerrojo_commit_seconds", "Duration of the commit of one batch", buckets=SECONDS
)
LAG = PartitionGauge("cerrojo_lag", "Records in the partition that are not decided yet")
NEXT_OFFSET = PartitionGauge("cerrojo_next_offset", "Offset of the next record to decide")
GENERATION = Gauge(
    "cerrojo_generation",
    "Generation of the log: rises when it is recreated or loses its tail, or when partitions "
    "are added",
    ["partition"],
    multiprocess_mode="livemostrecent",
)
MISSING = Gauge(
    "cerrojo_missing_attempts",
    "Records that the log had lost before they were decided, since ever; their wrong passwords "
    "count nowhere",
    ["partition"],
    multiprocess_mode="livemostrecent",
)
LAYOUT = Gauge(
    "cerrojo_layout",
    "Number of partitions in the layout that the partition has entered",
    ["partition"],
    multiprocess_mode="livemostrecent",
)
UNUSED = Gauge(
    "cerrojo_partitions_unused",
    "Partitions of the topic that are assigned to this host and not in use",
    multiprocess_mode="livesum",
)
CLOCK_DIFFERENCE = Gauge(
    "cerrojo_clock_difference_seconds",
    "Seconds by which the worker's clock is at least ahead of the brokers', by its last record "
    "(negative: behind; 0: they may agree)",
    ["partition"],
    multiprocess_mode="livemostrecent",
)
STUCK = Counter(
    "cerrojo_stuck", "Workers replaced because they decided nothing although records waited"
)
DELETED = from_the_start(
    Counter(
        "cerrojo_let_go",
        "Deleted after their retention: audit partitions, old rows, lock states, ended blocks; and "
        "decisions that lost the name of a deleted account",
        ["kind"],
    ),
    [("audit_partitions",), ("old_rows",), ("lock_states",), ("ended_blocks",), ("erased_names",)],
)
EVENTS = from_the_start(
    Counter("cerrojo_events", "Events published by the relay, by kind", ["kind"]),
    [
        *(("account.blocked",), ("account.unblocked",), ("account.block_expired",)),
        *(("policy.changed",), ("operator.login",), ("attack.began",), ("attack.ended",)),
    ],
)
EVENTS_LAG = Gauge(
    "cerrojo_events_lag_seconds",
    "Age of the oldest decision, end of a block or note that is not published yet (0: all are)",
    multiprocess_mode="livemax",
)
EVENTS_LEADS = Gauge(
    "cerrojo_events_leads",
    "Whether this host is the one that publishes events",
    multiprocess_mode="livemax",
)
DELIVERIES = from_the_start(
    Counter(
        "cerrojo_webhook_deliveries",
        "Posts of events to webhooks: delivered, failed and to be posted again, or given up",
        ["result"],
    ),
    [("delivered",), ("failed",), ("dead",)],
)
DEAD_LETTERS = Gauge(
    "cerrojo_webhook_dead_letters",
    "Events that were given up and wait for `cerrojo webhooks resend` or `drop`",
    multiprocess_mode="livemax",
)
WEBHOOK_LAG = Gauge(
    "cerrojo_webhook_lag_seconds",
    "Age of the oldest event that a webhook does not have, dead letters aside (0: all have all)",
    multiprocess_mode="livemax",
)
FENCED = Counter("cerrojo_fenced", "Workers that stopped because their partition has a new owner")
RESTARTS = from_the_start(
    Counter("cerrojo_process_restarts", "Restarts of processes, by role", ["role"]),
    [("worker",), ("relay",)],
)
PROCESSES = Gauge(
    "cerrojo_processes", "Managed processes, by state", ["state"], multiprocess_mode="livesum"
)
