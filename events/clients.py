"""What every Kafka client of Cerrojo is configured with."""

from __future__ import annotations

from typing import Any


def connection(bootstrap_servers: str) -> dict[str, Any]:
    """Which brokers, and how soon to ask again for one that was away, or for a new leader.

    A quarter of a second bounds what the client adds to a broker's return and to an election.
    A broker that keeps its connections and answers nothing is given up after some seconds; by
    default it would be a minute, in which nobody asks who leads its partitions now.
    """
    return {
        "bootstrap.servers": bootstrap_servers,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 250,
        "retry.backoff.max.ms": 250,
        "socket.timeout.ms": 6_000,
        "socket.keepalive.enable": True,
    }
