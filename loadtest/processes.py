"""A run in several processes: the messages between master and workers, sent by Locust.

A worker tells the master every second which logins ended. At the end the master asks everyone to
finish, and waits: Locust's own way of ending a headless run drops what a worker has to say last.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import gevent  # type: ignore[import-untyped]
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtest.cost import Cost, Meter
from loadtest.judge import Check
from loadtest.ledger import Ledger
from loadtest.merge import Clock, Sender, merge

TELL_SECONDS = 1.0
ASK_SECONDS = 0.5  # how often a worker asks for the master's time
FINISH_SECONDS = 45.0  # for a worker to end its clients and tell the rest

# Kinds of messages, besides Locust's.
NEWS, FINISH, TIME = "cerrojo news", "cerrojo finish", "cerrojo time"


class Master:
    """Merges the news of the workers."""

    def __init__(self, runner: MasterRunner) -> None:
        self._runner = runner
        self._ledger: Ledger | None = None
        self._expected: set[str] = set()
        self._without_clock: set[str] = set()
        self.costs: dict[str, Cost] = {}  # of those who have told everything
        runner.register_message(NEWS, self._hear)
        runner.register_message(TIME, self._tell_time)

    def begin(self, ledger: Ledger) -> int:
        """Merge into this ledger from now on; the number of workers."""
        self._ledger = ledger
        self._expected = {client.id for client in self._living()}
        self._without_clock = set()
        self.costs = {}
        return len(self._expected)

    def finish(self) -> None:
        """Let all workers end their clients, and return when they have told everything."""
        self._runner.send_message(FINISH)
        with gevent.Timeout(FINISH_SECONDS, False):
            while any(client.id not in self.costs for client in self._living()):
                gevent.sleep(0.05)

    def check(self) -> Check:
        """Whether everyone has told everything, without which nothing is proven."""
        return Check(
            "Every process of the load test told all that it saw",
            f"{len(self._expected)} processes",
            [
                *(
                    f"{name} was not heard to its end, so what it saw is missing above"
                    for name in self._expected - set(self.costs)
                ),
                *(f"{name} did not learn the master's time" for name in self._without_clock),
            ],
        )

    def _living(self) -> list[Any]:
        clients = self._runner.clients
        return [*clients.ready, *clients.spawning, *clients.running]

    def _hear(self, environment: Environment, msg: Any) -> None:
        if self._ledger is None:
            return
        self._expected.add(msg.node_id)
        merge(self._ledger, msg.data["news"])
        if msg.data["cost"]:
            self.costs[msg.node_id] = Cost(*msg.data["cost"])
            if not msg.data["knows_time"]:
                self._without_clock.add(msg.node_id)

    def _tell_time(self, environment: Environment, msg: Any) -> None:
        times = {"asked": msg.data["asked"], "there": time.monotonic()}
        self._runner.send_message(TIME, times, client_id=msg.node_id)


class Worker:
    """Tells the master what happens in this process."""

    def __init__(self, runner: WorkerRunner) -> None:
        self._runner = runner
        self._clock = Clock()
        self._sender: Sender | None = None
        self._meter: Meter | None = None
        runner.register_message(FINISH, self._finish, concurrent=True)
        runner.register_message(TIME, self._learn_time)
        gevent.spawn(self._ask_time)

    def begin(self, ledger: Ledger) -> None:
        """Tell of this ledger from now on."""
        self._sender = Sender(ledger, self._clock)
        self._meter = Meter()
        if not os.environ.get("MASTER"):  # Ctrl-C is for the master, which asks this one to finish
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        gevent.spawn(self._tell_on, self._sender)

    def _finish(self, environment: Environment, msg: Any) -> None:
        self._runner.stop()
        self._runner._send_stats()  # Locust's own last ones; otherwise they come too late
        if self._sender and self._meter:
            self._tell(self._sender, self._meter.stop())
        self._sender = self._meter = None
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def _tell(self, sender: Sender, cost: Cost | None = None) -> None:
        news = sender.news(final=cost is not None)
        told = {"news": news, "cost": cost and list(cost), "knows_time": self._clock.known}
        self._runner.send_message(NEWS, told)

    def _tell_on(self, sender: Sender) -> None:
        while self._sender is sender:
            self._tell(sender)
            gevent.sleep(TELL_SECONDS)

    def _ask_time(self) -> None:
        while True:
            self._runner.send_message(TIME, {"asked": time.monotonic()})
            gevent.sleep(ASK_SECONDS)

    def _learn_time(self, environment: Environment, msg: Any) -> None:
        self._clock.learn(msg.data["asked"], msg.data["there"], time.monotonic())
