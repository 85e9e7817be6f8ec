"""Requests to the operator port of a gateway, and to the workers' port."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec

from settings import FIELDS, Settings, SettingsError, variable
from workers.commands.errors import CommandError

REST_SECONDS = 5.0
"""What an answer may take beyond CERROJO_DEADLINE_SECONDS, within which it is made."""

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # what a server may listen on
"""Addresses that mean all of a machine, and that by which itself is asked."""


class RefusalError(CommandError):
    """The gateway's answer was an error."""

    def __init__(self, sentence: str, code: str) -> None:
        """The code stays; the sentence is for people."""
        super().__init__(f"{sentence.rstrip('.')}.")
        self.code = code


class UnansweredError(CommandError):
    """No answer came to a request that may be done all the same."""


class Answer(NamedTuple):
    """What a port answered; a body that is no JSON is None."""

    status: int
    body: Any


class Port:
    """An address that is asked, each time by a connection of its own."""

    def __init__(self, url: str, seconds: float, way_out: str, token: str = "") -> None:
        """`seconds` are those that an answer may take; `way_out` is said where none comes.

        `token` is an operator's; empty: there is none.
        """
        self.url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        parts = urlsplit(url)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._connect = partial(kind, parts.netloc, timeout=seconds)
        self._base = parts.path.rstrip("/")
        self._way_out = way_out

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The body of the answer. Raises RefusalError for one of an error, else as `request`."""
        answer = self.request(method, path, body)
        found = answer.body if isinstance(answer.body, dict) else {}
        if answer.status not in (200, 201) or answer.body is not found:
            sentence = found.get("error") or f"{self.url} answered {answer.status}, and no JSON"
            raise RefusalError(str(sentence), str(found.get("code", "")))
        return found

    def pages(self, address: str) -> Iterator[Any]:
        """The bodies of all pages of a list; `address` has a query. Raises as `ask`."""
        after: str | None = ""
        while after is not None:
            page = self.ask("GET", f"{address}&after={quote(after, safe='')}" if after else address)
            yield page
            after = page["next"]

    def request(self, method: str, path: str, body: object = None) -> Answer:
        """The answer, whatever it is.

        Raises CommandError where there is none, UnansweredError where something may have changed.
        """
        content = None if body is None else msgspec.json.encode(body)
        headers = self._headers | ({} if body is None else {"Content-Type": "application/json"})
        sent = False
        try:
            with closing(self._connect()) as connection:
                connection.request(method, self._base + path, content, headers)
                sent = True
                with connection.getresponse() as response:
                    return Answer(response.status, _decoded(response.read()))
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            if sent and method != "GET":
                raise UnansweredError(
                    f"{self.url} got the request and did not answer it: {why}. It may be done all "
                    "the same: `cerrojo attempts` lists what is, and by whom."
                ) from None
            raise CommandError(f"Nothing answers at {self.url}: {why}. {self._way_out}") from None


def operator_port(settings: Settings) -> Port:
    """The operator port of the settings. Raises SettingsError where they name none.

    Also where they name a file of a token that cannot be read.
    """
    way_out = (
        f"Start `python -m gateway`, or set {variable('operator_url')} to where its operator port "
        "is."
    )
    seconds = settings.deadline_seconds + REST_SECONDS
    return Port(url_of(settings), seconds, way_out, settings.operator_token())


def workers_port(settings: Settings) -> Port:
    """The port of the workers on this machine."""
    url = _url(settings.workers_host, settings.workers_port)
    return Port(url, REST_SECONDS, "Start `python -m workers`, unless they run elsewhere.")


def url_of(settings: Settings) -> str:
    """Where the operator port is. Raises SettingsError."""
    if not settings.operator_url:
        return _url(settings.operator_host, settings.operator_port)
    parts = urlsplit(settings.operator_url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query:
        trouble = "it must be an address, as http://ops.example:5000"
        raise SettingsError(FIELDS["operator_url"].refuse(settings.operator_url, trouble))
    return settings.operator_url.rstrip("/")


def path(*parts: str) -> str:
    """The path of these names, percent-encoded."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def _url(host: str, port: int) -> str:
    host = _EVERYWHERE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _decoded(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
