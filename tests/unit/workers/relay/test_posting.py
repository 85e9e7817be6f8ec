"""The signature of what is posted."""

from __future__ import annotations

from workers.relay.posting import signature


def test_the_signature_is_that_of_standard_webhooks():
    """By its library for Python, version 1.1.0, with the secret whsec_AAECAwQFBgcICQoLDA0ODw==."""
    body = b'{"type":"policy.changed"}'
    signed = signature(bytes(range(16)), "policy-0-1-7", 1_700_000_000, body)
    assert signed == "v1,mNch2OzCkSY8wPpETTQu/K62B53WQQqqkEN80pLMkaQ="
