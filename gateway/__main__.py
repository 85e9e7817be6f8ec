"""`python -m gateway`: serves both ports by several processes, and keeps them alive."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Mapping

import structlog

import processes
import settings
from events.signing_keys import check_key_files
from gateway.launch import KILL_SECONDS, LOADED, Launcher, drain_seconds, hash_sockets
from gateway.passwords import common_passwords
from gateway.passwords.hash_protocol import Lane
from gateway.process import slot
from gateway.web.listener import listen
from processes import logs, start_gate
from processes import metrics as shared_metrics
from processes.titles import title
from version import COMMIT, VERSION, describe

logger = structlog.get_logger()

STEP_SECONDS = 0.5  # also how often the manager of this process gets a sign of life


class Supervisor:
    """Keeps the gateway's processes running, and says when each of them has loaded everything."""

    def __init__(
        self, config: settings.Settings, hash_sockets: Mapping[Lane, socket.socket]
    ) -> None:
        """Listen on both ports, or raise SettingsError.

        The design had one listener for each process. One for all is better: a port that is
        taken is an error here and now instead of a second owner of half of the connections
        (SO_REUSEPORT), and a dead or frozen process does not keep its share of them.
        """
        # Metrics look up their slot when they are defined.
        from gateway import supervisor_metrics
        from processes.host_metrics import HostMetrics

        self._metrics = supervisor_metrics
        self._host_metrics = HostMetrics(config)
        supervisor_metrics.BUILD_INFO.labels(VERSION, COMMIT).set(1)
        self._config = config
        self._listeners = {
            "login": listen("login_host", config.login_host, "login_port", config.login_port),
            "operator": listen(
                "operator_host", config.operator_host, "operator_port", config.operator_port
            ),
        }
        launcher = Launcher(self._listeners, hash_sockets, config.deadline_seconds)
        logins = [f"login {n}" for n in range(1, config.gateway_processes + 1)]
        self._names = (*logins, "operator")
        self._specs = [
            *(launcher.hash_spec(lane) for lane in Lane),
            *(launcher.spec(name) for name in self._names),
        ]
        self._started: set[str] = set()
        self._loaded: set[str] = set()
        self._manager = processes.ProcessManager(self._on_event)

    def run(self) -> None:
        """Keep them running until SIGTERM or Ctrl-C."""
        signals = processes.stop_signals(self._manager)
        for spec in self._specs:
            self._manager.add(spec)
        while not self._manager.stopped:
            self._manager.step(STEP_SECONDS)
            processes.manager_link().beat()
            start_gate.tell_if_closed()
            self._count()
            if signals.impatient:
                self._manager.kill()
            elif signals.asked:
                self._manager.stop()
        for listener in self._listeners.values():
            listener.close()

    def _on_event(self, event: processes.Event) -> None:
        logs.log_event(event)
        name = event.name.removeprefix("gateway ")
        if isinstance(event, processes.Exited):
            state = self._manager.states.get(event.name)
            if state is None or state.pid is None:  # else its successor has cleared them
                shared_metrics.forget(slot(name))
        elif isinstance(event, processes.Started):
            if name in self._started:
                self._metrics.RESTARTS.labels(name.split()[0]).inc()
            self._started.add(name)
        elif event == processes.Said(event.name, LOADED, "") and name not in self._loaded:
            self._loaded.add(name)
            if len(self._loaded) == len(self._names):
                config = self._config
                logger.info(
                    "The gateway is ready",
                    login=f"{config.login_host}:{config.login_port}",
                    operator=f"{config.operator_host}:{config.operator_port}",
                )
                processes.manager_link().ready()

    def _count(self) -> None:
        phases = [state.phase for state in self._manager.states.values()]
        ready = phases.count(processes.Phase.READY)
        self._metrics.PROCESSES.labels("ready").set(ready)
        self._metrics.PROCESSES.labels("other").set(len(phases) - ready)
        pids: dict[str, list[int | None]] = {}
        for name, state in self._manager.states.items():
            pids.setdefault(name.split()[1], []).append(state.pid)
        self._host_metrics.look(pids)


def _check_kafka(config: settings.Settings) -> None:
    config.require_kafka()
    if config.kafka_security_protocol != "PLAINTEXT":
        # The client library, of which this process has no other use, takes some megabytes.
        from events.clients import check_options

        check_options(config)


def main() -> int:
    """Serve until asked to finish; 2 where a setting cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m gateway", description=__doc__)
    parser.add_argument("--version", action="version", version=describe())
    parser.parse_args()
    title("gateway")
    try:
        config = settings.load()
        logs.configure(config.log_level, config.log_format)
        config.require_database()
        config.of_operator_port()
        _check_kafka(config)
        common_passwords.load(config.common_passwords)  # else each login process would fail
        check_key_files(config, "gateway", "operator")
        processes.manager_link().watch(drain_seconds(config.deadline_seconds) + KILL_SECONDS)
        with shared_metrics.directory() as directory, hash_sockets(directory) as sockets:
            shared_metrics.use_slot("gateway")
            Supervisor(config, sockets).run()
    except settings.SettingsError as error:
        logs.say_why_it_ends(str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
