"""The cookie of a session, for browsers: they show no token by themselves."""

from __future__ import annotations

from collections.abc import Iterable

from settings import Settings


class SessionCookie:
    """The cookie as the settings want it.

    A secure one is sent over https only, and the prefix of its name keeps other hosts of the same
    domain from setting it (RFC 6265bis). No script can read it. A page elsewhere that sends a form
    here sends it without the cookie; one that only links here sends it along.
    """

    def __init__(self, settings: Settings) -> None:
        secure = settings.session_cookie == "secure"
        self.name = "__Host-cerrojo" if secure else "cerrojo"
        self._attributes = f"Path=/; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"
        self._seconds = settings.session_seconds

    def give(self, token: str) -> str:
        """The header that sets it."""
        return f"{self.name}={token}; Max-Age={self._seconds}; {self._attributes}"

    def take_away(self) -> str:
        """The header that removes it."""
        return f"{self.name}=; Max-Age=0; {self._attributes}"

    def token_in(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
        """The token in a request with these headers; None where they have none."""
        return cookie_in(headers, self.name)


def cookie_in(headers: Iterable[tuple[bytes, bytes]], name: str) -> bytes | None:
    """The value of the first cookie of this name; None where there is none."""
    wanted = name.encode()
    for header, value in headers:
        if header == b"cookie":
            for pair in value.split(b";"):
                found, _, text = pair.strip().partition(b"=")
                if found == wanted:
                    return text
    return None
