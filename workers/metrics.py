"""Every metric of the workers, named once with its meaning.

A process calls ``processes.metrics.use_slot`` before it imports this.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

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
LAG = Gauge(
    "cerrojo_lag", "Records not decided yet", ["partition"], multiprocess_mode="livemostrecent"
)
NEXT_OFFSET = Gauge(
    "cerrojo_next_offset",
    "Offset of the next record to decide",
    ["partition"],
    multiprocess_mode="livemostrecent",
)
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
    "The worker's clock less the append time of the last record, where nothing waited",
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
