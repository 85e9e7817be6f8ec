"""What Argon2's settings must not be below, and must not be above on this machine."""

from __future__ import annotations

from settings import Settings, SettingsError, variable

OWASP = ((1, 47_104), (2, 19_456), (3, 12_288), (4, 9_216), (5, 7_168))
"""Passes, and the KiB that they need at least (OWASP's Password Storage Cheat Sheet, Argon2id)."""

_MEMORY, _TIME = variable("argon2_memory_kib"), variable("argon2_time_cost")
_DEADLINE = variable("deadline_seconds")


def troubles(settings: Settings, seconds: float, kept: float) -> list[str]:
    """What an operator should know of these settings, where a hash takes so many seconds.

    `kept` is the share of the deadline that is left for the last hash that may begin and for its
    verdict. Raises SettingsError where no hash could be in time.
    """
    return [said for said in (weakness(settings), _slowness(settings, seconds, kept)) if said]


def weakness(settings: Settings) -> str | None:
    """What to say where hashes are weaker than OWASP's least; None where they are not."""
    memory, passes = settings.argon2_memory_kib, settings.argon2_time_cost
    if any(passes >= least and memory >= kib for least, kib in OWASP):
        return None
    needed = next(kib for least, kib in reversed(OWASP) if passes >= least)
    return (
        f"{_MEMORY} is {memory} and {_TIME} is {passes}: hashes are weaker than OWASP's least. "
        f"But for tests, set {_MEMORY} to {needed} or more"
    )


def _slowness(settings: Settings, seconds: float, kept: float) -> str | None:
    what = (
        f"{_MEMORY} is {settings.argon2_memory_kib} and {_TIME} is {settings.argon2_time_cost}: a "
        f"hash takes {seconds:.2f} s here"
    )
    deadline = f"{_DEADLINE} is {settings.deadline_seconds:g}"
    way_out = f"Lower one of them, or raise {_DEADLINE}"
    if seconds >= settings.deadline_seconds:
        raise SettingsError(f"{what}, and {deadline}: no login could be answered. {way_out}.")
    if seconds >= kept * settings.deadline_seconds:
        return f"{what}, and {deadline}: logins that had to wait may be late. {way_out}"
    return None
