"""Usernames and passwords have one form each."""

from __future__ import annotations

import sys
import unicodedata
from collections import Counter
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from precis_i18n import get_profile

from gateway.errors import InvalidInputError
from gateway.passwords.precis import (
    PASSWORD_MAX,
    RAW_PASSWORD_MAX,
    RAW_USER_MAX,
    USER_MAX,
    password,
    password_to_check,
    username,
)

PLAIN = "abcdefghijklmnopqrstuvwxyz0123456789._@+-"
PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))

NASTY = {
    "ASCII": "aklmAKL019 -._",
    "middle dots, and what they stand with": "\u00b7l\u0375\u03b1\u0391\u05f3\u05f4\u05d0\u05ea",
    "Katakana": "\u30fb\u30a0\u30ab\u30fc\u30ff\uff65\uff76\uff9e",
    "Hiragana and Han": "\u3042\u3099\u4e00\u3007\u3005\uf900\U00020000\U0002f800",
    "Arabic digits": "\u0660\u0664\u0669\u06f0\u06f4\u06f9\u0661\u06f1",
    "joiners and viramas": "\u200c\u200d\u094d\u0915\u0d4d\u0dca\U00011133\U00011107",
    "joining letters": "\u0628\u0627\u0631\u064b\u0651\ua872\u0710\u00ad\U00010acd",
    "right to left": "\u05d0\u05b0\u0591\u0623\u0640\u07c0\u07fa\U00010800\U0001e900",
    "marks": "\u0300\u0301\u0308\u0316\u0327\u0334\u0345\u0344\u035c\u0f71\u0f72\u0f73\u0f81\u302e",
    "what marks compose with": "eouAEO\u00e9\u01d6\u0390\u03b9\u1f82\u1faf\u0130\u0131\u212a\u212b",
    "Hangul": "\u1100\u1161\u11a8\uac00\uac01\u3131\u115f",
    "compatibility": "\ufdfa\ufb01\ufb2c\u2460\uff21\uff11\uffe3\u00aa\u00df\u1e9e\u03a3\u03c2"
    "\U0001d160",
    "spaces and what is not allowed": "\u00a0\u2003\u3000\u200b\0\x1f\x7f\ufdd0\u0378\ue000",
}
"""Characters that one of the rules is about, or one of its exceptions."""

REASONS = {
    "DISALLOWED/empty": "is empty",
    "DISALLOWED/not_idempotent": "has no stable form in Unicode",
    "DISALLOWED/bidi_rule": "mixes writing directions",
    "DISALLOWED/controls": "contains a control character",
    "DISALLOWED/spaces": "contains a space",
}


def texts(size: int) -> st.SearchStrategy[str]:
    """Texts in which such characters meet: of one group, of some, of all, or of anything."""
    groups = st.lists(st.sampled_from([*NASTY.values()]), min_size=1, max_size=3).map("".join)
    anything = st.characters(exclude_categories=["Cs"]) | st.sampled_from("".join(NASTY.values()))
    return groups.flatmap(lambda group: st.text(group, max_size=size)) | st.text(
        anything, max_size=size
    )


def outcome(judge: Callable[[str], str], raw: str) -> tuple[bool, str]:
    """Whether it is one, and its one form or what is wrong with it."""
    try:
        return True, judge(raw)
    except InvalidInputError as error:
        return False, str(error)


def library(profile: str, field: str, raw: str) -> tuple[bool, str]:
    """The same, as precis-i18n says it."""
    try:
        return True, get_profile(profile).enforce(raw)
    except UnicodeEncodeError as error:
        reason = REASONS.get(error.reason, "contains a character that is not allowed")
        return False, f"{field} {reason}"


@given(texts(40))
@example("l\u00b7l\u30fb\u30fb\u30ab\u30fb")
@example("\u0628\u064b\u200c\u064b\u0627\u0660\u0661\u06f0")
@example("\u05d0\u05f3\u0661\u0375\u0661\u03b1")
@example("\u0660l\u00b7\u0660 and so on")
@example("a\u0301\u0316\u0f81\u0344\u0334\u0327 \u0f73\u0301")
def test_passwords_are_as_precis_i18n_has_them(secret: str) -> None:
    """It accepts the same, makes the same of it, and refuses for the same reason."""
    is_one, said = library("OpaqueString", "pass", secret)
    if is_one and len(said) < 8:
        is_one, said = False, "pass must have at least 8 characters and at most 1024 bytes"
    assert outcome(password, secret) == (is_one, said)


@given(texts(20))
@example("ΑΣΣ")
@example("l\u00b7l\u30fb\u30fb\u30ab\u30fb")
@example("\u05d0\u0661\u0662\u06f0")
def test_usernames_are_as_precis_i18n_has_them(name: str) -> None:
    """It accepts the same, makes the same of it, and refuses for the same reason."""
    is_one, said = library("UsernameCaseMapped", "user", name)
    if is_one and not 3 <= len(said) <= USER_MAX:
        is_one, said = False, "user must have 3 to 254 characters"
    assert outcome(username, name) == (is_one, said)


@given(st.text(PLAIN, min_size=3, max_size=USER_MAX))
def test_plain_usernames_are_as_precis_has_them(name: str) -> None:
    """The short way of a plain name gives what the profile gives."""
    assert username(name) == get_profile("UsernameCaseMapped").enforce(name) == name


@given(st.text(PRINTABLE, min_size=8, max_size=100))
def test_plain_passwords_are_as_precis_has_them(secret: str) -> None:
    """The short way of a plain password gives what the profile gives."""
    assert password(secret) == get_profile("OpaqueString").enforce(secret) == secret


@given(st.text(min_size=3, max_size=30))
@example("ΑΣΣ")
@example("ǰa\u0301bc")
def test_a_name_in_its_one_form_stays_as_it_is(name: str) -> None:
    """A text that was put into its one form is in it."""
    try:
        once = username(name)
    except InvalidInputError:
        return
    assert username(once) == once


@given(st.text(min_size=8, max_size=30))
def test_a_password_in_its_one_form_stays_as_it_is(secret: str) -> None:
    """A text that was put into its one form is in it."""
    try:
        once = password(secret)
    except InvalidInputError:
        return
    assert password(once) == once


@pytest.mark.parametrize("name", ["José", "JOSÉ", "Jose\u0301", "\uff2a\uff4f\uff53\uff45\u0301"])
def test_forms_and_cases_of_a_name_are_one(name: str) -> None:
    """Composed, decomposed, fullwidth and capital letters name one account."""
    assert username(name) == "josé"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "user is empty"),
        ("ab", "user must have 3 to 254 characters"),
        ("a" * 255, "user must have 3 to 254 characters"),
        ("a\u0301" * 509, "user must have 3 to 254 characters"),
        ("a\0bc", "user contains a control character"),
        ("a\x1fbc", "user contains a control character"),
        ("a bc", "user contains a space"),
        ("ana😀", "user contains a character that is not allowed"),
        ("ana\u200b", "user contains a character that is not allowed"),
        ("אבa", "user mixes writing directions"),
    ],
)
def test_names_that_are_none(name: str, reason: str) -> None:
    """Each is refused with what is wrong about it."""
    with pytest.raises(InvalidInputError) as refused:
        username(name)
    assert str(refused.value) == reason


def test_the_length_of_a_name_is_that_of_its_one_form() -> None:
    """A name that is too long before it is composed may be short enough after."""
    assert username("e\u0301" * USER_MAX) == "é" * USER_MAX


@pytest.mark.parametrize(
    "secret",
    [
        "seven77",
        "x" * (PASSWORD_MAX + 1),
        "€" * 342,
        "pass\0word",
        "pass\x07word",
        "pass\x7fword",
        "",
    ],
)
def test_passwords_that_are_none_are_not_repeated(secret: str) -> None:
    """The refusal says nothing of the password, nor does what caused it."""
    with pytest.raises(InvalidInputError) as refused:
        password(secret)
    assert not secret or secret not in str(refused.value)
    assert refused.value.__context__ is None


@given(texts(40))
@example("seven77")
def test_a_password_is_checked_whatever_its_length(secret: str) -> None:
    """An account may have it since before the limit, or from elsewhere; its form is the same."""
    assert outcome(password_to_check, secret) == library("OpaqueString", "pass", secret)


def test_a_password_to_check_has_a_bound_all_the_same() -> None:
    """Of the work that it makes; the longest form of all that are set is within it."""
    assert password_to_check("x" * RAW_PASSWORD_MAX) == "x" * RAW_PASSWORD_MAX
    with pytest.raises(InvalidInputError, match=r"^pass must have at most 1536 characters$"):
        password_to_check("x" * (RAW_PASSWORD_MAX + 1))


def test_the_longest_passwords() -> None:
    """1,024 bytes are allowed, in whatever characters, and however they were composed."""
    assert password("x" * PASSWORD_MAX) == "x" * PASSWORD_MAX
    assert password("e\u0301" * 512) == "é" * 512


def test_no_character_is_composed_of_more() -> None:
    """The raw limits refuse nothing that could become short enough."""
    characters = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c <= 0xDFFF]
    lengths = [(c, len(unicodedata.normalize("NFD", c))) for c in characters]
    assert USER_MAX * max(length for _, length in lengths) == RAW_USER_MAX
    stable = [(c, n) for c, n in lengths if unicodedata.is_normalized("NFC", c)]
    assert PASSWORD_MAX * max(n / len(c.encode()) for c, n in stable) == RAW_PASSWORD_MAX
    assert all(c.lower() for c in characters)  # nor does case mapping make anything shorter


def test_the_longest_raw_texts() -> None:
    """They are accepted, and one character more is not."""
    assert username("\u03b1\u0313\u0300\u0345" * USER_MAX) == "\u1f82" * USER_MAX
    assert password("u\u0308\u0301" * 512) == "\u01d8" * 512
    assert not outcome(username, "\u03b1\u0313\u0300\u0345" * USER_MAX + "\u0345")[0]
    assert not outcome(password, "u\u0308\u0301" * 512 + "\u0301")[0]


STEPS = 200
"""For each character that is let through, at most; 170 where it stays decomposed into three."""
MOST = 60_000
"""Steps for any text: 1,024 spaces that are not ASCII's take 52,000."""


class TooMuchWorkError(Exception):
    """The text takes more steps than its length allows."""


def swaps(text: str) -> int:
    """How often unicodedata exchanges two neighbours to put a text's marks in order."""
    count = 0
    before: Counter[int] = Counter()
    for character in "".join(unicodedata.normalize("NFD", c) for c in text):
        weight = unicodedata.combining(character)
        count += sum(n for other, n in before.items() if other > weight > 0)
        if weight:
            before[weight] += 1
        else:
            before.clear()
    return count


def steps(judge: Callable[[str], str], raw: str, most: int) -> int:
    """The work that a text takes: calls, and the exchanges within unicodedata, which are no calls.

    TooMuchWorkError if that is more than `most`.
    """
    calls = 0
    normalized = []
    normalize = unicodedata.normalize

    def watch(_frame: FrameType, event: str, function: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")
        if calls > most:
            raise TooMuchWorkError(f"{calls} calls for {len(raw)} characters")

    def note(form: str, text: str) -> str:
        if len(text) > 1:
            normalized.append(text)
        return normalize(form, text)  # type: ignore[arg-type]

    before = sys.getprofile()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unicodedata, "normalize", note)
        sys.setprofile(watch)
        try:
            outcome(judge, raw)
        finally:
            sys.setprofile(before)
    work = calls + sum(map(swaps, normalized))
    if work > most:
        raise TooMuchWorkError(f"{work} steps for {len(raw)} characters")
    return work


def assert_work_is_bounded(raw: str) -> None:
    """In proportion to its length, and next to nothing where that is over the limit."""
    for judge, limit in (
        (username, RAW_USER_MAX),
        (password, RAW_PASSWORD_MAX),
        (password_to_check, RAW_PASSWORD_MAX),
    ):
        steps(judge, raw, min(100 + STEPS * len(raw), MOST) if len(raw) <= limit else 100)


WORST = {
    "the Katakana middle dot": lambda n: "\u30fb" * (n - 1) + "\u30ab",
    "an Arabic digit": lambda n: "\u0660" * n,
    "all Arabic digits": lambda n: (
        "\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669" * (n // 10)
    ),
    "an extended Arabic digit": lambda n: "\u06f0" * n,
    "both kinds of Arabic digits": lambda n: "\u0660" * (n - 1) + "\u06f0",
    "all three": lambda n: "\u30ab" + "\u30fb\u0660" * (n // 2),
    "the middle dot": lambda n: "l" + "\u00b7l" * (n // 2),
    "the keraia": lambda n: "\u0375\u03b1" * (n // 2),
    "the geresh": lambda n: "\u05d0\u05f3" * (n // 2),
    "joiners after viramas": lambda n: "\u0915\u094d\u200d" * (n // 3),
    "non-joiners after viramas": lambda n: "\u0915\u094d\u200c" * (n // 3),
    "non-joiners between letters": lambda n: "\u0628" + "\u200c\u0628" * (n // 2),
    "non-joiners among marks": lambda n: (
        "\u0628" + ("\u064b" * 9 + "\u200c" + "\u064b" * 9 + "\u0628") * (n // 20)
    ),
    "one non-joiner among marks": lambda n: (
        "\u0628" + "\u064b" * (n // 2) + "\u200c" + "\u064b" * (n // 2) + "\u0628"
    ),
    "marks in the wrong order": lambda n: "a" + "\u0301" * (n // 2) + "\u0316" * (n // 2),
    "marks that are two each": lambda n: "a" + "\u0344" * (n // 2) + "\u0f81" * (n // 2),
    "marks of many weights": lambda n: "a" + "\u0345\u035c\u0301\u0316\u0327\u0334" * (n // 6),
    "Hebrew marks": lambda n: "\u05d0" + "".join(chr(0x5B9 - i * 9 // n) for i in range(n)),
    "what decomposes into three": lambda n: "\u0390" * n,
    "what is composed of three": lambda n: "u\u0308\u0301" * (n // 3),
    "what stays in three": lambda n: "\U0001d160" * n,
    "what is 18 in compatibility": lambda n: "\ufdfa" * n,
    "Hangul": lambda n: "\uac01" * n,
    "Hangul's parts": lambda n: "\u1100\u1161\u11a8" * (n // 3),
    "full width": lambda n: "\uff21" * n,
    "half width": lambda n: "\uff76\uff9e" * (n // 2),
    "capitals that grow": lambda n: "\u0130" * n,
    "the capital sigma": lambda n: "a" + "\u03a3\u0301" * (n // 2),
    "letters from right to left": lambda n: "\u05d0" * (n - 1) + "1",
    "marks from right to left": lambda n: "\u05d0" + "\u0591" * (n - 1),
    "spaces": lambda n: "\u3000" * n,
    "ASCII but for one": lambda n: "a" * (n - 1) + "\u00e9",
    "what is as long as it was": lambda n: "\u00e9" * n,
    "what is not allowed at the end": lambda n: "\u00e9" * (n - 1) + "\0",
}
"""The texts of this length, or about, that each rule takes longest over."""


@pytest.mark.parametrize("worst", WORST)
def test_the_work_is_bounded_for_the_worst(worst: str) -> None:
    """At the limits of what is accepted, of what is let in, and of a body."""
    for length in (USER_MAX, 341, 512, 1024, 4096):
        assert_work_is_bounded(WORST[worst](length))
    for limit in (RAW_USER_MAX, RAW_PASSWORD_MAX):
        assert_work_is_bounded(WORST[worst](limit)[:limit])


@given(
    st.lists(
        st.tuples(
            st.text("".join(NASTY.values()), min_size=1, max_size=4),
            st.integers(1, RAW_PASSWORD_MAX // 2),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_the_work_is_bounded_for_any(repeated: list[tuple[str, int]]) -> None:
    """Any texts may be repeated in any order."""
    assert_work_is_bounded("".join(text * times for text, times in repeated))
    assert_work_is_bounded("".join(text * times for text, times in repeated)[:RAW_PASSWORD_MAX])
