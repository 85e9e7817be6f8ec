"""Every metric of the hash processes, named once."""

from __future__ import annotations

from prometheus_client import Gauge

HASH_BUILD = Gauge(
    "cerrojo_hash_build_info",
    "1, with the build of Argon2 that hashes: wheel runs on any CPU, others are named after the "
    "level of CPU that they need; and the version of its bindings",
    ("build", "version"),
    multiprocess_mode="livemax",
)
