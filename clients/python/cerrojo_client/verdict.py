"""What Cerrojo decided about a login, and what the login has to answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum


class OnUndecided(Enum):
    """What it means for a login that Cerrojo can decide nothing, as while its Kafka is away."""

    REFUSE = "refuse"
    """Nobody gets in, and no answer tells whether a password was right."""
    PASS = "pass"  # noqa: S105  # it is no password
    """The password alone decides: in that time guesses are neither counted nor held back."""


REFUSE = OnUndecided.REFUSE
PASS = OnUndecided.PASS


class Kind(StrEnum):
    """What was decided."""

    ACCEPTED = "accepted"
    """The password was right, and no block stands before it."""
    REJECTED = "rejected"
    """The password was wrong, and this is one of the answers that may say so."""
    BLOCKED = "blocked"
    """The account is blocked: the answer must not tell whether the password was right."""
    UNDECIDED = "undecided"
    """Nothing was decided, as far as is known."""
    INVALID = "invalid"
    """The attempt cannot be counted, as no account of Cerrojo can have this name."""


_SENTENCES = {
    200: "Logged in",
    401: "Wrong user name or password",
    403: "Too many wrong passwords; ask the operator to unblock this account",
    429: "Too many wrong passwords; try again in {} seconds",
    503: "Logging in is not possible just now; try again in {} seconds",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verdict, and the answer to give for it."""

    kind: Kind
    status: int
    """As an HTTP status: 200, 400, 401, 403, 429 or 503; of a form also 411, 413 or 415."""
    sentence: str
    """For the person who logs in."""
    retry_after: int | None = None
    """Seconds until it is worth trying again; None where waiting changes nothing."""

    @property
    def lets_in(self) -> bool:
        """Whether the login succeeds. It needs a right password, whatever the verdict."""
        return self.status == 200

    @property
    def may_tell(self) -> bool:
        """Whether the answer may depend on the password: it is the login's own, right or wrong."""
        return self.status in (200, 401)

    @property
    def headers(self) -> dict[str, str]:
        """What belongs into the HTTP answer beside its status."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


def _verdict(kind: Kind, status: int, retry_after: int | None = None) -> Verdict:
    return Verdict(kind, status, _SENTENCES[status].format(retry_after), retry_after)


def decided(kind: Kind) -> Verdict:
    """Accepted or rejected."""
    return _verdict(kind, 200 if kind is Kind.ACCEPTED else 401)


def blocked(retry_after: int | None) -> Verdict:
    """Blocked for so many seconds, or until an operator lifts it (None)."""
    if retry_after is None:
        return _verdict(Kind.BLOCKED, 403)
    return _verdict(Kind.BLOCKED, 429, retry_after)


def invalid(sentence: str, status: int = 400) -> Verdict:
    """Refused, with the reason."""
    return Verdict(Kind.INVALID, status, sentence)


def undecided(right: bool, on_undecided: OnUndecided, retry_after: int) -> Verdict:
    """What the caller chose for this case."""
    if on_undecided is PASS:
        return _verdict(Kind.UNDECIDED, 200 if right else 401)
    return _verdict(Kind.UNDECIDED, 503, retry_after)
