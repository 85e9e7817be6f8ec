"""Why a request is not granted. Nothing here knows of HTTP; `gateway.web.errors` does."""

from __future__ import annotations


class RequestError(Exception):
    """The request is not granted; the exception's text is a sentence for its sender."""


class InvalidInputError(RequestError):
    """The request is not as the documentation has it."""


class CommonPasswordError(InvalidInputError):
    """Too many would guess this password for it to be set."""


class NotFoundError(RequestError):
    """There is no such thing."""


class WrongPasswordError(RequestError):
    """The log counted the attempt as a wrong one."""

    def __init__(self) -> None:
        super().__init__("Wrong password")


class BlockedError(RequestError):
    """The account is blocked for this many seconds more."""

    def __init__(self, seconds: int) -> None:
        super().__init__(
            f"Too many wrong passwords; try again in {seconds} second{'s' * (seconds != 1)}"
        )
        self.seconds = seconds


class BlockedForGoodError(RequestError):
    """Only an operator can lift the account's block."""

    def __init__(self) -> None:
        super().__init__("Blocked until an operator lifts it")


class SourceRefusedError(RequestError):
    """Too much came from this request's source; it may try again after so many seconds."""

    def __init__(self, seconds: int) -> None:
        super().__init__(
            "Too many attempts from where you are; "
            f"try again in {seconds} second{'s' * (seconds != 1)}"
        )
        self.seconds = seconds


class RegistrationOffError(RequestError):
    """Nobody makes an account for themselves here."""

    def __init__(self) -> None:
        super().__init__("Nobody can register here; whoever runs this makes the accounts")


class NameTakenError(RequestError):
    """Another account has this name."""


class NotEnabledError(RequestError):
    """This system gives no verdicts to services."""


class UnauthorizedError(RequestError):
    """The request has no token that would let it in."""


class InsufficientScopeError(RequestError):
    """The token is none for this."""

    def __init__(self, sentence: str, scope: str) -> None:
        super().__init__(sentence)
        self.scope = scope


class NoOperatorsError(RequestError):
    """It takes an operator's token, and nobody has one yet."""


class NoSessionError(UnauthorizedError):
    """The request has no token of a session that goes on."""


class KeyReusedError(RequestError):
    """The key of this attempt is that of another one."""


class PolicyChangedError(RequestError):
    """Another policy is in force than the one that this one was made from."""


class NoPolicyKeyError(RequestError):
    """This process has no key by which a policy would be believed."""


class UnavailableError(RequestError):
    """Something that the answer depends on is away; nothing was granted."""


class LateAnswerError(UnavailableError):
    """Postgres took longer over a query than a request may wait."""


class NotDeliveredError(UnavailableError):
    """A request was given to Kafka and not acknowledged; the log may have it, or get it yet."""


class NoPartitionError(UnavailableError):
    """The topic does not have this partition, as far as this process knows."""


class OverloadedError(UnavailableError):
    """More has to be done than can be done in time."""


class ClientGoneError(UnavailableError):
    """Nobody waits for the answer any more, and nothing was done for it."""
