"""Checks passwords against hashes that other systems made, other than Argon2's.

By bcrypt, of the Python Cryptographic Authority, and by OpenSSL through :mod:`hashlib`; both let
other threads run meanwhile. libpass, which has more forms, has neither Keycloak's nor Django's of
scrypt, and takes 14 MB of each process, where bcrypt takes 0.4 [measured].
"""

from __future__ import annotations

import hashlib
import hmac

from gateway.passwords.hash_formats import Bcrypt, Pbkdf2, Scrypt

BCRYPT_BYTES = 72
"""Of a password, as every bcrypt has looked at; the library itself refuses longer ones."""


def verify(stored: Scrypt | Pbkdf2 | Bcrypt, password: str) -> bool:
    """Whether this is the password. Raises MemoryError."""
    secret = password.encode()
    if isinstance(stored, Bcrypt):
        import bcrypt  # only where there is such a hash: the memory is every hash process's

        if stored.prehashed:
            secret = hashlib.sha256(secret).hexdigest().encode()
        text = stored.stored.removeprefix("bcrypt_sha256$")
        return bcrypt.checkpw(secret[:BCRYPT_BYTES], text.encode())
    if isinstance(stored, Scrypt):
        memory = 128 * (stored.r << stored.log_n) + 128 * stored.r * stored.p
        try:
            made = hashlib.scrypt(
                secret,
                salt=stored.salt,
                n=1 << stored.log_n,
                r=stored.r,
                p=stored.p,
                maxmem=memory + 1_048_576,  # what OpenSSL needs besides
                dklen=len(stored.digest),
            )
        except ValueError as error:  # the parameters are known to be good
            raise MemoryError(str(error)) from None
    else:
        made = hashlib.pbkdf2_hmac(
            stored.function, secret, stored.salt, stored.iterations, len(stored.digest)
        )
    return hmac.compare_digest(made, stored.digest)
