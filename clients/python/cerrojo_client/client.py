"""The two clients: one that blocks its thread, and one for asyncio."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import aclosing, closing
from ssl import create_default_context
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlsplit

import httpx

from cerrojo_client.conversation import (
    Decided,
    Heard,
    Step,
    Undecided,
    Unusable,
    converse,
    logger,
    unexpected,
)
from cerrojo_client.verdict import Kind, OnUndecided, Verdict, blocked, decided, invalid, undecided

DEADLINE_SECONDS = 10.0
"""Twice a gateway's own, so that a second one can be asked where the first does not answer."""
MOST_DEADLINE_SECONDS = 30.0
"""For so long an attempt's key is known; sent again later, it may count as another attempt."""

USER_AGENT_MAX = 512  # characters
USER_MAX = 1024  # characters; Cerrojo's limit is far lower, and a URL has one, too

_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=100, keepalive_expiry=30.0)
_NO_NAME = "Nobody can have this user name"

T = TypeVar("T")
Steps = Generator[Step, Heard, T]


class _Endpoint:
    """Where Cerrojo is, what the requests to it look like, and what its answers mean."""

    def __init__(self, url: str, token: str, deadline: float) -> None:
        if not _is_base(url):
            raise ValueError(f"url is {url!r}: name Cerrojo's login port, as http://127.0.0.1:3000")
        if not 0 < deadline <= MOST_DEADLINE_SECONDS:
            raise ValueError(
                f"deadline is {deadline} seconds: give more than 0 and at most "
                f"{MOST_DEADLINE_SECONDS:g}, for which a repeated attempt is known"
            )
        if not _is_visible_ascii(token):
            raise ValueError("token is no service token: it has visible ASCII characters only")
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "User-Agent": "cerrojo-client"}
        self._deadline = deadline
        self._has_warned = False

    def _block(self, user: str, on_undecided: OnUndecided, due: float) -> Steps[Verdict | None]:
        if not _is_name(user):
            return invalid(_NO_NAME)
        path = f"/attempts/{quote(user, safe='')}/block"
        request = httpx.Request("GET", self._url + path, headers=self._headers)
        match (yield from converse(request, due, time.monotonic)):
            case Decided({"blocked": False}):
                return None
            case Decided({"blocked": True, "retry_after": int() | None as seconds}):
                return blocked(seconds)
            case Unusable(sentence):
                return invalid(sentence)
            case Undecided(seconds):
                passes = on_undecided is OnUndecided.PASS
                return None if passes else undecided(False, on_undecided, seconds)
        raise unexpected(200)

    def _attempt(
        self,
        user: str,
        right: bool,
        on_undecided: OnUndecided,
        due: float,
        source: str | None,
        user_agent: str | None,
        key: str | None = None,
    ) -> Steps[Verdict]:
        if not _is_name(user):
            return invalid(_NO_NAME)
        if key is None:
            key = secrets.token_hex(16)
        elif not _is_visible_ascii(key):
            raise ValueError(f"key is {key!r}: it has 1 to 255 visible ASCII characters")
        body: dict[str, Any] = {"user": user, "outcome": "right" if right else "wrong"}
        if source is not None and self._is_sent(source):
            body["source"] = source
        if user_agent is not None:
            body["user_agent"] = user_agent[:USER_AGENT_MAX].encode("utf-8", "replace").decode()
        headers = {**self._headers, "Idempotency-Key": key}
        request = httpx.Request("POST", f"{self._url}/attempts", json=body, headers=headers)
        match (yield from converse(request, due, time.monotonic)):
            case Decided({"verdict": "accepted"}) if right:
                return decided(Kind.ACCEPTED)
            case Decided({"verdict": "rejected"}) if not right:
                return decided(Kind.REJECTED)
            case Decided({"verdict": "blocked", "retry_after": int() | None as seconds}):
                return blocked(seconds)
            case Unusable(sentence):
                return invalid(sentence)
            case Undecided(seconds):
                return undecided(right, on_undecided, seconds)
        raise unexpected(200)

    def _is_sent(self, source: str) -> bool:
        """Whether it is an address; with any other, Cerrojo would refuse everybody's login."""
        if _is_address(source):
            return True
        if not self._has_warned:  # each login may have such a one
            self._has_warned = True
            logger.warning(
                "source is %.80r, which is no IP address, and is left out; give one without a port "
                "or a zone, or None. Others like it are left out without a word",
                source,
            )
        return False


class Cerrojo(_Endpoint):
    """A client that blocks its thread. Threads may share one, and then share its connections.

    ``url`` is the login port's, ``token`` a service token, ``deadline`` the seconds that Cerrojo
    may take for a login in all, 30 at most. ``ca_file`` has the certificates of who signed
    Cerrojo's own, where the system does not know them. ``transport`` is httpx', for a proxy.
    A process that forks makes its client afterwards.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        deadline: float = DEADLINE_SECONDS,
        ca_file: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(url, token, deadline)
        # Not httpx' client, which logs each URL with the name in it. And the token goes where it is
        # said, not to a proxy that the environment names.
        self._transport = transport or httpx.HTTPTransport(
            verify=create_default_context(cafile=ca_file), limits=_LIMITS, trust_env=False
        )

    @classmethod
    def configured(cls, get: Callable[[str, Any], Any]) -> Self:
        """By a framework's settings: CERROJO_URL and CERROJO_TOKEN.

        CERROJO_DEADLINE_SECONDS and CERROJO_CA_FILE where they are set. ``get`` is given a name and
        a default.
        """
        return cls(
            get("CERROJO_URL", ""),
            get("CERROJO_TOKEN", ""),
            deadline=float(get("CERROJO_DEADLINE_SECONDS", DEADLINE_SECONDS)),
            ca_file=get("CERROJO_CA_FILE", None),
        )

    def login(
        self,
        user: str,
        check: Callable[[], bool],
        *,
        on_undecided: OnUndecided,
        source: str | None = None,
        user_agent: str | None = None,
    ) -> Verdict:
        """Whether this login succeeds. ``check`` is only called if the user is not blocked.

        Raises CerrojoError, and what ``check`` raises: then nothing is reported.
        """
        began = time.monotonic()
        refusal = self._hold(self._block(user, on_undecided, began + self._deadline / 2))
        if refusal is not None:
            return refusal
        left = self._deadline - (time.monotonic() - began)
        right = check()
        due = time.monotonic() + left
        return self._hold(self._attempt(user, right, on_undecided, due, source, user_agent))

    def block(self, user: str, *, on_undecided: OnUndecided) -> Verdict | None:
        """The refusal that needs no look at the password; None if the password is to be checked.

        Raises CerrojoError.
        """
        return self._hold(self._block(user, on_undecided, time.monotonic() + self._deadline))

    def report(
        self,
        user: str,
        *,
        right: bool,
        on_undecided: OnUndecided,
        source: str | None = None,
        user_agent: str | None = None,
        key: str | None = None,
    ) -> Verdict:
        """What the log decides about a password that was checked.

        Calls with the same ``key`` are one attempt; a call without one has its own, for all its
        retries. ``source`` is the person's IP address; anything else is left out. Raises
        CerrojoError.
        """
        due = time.monotonic() + self._deadline
        return self._hold(self._attempt(user, right, on_undecided, due, source, user_agent, key))

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        """The client, which is closed at the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self.close()

    def _hold(self, steps: Steps[T]) -> T:
        try:
            step = next(steps)
            while True:
                if isinstance(step, httpx.Request):
                    step = steps.send(self._send(step))
                else:
                    time.sleep(step)
                    step = next(steps)
        except StopIteration as end:
            result: T = end.value
            return result

    def _send(self, request: httpx.Request) -> Heard:
        try:
            with closing(self._transport.handle_request(request)) as response:
                response.read()
            return response
        except httpx.RequestError as error:
            return error


class AsyncCerrojo(_Endpoint):
    """A client for asyncio: `Cerrojo` with methods to await. It belongs to one event loop."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        deadline: float = DEADLINE_SECONDS,
        ca_file: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(url, token, deadline)
        self._transport = transport or httpx.AsyncHTTPTransport(
            verify=create_default_context(cafile=ca_file), limits=_LIMITS, trust_env=False
        )

    async def login(
        self,
        user: str,
        check: Callable[[], Awaitable[bool]],
        *,
        on_undecided: OnUndecided,
        source: str | None = None,
        user_agent: str | None = None,
    ) -> Verdict:
        """Whether this login succeeds. ``check`` is only called if the user is not blocked.

        A hash belongs into a thread, or it stops the event loop. Raises CerrojoError, and what
        ``check`` raises: then nothing is reported.
        """
        began = time.monotonic()
        refusal = await self._hold(self._block(user, on_undecided, began + self._deadline / 2))
        if refusal is not None:
            return refusal
        left = self._deadline - (time.monotonic() - began)
        right = await check()
        due = time.monotonic() + left
        return await self._hold(self._attempt(user, right, on_undecided, due, source, user_agent))

    async def block(self, user: str, *, on_undecided: OnUndecided) -> Verdict | None:
        """The refusal that needs no look at the password; None if the password is to be checked.

        Raises CerrojoError.
        """
        return await self._hold(self._block(user, on_undecided, time.monotonic() + self._deadline))

    async def report(
        self,
        user: str,
        *,
        right: bool,
        on_undecided: OnUndecided,
        source: str | None = None,
        user_agent: str | None = None,
        key: str | None = None,
    ) -> Verdict:
        """What the log decides about a password that was checked: see `Cerrojo.report`."""
        due = time.monotonic() + self._deadline
        return await self._hold(
            self._attempt(user, right, on_undecided, due, source, user_agent, key)
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        """The client, which is closed at the end."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self.close()

    async def _hold(self, steps: Steps[T]) -> T:
        try:
            step = next(steps)
            while True:
                if isinstance(step, httpx.Request):
                    step = steps.send(await self._send(step))
                else:
                    await asyncio.sleep(step)
                    step = next(steps)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _send(self, request: httpx.Request) -> Heard:
        try:
            async with aclosing(await self._transport.handle_async_request(request)) as response:
                await response.aread()
            return response
        except httpx.RequestError as error:
            return error


def _is_base(url: str) -> bool:
    """Whether a path can be put behind it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # no such port, or half an IPv6 address
        return False
    return (
        parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and port != 0
        and "@" not in parts.netloc
        and not (set(url) & set("?#") or re.search(r"[^!-~]", url))
    )


def _is_name(user: str) -> bool:
    """Whether it can be sent; whether an account can have it is Cerrojo's to say."""
    if user in ("", ".", "..") or len(user) > USER_MAX:  # no path can have the dots
        return False
    return not any("\ud800" <= character <= "\udfff" for character in user)


def _is_address(source: str) -> bool:
    """Whether Cerrojo takes it as one: it takes none with a zone, the name of a network card."""
    try:
        ipaddress.ip_address(source)
    except ValueError:
        return False
    return "%" not in source


def _is_visible_ascii(text: str) -> bool:
    return 0 < len(text) <= 255 and all("!" <= character <= "~" for character in text)
