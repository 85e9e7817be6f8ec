"""Every metric of the workers, named once with its meaning.

A process calls ``processes.metrics.use_slot`` before it imports this.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class PartitionGauge:
    """What the supervisor alone says of its partitions; what it does not say is not there.

    In the files of several processes prometheus_client cannot take a series back.
    """

    def __init__(self, name: str, meaning: str) -> None:
        self._name = name
        self._meaning = meaning
        self._values: Mapping[int, int] = {}
        REGISTRY.register(self)

    def set(self, values: Mapping[int, int]) -> None:
        """These are all partitions that something is known of."""
        self._values = dict(values)

    def forget(self, partitions: Collection[int]) -> None:
        """These are other hosts' affair now."""
        self.set({n: value for n, value in self._values.items() if n not in partitions})

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """For prometheus_client, in any thread."""
        family = GaugeMetricFamily(self._name, self._meaning, labels=["partition"])
        for partition, value in self._values.items():
            family.add_metric([str(partition)], value)
        yield family


ATTEMPTS = Counter(
    "cerrojo_attempts",
    "Login attempts decided, by what the password check said and what the log decided",
    ["outcome", "verdict"],
)
COMMANDS = Counter("cerrojo_commands", "Other requests decided, by kind", ["kind"])
BLOCKS = Counter("cerrojo_blocks", "Decisions that blocked an account")
QUARANTINED = Counter("cerrojo_quarantined", "Records that could not be read and were put aside")
BATCH_SIZE = Histogram(
    "cerrojo_batch_size",
    "Records decided in one commit",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
)
BATCH_SECONDS = Histogram(
    "cerrojo_batch_seconds", "From a batch's read to its verdicts handed to Kafka", buckets=SECONDS
)
COMMIT_SECONDS = Histogram("cerrojo_commit_seconds", "The commit of one batch", buckets=SECONDS)
LAG = PartitionGauge("cerrojo_lag", "Records not decided yet")
NEXT_OFFSET = PartitionGauge("cerrojo_next_offset", "Offset of the next record to decide")
GENERATION = Gauge(
    "cerrojo_generation",
    "How often the log was made anew, lost its tail, or all partitions became more; and one",
    ["partition"],
    multiprocess_mode="livemostrecent",
)
LAYOUT = Gauge(
    "cerrojo_layout",
    "How many partitions are used, by what a partition decides",
    ["partition"],
    multiprocess_mode="livemostrecent",
)
UNUSED = Gauge(
    "cerrojo_partitions_unused",
    "Partitions of the topic that this host has and nobody uses",
    multiprocess_mode="livesum",
)
CLOCK_DIFFERENCE = Gauge(
    "cerrojo_clock_difference_seconds",
    "How far a worker's clock is ahead of the brokers' at least, by its last record; negative: "
    "behind; 0: they may agree",
    ["partition"],
    multiprocess_mode="livemostrecent",
)
STUCK = Counter("cerrojo_stuck", "Workers replaced because they lived and decided nothing")
LET_GO = Counter(
    "cerrojo_let_go",
    "What was kept long enough and is deleted: partitions of the audit, rows, lock states",
    ["kind"],
)
FENCED = Counter("cerrojo_fenced", "Workers that found another owner of their partition")
RESTARTS = Counter("cerrojo_process_restarts", "Starts of a process after its first", ["role"])
PROCESSES = Gauge(
    "cerrojo_processes", "Processes kept, by state", ["state"], multiprocess_mode="livesum"
)
