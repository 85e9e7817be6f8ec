"""Hashes as other systems make them by default, in each form that an import takes.

Django's are made by Django, the others by the libraries that those systems use, too.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import string
from base64 import b64encode
from collections.abc import Iterator

import bcrypt
from argon2 import PasswordHasher, Type
from argon2.low_level import hash_secret_raw
from django.contrib.auth import hashers

Fields = dict[str, str]
"""What stands in a line of NDJSON beside the name."""

_ALPHABET = string.ascii_letters + string.digits  # in every base 64
_PASSLIB = {"sha1": 131_000, "sha256": 29_000, "sha512": 25_000}
_KEYCLOAK = {"sha1": 1_300_000, "sha256": 600_000, "sha512": 210_000}


def one_of_each(password: str) -> dict[str, Fields]:
    """A hash of this password in each form, by a name for the form. Some seconds of CPU."""
    return {
        name: {"hash": made} if isinstance(made, str) else made
        for each in (_phc, _bcrypt, _django, _passlib, _keycloak)
        for name, made in each(password)
    }


def another(fields: Fields) -> Fields:
    """The same form and the same costs, with a digest that is no password's."""
    if "hash" in fields:
        head, dollar, digest = fields["hash"].rpartition("$")
        return {"hash": head + dollar + _random(digest)}
    secret = json.loads(fields["secretData"])
    return {**fields, "secretData": json.dumps({**secret, "value": _random(secret["value"])})}


def _random(digest: str) -> str:
    bare = digest.rstrip("=")
    return "".join(secrets.choice(_ALPHABET) for _ in bare) + digest[len(bare) :]


Made = Iterator[tuple[str, "str | Fields"]]


def _phc(password: str) -> Made:
    for kind in Type:
        yield f"argon2{kind.name.lower()}", PasswordHasher(type=kind).hash(password)
    salt = secrets.token_bytes(16)
    digest = hashlib.scrypt(
        password.encode(), salt=salt, n=1 << 16, r=8, p=1, maxmem=1 << 27, dklen=32
    )
    yield "scrypt", f"$scrypt$ln=16,r=8,p=1${_b64(salt)}${_b64(digest)}"


def _bcrypt(password: str) -> Made:
    for variant in ("2a", "2b"):
        hash_ = bcrypt.hashpw(password.encode(), bcrypt.gensalt(12, variant.encode())).decode()
        yield f"bcrypt {variant}", hash_
    yield "bcrypt 2y", hash_.replace("$2b$", "$2y$")  # PHP's name for the same


def _django(password: str) -> Made:
    for kind in (
        hashers.PBKDF2PasswordHasher,
        hashers.PBKDF2SHA1PasswordHasher,
        hashers.Argon2PasswordHasher,
        hashers.ScryptPasswordHasher,
        hashers.BCryptSHA256PasswordHasher,
        hashers.BCryptPasswordHasher,
    ):
        hasher = kind()
        yield f"Django's {kind.algorithm}", hasher.encode(password, hasher.salt())


def _passlib(password: str) -> Made:
    for function, iterations in _PASSLIB.items():
        salt = secrets.token_bytes(16)
        digest = hashlib.pbkdf2_hmac(function, password.encode(), salt, iterations)
        name = "pbkdf2" if function == "sha1" else f"pbkdf2-{function}"
        parts = (_b64(part).replace("+", ".") for part in (salt, digest))
        yield f"passlib's {name}", f"${name}${iterations}${'$'.join(parts)}"


def _keycloak(password: str) -> Made:
    for function, iterations in _KEYCLOAK.items():
        salt = secrets.token_bytes(16)
        digest = hashlib.pbkdf2_hmac(function, password.encode(), salt, iterations, 64)
        name = "pbkdf2" if function == "sha1" else f"pbkdf2-{function}"
        yield f"Keycloak's {name}", _credential(name, iterations, salt, digest, {})
    salt = secrets.token_bytes(16)
    digest = hash_secret_raw(password.encode(), salt, 5, 7_168, 1, 32, Type.ID)
    costs = {"type": "id", "version": "1.3", "memory": "7168", "parallelism": "1"}
    parameters = {name: [value] for name, value in {**costs, "hashLength": "32"}.items()}
    yield "Keycloak's argon2", _credential("argon2", 5, salt, digest, parameters)


def _credential(
    algorithm: str, iterations: int, salt: bytes, digest: bytes, parameters: dict[str, list[str]]
) -> Fields:
    data = {
        "hashIterations": iterations,
        "algorithm": algorithm,
        "additionalParameters": parameters,
    }
    secret = {"value": b64encode(digest).decode(), "salt": b64encode(salt).decode()}
    return {
        "credentialData": json.dumps(data),
        "secretData": json.dumps({**secret, "additionalParameters": {}}),
    }


def _b64(data: bytes) -> str:
    return b64encode(data).rstrip(b"=").decode()
