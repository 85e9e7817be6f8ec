"""The forms of unknown names are those of the accounts, and each name keeps its own."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.passwords.decoys import Decoys
from gateway.passwords.hash_formats import form_of, present_form
from gateway.postgres.password_forms import PasswordForm

PRESENT = present_form(19_456, 2, 1)
PBKDF2, BCRYPT = "$pbkdf2-sha256$i=1000000,l=32$", "$2b$12$"
KEY = b"a key of 32 bytes, or nearly so"
NAMES = [f"name{number}" for number in range(20_000)]


def decoys(
    pbkdf2: int, bcrypt: int, present: int, settled: dict[str, float] | None = None
) -> Decoys:
    """With so many accounts of each form, settled as they are if not as they were."""
    counts = {PBKDF2: pbkdf2, BCRYPT: bcrypt, PRESENT: present}
    total = sum(counts.values())
    shares = settled or {form: count / total for form, count in counts.items()}
    return Decoys(
        KEY, [PasswordForm(form, count, shares[form]) for form, count in counts.items()], PRESENT
    )


def forms(choice: Decoys) -> list[str]:
    """Of all names."""
    return [form_of(hash_) if (hash_ := choice.of(name)) else PRESENT for name in NAMES]


SETTLED = {PBKDF2: 0.6, BCRYPT: 0.3, PRESENT: 0.1}


@pytest.mark.parametrize(
    "counts",
    [(600, 300, 100), (300, 300, 400), (10, 1, 989), (0, 0, 1000), (600, 0, 400), (600, 300, 9100)],
)
def test_forms_are_as_frequent_as_among_the_accounts(counts: tuple[int, int, int]) -> None:
    """Otherwise a time would say more of one kind than of the other."""
    found = Counter(forms(decoys(*counts, settled=SETTLED)))
    for form, count in zip((PBKDF2, BCRYPT, PRESENT), counts, strict=True):
        expected = len(NAMES) * count / sum(counts)
        assert abs(found[form] - expected) <= 5 * (expected + 1) ** 0.5


def test_a_name_keeps_its_form() -> None:
    """In every process, and at every time; another system has others."""
    assert forms(decoys(600, 300, 100)) == forms(decoys(600, 300, 100))
    rows = [PasswordForm(PBKDF2, 1, 0.5), PasswordForm(PRESENT, 1, 0.5)]
    assert forms(Decoys(KEY, rows, PRESENT)) != forms(Decoys(KEY[::-1], rows, PRESENT))


def test_a_name_changes_only_as_an_account_does() -> None:
    """From a form of old to that of today, and never back: others would be known to be none."""
    before = forms(decoys(600, 300, 100, settled=SETTLED))
    for left in (500, 400, 100, 3, 0):
        after = forms(decoys(left, left // 2, 1000 - left - left // 2, settled=SETTLED))
        changes = {(a, b) for a, b in zip(before, after, strict=True) if a != b}
        assert changes <= {(PBKDF2, PRESENT), (BCRYPT, PRESENT)}
        before = after


def test_new_accounts_of_one_form_change_names_to_that_form_only() -> None:
    """As an import makes unknown names to accounts, and changes none that is there."""
    before, after = forms(decoys(300, 0, 700)), forms(decoys(300, 500, 700))
    assert {b for a, b in zip(before, after, strict=True) if a != b} == {BCRYPT}


def test_names_are_settled_anew_when_a_form_has_grown() -> None:
    """By an import, or as it was today's and is not any more; not when it becomes rarer."""
    assert decoys(10, 0, 90, settled={PBKDF2: 0.0, BCRYPT: 0.0, PRESENT: 1.0}).outgrown
    assert not decoys(600, 300, 100, settled=SETTLED).outgrown
    assert not decoys(60, 30, 910, settled=SETTLED).outgrown
    assert decoys(700, 200, 100, settled=SETTLED).outgrown


def test_a_form_that_cannot_be_is_as_today_s() -> None:
    """A bad hash is checked as an unknown name was."""
    rows = [PasswordForm(form, 1, 0.3) for form in ("", "nonsense$", "$2b$31$", PBKDF2)]
    assert {*forms(Decoys(KEY, rows, PRESENT))} == {PBKDF2, PRESENT}


def test_nothing_is_known_of_a_new_system() -> None:
    """All names are as the first account will be."""
    assert {*forms(Decoys(KEY, [], PRESENT))} == {PRESENT}


def test_a_pepper_changes_no_time() -> None:
    """A form costs what it costs without: with an older one names have to seem to be made so."""
    older = "$argon2id$v=19$m=65536,t=4,p=1$"
    peppered = [
        PasswordForm(f"$pepper$2026{older}", 1, 0.5),
        PasswordForm(f"$pepper$2026{PRESENT}", 1, 0.5),
    ]
    found = Counter(forms(Decoys(KEY, peppered, PRESENT)))
    assert set(found) == {older, PRESENT}
    assert abs(found[older] - found[PRESENT]) < len(NAMES) / 20
