"""The tokens of services. `cerrojo tokens new NAME` makes one, and the line for its file.

The file has a line for each token: the service's name, the token's SHA-256 in hex, and its scopes
with commas between them. A `#` begins a comment. A token is 256 random bits, which nobody finds by
trying, so its hash needs neither salt nor slowness.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import structlog

from gateway.errors import (
    InsufficientScopeError,
    NotEnabledError,
    UnauthorizedError,
    UnavailableError,
)
from gateway.rate_limited_logger import RateLimitedLogger
from gateway.reread_file import RereadFile
from settings import variable

logger = structlog.get_logger()

SETTING = variable("service_tokens_file")


class Scope(StrEnum):
    """What a token is for. Each is a part of the login port."""

    BLOCK = "block"
    """To ask whether an account is blocked, which changes nothing."""
    ATTEMPTS = "attempts"
    """To report attempts, by which any account can be blocked and any count cleared."""


class ServiceToken(NamedTuple):
    """A line of the file."""

    service: str
    sha256: bytes
    scopes: frozenset[Scope]


_LINE = re.compile(r"(\S+)\s+([0-9a-fA-F]{64})(?:\s+(\S+))?")
_NAME = re.compile(r"[!-\"$-~]{1,64}")


class ServiceTokens:
    """The tokens in a file, which is read again whenever it has changed."""

    def __init__(self, path: Path | None) -> None:
        """None: no service may ask for verdicts."""
        self._file = None if path is None else RereadFile(path, parse)
        self._logger = RateLimitedLogger()

    def service_of(self, authorization: bytes | None, scope: Scope) -> str:
        """The name of the service whose token this `Authorization` header has, for this scope.

        Raises NotEnabledError where there is no file of tokens, UnauthorizedError where it has no
        such token, InsufficientScopeError where the token has not this scope, and UnavailableError
        where the file cannot be read.
        """
        if self._file is None:
            raise NotEnabledError(
                f"Verdicts for services are not enabled. Set {SETTING} to a file of tokens; "
                "`cerrojo tokens new NAME` makes one"
            )
        scheme, _, token = (authorization or b"").partition(b" ")
        if scheme.lower() != b"bearer" or not token.strip():
            raise UnauthorizedError("The Authorization header must be: Bearer, and a token")
        found = None
        sent = hashlib.sha256(token.strip()).digest()
        for known in self._current(self._file):
            # All of them, each in the same time: how long it takes tells nothing.
            if hmac.compare_digest(sent, known.sha256) and found is None:
                found = known
        if found is None:
            raise UnauthorizedError("The token is none of a service's")
        if scope not in found.scopes:
            raise InsufficientScopeError(
                f'The token of {found.service} has not the scope "{scope}". Whoever runs this adds '
                f"it to the token's line in the file of {SETTING}",
                scope,
            )
        return found.service

    def _current(self, file: RereadFile[list[ServiceToken]]) -> list[ServiceToken]:
        try:
            return file.current()
        except OSError as error:
            self._logger.warning(
                f"{SETTING} names a file that cannot be read, so no service is let in. Make it "
                "readable for the gateway",
                path=str(file.path),
                reason=error.strerror,
            )
            raise UnavailableError(
                "The tokens of services cannot be read; try again later"
            ) from None


def parse(content: bytes) -> list[ServiceToken]:
    """The token of each line; any other line is passed over, loudly."""
    found = []
    for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
        said = line.partition("#")[0].strip()
        match = _LINE.fullmatch(said)
        scopes = None if match is None else scopes_of(match[3])
        if match and scopes:
            found.append(ServiceToken(match[1], bytes.fromhex(match[2]), scopes))
        elif said:
            logger.error(
                f"A line of the file in {SETTING} is not a name, a SHA-256 in hex and scopes "
                f"({_ALL}), and is passed over",
                line=number,
            )
        if match and match[3] is None:
            logger.warning(
                f"A line of the file in {SETTING} has no scopes, so its token has all. Add those "
                f"that it needs ({_ALL})",
                line=number,
                service=match[1],
            )
    return found


_ALL = ",".join(Scope)


def scopes_of(text: str | None) -> frozenset[Scope] | None:
    """What stands in a line; all for None, as before there were any. None: these are no scopes."""
    try:
        return frozenset(Scope if text is None else map(Scope, text.split(",")))
    except ValueError:
        return None


class NewToken(NamedTuple):
    """A token, which nobody sees again, and the line of the file that lets it in."""

    token: str
    line: str


def new_token(name: str, scopes: Collection[Scope]) -> NewToken:
    """A token of the service of this name. Raises ValueError, with a sentence, for a bad name."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: use 1 to 64 visible ASCII characters, and no #")
    token = secrets.token_urlsafe(32)
    known = ",".join(scope for scope in Scope if scope in scopes)
    return NewToken(token, f"{name} {hashlib.sha256(token.encode()).hexdigest()} {known}")
