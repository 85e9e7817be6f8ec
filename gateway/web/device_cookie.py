"""The cookie of a device, by which a browser's next login is known to be its account's owner's."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.web.session_cookie import cookie_in
from settings import Settings

DAY_SECONDS = 86_400


class DeviceCookie:
    """The cookie as the settings want it.

    As a session's, but no request from another page has it: only logins here need it.
    """

    def __init__(self, settings: Settings) -> None:
        secure = settings.device_cookie == "secure"
        self.name = "__Host-cerrojo-device" if secure else "cerrojo-device"
        self._attributes = f"Path=/; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}"
        self._seconds = settings.device_days * DAY_SECONDS

    def give(self, value: str) -> str:
        """The header that sets it."""
        return f"{self.name}={value}; Max-Age={self._seconds}; {self._attributes}"

    def value_in(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
        """What it is in a request with these headers; None where they do not have it."""
        return cookie_in(headers, self.name)
