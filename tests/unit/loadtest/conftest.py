"""Locust for the tests of what needs it, and all I/O of this process as it was."""

from __future__ import annotations

import pytest

# Locust's import makes all of a process' I/O gevent's, unless this variable is set.
with pytest.MonkeyPatch.context() as patch:
    patch.setenv("LOCUST_SKIP_MONKEY_PATCH", "1")
    import locust  # noqa: F401
