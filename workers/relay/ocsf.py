"""Events as OCSF's class Authentication (3002), for a SIEM. No I/O."""

from __future__ import annotations

from typing import Any

import msgspec

from events.topics import EVENTS
from version import VERSION
from workers.relay.event import (
    AnyEvent,
    AttackBegan,
    AttackEnded,
    Blocked,
    BlockedData,
    Expired,
    OfAccount,
    OperatorData,
    OperatorLogin,
    PolicyChanged,
    Unblocked,
)

SCHEMA_VERSION = "1.5.0"
CLASS_UID = 3002
CATEGORY_UID = 3
"""Identity and access management."""

LOGON, OTHER = 1, 99
SUCCESS, FAILURE = 1, 2
INFORMATIONAL, MEDIUM = 1, 3


def encode(event: AnyEvent) -> bytes | None:
    """The event as JSON; None for one that is of no authentication, as a change of the policy."""
    found = mapped(event)
    return None if found is None else msgspec.json.encode(found)


def mapped(event: AnyEvent) -> dict[str, Any] | None:
    """The event as an object of that class; None as above."""
    match event:
        case PolicyChanged() | AttackBegan() | AttackEnded():
            return None
        case OperatorLogin(data=data):
            specific = _login(data)
        case Blocked(data=data):
            specific = _blocked(data)
        case Unblocked(data=data):
            by = f" by {data.operator}" if data.operator else ""
            specific = _other("Unblock", f"The block of {data.user} was lifted{by}.")
        case Expired(data=data):
            specific = _other("Block expired", f"The block of {data.user} came to its end.")
    return {
        **_base(event),
        **_people(event),
        **specific,
        "type_uid": CLASS_UID * 100 + specific["activity_id"],
    }


def _base(event: AnyEvent) -> dict[str, Any]:
    return {
        "category_uid": CATEGORY_UID,
        "category_name": "Identity & Access Management",
        "class_uid": CLASS_UID,
        "class_name": "Authentication",
        "time": round(event.timestamp.timestamp() * 1000),
        "metadata": {
            "version": SCHEMA_VERSION,
            "product": {"name": "Cerrojo", "vendor_name": "Cerrojo", "version": VERSION},
            "uid": event.id,
            "log_name": EVENTS,
        },
        "service": {"name": "Cerrojo"},
    }


def _blocked(data: BlockedData) -> dict[str, Any]:
    until = f"until {data.until:%Y-%m-%dT%H:%M:%SZ}" if data.until else "until an operator lifts it"
    if data.cause == "operator":
        by = f" by {data.operator}" if data.operator else ""
        return _other("Block", f"{data.user} was blocked by hand{by}, {until}.")
    found: dict[str, Any] = {
        "activity_id": LOGON,
        "activity_name": "Logon",
        "status_id": FAILURE,
        "status": "Failure",
        "status_detail": "ACCOUNT_LOCKED_OUT",
        "severity_id": MEDIUM,
        "severity": "Medium",
        "message": f"{data.user} is blocked after wrong passwords, {until}.",
        "is_remote": True,
    }
    if data.source:
        found["src_endpoint"] = {"ip": data.source}
    if data.user_agent:
        found["http_request"] = {"user_agent": data.user_agent}
    return found


def _other(activity: str, message: str) -> dict[str, Any]:
    return {
        "activity_id": OTHER,
        "activity_name": activity,
        "status_id": SUCCESS,
        "status": "Success",
        "severity_id": INFORMATIONAL,
        "severity": "Informational",
        "message": message,
    }


def _login(data: OperatorData) -> dict[str, Any]:
    found = _other("Logon", f"The operator {data.operator} has logged in, to {data.role}.")
    found["activity_id"] = LOGON
    if data.source:
        found["src_endpoint"] = {"ip": data.source}
    return found


def _people(event: OfAccount | OperatorLogin) -> dict[str, Any]:
    """Whom it concerns, and who did it."""
    if isinstance(event, OperatorLogin):
        return {"user": {"name": event.data.operator, "type_id": 2, "type": "Admin"}}
    user = {"user": {"name": event.data.user, "type_id": 1, "type": "User"}}
    operator = None if isinstance(event, Expired) else event.data.operator
    return user | ({"actor": {"user": {"name": operator}}} if operator else {})
