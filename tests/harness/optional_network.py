"""Namespaces for tests, where this machine lets us make them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.harness.namespaces import Namespaces, NamespacesError


@contextmanager
def namespaces_or_skip(names: Sequence[str]) -> Iterator[Namespaces]:
    """A network of these; the test is skipped, and says why, where there can be none."""
    made = Namespaces(names)
    try:
        made.start()
    except NamespacesError as error:
        pytest.skip(str(error))
    try:
        yield made
    finally:
        made.stop()
