"""The system's Chromium."""

from __future__ import annotations

import shutil

from playwright.async_api import expect

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

expect.set_options(timeout=90_000)  # a busy machine is not what a test is about


def chromium() -> str:
    """Its path."""
    path = shutil.which("chromium")
    assert path, (
        "There is no program `chromium` on the PATH; install Chromium, as with `apt install "
        "chromium`, to test pages in a browser."
    )
    return path
