"""From a service's request to the attempt that it tells of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.messages import LONGEST_USER_AGENT
from gateway.errors import InvalidInputError
from gateway.keyed_attempts import ServiceAttempt
from gateway.passwords import precis
from gateway.sources import parse_address, printable
from gateway.web.json_body import decode_body

KEY_MAX = 255  # characters

USER_AGENT_MAX = LONGEST_USER_AGENT  # characters


class CheckedPassword(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An attempt whose password a service has checked itself."""

    user: str
    outcome: Literal["right", "wrong"]
    source: str | None = None
    """The IP address of the person that logs in."""
    user_agent: Annotated[str, Meta(max_length=USER_AGENT_MAX)] | None = None
    """That person's program, as it calls itself."""


@dataclass
class ServiceHeaders:
    """The headers of a service's attempt, besides its token."""

    idempotency_key: str | None = None
    """1 to 255 visible ASCII characters. A request with the same key is the same attempt."""


_decoder = msgspec.json.Decoder(CheckedPassword)


def parse(body: bytes) -> ServiceAttempt:
    """The attempt in this JSON text, each part in its one form, or InvalidInputError."""
    found = decode_body(_decoder, body, _explain)
    return ServiceAttempt(
        user=precis.username(found.user),
        right=found.outcome == "right",
        source=None if found.source is None else _address(found.source),
        user_agent=None if found.user_agent is None else printable(found.user_agent),
    )


def key_of(header: bytes | None) -> bytes | None:
    """The key in this `Idempotency-Key` header; None without one. Raises InvalidInputError."""
    if header is None:
        return None
    if not (1 <= len(header) <= KEY_MAX and all(0x21 <= byte <= 0x7E for byte in header)):
        raise InvalidInputError(
            f"The Idempotency-Key must be 1 to {KEY_MAX} visible ASCII characters"
        )
    return header


def _address(source: str) -> str:
    """The address in its one form; one of IPv4 in that of IPv4."""
    address = parse_address(source)
    if address is None:
        raise InvalidInputError("source must be an IP address, as 192.0.2.7 or 2001:db8::7")
    return str(address)


def _explain(message: str) -> str:
    """A sentence for msgspec's error; unlike msgspec's own it names no foreign field."""
    if "unknown field" in message:
        return 'The body has a field besides "user", "outcome", "source" and "user_agent"'
    for field in ("user", "outcome"):
        if f"missing required field `{field}`" in message:
            return f'The body has no "{field}"'
    if "$.user_agent" in message:
        return f"user_agent must be a string of at most {USER_AGENT_MAX} characters"
    if "$.outcome" in message:
        return 'outcome must be "right" or "wrong"'
    for field in ("user", "source"):
        if f"$.{field}" in message:
            return f"{field} must be a string"
    return 'The body must be an object with "user" and "outcome"'
