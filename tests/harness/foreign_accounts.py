"""Hashes that other systems have made, for tests of their import.

Django's are made by the real Django. Others are published, with their passwords.
"""

from __future__ import annotations

import functools
import json
from typing import NamedTuple

from argon2 import PasswordHasher, Type

PASSWORD = "correct horse battery"


class Published(NamedTuple):
    """A hash that its maker or an administrator has shown to everybody."""

    hash: str
    password: str


PUBLISHED = {
    # bcrypt: of crypt_blowfish's own tests.
    "bcrypt 2a": Published("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"),
    "bcrypt 2y": Published("$2y$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U*"),
    # scrypt: of passlib's documentation.
    "scrypt": Published(
        "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E",
        "password",
    ),
    # PBKDF2: Django's, of the list keycloak-user, 2021-02-01.
    "pbkdf2": Published(
        "pbkdf2_sha256$180000$TAWdyXjZhOxy$Gdf7QXtuAA6S330T/w4Ul5LzcReOgDBx7/Ds6TFJWKs=",
        "userpassword",
    ),
    # PBKDF2: passlib's, of its documentation.
    "passlib's pbkdf2": Published(
        "$pbkdf2-sha256$6400$.6UI/S.nXIk8jcbdHx3Fhg$98jZicV16ODfEsEZeYPGHU3kbrUrvUEXOPimVSQDD44",
        "password",
    ),
}


class PublishedCredential(NamedTuple):
    """A credential of Keycloak's that somebody has shown, with its password."""

    algorithm: str
    iterations: int
    salt: str
    value: str
    password: str
    parameters: dict[str, list[str]]

    @property
    def credential_data(self) -> str:
        """As Keycloak has it."""
        return json.dumps(
            {
                "hashIterations": self.iterations,
                "algorithm": self.algorithm,
                "additionalParameters": self.parameters,
            }
        )

    @property
    def secret_data(self) -> str:
        """As Keycloak has it."""
        return json.dumps({"value": self.value, "salt": self.salt, "additionalParameters": {}})


KEYCLOAK = {
    # Of examples and of a database of Keycloak 24 that are in public repositories.
    "pbkdf2-sha256": PublishedCredential(
        *("pbkdf2-sha256", 27_500, "P5rtFkGtPfoaryJ6PizUJw=="),
        *("JsfNbCOIdZUbyBJ+BT+VoGI91Ec2rWLOvkLPDaX8e9k=", "password", {}),
    ),
    "pbkdf2-sha512": PublishedCredential(
        *("pbkdf2-sha512", 210_000, "uI4PbEYEV7hyPNLPshHVEg=="),
        "LcvyBxfcQ4uQVI47BE3u9T1ptto0OhbTaYMqEOWhJ4ZRUr/0Pnsoa1qBmaxUG7rmW6g8vStey/bb/l+bn0/OUg==",
        *("password", {}),
    ),
    "argon2": PublishedCredential(
        *("argon2", 5, "Cf9AYCE5pAbb4CKEF0GUTA=="),
        *("BruFLfFkjH/8erZ26NnrbkOrWiZuQyDRCHD9o0R6Scg=", "password"),
        {
            "hashLength": ["32"],
            "memory": ["7168"],
            "type": ["id"],
            "version": ["1.3"],
            "parallelism": ["1"],
        },
    ),
}

DJANGO = ("pbkdf2_sha256", "pbkdf2_sha1", "argon2", "scrypt", "bcrypt_sha256", "bcrypt")


@functools.cache
def django_hashers() -> dict[str, object]:
    """Django's own, by the names that its hashes begin with."""
    from django.contrib.auth import hashers  # needs no settings of Django

    kinds = (
        hashers.PBKDF2PasswordHasher,
        hashers.PBKDF2SHA1PasswordHasher,
        hashers.Argon2PasswordHasher,
        hashers.ScryptPasswordHasher,
        hashers.BCryptSHA256PasswordHasher,
        hashers.BCryptPasswordHasher,
    )
    return {kind.algorithm: kind() for kind in kinds}


def django(algorithm: str, password: str = PASSWORD) -> str:
    """As Django makes it, with a cost that a test can pay."""
    hasher = django_hashers()[algorithm]
    cheap = {"iterations": 1_000, "rounds": 4, "work_factor": 2**10, "memory_cost": 1_024}
    for name, value in cheap.items():
        if hasattr(hasher, name):
            setattr(hasher, name, value)
    return str(hasher.encode(password, hasher.salt()))  # type: ignore[attr-defined]


def argon2(kind: Type) -> str:
    """In PHC's form."""
    return PasswordHasher(time_cost=1, memory_cost=64, parallelism=1, type=kind).hash(PASSWORD)


@functools.cache
def one_of_each() -> dict[str, tuple[str, str]]:
    """A hash of each form and of each system, with its password, by a name for it."""
    return {
        **{name: (each.hash, each.password) for name, each in PUBLISHED.items()},
        **{f"django {name}": (django(name), PASSWORD) for name in DJANGO},
        **{f"argon2{kind.name.lower()}": (argon2(kind), PASSWORD) for kind in Type},
    }
