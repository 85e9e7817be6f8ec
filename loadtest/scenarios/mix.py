"""A normal morning while all kinds of guessing go on at once."""

from __future__ import annotations

from loadtest.scenarios import morning, one_account, spraying, stuffing, unblocking

# Locust runs every class that it finds in this file, and wants each name only once.


class OrdinaryInMix(morning.Ordinary):
    """An ordinary user during an attack on others.

    The harm it simulates: an attack on some accounts that costs all the others their logins.
    """

    weight = 12


class GuesserInMix(one_account.Guesser):
    """One of the many clients that guess at one account."""

    patient = False  # others come first
    weight = 6


class StufferInMix(stuffing.Stuffer):
    """One of those who work off a stolen list."""

    weight = 1


class SprayerInMix(spraying.Sprayer):
    """One of those who try common passwords everywhere."""

    weight = 1


class UnblockedInMix(unblocking.Unblocked):
    """One of those whom an operator lets in again."""

    weight = 1
