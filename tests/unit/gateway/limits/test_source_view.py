"""What all gateways told of sources, counted within a window."""

from __future__ import annotations

import pytest

from events.messages import Outcome
from gateway.limits.source_view import WINDOW_MS, SourceView

HERE, THERE = "192.0.2.7", "2001:db8::/64"
NOW = 1_795_491_529_733
ALLOWANCE, ATTACK = 4, 50


@pytest.fixture
def view():
    """One that has read all that was told."""
    view = SourceView(ALLOWANCE, ATTACK, most=100)
    view.live = True
    return view


def fail(view, users, source=HERE, at=NOW):
    """Tell that each of these failed there."""
    view.read([Outcome(source, user, failed=1) for user in users], at)


def get_in(view, users, source=HERE, at=NOW):
    """Tell that each of these got in there."""
    view.read([Outcome(source, user, succeeded=True) for user in users], at)


def names(count, kind="user"):
    """So many accounts."""
    return [f"{kind}{number}" for number in range(count)]


def test_guesses_at_many_accounts_add_up_and_those_at_one_do_not(view):
    """Guesses at one account are what its own count is for."""
    for _ in range(50):
        fail(view, ["ana"])
    assert view.severity(HERE) == 0
    fail(view, names(ALLOWANCE))
    assert view.severity(HERE) > 0
    fail(view, names(2 * ALLOWANCE))
    assert view.severity(HERE) > 1
    assert view.severity(THERE) == 0


def test_whoever_gets_in_after_a_typo_counts_for_the_source_and_not_against_it(view):
    """300 people behind one address, all of whom mistype first."""
    for user in names(300):
        fail(view, [user])
        get_in(view, [user])
        assert view.severity(HERE) == 0
    assert view.failed_in_all == 0


def test_in_one_record_a_success_comes_after_what_failed(view):
    """A typo and the login after it may be told together."""
    view.read([Outcome(HERE, "ana", failed=2, succeeded=True)], NOW)
    assert (view.failed_in_all, view.succeeded_in_all) == (0, 1)
    assert not view.failed(HERE, "ana")


def test_what_is_older_than_the_window_counts_no_more(view):
    """Nothing stands against a source for ever, by the log's time."""
    fail(view, names(9))
    view.forget(NOW + WINDOW_MS)
    assert view.severity(HERE) > 1
    view.forget(NOW + WINDOW_MS + 1)
    assert view.severity(HERE) == 0
    assert view.failed_in_all == 0


def test_a_repeated_failure_counts_from_its_last_time(view):
    """An attacker that goes on is not forgotten because it began long ago."""
    fail(view, names(9))
    fail(view, ["once"], at=NOW + 1)
    fail(view, names(9), at=NOW + 5)
    view.forget(NOW + WINDOW_MS + 5)
    assert view.severity(HERE) > 1
    assert not view.failed(HERE, "once"), "whatever was forgotten before it, or not"


def test_the_memory_is_bounded_and_the_oldest_go_first(view):
    """A flood of addresses cannot fill the gateway; what is forgotten stands against nobody."""
    fail(view, names(9))
    for number in range(100):
        fail(view, ["ana"], source=f"198.51.100.{number}")
    assert view.failed_in_all == 100
    assert not any(view.failed(HERE, user) for user in names(9))
    get_in(view, ["ana"])
    assert view.severity(HERE) == 0


def test_many_sources_with_a_guess_each_are_an_attack(view):
    """No limit by source sees a botnet; the same rule over all sources does."""
    get_in(view, names(10, "owner"), source=THERE)
    for number in range(60):
        fail(view, [f"user{number}"], source=f"198.51.100.{number}")
    assert not view.attacks(5).attack
    fail(view, ["user"], source=HERE)
    assert view.attacks(5).attack
    assert view.severity(HERE) == 0, "one that mistyped"
    assert view.stranger(HERE)
    assert not view.stranger(THERE), "one where somebody got in"
    fail(view, names(3))
    assert view.severity(HERE) > 1, "one that nobody knows and that guesses"
    fail(view, names(3), source=THERE)
    assert view.severity(THERE) == 0, "one where somebody got in"


def test_a_view_that_does_not_know_all_refuses_nobody(view):
    """Without Kafka, or while it reads, the accounts' own counts are what holds."""
    fail(view, names(90))
    view.read([Outcome(HERE, "ana", registrations=50)], NOW)
    view.live = False
    assert (view.severity(HERE), view.attack, view.registrations(HERE)) == (0, False, 0)
    assert not view.stranger(HERE)


def test_registrations_are_counted_each(view):
    """Each has cost a hash, also those of a name that was taken."""
    view.read([Outcome(HERE, "ana", registrations=3)], NOW)
    view.read([Outcome(HERE, "ana", registrations=2)], NOW + 1)
    assert view.registrations(HERE) == 5
    view.forget(NOW + WINDOW_MS + 1)
    assert view.registrations(HERE) == 2


def test_the_sources_and_accounts_with_most_refusals_are_named(view):
    """An operator sees whom to look at, for one window at least and two at most."""
    assert view.attacks(5).since_ms == 0
    view.read([Outcome(HERE, "ana", failed=2, refused=5), Outcome(THERE, "ben", refused=1)], NOW)
    found = view.attacks(1)
    assert (found.sources, found.accounts) == ([(HERE, 7, 0)], [("ana", 7, 0)])
    assert found.since_ms == NOW
    view.forget(NOW + WINDOW_MS)
    view.read([Outcome(THERE, "ben", failed=9)], NOW + WINDOW_MS + 1)
    assert view.attacks(5).sources == [(THERE, 10, 0), (HERE, 7, 0)]
    view.forget(NOW + 2 * WINDOW_MS)
    assert view.attacks(5).sources == [(THERE, 9, 0)]


def test_reading_anew_begins_with_nothing(view):
    """After Kafka was away, what is there is read again, and would count twice."""
    view.read([Outcome(HERE, "ana", failed=1, registrations=1)], NOW)
    view.clear()
    assert (view.failed_in_all, view.registrations(HERE), view.attacks(5).sources) == (0, 0, [])
