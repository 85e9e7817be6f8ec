"""The forms of password hashes that an account may have, and what each of them may cost.

A hash that another system made comes in that system's form and is stored in one of four: Argon2,
scrypt and PBKDF2 in PHC's form (``$name$parameters$salt$digest``), and bcrypt as it is.
"""

from __future__ import annotations

import re
import secrets
from base64 import b64decode, b64encode
from typing import NamedTuple, TypeVar

TEXT_MAX = 512
"""Characters of any hash; the longest that is accepted has about 400."""

# The most that a check may cost: about a second of one core, as it is to end within the deadline
# also where others wait. What the systems that are named here make by default is within.
ARGON2_MEMORY_MAX = 131_072
"""KiB. Django's has 102,400."""
ARGON2_WORK_MAX = 262_144
"""KiB times passes."""
OWN_ARGON2_MEMORY_MAX, OWN_ARGON2_WORK_MAX = 4_194_304, 419_430_400
"""The same of hashes that are made here, as the settings allow them."""
SCRYPT_MEMORY_MAX = 131_072
"""KiB: N * r / 8."""
SCRYPT_WORK_MAX = 2_097_152
"""N * r * p."""
PBKDF2_WORK_MAX = {"sha1": 5_200_000, "sha256": 2_600_000, "sha512": 1_300_000}
"""Iterations times the blocks of the digest, of which Keycloak's 64 bytes have four by SHA-1."""
BCRYPT_COST_MAX = 13

PBKDF2_DIGESTS = {"sha1": 20, "sha256": 32, "sha512": 64}
"""The bytes of each hash function's own digest."""

_DIGEST_MIN, _DIGEST_MAX, _SALT_MAX = 16, 128, 128  # bytes
_ARGON2_SALT_MIN = 8  # bytes; Argon2 itself refuses fewer


class UnusableHashError(Exception):
    """No password can be checked against this; the text is the end of "The hash ..."."""


class Argon2(NamedTuple):
    """`kind` is id, i or d; `version` 16 or 19."""

    kind: str
    version: int
    memory_kib: int
    passes: int
    lanes: int
    salt: bytes
    digest: bytes

    @property
    def form(self) -> str:
        """The part of its text on which its cost depends, up to the salt."""
        return (
            f"$argon2{self.kind}$v={self.version}"
            f"$m={self.memory_kib},t={self.passes},p={self.lanes}$"
        )

    @property
    def stored(self) -> str:
        """Its text in an account."""
        return f"{self.form}{_b64(self.salt)}${_b64(self.digest)}"


class Scrypt(NamedTuple):
    """`log_n` is the binary logarithm of scrypt's N."""

    log_n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    @property
    def form(self) -> str:
        """As of Argon2."""
        return f"$scrypt$ln={self.log_n},r={self.r},p={self.p}$"

    @property
    def stored(self) -> str:
        """As of Argon2."""
        return f"{self.form}{_b64(self.salt)}${_b64(self.digest)}"


class Pbkdf2(NamedTuple):
    """`function` is one of PBKDF2_DIGESTS."""

    function: str
    iterations: int
    salt: bytes
    digest: bytes

    @property
    def form(self) -> str:
        """As of Argon2. The digest's length is in it, as each block of it costs all iterations."""
        return f"$pbkdf2-{self.function}$i={self.iterations},l={len(self.digest)}$"

    @property
    def stored(self) -> str:
        """As of Argon2."""
        return f"{self.form}{_b64(self.salt)}${_b64(self.digest)}"


class Bcrypt(NamedTuple):
    """`prehashed` says that bcrypt got the SHA-256 of the password in hexadecimal, as Django's."""

    prehashed: bool
    variant: str
    cost: int
    salt_and_digest: str

    @property
    def form(self) -> str:
        """As of Argon2."""
        return f"{'bcrypt_sha256$' * self.prehashed}$2{self.variant}${self.cost:02}$"

    @property
    def stored(self) -> str:
        """As of Argon2."""
        return f"{self.form}{self.salt_and_digest}"


PasswordHash = Argon2 | Scrypt | Pbkdf2 | Bcrypt

_B64, _N = "([A-Za-z0-9+/]+={0,2})", "([0-9]{1,10})"
_ARGON2 = re.compile(
    rf"(?:argon2)?\$argon2(id|i|d)(?:\$v={_N})?\$m={_N},t={_N},p={_N}\${_B64}\${_B64}"
)
_SCRYPT = re.compile(rf"\$scrypt\$ln={_N},r={_N},p={_N}\${_B64}\${_B64}")
_DJANGO_SCRYPT = re.compile(rf"scrypt\${_N}\$([^$]*)\${_N}\${_N}\${_B64}")
_PBKDF2 = re.compile(  # of PHC, and of passlib, whose base 64 has `.` for `+`
    rf"\$pbkdf2(?:-(sha1|sha256|sha512))?\$(?:i=)?{_N}(?:,l=[0-9]{{1,10}})?"
    r"\$([A-Za-z0-9+./]*)\$([A-Za-z0-9+./]+)"
)
_DJANGO_PBKDF2 = re.compile(rf"pbkdf2_(sha1|sha256)\${_N}\$([^$]*)\${_B64}")
_BCRYPT = re.compile(r"(bcrypt_sha256\$|bcrypt\$)?\$2([aby])\$([0-9]{2})\$([./A-Za-z0-9]{53})")

_BCRYPT_ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_BCRYPT_SALT = 22  # characters
_BCRYPT_RANDOM = 53  # characters of the salt and the digest


def parse(text: str, own_form: str = "") -> PasswordHash:
    """The hash with this text. Raises UnusableHashError, without the text.

    Argon2 of `own_form` may cost what the settings allow, and not only what an import may bring.
    """
    if len(text) > TEXT_MAX:
        raise UnusableHashError(f"has more than {TEXT_MAX} characters")
    if found := _ARGON2.fullmatch(text):
        kind, version, memory, passes, lanes, salt, digest = found.groups()
        costs = int(version or 16), int(memory), int(passes), int(lanes)
        return _bounded(Argon2(kind, *costs, _bytes(salt), _bytes(digest)), own_form)
    if found := _PBKDF2.fullmatch(text):
        function, iterations, salt, digest = found.groups()
        return pbkdf2(function or "sha1", int(iterations), _passlib(salt), _passlib(digest))
    if found := _DJANGO_PBKDF2.fullmatch(text):
        function, iterations, salt, digest = found.groups()
        return pbkdf2(function, int(iterations), salt.encode(), _bytes(digest))
    if found := _BCRYPT.fullmatch(text):
        prefix, variant, cost, rest = found.groups()
        return _bounded(Bcrypt(prefix == "bcrypt_sha256$", variant, int(cost), _canonical(rest)))
    if found := _SCRYPT.fullmatch(text):
        log_n, r, p, salt, digest = found.groups()
        return _bounded(Scrypt(int(log_n), int(r), int(p), _bytes(salt), _bytes(digest)))
    if found := _DJANGO_SCRYPT.fullmatch(text):
        n, salt, r, p, digest = found.groups()
        log_n = int(n).bit_length() - 1
        if int(n) != 1 << max(log_n, 0):
            raise UnusableHashError("is of scrypt with an N that is no power of two")
        return _bounded(Scrypt(log_n, int(r), int(p), salt.encode(), _bytes(digest)))
    if text.startswith("!"):
        raise UnusableHashError("is Django's mark of an account without a password")
    raise UnusableHashError("has no form that is known")


def argon2(
    kind: str, version: int, memory_kib: int, passes: int, lanes: int, salt: bytes, digest: bytes
) -> Argon2:
    """The hash with these parts. Raises UnusableHashError."""
    return _bounded(Argon2(kind, version, memory_kib, passes, lanes, salt, digest))


def pbkdf2(function: str, iterations: int, salt: bytes, digest: bytes) -> Pbkdf2:
    """The hash with these parts. Raises UnusableHashError."""
    return _bounded(Pbkdf2(function, iterations, salt, digest))


def present_form(memory_kib: int, passes: int, lanes: int) -> str:
    """The form of the hashes that are made here."""
    return Argon2("id", 19, memory_kib, passes, lanes, b"", b"").form


def form_of(stored: str) -> str:
    """The form of a hash by its text in an account; "" where it has none.

    The SQL function `password_form` says the same.
    """
    if stored.startswith(("$2", "bcrypt_sha256$$2")):
        return stored[:-_BCRYPT_RANDOM]
    form, dollar, _ = stored.rpartition("$")
    form, dollar, _ = form.rpartition("$")
    return form + dollar


def decoy(form: str) -> str:
    """A stored hash of this form that is no password's. Raises UnusableHashError."""
    if form.startswith(("$2", "bcrypt_sha256$$2")):
        random = "".join(secrets.choice(_BCRYPT_ALPHABET) for _ in range(_BCRYPT_RANDOM))
        return parse(form + random).stored
    length = re.search(r",l=([0-9]{1,3})\$", form)
    digest = secrets.token_bytes(min(int(length[1]), _DIGEST_MAX) if length else 32)
    # Accounts' Argon2 is checked whatever it costs, as the settings may have been others.
    return parse(f"{form}{_b64(secrets.token_bytes(16))}${_b64(digest)}", form).stored


_H = TypeVar("_H", Argon2, Scrypt, Pbkdf2, Bcrypt)


def _bounded(found: _H, own_form: str = "") -> _H:
    """The same, if it is whole and no check of it takes too long. Raises UnusableHashError."""
    if isinstance(found, Bcrypt):
        _at_most("bcrypt cost", found.cost, BCRYPT_COST_MAX, least=4)
        return found
    _at_most("bytes of digest", len(found.digest), _DIGEST_MAX, least=_DIGEST_MIN)
    least = _ARGON2_SALT_MIN if isinstance(found, Argon2) else 1
    _at_most("bytes of salt", len(found.salt), _SALT_MAX, least=least)
    if isinstance(found, Argon2):
        if found.version not in (16, 19):
            raise UnusableHashError(f"is of Argon2's version {found.version}; 16 and 19 are known")
        _at_most("lanes of Argon2", found.lanes, 64)
        memory_max, work_max = ARGON2_MEMORY_MAX, ARGON2_WORK_MAX
        if found.form == own_form:
            memory_max, work_max = OWN_ARGON2_MEMORY_MAX, OWN_ARGON2_WORK_MAX
        _at_most("KiB of Argon2's memory", found.memory_kib, memory_max, 8 * found.lanes)
        _at_most("passes of Argon2", found.passes, ARGON2_WORK_MAX)
        work = found.memory_kib * found.passes
        _at_most("KiB of Argon2's memory times passes", work, work_max)
    elif isinstance(found, Scrypt):
        _at_most("of scrypt's r", found.r, SCRYPT_WORK_MAX)
        # RFC 7914 has N below 2 to the 16 r, and OpenSSL makes no other.
        _at_most("of scrypt's ln", found.log_n, min(31, 16 * found.r - 1))
        _at_most("of scrypt's p", found.p, SCRYPT_WORK_MAX)
        n_r = found.r << found.log_n
        _at_most("KiB of scrypt's memory", n_r // 8, SCRYPT_MEMORY_MAX, least=0)
        _at_most("of scrypt's N times r times p", n_r * found.p, SCRYPT_WORK_MAX)
    else:
        blocks = -(-len(found.digest) // PBKDF2_DIGESTS[found.function])
        work, most = found.iterations * blocks, PBKDF2_WORK_MAX[found.function]
        _at_most("PBKDF2 iterations, times blocks of the digest", work, most)
    return found


def _at_most(unit: str, value: int, most: int, least: int = 1) -> None:
    if not least <= value <= most:
        raise UnusableHashError(f"has {value:,} {unit}; {least:,} to {most:,} are allowed")


def _b64(data: bytes) -> str:
    return b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    text = text.rstrip("=")
    if len(text) % 4 == 1:
        raise UnusableHashError("has a part that is cut off")
    return b64decode(text + "=" * (-len(text) % 4))


def _passlib(text: str) -> bytes:
    return _bytes(text.replace(".", "+"))


def _canonical(rest: str) -> str:
    """The salt and the digest, with zeros for what their last characters have beyond whole bytes.

    Other programs have left something there and look at none of it; the library refuses it.
    """
    salt, digest = rest[:_BCRYPT_SALT], rest[_BCRYPT_SALT:]
    return _cleared(salt, 0b110000) + _cleared(digest, 0b111100)


def _cleared(text: str, mask: int) -> str:
    return text[:-1] + _BCRYPT_ALPHABET[_BCRYPT_ALPHABET.index(text[-1]) & mask]
