"""Every metric of a serving process, named once. No label ever holds a username.

Those of the supervisor are in `supervisor_metrics`: here they would be zeros, as a serving process
never sets them.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from events.topics import BLOCKS, SOURCES, VERDICTS
from processes.metrics import from_the_start

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def _gauge(name: str, meaning: str, labels: tuple[str, ...] = ()) -> Gauge:
    """A gauge that is the sum over all living processes."""
    return Gauge(name, meaning, labels, multiprocess_mode="livesum")


_REFUSED = ("invalid", "overloaded", "unavailable", "gone")
LOGINS = from_the_start(
    Counter(
        "cerrojo_logins",
        "Logins by their answer: accepted 200, wrong 401, blocked 429, source 429, final 403, "
        "invalid other 4xx, overloaded and unavailable 503, gone: the client left before its turn",
        ("result",),
    ),
    [(result,) for result in ("accepted", "wrong", "blocked", "source", "final", *_REFUSED)],
)
REGISTRATIONS = from_the_start(
    Counter(
        "cerrojo_registrations",
        "Registrations by their answer: created 201, common_password 400, taken 409, off 403, "
        "source 429, invalid other 4xx, overloaded and unavailable 503, gone: the client left "
        "before its turn",
        ("result",),
    ),
    [(result,) for result in ("created", "common_password", "taken", "off", "source", *_REFUSED)],
)
PASSWORD_CHANGES = from_the_start(
    Counter(
        "cerrojo_password_changes",
        "Changes of one's own password by their answer: changed 200, common_password 400, wrong "
        "401, blocked and source 429, final 403, invalid other 4xx, overloaded and unavailable "
        "503, gone: the client left before its turn",
        ("result",),
    ),
    [
        (result,)
        for result in (
            *("changed", "common_password", "wrong", "blocked", "source", "final"),
            *_REFUSED,
        )
    ],
)
ACCOUNT_COMMANDS = from_the_start(
    Counter(
        "cerrojo_account_commands",
        "What operators did to accounts, where it was done",
        ("kind",),
    ),
    [(kind,) for kind in ("create", "reset", "disable", "enable", "forget_devices", "delete")],
)
SERVICE_ATTEMPTS = from_the_start(
    Counter(
        "cerrojo_service_attempts",
        "Attempts of services (POST /attempts) by their answer: accepted, rejected and blocked "
        "200, unauthorized 401, not_enabled and insufficient_scope 403, key_reused 409, invalid "
        "other 4xx, overloaded and unavailable 503, gone: the service left before its turn",
        ("result",),
    ),
    [
        (result,)
        for result in (
            *("accepted", "rejected", "blocked", "unauthorized", "not_enabled", "key_reused"),
            "insufficient_scope",
            *_REFUSED,
        )
    ],
)
SESSION_CHECKS = from_the_start(
    Counter(
        "cerrojo_session_checks",
        "Checks of a session (GET /session) by their answer: accepted 200, no_session 401, "
        "invalid 408 and 413, unavailable 503",
        ("result",),
    ),
    [(result,) for result in ("accepted", "no_session", "invalid", "unavailable")],
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
    "The time of one Argon2id hash, without the wait for a thread",
    buckets=_SECONDS,
)
BAD_HASHES = Counter(
    "cerrojo_bad_hashes",
    "Logins to accounts whose stored hash is none; they are answered and counted as wrong",
)
HASHES_IN_HAND = _gauge(
    "cerrojo_hashes_in_flight", "Hashes that are being made or checked, or wait for a thread"
)
LOGINS_WAITING = _gauge(
    "cerrojo_logins_waiting", "Requests that wait for others of the same account"
)
BLOCKLIST_BLOCKS = Gauge(
    "cerrojo_view_blocks",
    "Blocks that the gateway knows of; the largest number of any process, as all should agree",
    multiprocess_mode="livemax",
)
BLOCKLIST_PARTITIONS_FRESH = Gauge(
    "cerrojo_view_partitions_fresh",
    "Partitions with a fresh heartbeat; the smallest number of any process",
    multiprocess_mode="livemin",
)
BLOCKLIST_PARTITIONS_SILENT = Gauge(
    "cerrojo_view_partitions_silent",
    "Partitions in use without a fresh heartbeat; the largest number of any process",
    multiprocess_mode="livemax",
)
BLOCKLIST_AGE_SECONDS = Gauge(
    "cerrojo_view_age_seconds",
    "How old the news are of which the gateway may lack some; the largest number of any process. "
    "Over 2 it refuses nobody by itself, and the log decides",
    multiprocess_mode="livemax",
)
CLOCK_DIFFERENCE = Gauge(
    "cerrojo_gateway_clock_difference_seconds",
    "By how much this host's clock is ahead of the brokers' at least; 0 where they may agree",
    multiprocess_mode="livemostrecent",
)
PRODUCER_QUEUE = _gauge("cerrojo_producer_queue", "Messages that no broker has acknowledged yet")
CONNECTIONS_CLOSED = Counter(
    "cerrojo_idle_connections_closed",
    "Connections of clients that were closed as too many of them were idle",
)
POOL_CONNECTIONS = _gauge(
    "cerrojo_pool_connections", "Connections to Postgres: idle or used", ("state",)
)
POOL_WAITING = _gauge("cerrojo_pool_waiting", "Requests that wait for a connection to Postgres")
UNDECODABLE = from_the_start(
    Counter(
        "cerrojo_undecodable",
        "Records on verdicts, blocks and sources that could not be read and were ignored",
        ("topic",),
    ),
    [(VERDICTS,), (BLOCKS,), (SOURCES,)],
)
SOURCES_LIVE = Gauge(
    "cerrojo_sources_live",
    "1 where a process knows what sources did, else nothing stands against any; the smallest",
    multiprocess_mode="livemin",
)
SOURCES_FAILED = Gauge(
    "cerrojo_sources_failed_accounts",
    "Accounts whose last login from a source was wrong, in each source, within 15 minutes",
    multiprocess_mode="livemax",
)
SOURCES_SUCCEEDED = Gauge(
    "cerrojo_sources_succeeded_accounts",
    "Accounts that got in, in each source, within 15 minutes",
    multiprocess_mode="livemax",
)
ATTACK = Gauge(
    "cerrojo_attack",
    "1 while more accounts fail, over all sources, than CERROJO_ATTACK_FAILURES allows",
    multiprocess_mode="livemax",
)
DELAYED = _gauge("cerrojo_logins_delayed", "Logins that are delayed for what their source did")
DELAYS = Counter("cerrojo_delays", "Logins that were delayed for what their source did")
