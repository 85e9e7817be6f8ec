"""Sessions: what a login gives, so that a page need not ask for the password again.

A session is a signed token (JWT, RFC 7519) and nothing else; no table has it. It names the version
of its account, so that all of an account's sessions end when that changes.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwa import EdDSAAlgorithm

from gateway.errors import NoSessionError, UnavailableError
from gateway.rate_limited_logger import RateLimitedLogger
from gateway.reread_file import RereadFile
from gateway.session_keys import SETTING, Keys, parse
from settings import Settings

TOKEN_MAX = 4096
"""Bytes. A browser keeps no longer cookie, and no name makes so long a token."""

LEEWAY_SECONDS = 10
"""A token may begin so much later: gateways know the brokers' clock by bounds that differ."""


class _EdDSA(EdDSAAlgorithm):
    # RFC 9864 names it Ed25519 now, which few libraries know yet.
    security_warning = None  # type: ignore[assignment]


class _Registry(jws.JWSRegistry):
    """The only algorithm that there is here; a token cannot choose another one, or none."""

    algorithms = {"EdDSA": _EdDSA()}  # noqa: RUF012  # as the library has it


_REGISTRY = _Registry(algorithms=["EdDSA"])


class Claims(msgspec.Struct, frozen=True):
    """What a token says."""

    iss: str
    sub: str
    """The user."""
    aud: str
    iat: int
    nbf: int
    exp: int
    jti: str
    ver: int
    """The account's version when the session began."""


class Session(NamedTuple):
    """A session whose token is genuine and of this time."""

    user: str
    version: int
    """Of the account when it began; another one now, and the session is over."""
    seconds_left: int


_decoder = msgspec.json.Decoder(Claims)


class Sessions:
    """Makes the tokens of sessions, and knows them again."""

    def __init__(self, settings: Settings, clock_ms: Callable[[], int]) -> None:
        """`settings` has a file of keys. `clock_ms` gives milliseconds since 1970."""
        assert settings.session_keys_file
        self._file = RereadFile(settings.session_keys_file, parse)
        self._issuer = settings.session_issuer
        self._audience = settings.session_audience
        self.seconds = settings.session_seconds
        self._clock_ms = clock_ms
        self._logger = RateLimitedLogger()

    def keys(self) -> Keys:
        """The keys as the file has them now. Raises UnavailableError where they cannot be had."""
        try:
            return self._file.current()
        except (OSError, ValueError) as error:
            self._logger.warning(
                f"{SETTING} names a file that cannot be used, so nobody has a session or gets one. "
                "Repair it, or make it readable for the gateway",
                path=str(self._file.path),
                reason=error.strerror if isinstance(error, OSError) else str(error),
            )
            raise UnavailableError("Sessions cannot be signed; try again later") from None

    def begin(self, keys: Keys, user: str, version: int) -> str:
        """The token of a new session, signed with these keys."""
        now = self._clock_ms() // 1000
        claims = Claims(
            iss=self._issuer,
            sub=user,
            aud=self._audience,
            iat=now,
            nbf=now,
            exp=now + self.seconds,
            jti=secrets.token_urlsafe(16),
            ver=version,
        )
        header = {"alg": "EdDSA", "typ": "JWT", "kid": keys.signing.kid}
        payload = msgspec.json.encode(claims)
        return jws.serialize_compact(header, payload, keys.signing, registry=_REGISTRY)

    def session_of(self, token: bytes) -> Session:
        """The session of this token.

        Raises NoSessionError where there is none, and UnavailableError where that cannot be known.
        """
        claims = self._genuine(token)
        if (claims.iss, claims.aud) != (self._issuer, self._audience):
            raise NoSessionError("The session is one for somewhere else")
        now = self._clock_ms() / 1000
        if claims.nbf > now + LEEWAY_SECONDS:
            raise NoSessionError("The session has not begun")
        if claims.exp <= now:
            raise NoSessionError("The session has ended; log in again")
        return Session(claims.sub, claims.ver, int(claims.exp - now))

    def _genuine(self, token: bytes) -> Claims:
        keys = self.keys()
        try:
            if len(token) > TOKEN_MAX:
                raise ValueError
            signed = jws.extract_compact(token, registry=_REGISTRY)
            key = keys.verifying[signed.headers()["kid"]]
            if not jws.validate_compact(signed, key, registry=_REGISTRY):
                raise ValueError
            return _decoder.decode(signed.payload)
        except (JoseError, ValueError, TypeError, KeyError, RecursionError):
            raise NoSessionError("The token is none of a session here") from None
