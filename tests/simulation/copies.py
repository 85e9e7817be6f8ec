"""The product's own text, run with simulated names: with a client in memory, or a broken line."""

from __future__ import annotations

import inspect
from functools import cache
from types import CodeType, ModuleType


def copy_of(module: ModuleType, *changes: tuple[str, str], **names: object) -> ModuleType:
    """The module again, with parts of its text replaced, each of which must be there.

    ``names`` stand for what the module imports or defines under these names.
    """
    copy = ModuleType(module.__name__)
    exec(_compiled(module, changes), copy.__dict__)  # noqa: S102  # the product's own text
    for name in names:
        assert hasattr(module, name), f"{module.__name__} has no {name} any more; adapt this"
    copy.__dict__.update(names)
    return copy


@cache
def _compiled(module: ModuleType, changes: tuple[tuple[str, str], ...]) -> CodeType:
    text = inspect.getsource(module)
    for before, after in changes:
        assert before in text, f"{module.__name__} has changed; adapt this mutant: {before}"
        text = text.replace(before, after)
    return compile(text, f"copy of {module.__file__}", "exec")
