"""The hash against which the password of an unknown name is checked.

How long a check takes depends on the form of the hash. Accounts may have several: those that were
imported have their former system's until their next login, and others may be older than today's
settings. So unknown names have them, too, in the same proportion: then a time says as much of an
account as of a name that is none. A name keeps its form, as an account does, since it is chosen by
a keyed hash of the name; only from a form of old to today's may it change, as an account does.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable

from gateway.passwords.hash_formats import UnusableHashError, decoy
from gateway.passwords.pepper import Stored
from gateway.postgres.password_forms import PasswordForm

FORMS_MAX = 64
"""So many forms are told apart, the most frequent ones. Others count as today's."""

GROWTH = 1.05
"""What a form's share may have grown since it was settled, as where other accounts were deleted."""


class Decoys:
    """A choice of a decoy for each name, which depends on nothing but these arguments."""

    def __init__(self, key: bytes, forms: Iterable[PasswordForm], present: str) -> None:
        """`present` is the form of new hashes; the hash processes have their own decoy of it."""
        self._key = key[:64]
        known = sorted(forms, key=lambda row: (-row.accounts, row.form))
        total = sum(row.accounts for row in known) or 1
        self._old: list[tuple[PasswordForm, str, float]] = []
        reserved = 0.0
        for row in known[:FORMS_MAX]:
            form = Stored.of(row.form).bare  # mixing a pepper in takes no time
            if form == present or not row.accounts:
                continue
            try:
                self._old.append((row, decoy(form), row.accounts / total))
            except UnusableHashError:  # nobody can log in with that; it is checked as today's are
                continue
            reserved += row.settled
        self._rest = 1.0 - reserved
        self.outgrown = self._rest < 0 or any(
            share > row.settled * GROWTH for row, _, share in self._old
        )
        """Whether the names are to be settled anew: a form has more accounts than names may have
        it, as after an import."""

    def of(self, user: str) -> str | None:
        """The stored hash that this unknown name seems to have; None: one as new accounts have.

        Each form of old may belong to the share of names that it had when it was settled. Of
        those, it belongs to as many as there still are accounts with it.
        """
        chosen = None
        least = self._time(user, "", self._rest)
        for row, hash_, share in self._old:
            if (time := self._time(user, row.form, row.settled)) < least:
                least, chosen = time, (row, hash_, share)
        if chosen is None:
            return None
        row, hash_, share = chosen
        still = self._uniform(user, f"{row.form} still") * row.settled < share
        return hash_ if still else None

    def _time(self, user: str, form: str, weight: float) -> float:
        """A random time with this rate: each form comes first as often as its weight says.

        When a weight changes, only as many names change as must.
        """
        return -math.log(self._uniform(user, form)) / weight if weight > 0 else math.inf

    def _uniform(self, user: str, purpose: str) -> float:
        """Above 0, at most 1."""
        text = f"{purpose}\0{user}".encode()
        digest = hashlib.blake2b(text, key=self._key, digest_size=8).digest()
        return (int.from_bytes(digest, "big") + 1) / 2**64
