"""What a login answers for each verdict."""

from __future__ import annotations

from cerrojo_client.verdict import Kind, blocked, decided, invalid


def test_a_block_that_only_an_operator_lifts_says_no_time():
    """403, as /login answers."""
    verdict = blocked(None)
    assert (verdict.status, verdict.headers, verdict.may_tell) == (403, {}, False)


def test_only_accepted_lets_in():
    """Of all that is decided."""
    verdicts = [decided(Kind.ACCEPTED), decided(Kind.REJECTED), blocked(5), blocked(None)]
    assert [verdict.lets_in for verdict in verdicts] == [True, False, False, False]
    assert not invalid("no").lets_in


def test_the_sentence_says_how_long():
    """For the person who waits."""
    assert blocked(17).sentence == "Too many wrong passwords; try again in 17 seconds"
