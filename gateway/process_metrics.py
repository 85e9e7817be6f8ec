"""Every metric of the gateway's supervisor, named once."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

RESTARTS = Counter(
    "cerrojo_process_restarts",
    "Processes that were started again after they died or froze",
    ("role",),
)
PROCESSES = Gauge(
    "cerrojo_processes",
    "Kept processes: ready or other",
    ("state",),
    multiprocess_mode="livesum",
)
