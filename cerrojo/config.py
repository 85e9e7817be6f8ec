"""The settings of a command, and what several commands may be told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

import settings
from processes.logs import configure

Reason = Annotated[
    str,
    typer.Option(help="why, for who reads the audit; at most 200 characters", show_default=False),
]


def load() -> settings.Settings:
    """Those of the environment, and the log by them. Raises SettingsError.

    Where `make up` runs in this folder, and the environment says nothing else, those of its system.
    """
    os.environ.update(_of_make_up())
    found = settings.load()
    configure(found.log_level, found.log_format)
    return found


def _of_make_up() -> dict[str, str]:
    folder = os.environ.get(settings.variable("data_dir"), settings.FIELDS["data_dir"].default)
    try:
        content = Path(folder, settings.OF_MAKE_UP).expanduser().read_bytes()
        found = msgspec.json.decode(content, type=dict[str, str])
    except (OSError, msgspec.DecodeError):  # none runs there, or it has just begun to
        return {}
    other = os.environ.get(settings.variable("operator_url")) or any(
        os.environ.get(name, value) != value or name + settings.FILE in os.environ
        for name, value in found.items()
    )
    return {} if other else found
