"""Which URLs events may be posted to."""

from __future__ import annotations

import base64

import pytest

from workers.relay.webhooks import check_url, shown_secret


@pytest.mark.parametrize(
    "url",
    [
        *("https://siem.example/hook?x=1", "https://192.0.2.7:8443/"),
        *("http://127.0.0.1:9000/", "http://[::1]/", "http://localhost/hook"),
    ],
)
def test_https_or_this_machine_is_taken(url: str):
    """What is posted has names and addresses."""
    assert check_url(url) == url


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://siem.example/", "--insecure"),
        ("http://localhost.example/", "--insecure"),
        ("http://10.0.0.7/", "--insecure"),
        ("ftp://siem.example/", "no URL"),
        ("file:///etc/passwd", "no URL"),
        ("siem.example/hook", "no URL"),
        ("https:///hook", "no URL"),
        ("https://me:secret@siem.example/", "password"),
        ("https://siem.example/" + "x" * 2_000, "no URL"),
        ("https://siem.example/ñ", "%C3%B1"),
        ("https://señal.example/", "xn--"),
        ("https://siem.example/a b", "no URL"),
        ("https://siem.example/\n", "no URL"),
        ("https://siem..example/", "no URL"),
        ("https://" + "x" * 64 + ".example/", "no URL"),
        ("https://siem.example:99999/", "no URL"),
        ("https://siem.example:hook/", "no URL"),
        ("https://[::1/", "no URL"),
    ],
)
def test_anything_else_is_refused_with_a_way_out(url: str, word: str):
    """Names and addresses would be read on the way, and a password by who lists webhooks."""
    with pytest.raises(ValueError, match=word):
        check_url(url)


def test_the_way_may_be_safe_otherwise():
    """As in a network of containers."""
    assert check_url("http://siem:8080/", insecure=True)


def test_a_secret_is_shown_as_receivers_keep_it():
    """With the prefix of Standard Webhooks."""
    assert base64.b64decode(shown_secret(b"x" * 32).removeprefix("whsec_")) == b"x" * 32
