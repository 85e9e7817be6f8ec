"""The metrics of signatures, which gateways and workers both have.

A process imports them, as all metrics, when it knows its slot.
"""

from __future__ import annotations

from itertools import product

from prometheus_client import Counter, Gauge

from events.messages import REFUSALS
from events.topics import EVENTS, TOPICS
from processes.metrics import from_the_start

_SIGNED = [topic for topic in TOPICS if topic != EVENTS]
"""The topics that Cerrojo reads itself."""

REFUSED = from_the_start(
    Counter(
        "cerrojo_refused_records",
        "Records that were not believed because of their signature, by reason",
        ("topic", "reason"),
    ),
    product(_SIGNED, REFUSALS),
)
UNSIGNED = from_the_start(
    Counter(
        "cerrojo_unsigned_records",
        "Records without a signature that were believed until CERROJO_UNSIGNED_UNTIL",
        ("topic",),
    ),
    product(_SIGNED),
)
SIGNING = Gauge(
    "cerrojo_signing",
    "1 where records are signed and checked, 0 where there are no keys",
    multiprocess_mode="livemax",
)
