"""Registering the accounts of a run, before its clock starts."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence

from gevent.pool import Pool  # type: ignore[import-untyped]
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from loadtest._run import Run, password

AT_ONCE = 8  # a registration costs a hash: more at once would only wait
PATIENCE_SECONDS = 30.0  # for one account, over all tries


class CannotStartError(Exception):
    """The run cannot start; the message says why and the way out."""


def require_ready(run: Run) -> None:
    """See that the system is up, or :class:`CannotStartError`."""
    status, body = _ask(f"{run.operator_url}/readyz")
    if status == 0:
        raise CannotStartError(
            f"Nothing answers at {run.operator_url}/readyz ({body}). Start the system with "
            "`make up`, or set OPERATOR_URL and LOGIN_URL to where it is."
        )
    if status != 200:
        raise CannotStartError(
            f"{run.operator_url}/readyz says that the system is not ready ({status}): {body}"
        )


def register(run: Run, accounts: Sequence[str]) -> None:
    """Register every account and show how far it is, or :class:`CannotStartError`."""
    columns = TextColumn("Registering accounts"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns) as progress:
        task = progress.add_task("", total=len(accounts))
        for _ in Pool(AT_ONCE).imap_unordered(lambda name: _register(run, name), accounts):
            progress.advance(task)


def _register(run: Run, account: str) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    body = json.dumps({"user": account, "pass": password(account)}).encode()
    while True:
        status, answer = _ask(f"{run.login_url}/register", body)
        if status == 201:
            return
        if status != 503 or time.monotonic() > give_up:
            raise CannotStartError(
                f"{run.login_url}/register did not register {account}: {status or 'no answer'}, "
                f"{answer}"
            )
        time.sleep(0.5)  # gevent's: the other registrations go on


def _ask(url: str, body: bytes | None = None) -> tuple[int, str]:
    """The status and the text of an answer; 0 and the reason where there is none."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 the operator's own URL
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 the same
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (OSError, ValueError) as error:  # ValueError: not a URL at all
        return 0, str(getattr(error, "reason", error))
