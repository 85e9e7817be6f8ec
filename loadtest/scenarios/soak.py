"""A soak: a moderate load that goes on for long."""

from __future__ import annotations

from loadtest.scenarios import morning, one_account, registration

# Locust runs every class that it finds in this file, and wants each name only once.


class OrdinaryInSoak(morning.Ordinary):
    """An ordinary user, all day.

    The harm it simulates only shows after hours: memory, connections or lock states pile up until
    everybody waits. The last logins must not be much slower than the first.
    """

    weight = 4
    steady = True


class GuesserInSoak(one_account.Guesser):
    """Somebody who guesses at one account after the other, for as long."""

    patient = False  # others come first
    weight = 1
    count = 500


class NewcomerInSoak(registration.Newcomer):
    """Somebody who registers."""

    weight = 1
