"""Which usernames and passwords there are, by PRECIS (RFC 8265)."""

from __future__ import annotations

import re

from precis_i18n import get_profile

from gateway.errors import BadRequestError

USER_MIN = 3  # characters
USER_MAX = 64  # characters
PASSWORD_MIN = 8  # characters
PASSWORD_MAX = 1024  # bytes of UTF-8

# Composition makes a text at most four times shorter: what is longer than these cannot become
# short enough, and does not get to spend time on PRECIS.
RAW_USER_MAX = 4 * USER_MAX
RAW_PASSWORD_MAX = 4 * PASSWORD_MAX

_username = get_profile("UsernameCaseMapped")
_opaque = get_profile("OpaqueString")

# For these the profiles change nothing (a property test says so), and most are like these.
_PLAIN_USER = re.compile(r"[a-z0-9._@+-]+", re.ASCII)
_PLAIN_PASSWORD = re.compile(r"[ -~]+")


def username(raw: str) -> str:
    """The one form of this name, whatever its Unicode form and case; or BadRequestError."""
    if len(raw) > RAW_USER_MAX:
        raise BadRequestError(_USER_LENGTH)
    if not _PLAIN_USER.fullmatch(raw):
        raw = _enforce(_username, raw, "user")
    if not USER_MIN <= len(raw) <= USER_MAX:
        raise BadRequestError(_USER_LENGTH)
    return raw


def password(raw: str) -> str:
    """The one form of this password, or BadRequestError, which does not contain it."""
    if len(raw) > RAW_PASSWORD_MAX:
        raise BadRequestError(_PASSWORD_LENGTH)
    if not _PLAIN_PASSWORD.fullmatch(raw):
        raw = _enforce(_opaque, raw, "pass")
    if len(raw) < PASSWORD_MIN or len(raw.encode()) > PASSWORD_MAX:
        raise BadRequestError(_PASSWORD_LENGTH)
    return raw


_USER_LENGTH = f"user must have {USER_MIN} to {USER_MAX} characters"
_PASSWORD_LENGTH = (
    f"pass must have at least {PASSWORD_MIN} characters and at most {PASSWORD_MAX} bytes"
)
_REASONS = {
    "DISALLOWED/empty": "is empty",
    "DISALLOWED/not_idempotent": "has no stable form in Unicode",
    "DISALLOWED/bidi_rule": "mixes writing directions",
    "DISALLOWED/controls": "contains a control character",
    "DISALLOWED/spaces": "contains a space",
}


def _enforce(profile: object, raw: str, field: str) -> str:
    try:
        return str(profile.enforce(raw))  # type: ignore[attr-defined]
    except UnicodeEncodeError as error:
        reason = _REASONS.get(error.reason, "contains a character that is not allowed")
    # Outside of the handler: the error that has the text in it is not to be seen anywhere.
    raise BadRequestError(f"{field} {reason}")
