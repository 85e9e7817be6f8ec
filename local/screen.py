"""The terminal output of `make up`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from events.signing_keys import SETTING
from local.parts import Addresses
from local.system import PROGRESS
from processes import (
    BackingOff,
    Event,
    Exited,
    Frozen,
    Killed,
    NeverReady,
    NotStarted,
    Ready,
    Removed,
    Said,
    Started,
    State,
)
from settings import Settings

PLAIN_SECONDS = 5.0  # between reports of progress if the output is no terminal
SHOWN_DELAY_SECONDS = 1.0  # a restart after a shorter delay is not shown
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing listens by this


class Screen:
    """A terminal that shows progress, then an overview, then deaths, restarts and stops."""

    def __init__(self, logs: Path) -> None:
        """Show nothing yet. `logs` is the folder of the parts' logs."""
        self._logs = logs
        self._console = Console(highlight=False)
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._reported_at = 0.0
        self._served: set[str] = set()  # the parts that have been ready
        self._stopping = False
        self._stopping_since = 0.0

    def note(self, text: str) -> None:
        """Print one line, with the time."""
        line = f"{time.strftime('%H:%M:%S')} {text}"
        self._console.print(line, markup=False, soft_wrap=True)

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Show a line for each part while the parts are started."""
        columns = (
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}", markup=False),
            TextColumn("{task.fields[status]}", markup=False, style="dim"),
            TimeElapsedColumn(),
        )
        if not self._console.is_terminal:
            yield
            return
        with Progress(*columns, console=self._console, transient=True) as self._progress:
            yield
        self._progress = None

    def show(self, event: Event) -> None:
        """Show an event of a part."""
        if isinstance(event, Ready):
            self._served.add(event.name)
        if self._progress is not None:
            self._show_progress(event, self._progress)
        elif (text := self._sentence(event)) is not None:
            self.note(text)

    def up(
        self,
        settings: Settings,
        addresses: Addresses,
        states: Mapping[str, State],
        seconds: float,
        argon2: str,
    ) -> None:
        """Show that everything runs: the addresses of the parts, and requests to try.

        `argon2` says what hashes, and in which time.
        """
        rows = []
        for host in addresses.hosts:
            login = _url(settings.login_host, host.ports["login_port"])
            operator = _url(settings.operator_host, host.ports["operator_port"])
            workers = _url(settings.workers_host, host.ports["workers_port"])
            rows += [
                (host.gateway, f"{login}/login and /register"),
                ("", f"{operator}/ (console), /docs, /blocked and /metrics"),
                (host.workers, f"{workers}/metrics"),
            ]
        elsewhere = [("kafka", addresses.kafka_bootstrap_servers)]
        rows += [(node.name, node.address) for node in addresses.kafka] or elsewhere
        rows.append(("postgres", _without_password(addresses.database_url)))
        lines = [f"Cerrojo is up after {seconds:.1f} s.", ""]
        for name, where in rows:
            state = states.get(name)
            what = f"pid {state.pid}" if state else "not started here" if name else ""
            lines.append(f"  {name:9} {what:12} {where}")
        lines += ["", f"  data in {addresses.data_dir}, logs in {addresses.data_dir / 'logs'}"]
        if addresses.signing_keys:
            lines.append(f"  records signed, {SETTING} is {addresses.signing_keys}")
        lines.append(f"  an operator's token, for changes, in {addresses.operator_token}")
        lines.append("  `.venv/bin/cerrojo --help` lists the commands for it")
        lines.append(f"  {argon2}")
        login = _url(settings.login_host, settings.login_port)
        operator = _url(settings.operator_host, settings.operator_port)
        lines += ["", "Try:", "", *(f"  {line}" for line in _curls(login, operator))]
        lines += ["", "Ctrl-C stops everything. Until then only deaths and restarts are shown."]
        self._console.print("\n".join(["", *lines, ""]), markup=False, soft_wrap=True)

    def stopping(self, failure: str | None) -> None:
        """Show that everything is being stopped, and the failure that is the cause, if any."""
        self._stopping = True
        self._stopping_since = time.monotonic()
        if failure:
            self._console.print(failure, markup=False, soft_wrap=True, style="red")
        self.note("stopping")

    def stopped(self) -> None:
        """Show that everything has stopped."""
        self.note(f"stopped everything after {time.monotonic() - self._stopping_since:.1f} s")

    def _show_progress(self, event: Event, progress: Progress) -> None:
        if isinstance(event, Started) and event.name not in self._tasks:
            self._tasks[event.name] = progress.add_task(event.name, total=1, status="starting")
        task = self._tasks.get(event.name)
        if task is None:
            return
        if isinstance(event, Said) and event.key == PROGRESS:
            progress.update(task, status=event.value)
        elif isinstance(event, Ready):
            progress.update(task, completed=1, status="ready")
        elif isinstance(event, Exited):
            progress.update(task, completed=1, status="done" if event.code == 0 else "failed")

    def _sentence(self, event: Event) -> str | None:
        """The sentence about an event; None if it is not shown."""
        name = event.name
        if isinstance(event, Said):
            return f"{name}: {event.value}" if self._due(event) else None
        if isinstance(event, Ready):
            return f"{name} is ready after {event.seconds:.1f} s (pid {event.pid})"
        if isinstance(event, Killed):
            return f"{name} did not finish within {event.seconds:.1f} s and is killed"
        if isinstance(event, Removed):
            return f"{name} has stopped" if self._stopping else None
        if self._stopping:
            return None
        if isinstance(event, Exited) and event.code == 0 and name not in self._served:
            return f"{name}: done"
        if isinstance(event, Exited):
            return f"{name} (pid {event.pid}) ended with {_how(event.code)}"
        if isinstance(event, Frozen):
            return f"{name} has not answered for {event.seconds:.0f} s: killed and restarted"
        if isinstance(event, NeverReady):
            return f"{name} was not ready after {event.seconds:.0f} s: killed and restarted"
        if isinstance(event, NotStarted):
            return f"{name} could not be started: {event.reason}"
        if isinstance(event, BackingOff) and event.seconds >= SHOWN_DELAY_SECONDS:
            log = self._logs / f"{name}.log"
            return f"{name} is restarted in {event.seconds:.0f} s; its log is {log}"
        return None

    def _due(self, event: Said) -> bool:
        now = time.monotonic()
        if event.key != PROGRESS or now - self._reported_at < PLAIN_SECONDS:
            return False
        self._reported_at = now
        return True


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def _url(host: str, port: int) -> str:
    host = ANY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _without_password(database_url: str) -> str:
    parts = conninfo_to_dict(database_url)
    if "password" not in parts:
        return database_url
    return f"{parts.get('host', 'localhost')}, database {parts.get('dbname', '')}"


def _curls(login: str, operator: str) -> list[str]:
    right, wrong = ('{"user":"ana","pass":"correct horse"}', '{"user":"ana","pass":"not this one"}')
    post = "curl -i -H 'Content-Type: application/json' -d"
    return [
        f"{post} '{right}' {login}/register",
        f"{post} '{right}' {login}/login",
        f"{post} '{wrong}' {login}/login    # five times, and a sixth",
        f"curl -i {operator}/blocked",
    ]
