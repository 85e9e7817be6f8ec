"""A normal morning while somebody guesses at single accounts."""

from __future__ import annotations

from loadtest import morning, one_account

# Locust runs every class that it finds in this file, and wants each name only once.


class OrdinaryInMix(morning.Ordinary):
    """An ordinary user during an attack on others.

    The harm it simulates: an attack on one account that costs all the others their logins.
    """

    weight = 2


class GuesserInMix(one_account.Guesser):
    """One of the many clients of that attack."""

    weight = 1
