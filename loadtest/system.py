"""The system under test, as a run prepares it and looks at it: outside of what is measured."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from datetime import datetime
from math import inf
from typing import Any
from urllib.parse import quote

from gevent.pool import Pool  # type: ignore[import-untyped]
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from loadtest.ledger import BLOCKED, CREATED, FINAL, TAKEN, UNAVAILABLE, WRONG, Rules

AT_ONCE = 8  # a registration costs a hash: more at once would only wait
PATIENCE_SECONDS = 30.0  # for one account, over all tries
PAGE = 10_000  # accounts
MOST_GUESSES = 1_000  # at an account that should be blocked long before

SOURCE_REFUSED = '"source_refused"'
"""The code in a 429 for the source of a request and not for its account."""

LIMITS = {"/login": "CERROJO_SOURCE_FAILURES", "/register": "CERROJO_SOURCE_REGISTRATIONS"}
"""The settings by which the gateways limit a source, by path."""

_WAY_OUT = (
    "Set CERROJO_OPERATOR_TOKEN_FILE to a file with a token that "
    "`cerrojo operators add NAME --role operate` printed."
)


class CannotStartError(Exception):
    """The run cannot start; the message says why and the way out."""


class System:
    """Where the system is, and a few questions to it."""

    def __init__(
        self, login_url: str, operator_url: str, deadline_seconds: float, token: str = ""
    ) -> None:
        """``deadline_seconds`` is in how many its gateways answer, if with 503.

        ``token`` is an operator's; empty: there is none.
        """
        self.token = token
        self.login_url = login_url.rstrip("/")
        self.operator_url = operator_url.rstrip("/")
        self.deadline_seconds = deadline_seconds

    @property
    def authorization(self) -> dict[str, str]:
        """The headers of a request to the operator port; reads may need a token there, too."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def require_token(self) -> None:
        """See that there is an operator's token, or :class:`CannotStartError`."""
        if not self.token:
            raise CannotStartError(
                f"This scenario lifts blocks, and has no token for it. {_WAY_OUT}"
            )

    def require_ready(self) -> None:
        """See that it is up, or :class:`CannotStartError`."""
        status, body = self._ask(f"{self.operator_url}/readyz")
        if status == 0:
            raise CannotStartError(
                f"Nothing answers at {self.operator_url}/readyz ({body}). Start the system with "
                "`make up`, or set OPERATOR_URL and LOGIN_URL to where it is."
            )
        if status != 200:
            raise CannotStartError(
                f"{self.operator_url}/readyz says that the system is not ready ({status}): {body}"
            )

    def register(self, accounts: Sequence[tuple[str, str]]) -> None:
        """Register each of these names and passwords, or :class:`CannotStartError`."""
        columns = TextColumn("Registering accounts"), BarColumn(), MofNCompleteColumn()
        with Progress(*columns) as progress:
            task = progress.add_task("", total=len(accounts))
            for _ in Pool(AT_ONCE).imap_unordered(lambda pair: self._register(*pair), accounts):
                progress.advance(task)

    def rules(self, probe: str) -> Rules:
        """The policy in force, by what happens to an account that is guessed at until its block.

        A system that reveals more than it says is a :class:`CannotStartError`.
        """
        revealed = 0
        while (status := self._post("/login", probe, "a guess of the probe")[0]) == WRONG:
            revealed += 1
            if revealed > MOST_GUESSES:
                raise CannotStartError(f"{revealed} wrong passwords did not block {probe}.")
        found, body = self._ask_operator(f"/blocked/{probe}")
        if found in (401, 403):
            raise CannotStartError(f"GET /blocked/{probe} was answered {found}: {body}. {_WAY_OUT}")
        if status not in (BLOCKED, FINAL) or found != 200:
            raise CannotStartError(
                f"After {revealed} wrong passwords {probe} was answered {status or 'nothing'}, "
                f"and GET /blocked/{probe} said {found or 'nothing'}: {body}"
            )
        rules = policy_of(json.loads(body))
        if revealed > rules.threshold:  # fewer where one was answered 503
            raise CannotStartError(
                f"The system says that its threshold is {rules.threshold}, and revealed {revealed} "
                f"wrong passwords of {probe} before it was blocked."
            )
        return rules

    def lookup(self, account: str) -> int:
        """The status of ``GET /blocked/<account>``; 0: none. A 503 is asked again for a while."""
        return self._ask_operator(f"/blocked/{account}")[0]

    def blocked(self) -> tuple[int, set[str]]:
        """The status of ``GET /blocked``, and its accounts: all of them where that is 200.

        A 503 is asked again for a while.
        """
        found, after = set[str](), ""
        while True:
            status, body = self._ask_operator(f"/blocked?limit={PAGE}&after={quote(after)}")
            if status != 200:
                return status, found
            users = json.loads(body)["users-blocked"]
            found.update(users)
            if len(users) < PAGE:
                return status, found
            after = users[-1]

    def attacks(self) -> dict[str, Any]:
        """``GET /attacks``, with the sources that have most refusals; empty where it failed."""
        status, body = self._ask_operator("/attacks?limit=1000")
        found: dict[str, Any] = json.loads(body) if status == 200 else {}
        return found

    def _register(self, account: str, password: str) -> None:
        status, repeated = self._post("/register", account, password)
        # What was answered 503 may have been done: then the name is this run's own.
        if status != CREATED and not (status == TAKEN and repeated):
            raise CannotStartError(
                f"{self.login_url}/register did not register {account}: {status or 'no answer'}."
            )

    def _post(self, path: str, account: str, password: str) -> tuple[int, bool]:
        """The status, and whether it was asked again; a 503 is, for a while.

        A refusal of this host is a :class:`CannotStartError`.
        """
        body = json.dumps({"user": account, "pass": password}).encode()
        status, text, repeated = self._ask_patiently(f"{self.login_url}{path}", body)
        if status == BLOCKED and SOURCE_REFUSED in text:
            raise CannotStartError(
                f"{self.login_url}{path} refuses this host: its address is limited. Name it in "
                f"the gateways' CERROJO_SOURCE_EXEMPT, or raise {LIMITS[path]}."
            )
        return status, repeated

    def _ask_operator(self, path: str) -> tuple[int, str]:
        return self._ask_patiently(f"{self.operator_url}{path}", None, **self.authorization)[:2]

    def _ask_patiently(self, url: str, body: bytes | None, **headers: str) -> tuple[int, str, bool]:
        """As :meth:`_ask`, but a 503 is asked again for a while; also whether it was."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        repeated = False
        while True:
            status, text = self._ask(url, body, **headers)
            if status != UNAVAILABLE or time.monotonic() > give_up:
                return status, text, repeated
            repeated = True
            time.sleep(0.5)  # gevent's: the others go on

    def _ask(self, url: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
        """The status and the text of an answer; 0 and the reason where there is none."""
        try:
            request = urllib.request.Request(  # noqa: S310 the operator's own URL
                url, body, {"Content-Type": "application/json", **headers}
            )
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 the same
                return answer.status, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except (OSError, ValueError) as error:  # ValueError: not a URL at all
            return 0, str(getattr(error, "reason", error))


def policy_of(block: dict[str, Any]) -> Rules:
    """The rules by which an account was blocked, out of ``GET /blocked/<user>``."""
    why = re.match(r"(\d+) wrong passwords (?:within (\S+) s|in a row)", block["why"])
    if not why:
        raise CannotStartError(f"It cannot be understood why an account is blocked: {block}")
    length = inf
    if block["until"]:
        since, until = (datetime.fromisoformat(block[key]) for key in ("since", "until"))
        length = (until - since).total_seconds()
    return Rules(int(why[1]), float(why[2] or inf), length)
