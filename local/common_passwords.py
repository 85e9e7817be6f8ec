"""`python -m local.common_passwords`: write the builtin list of common passwords anew.

It is made of two lists that are maintained: Django's (BSD-3-Clause; 20,000, from passwords that
were found in breaches) and zxcvbn's (MIT; 30,000, by frequency). Those that are too short to be set
are left out. The file has hashes and no passwords, in the same order whatever the machine.
"""

from __future__ import annotations

import gzip
import sys
from array import array
from importlib import resources

from gateway.passwords.common_passwords import BUILTIN_FILE, hash_of
from gateway.passwords.precis import PASSWORD_MIN


def passwords() -> set[str]:
    """Those of both lists that could be set."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # they take some memory

    packed = resources.files("django.contrib.auth") / "common-passwords.txt.gz"
    django = gzip.decompress(packed.read_bytes()).decode().splitlines()
    both = {*django, *FREQUENCY_LISTS["passwords"]}
    return {password for password in both if len(password) >= PASSWORD_MIN}


def content() -> bytes:
    """The file's."""
    hashes = array("Q", sorted({hash_of(password) for password in passwords()}))
    if sys.byteorder == "big":
        hashes.byteswap()
    return hashes.tobytes()


def main() -> int:
    """Write it."""
    BUILTIN_FILE.write_bytes(content())
    print(f"{BUILTIN_FILE} has {len(BUILTIN_FILE.read_bytes()) // 8:,} passwords.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
