"""When a process looks for garbage."""

from __future__ import annotations

import gc

import pytest

from processes import gc_tuning


def test_it_looks_for_none_meanwhile() -> None:
    """And again afterwards, also where an import fails."""

    def fail() -> None:
        assert not gc.isenabled()
        raise ImportError

    with pytest.raises(ImportError), gc_tuning.paused():
        fail()
    assert gc.isenabled()
