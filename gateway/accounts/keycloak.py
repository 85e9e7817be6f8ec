"""Keycloak's hashes: two texts of JSON, in its tables and in its export of users."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import NamedTuple

import msgspec

from gateway.accounts.errors import BadRecordError
from gateway.passwords.hash_formats import UnusableHashError, argon2, pbkdf2

FUNCTIONS = {
    "pbkdf2": "sha1",
    "pbkdf2-sha256": "sha256",
    "pbkdf2-sha512": "sha512",
}
"""The hash function of each algorithm of PBKDF2, by Keycloak's name for it."""

ARGON2_VERSIONS = {"1.0": 16, "1.3": 19}


class _CredentialData(msgspec.Struct, rename="camel"):
    hash_iterations: int
    algorithm: str
    additional_parameters: dict[str, list[str]] | None = None


class _SecretData(msgspec.Struct):
    value: str
    salt: str


class _Credential(msgspec.Struct, rename="camel"):
    type: str = ""
    credential_data: str = ""
    secret_data: str = ""


class _ExportedUser(msgspec.Struct, rename="camel"):
    username: str
    enabled: bool = True
    created_timestamp: int | None = None
    credentials: list[_Credential] = []


class User(NamedTuple):
    """A user as Keycloak exports it."""

    user: str
    hash: str
    enabled: bool
    created_ms: int | None


_credential_data = msgspec.json.Decoder(_CredentialData)
_secret_data = msgspec.json.Decoder(_SecretData)
_exported = msgspec.json.Decoder(_ExportedUser)

_CREATED_MAX_MS = 10**14
"""Beyond it a time is none; the bounds of a registration are narrower."""


def exported(line: str) -> User:
    """A user of an export. Raises BadRecordError, and msgspec.DecodeError."""
    found = _exported.decode(line)
    passwords = [each for each in found.credentials if each.type == "password"]
    if not passwords:
        raise BadRecordError("The user has no password.", found.username)
    created_ms = found.created_timestamp
    if created_ms is not None and not 0 <= created_ms < _CREATED_MAX_MS:
        raise BadRecordError("createdTimestamp is no time in milliseconds.", found.username)
    first = passwords[0]
    text = stored(found.username, first.credential_data, first.secret_data)
    return User(found.username, text, found.enabled, created_ms)


def stored(user: str, credential_data: str, secret_data: str) -> str:
    """The hash of this user as an account has it. Raises BadRecordError."""
    try:
        data = _credential_data.decode(credential_data)
        secret = _secret_data.decode(secret_data)
        salt = b64decode(secret.salt, validate=True)
        digest = b64decode(secret.value, validate=True)
    except (msgspec.DecodeError, binascii.Error, ValueError, RecursionError):
        # Without the error's text, which may have a part of the hash in it.
        raise BadRecordError("credentialData or secretData is not Keycloak's.", user) from None
    try:
        if data.algorithm in FUNCTIONS:
            function = FUNCTIONS[data.algorithm]
            return pbkdf2(function, data.hash_iterations, salt, digest).stored
        if data.algorithm == "argon2":
            return _argon2(user, data, salt, digest)
    except UnusableHashError as error:
        raise BadRecordError(f"The hash {error}.", user) from None
    raise BadRecordError("The hash is of an algorithm of Keycloak's that is not known.", user)


def _argon2(user: str, data: _CredentialData, salt: bytes, digest: bytes) -> str:
    given = data.additional_parameters or {}
    try:
        kind, memory, lanes = (given[name][0] for name in ("type", "memory", "parallelism"))
        version = ARGON2_VERSIONS[given.get("version", ["1.3"])[0]]
        if kind not in ("id", "i", "d"):
            raise ValueError(kind)
        costs = int(memory), data.hash_iterations, int(lanes)
    except (LookupError, ValueError):
        raise BadRecordError("credentialData has not all that Argon2 needs.", user) from None
    return argon2(kind, version, *costs, salt, digest).stored
