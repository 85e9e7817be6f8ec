"""Which usernames and passwords there are, by PRECIS (RFC 8265).

precis-i18n says which texts are accepted, and in which form. Beyond that, the work stays in
proportion to the length of any text, and a text that is too long gets none: this runs on the event
loop.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from itertools import groupby
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

from precis_i18n import get_profile
from precis_i18n.profile import Profile

from gateway.errors import InvalidInputError

USER_MIN = 3  # characters
USER_MAX = 254  # characters, as many as an e-mail address has at most (RFC 5321)
PASSWORD_MIN = 8  # characters
PASSWORD_MAX = 1024  # bytes of UTF-8

# No character is composed of more than four, nor of more than three for each two bytes of its
# own (a test goes through all of them). A longer text cannot become short enough.
RAW_USER_MAX = 4 * USER_MAX  # characters
RAW_PASSWORD_MAX = PASSWORD_MAX * 3 // 2  # characters


def username(raw: str) -> str:
    """The one form of this name, whatever its Unicode form and case; or InvalidInputError."""
    return _one_form(_USER, raw)


def password(raw: str) -> str:
    """The one form of a password that is set, or InvalidInputError, which does not contain it."""
    return _one_form(_PASSWORD, raw)


def password_to_check(raw: str) -> str:
    """The same for one that is checked: an account may have it whatever the limits are now."""
    return _one_form(_CHECKED, raw)


def _normalize(form: Literal["NFC", "NFKC"], text: str) -> str:
    """As unicodedata has it, whose own sorting of combining characters is quadratic."""
    if len(text) > 1:
        apart = "".join(unicodedata.normalize("NFD", character) for character in text)
        runs = groupby(apart, lambda character: unicodedata.combining(character) == 0)
        text = "".join(mark for _, run in runs for mark in sorted(run, key=unicodedata.combining))
    return unicodedata.normalize(form, text)


_UNICODE: Any = SimpleNamespace(
    unidata_version=unicodedata.unidata_version,
    category=unicodedata.category,
    combining=unicodedata.combining,
    bidirectional=unicodedata.bidirectional,
    normalize=_normalize,
)


class _Kind(NamedTuple):
    """The rules for usernames, or for passwords."""

    field: str
    profile: Profile
    plain: re.Pattern[str]
    """Texts that the profile leaves as they are (a property test says so); most are like these."""
    raw_max: int  # characters
    least: int  # characters
    most: int
    size: Callable[[str], int]
    """The size of a text in the unit of `most`."""
    limits: str
    is_set: bool = True
    """Whether the limits hold; else only `raw_max`, and the rules for what is within them."""


_USER = _Kind(
    "user",
    get_profile("UsernameCaseMapped", unicodedata=_UNICODE),
    re.compile(r"[a-z0-9._@+-]+", re.ASCII),
    RAW_USER_MAX,
    USER_MIN,
    USER_MAX,
    len,
    f"user must have {USER_MIN} to {USER_MAX} characters",
)
_PASSWORD = _Kind(
    "pass",
    get_profile("OpaqueString", unicodedata=_UNICODE),
    re.compile(r"[ -~]+"),
    RAW_PASSWORD_MAX,
    PASSWORD_MIN,
    PASSWORD_MAX,
    lambda text: len(text.encode()),
    f"pass must have at least {PASSWORD_MIN} characters and at most {PASSWORD_MAX} bytes",
)
_CHECKED = _PASSWORD._replace(
    is_set=False, limits=f"pass must have at most {RAW_PASSWORD_MAX} characters"
)
_REASONS = {
    "DISALLOWED/not_idempotent": "has no stable form in Unicode",
    "DISALLOWED/bidi_rule": "mixes writing directions",
    "DISALLOWED/controls": "contains a control character",
    "DISALLOWED/spaces": "contains a space",
}


def _one_form(kind: _Kind, raw: str) -> str:
    if len(raw) > kind.raw_max:
        raise InvalidInputError(kind.limits)
    text = raw if kind.plain.fullmatch(raw) else _enforced(kind, raw)
    if kind.is_set and (len(text) < kind.least or kind.size(text) > kind.most):
        raise InvalidInputError(kind.limits)
    return text


def _enforced(kind: _Kind, raw: str) -> str:
    """The result of `profile.enforce`, with the limit before all that is costly."""
    if not raw:
        raise InvalidInputError(f"{kind.field} is empty")
    try:
        text = kind.profile.apply_five_rules(raw)
        if kind.size(text) <= kind.most:
            kind.profile.idempotence_check(text)
            kind.profile.base.enforce(_thinned(text))
        return text
    except UnicodeEncodeError as error:
        reason = _REASONS.get(error.reason, "contains a character that is not allowed")
    # Outside of the handler: the error that has the text in it is not to be seen anywhere.
    raise InvalidInputError(f"{kind.field} {reason}")


_JUDGED_BY_THE_WHOLE = [re.compile(c) for c in ("\u30fb", "[\u0660-\u0669]", "[\u06f0-\u06f9]")]
"""Characters that other ones anywhere in the text allow or forbid (RFC 5892, A.7 to A.9)."""


def _thinned(text: str) -> str:
    """A text of which the base class says the same, and looks only thrice through the whole.

    It would do so for each of these characters, where the first speaks for the others. A
    character that has no part in any rule takes the place of the others.
    """
    for judged in _JUDGED_BY_THE_WHOLE:
        if first := judged.search(text):
            text = text[: first.end()] + judged.sub("0", text[first.end() :])
    return text
