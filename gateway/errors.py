"""What a request can be answered with when it is not granted: a status and a sentence."""

from __future__ import annotations


class ApiError(Exception):
    """The request ends with this status; the exception's text is what the client reads."""

    status = 500
    result = "unavailable"
    """How metrics count it."""

    def __init__(self, sentence: str, **headers: str) -> None:
        """`headers` are named as in Python: ``Retry_After="1"``."""
        super().__init__(sentence)
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class BadRequestError(ApiError):
    """The request is not as the documentation has it."""

    status = 400
    result = "invalid"


class SlowBodyError(BadRequestError):
    """The body did not arrive in time."""

    status = 408


class TooLargeError(BadRequestError):
    """The body is longer than any that could be valid."""

    status = 413


class NotJsonError(BadRequestError):
    """The body says that it is something else."""

    status = 415


class ForeignHostError(BadRequestError):
    """The request names a host that is not this gateway."""

    status = 421


class WrongPasswordError(ApiError):
    """The log counted the attempt as a wrong one."""

    status = 401
    result = "wrong"

    def __init__(self) -> None:
        super().__init__("Wrong password")


class BlockedError(ApiError):
    """The account is blocked for this many seconds more."""

    status = 429
    result = "blocked"

    def __init__(self, seconds: int) -> None:
        super().__init__(
            f"Too many wrong passwords; try again in {seconds} second{'s' * (seconds != 1)}",
            Retry_After=str(seconds),
        )


class BlockedForGoodError(ApiError):
    """Only an operator can lift the account's block."""

    status = 403
    result = "final"

    def __init__(self) -> None:
        super().__init__("Blocked until an operator lifts it")


class NotFoundError(ApiError):
    """There is no such thing."""

    status = 404
    result = "invalid"


class TakenError(ApiError):
    """The name has an owner."""

    status = 409
    result = "taken"


class UnavailableError(ApiError):
    """Something that the answer depends on is away; nothing was granted."""

    status = 503

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, Retry_After="1")


class NoPartitionError(UnavailableError):
    """The topic does not have this partition, as far as this process knows."""


class OverloadedError(UnavailableError):
    """More has to be done than can be done in time."""

    result = "overloaded"


class ClientGoneError(UnavailableError):
    """Nobody waits for the answer any more, and nothing was done for it."""

    result = "gone"
