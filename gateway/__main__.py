"""`python -m gateway`: both ports, by several processes that are kept alive."""

from __future__ import annotations

import sys

import structlog

import processes
import settings
from gateway.serve import LISTENER, LOADED, VISITORS, slot
from gateway.sockets import listen
from gateway.visitors import shared_file
from processes import log as logs
from processes import metrics as shared_metrics
from processes.titles import title

log = structlog.get_logger()

STEP = 0.5  # seconds; also how often the keeper of this process hears from it


class Supervisor:
    """Keeps the processes of the gateway running and says when each has been ready for anything."""

    def __init__(self, config: settings.Settings) -> None:
        """Listen on both ports, or raise SettingsError.

        The design had one listener for each process. One for all is better: a port that is
        taken is an error here and now instead of a second owner of half of the connections
        (SO_REUSEPORT), and a dead or frozen process does not keep its share of them.
        """
        from gateway import process_metrics  # only now do they know their slot

        self._metrics = process_metrics
        self._config = config
        self._listeners = {
            "login": listen("login_host", config.login_host, "login_port", config.login_port),
            "operator": listen(
                "operator_host", config.operator_host, "operator_port", config.operator_port
            ),
        }
        self._visitors = shared_file()
        self._names = [f"login {n}" for n in range(1, config.gateway_processes + 1)]
        self._names.append("operator")
        self._started: set[str] = set()
        self._loaded: set[str] = set()
        self._keeper = processes.Keeper(self._on_event)

    def run(self) -> None:
        """Keep them running until SIGTERM or Ctrl-C."""
        signals = processes.stop_signals(self._keeper)
        for name in self._names:
            self._keeper.add(self._spec(name))
        while not self._keeper.stopped:
            self._keeper.step(STEP)
            processes.parent().beat()
            self._count()
            if signals.impatient:
                self._keeper.kill()
            elif signals.asked:
                self._keeper.stop()
        for listener in self._listeners.values():
            listener.close()
        self._visitors.close()

    def _spec(self, name: str) -> processes.ProcessSpec:
        listener = self._listeners[name.split()[0]].fileno()
        visitors = self._visitors.fileno()
        return processes.ProcessSpec(
            name=f"gateway {name}",
            command=(sys.executable, "-m", "gateway.serve", *name.split()),
            env={LISTENER: str(listener), VISITORS: str(visitors)},
            pass_fds=(listener, visitors),
            drain_timeout=self._config.deadline_seconds + 2.5,
        )

    def _on_event(self, event: processes.Event) -> None:
        logs.log_event(event)
        name = event.name.removeprefix("gateway ")
        if isinstance(event, processes.Exited):
            state = self._keeper.states.get(event.name)
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
                log.info(
                    "The gateway is ready",
                    login=f"{config.login_host}:{config.login_port}",
                    operator=f"{config.operator_host}:{config.operator_port}",
                )
                processes.parent().ready()

    def _count(self) -> None:
        phases = [state.phase for state in self._keeper.states.values()]
        ready = phases.count(processes.Phase.READY)
        self._metrics.PROCESSES.labels("ready").set(ready)
        self._metrics.PROCESSES.labels("other").set(len(phases) - ready)


def main() -> int:
    """Serve until asked to finish; 2 where a setting cannot be used."""
    title("gateway")
    try:
        config = settings.load()
        config.require_database()
        config.require_kafka()
        logs.configure(config.log_level)
        processes.parent().watch(config.deadline_seconds + 5.0)
        with shared_metrics.directory():
            shared_metrics.use_slot("gateway")
            Supervisor(config).run()
    except settings.SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
