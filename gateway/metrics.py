"""Every metric of a serving process, named once. No label ever holds a username.

Those of the supervisor are in `process_metrics`, as what it never sets would count as zeros.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def _gauge(name: str, meaning: str, labels: tuple[str, ...] = ()) -> Gauge:
    """A gauge whose values in all living processes are added up."""
    return Gauge(name, meaning, labels, multiprocess_mode="livesum")


LOGINS = Counter(
    "cerrojo_logins",
    "Logins by their answer: accepted 200, wrong 401, blocked 429, final 403, invalid 4xx, "
    "overloaded and unavailable 503, gone: the client left before its turn",
    ("result",),
)
REGISTRATIONS = Counter(
    "cerrojo_registrations",
    "Registrations by their answer: created 201, taken 409, invalid 4xx, overloaded and "
    "unavailable 503, gone: the client left before its turn",
    ("result",),
)
LOGIN_SECONDS = Histogram(
    "cerrojo_login_seconds",
    "From the request to the answer of a login, whatever it is",
    buckets=_SECONDS,
)
VERDICT_SECONDS = Histogram(
    "cerrojo_verdict_seconds",
    "From writing a request to the log to hearing its verdict",
    buckets=_SECONDS,
)
HASH_SECONDS = Histogram(
    "cerrojo_hash_seconds",
    "What one Argon2id hash takes, without the wait for a thread",
    buckets=_SECONDS,
)
HASHES_IN_FLIGHT = _gauge("cerrojo_hashes_in_flight", "Hashes that are being made or checked")
LOGINS_WAITING = _gauge("cerrojo_logins_waiting", "Requests that wait for their turn to hash")
FLOODED_ACCOUNTS = Gauge(
    "cerrojo_flooded_accounts",
    "Accounts with more logins than can be served, which make way for those of others; the largest "
    "number of any process",
    multiprocess_mode="livemax",
)
VIEW_BLOCKS = Gauge(
    "cerrojo_view_blocks",
    "Blocks that the gateway knows of; the largest number of any process, as all should agree",
    multiprocess_mode="livemax",
)
VIEW_PARTITIONS_FRESH = Gauge(
    "cerrojo_view_partitions_fresh",
    "Partitions with a fresh heartbeat; the smallest number of any process",
    multiprocess_mode="livemin",
)
VIEW_PARTITIONS_SILENT = Gauge(
    "cerrojo_view_partitions_silent",
    "Partitions in use without a fresh heartbeat; the largest number of any process",
    multiprocess_mode="livemax",
)
PRODUCER_QUEUE = _gauge("cerrojo_producer_queue", "Messages that no broker has acknowledged yet")
POOL_CONNECTIONS = _gauge(
    "cerrojo_pool_connections", "Connections to Postgres: idle or used", ("state",)
)
POOL_WAITING = _gauge("cerrojo_pool_waiting", "Requests that wait for a connection to Postgres")
UNDECODABLE = Counter(
    "cerrojo_undecodable",
    "Records on verdicts and blocks that could not be read and were ignored",
    ("topic",),
)
