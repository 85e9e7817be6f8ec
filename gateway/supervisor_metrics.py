"""Every metric of the gateway's supervisor, named once."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from processes.metrics import from_the_start

BUILD_INFO = Gauge(
    "cerrojo_build_info",
    "1, with the version and the commit (unknown where the image was built without one)",
    ("version", "commit"),
    multiprocess_mode="livemax",
)
RESTARTS = from_the_start(
    Counter(
        "cerrojo_process_restarts",
        "Processes that were started again after they died or froze",
        ("role",),
    ),
    [("login",), ("operator",), ("hash",)],
)
PROCESSES = Gauge(
    "cerrojo_processes",
    "Kept processes: ready or other",
    ("state",),
    multiprocess_mode="livesum",
)
