"""When a source is delayed and when it is refused, by who failed and who got in there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.rule import REFUSED_ABOVE, severity, severity_of_source

ALLOWANCE = 20
counts = st.integers(0, 1_000)


@given(succeeded=counts, failed=counts)
def test_nothing_stands_against_a_source_where_as_many_get_in_as_fail(succeeded, failed):
    """An office on a Monday morning: each person that got in excuses one that mistypes."""
    found = severity(failed, succeeded, ALLOWANCE)
    assert (found == 0) == (failed <= succeeded + ALLOWANCE)


@given(failed=counts, succeeded=counts)
def test_the_more_fail_the_more_stands_against_it_and_each_that_gets_in_takes_away(
    failed, succeeded
):
    """Nobody can make it better by guessing, nor worse by getting in."""
    found = severity(failed, succeeded, ALLOWANCE)
    assert severity(failed + 1, succeeded, ALLOWANCE) >= found
    assert severity(failed, succeeded + 1, ALLOWANCE) <= found


def test_a_delay_grows_from_one_allowance_to_two_and_then_it_is_refused():
    """The bound of the guesses that a source gets within a window."""
    grows = [severity(failed, 0, ALLOWANCE) for failed in range(20, 41)]
    assert grows[0] == 0
    assert grows == sorted(grows)
    assert grows[-1] == REFUSED_ABOVE
    assert severity(41, 0, ALLOWANCE) > REFUSED_ABOVE


@given(failed=counts, succeeded=counts, attack=st.booleans())
def test_without_an_allowance_a_source_has_no_limit(failed, succeeded, attack):
    """0 in a setting turns it off."""
    assert severity_of_source(failed, succeeded, 0, attack) == 0


@given(failed=st.integers(0, 1))
def test_an_attack_of_others_delays_nobody_that_fails_at_one_account(failed):
    """A person that mistypes during an attack has one account, and notices nothing."""
    assert severity_of_source(failed, 0, ALLOWANCE, True) == 0


def test_while_an_attack_lasts_a_stranger_is_refused_with_its_third_account():
    """So ten thousand addresses have thirty thousand guesses, and not four hundred thousand."""
    assert severity_of_source(2, 0, ALLOWANCE, True) == REFUSED_ABOVE
    assert severity_of_source(3, 0, ALLOWANCE, True) > REFUSED_ABOVE


@given(failed=counts, succeeded=st.integers(1, 1_000))
def test_an_attack_of_others_changes_nothing_where_somebody_got_in(failed, succeeded):
    """Offices and homes that are in use are not treated as strangers."""
    found = severity_of_source(failed, succeeded, ALLOWANCE, True)
    assert found == severity(failed, succeeded, ALLOWANCE)
