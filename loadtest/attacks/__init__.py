"""Attacks on a running system, each with what was promised against it.

`python -m loadtest.attacks` runs them. A module has the attacks of one kind, as a tuple `ATTACKS`,
and its place in `KINDS` of :mod:`loadtest.attacks.__main__`. An attack knows the system by its URLs
only, does its worst, and says what happened and whether the promise held. Attackers come from other
addresses than everybody else, where the system is on this machine.
"""
